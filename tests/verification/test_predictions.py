"""Every entry holds, and a wrong closed form is caught."""

from functools import partial

import numpy as np
import pytest

from selfstab import theory
from selfstab.flows.predicted import Expansion, TwoScale
from selfstab.losses.networks.mlp import MLP
from selfstab.verification import (
    PREDICTIONS,
    catapults,
    derivatives,
    flatter,
    flows,
    networks,
    predicted,
    verify,
    warmup,
)

# Seconds each; `selfstab verify` and `reproduce` run them, too.
SECONDS = ("M1 digits", "M4", "A5 deviation", "A8 drop", "A8 slow ramps", "Q2 threshold")
NETWORKS = [p.name for p in networks.PREDICTIONS]
CHEAP = [p.name for p in PREDICTIONS if not p.name.startswith(SECONDS)]
BASIC = [p.name for p in predicted.PREDICTIONS if "basic" in p.name]
SLOW = [p.name for p in PREDICTIONS if p.name.startswith(SECONDS)]


@pytest.mark.parametrize("name", [*CHEAP, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    data = verify([name])
    assert data["verdict"].values.tolist() == ["holds"], data["reason"].values[0]


def _scaled(name, factor):
    right = getattr(theory, name)
    return lambda *arguments: factor * right(*arguments)


def _other_arguments(name, change):
    right = getattr(theory, name)
    return lambda *arguments: right(*change(*arguments))


WRONG = {
    "spectral_radius": (lambda: _scaled("spectral_radius", 1.0 + 1e-9), ["Q1 modes"]),
    "region": (lambda: _other_arguments("region", lambda h, m: (1.2 * h, m)), ["Q1 regions"]),
    "max_stable_sharpness": (
        lambda: _scaled("max_stable_sharpness", 1.0 + 1e-6),
        ["Q2 threshold Polyak", "Q2 threshold lookahead", "A2 envelope", "M2 rod threshold"],
    ),
    "growth_factor": (lambda: _scaled("growth_factor", 1.0 + 1e-9), ["Q3 growth exact", "M2 rod rate"]),
    "stabilization_weight": (
        lambda: _scaled("stabilization_weight", 1.001), ["Q3 growth leading", "A1 unrolled update"]),
    "slow_energy": (
        lambda: _other_arguments("slow_energy", lambda y, a, alpha, b2: (y, a, alpha, 1.1 * b2)),
        ["A3 conserved energy"],
    ),
    "slow_orbit": (
        lambda: _other_arguments("slow_orbit", lambda t, lr, m, y0, b2: (1.05 * t, lr, m, y0, b2)), ["A3 orbit"]),
    "max_displacement": (lambda: _scaled("max_displacement", 1.01), ["A3 largest swing"]),
    "loss_spike": (lambda: _scaled("loss_spike", 1.01), ["A3 loss spike"]),
    "final_sharpness": (lambda: _scaled("final_sharpness", 1.0 + 1e-5), ["A3 drop", "A5 final sharpness"]),
    "inertia_number": (
        lambda: lambda excess, momentum: excess * (1.0 + momentum) / (1.0 - momentum),  # the square forgotten
        ["A4 inertia number", "A5 overshoot series"],
    ),
    "overshoot": (lambda: _scaled("overshoot", 1.001), ["A5 overshoot law cubic", "A5 overshoot law product"]),
    "overshoot_on_loss": (
        lambda: lambda excess, momentum, *numbers: theory.overshoot(theory.inertia_number(excess, momentum)),
        ["A5 deviation without momentum", "A5 deviation product"],
    ),
    "envelope_momentum": (lambda: _scaled("envelope_momentum", 1.0 + 1e-6), ["A5b envelope"]),
    "lookahead_displacement": (lambda: _scaled("lookahead_displacement", 1.01), ["A5b largest swing"]),
    "lookahead_inertia_number": (
        lambda: lambda excess, momentum, lookahead: theory.inertia_number(excess, momentum),  # one inertia for both
        ["A5b overshoot by κ_e"],
    ),
    "lookahead_overshoot": (lambda: _scaled("lookahead_overshoot", 1.0 + 1e-5), ["A5b overshoot with both inertias"]),
    "oscillation_lifetime": (lambda: _scaled("oscillation_lifetime", 1.0 + 1e-6), ["A6 lifetime"]),
    "prolonged_depths": (
        lambda: lambda momentum: (0.25 * (1.0 - momentum), 1.0 - 0.25 * (1.0 - momentum)), ["A6 prolonged depths"]),
    "prolonging_factor": (lambda: _scaled("prolonging_factor", 1.0 + 1e-6), ["A6 prolonging factor"]),
    "remaining_drop": (lambda: _scaled("remaining_drop", 1.001), ["A6 remaining drop"]),
    "crossing_amplitude": (lambda: _scaled("crossing_amplitude", 1.001), ["A8 crossing amplitude"]),
    "ramp_amplitude": (lambda: _scaled("ramp_amplitude", 1.01), ["A8 growth on a ramp"]),
    "onset_excess": (lambda: _scaled("onset_excess", 1.001), ["A8 onset"]),
    "warmup_drop": (lambda: _scaled("warmup_drop", 1.002), ["A8 drop", "A8 drop from noise"]),
    "edge_displacement": (lambda: _scaled("edge_displacement", 1.0 + 1e-6), ["A7 balance"]),
    "cycle_period": (lambda: _scaled("cycle_period", 1.01), ["A7 cycle period"]),
    "slow_period": (lambda: _scaled("slow_period", 1.01), ["A3 period"]),
    "cycle_growth": (
        lambda: _other_arguments("cycle_growth", lambda lr, m, alpha: (lr, m, 1.05 * alpha)), ["A7 cycle growth"]),
    "cycle_drift": (
        lambda: lambda lr, m, zeta: lr**2 * (2.0 - 9.0 * zeta**2) / (1.0 - m) ** 3,  # (1 + β)'s forgotten
        ["A7 drift growing", "A7 drift damped"],
    ),
    "critical_coupling": (lambda: _scaled("critical_coupling", 1.0 + 1e-4), ["A7 critical coupling"]),
    "two_cycle_half_amplitude": (lambda: _scaled("two_cycle_half_amplitude", 1.01), ["A9 half-amplitude"]),
    "flip_coefficient": (lambda: _scaled("flip_coefficient", 1.001), ["A9 flip coefficient"]),
    "two_cycle_growth": (lambda: _scaled("two_cycle_growth", 1.001), ["A9 cycle stability"]),
    "max_stable_noise": (lambda: _scaled("max_stable_noise", 1.0 + 1e-6), ["A10 noise boundary"]),
    "max_stable_batch_sharpness": (
        lambda: _scaled("max_stable_batch_sharpness", 1.0 + 1e-6), ["A10 batch sharpness"]),
    "mean_square_growth": (lambda: _scaled("mean_square_growth", 1.0 + 1e-6), ["A10 mean-square growth"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, name):
    """Protects the entries' power: a wrong factor or argument in a closed form turns its verdicts to "fails"."""
    make, entries = WRONG[name]
    monkeypatch.setattr(theory, name, make())
    assert dict.fromkeys(entries, "fails") == dict(
        zip(entries, verify(entries)["verdict"].values.tolist(), strict=True)
    )


def _off(state, change):
    """Return a prediction's step that leaves what `change` gives of loss, stage and state, times lr."""
    right = state.advance

    def wrong(self, loss, stage, momentum):
        name, off = change(self, loss, stage)
        right(self, loss, stage, momentum)
        setattr(self, name, getattr(self, name) - stage.lr * off)

    return wrong


def _bracket_off(share, of):
    def change(state, loss, stage):
        point, v = stage.point, state.offset
        x, y = point.top.vector @ v, point.across @ v
        terms = {
            "x²": 0.5 * x**2 * point.across,
            "δ²": -stage.push / point.stabilization * point.across,
            "xy": x * y * point.top.vector,
        }
        return "offset", share * terms[of]

    return change


def _swing_off(share):
    def change(state, loss, stage):
        ends = [loss.gradient(state.slow + sign * state.swing * state.vector) for sign in (1, -1)]
        return "swing", share * 0.5 * float(state.vector @ (ends[0] - ends[1]))

    return change


WRONG_ON_DIGITS = {
    "xy": (Expansion, lambda: _bracket_off(0.05, "xy"), ["M1 digits basic β = 0"]),
    "all of x²": (Expansion, lambda: _bracket_off(0.1, "x²"), BASIC),
    "all of δ²": (Expansion, lambda: _bracket_off(0.1, "δ²"), BASIC),
    "all of xy": (Expansion, lambda: _bracket_off(0.1, "xy"), BASIC),
    "swing": (TwoScale, lambda: _swing_off(0.01), ["M1 digits two-scale β = 0.9"]),
}


@pytest.mark.parametrize(
    "case", ["xy", *(pytest.param(case, marks=pytest.mark.slow) for case in [*WRONG_ON_DIGITS][1:])]
)
def test_a_wrong_force_on_the_digits_fails(monkeypatch, case):
    """Protects the predicted dynamics' entries: one term a few percent off, and the sharpness is not followed."""
    state, make, entries = WRONG_ON_DIGITS[case]
    monkeypatch.setattr(state, "advance", _off(state, make()))
    monkeypatch.setattr(predicted, "compared", predicted.compared.__wrapped__)  # past the cache
    assert set(verify(entries)["verdict"].values.tolist()) == {"fails"}


def test_a_wrong_flow_of_several_directions_fails(monkeypatch):
    """Protects its entry: a flow that goes five percent too far ends elsewhere."""
    right = flows.averaged

    def wrong(loss, optimizer, start, *rest, **settings):
        flow = right(loss, optimizer, start, *rest, **settings)
        return flow.assign(weights=start + 1.05 * (flow.weights - start))

    monkeypatch.setattr(flows, "averaged", wrong)
    assert verify(["M2 averaged directions digits"])["verdict"].values.tolist() == ["fails"]


def test_a_rival_law_of_the_length_fails(monkeypatch):
    """Protects the drop's exponents: the other limit's law, W^{−2/3} on slow ramps and W^{−1.1} on fast ones fail."""
    slow, fast = warmup.slow_drop, warmup.fast_drop
    for rival in (fast, lambda m, ramp, gain: slow(m, ramp, gain) ** (4.0 / 3.0)):
        monkeypatch.setattr(warmup, "slow_drop", rival)
        assert verify(["A8 slow ramps"])["verdict"].values.tolist() == ["fails"]
    for rival in (slow, lambda m, ramp, gain: fast(m, ramp, gain) ** 0.99):
        monkeypatch.setattr(warmup, "fast_drop", rival)
        assert verify(["A8 fast ramps"])["verdict"].values.tolist() == ["fails"]


def test_a_wrong_balance_fails(monkeypatch):
    """Protects δ in the predicted dynamics and σ² in the averaged flow: a percent off leaves no power of the swing."""
    monkeypatch.setattr(theory, "edge_displacement", _scaled("edge_displacement", 1.01))
    names = [
        p.name for p in PREDICTIONS if p.name.startswith(("M1 bracket", "M1 carried", "M2 averaged flow"))
    ]
    assert set(verify(names)["verdict"].values.tolist()) == {"fails"}


def test_a_wrong_rod_flow_fails(monkeypatch):
    """Protects the spread's increment: −1.99Σ instead of −2Σ moves threshold, rates and fixed point."""
    right = flows.rod_velocity

    def wrong(loss, lr, momentum, state):
        middle = 2 if momentum else 1
        return right(loss, lr, momentum, state) + 0.01 * np.concatenate([np.zeros(middle), state[middle:]])

    monkeypatch.setattr(flows, "rod_velocity", wrong)
    data = verify(["M2 rod rate", "M2 rod growth", "M2 rod fixed point"])
    assert set(data["verdict"].values.tolist()) == {"fails"}


def test_the_flows_on_the_digits_can_fail(monkeypatch):
    """Protects their entries: a flow without the swing's share of the loss, one too slow, a rod that does not swing."""
    right, (_, start) = flows.digits_averaged(), flows.digits_edge()
    wrong = right.assign(averaged_loss=right.loss, weights=start + 0.85 * (right.weights - start))
    monkeypatch.setattr(flows, "digits_averaged", lambda: wrong)
    rods = {momentum: flows.digits_rod(momentum, 0.25) for momentum in (0.0, 0.5)}
    monkeypatch.setattr(flows, "digits_rod", lambda momentum, share: rods[momentum].clip(max=3.0))
    names = ["M2 averaged digits", "M2 averaged path digits", "M2 rod digits"]
    assert set(verify(names)["verdict"].values.tolist()) == {"fails"}


def test_a_wrong_series_fails(monkeypatch):
    """Protects the coefficient 2 of κ² in the overshoot series."""
    monkeypatch.setattr(catapults, "SERIES", (1.0, 1.0, 2.1))
    assert verify(["A5 overshoot series"])["verdict"].values.tolist() == ["fails"]


@pytest.mark.parametrize(("method", "order"), [("hessian_vector_at", 2), ("third_at", 3), ("fourth_at", 4)])
def test_a_wrong_derivative_of_a_network_fails(monkeypatch, method, order):
    """Protects the orders' power: a percent off in one derivative leaves its own power of the step."""
    right = getattr(MLP, method)
    monkeypatch.setattr(MLP, method, lambda *arguments: 1.01 * right(*arguments))
    monkeypatch.setattr(derivatives, "_along", derivatives._along.__wrapped__)  # past the cache
    assert verify([f"M3 remainder {order} mse"])["verdict"].values.tolist() == ["fails"]


def test_the_margins_of_the_networks_can_fail(monkeypatch):
    """Protects the comparison on the digits: equal sharpness and divergence fail, a run that never crosses says so."""

    def same(momentum, warmup, steps, every):
        time = np.linspace(0.0, steps / warmup, 50)
        return networks._Sharpness(time, np.full(50, 5.1), np.full(50, 5.0))

    monkeypatch.setattr(networks, "_trained", same)
    assert set(verify(NETWORKS)["verdict"].values.tolist()) == {"fails"}

    def below(momentum, warmup, steps, every):
        run = same(momentum, warmup, steps, every)
        return networks._Sharpness(run.time, run.sharpness - (1.0 if momentum else 0.0), run.threshold)

    monkeypatch.setattr(networks, "_trained", below)
    data = verify(NETWORKS)
    assert set(data["verdict"].values.tolist()) == {"not run"}
    assert "must cross the threshold" in data["reason"].values[0]


def test_a_network_that_diverges_fails(monkeypatch):
    """Protects the comparison: a run that diverged did not end flatter."""
    run = networks.simulate
    monkeypatch.setattr(networks, "_trained", networks._trained.__wrapped__)  # past the cache
    monkeypatch.setattr(networks, "simulate", lambda loss, opt, start, *rest, **settings: run(
        loss, opt, start, *rest, escape=1.0001 * np.abs(start).max(), **settings))  # fmt: skip
    assert set(verify(NETWORKS)["verdict"].values.tolist()) == {"fails"}


@pytest.mark.parametrize(
    ("momentum", "kappa", "expected"),
    [(0.99, 0.1, 1.1199), (0.99, 1.0, 2.6532), (0.99, 10.0, 13.271), (0.9, 1.0, 2.6317), (0.0, 0.1, 0.9834)],
)
def test_known_overshoots_of_the_product(momentum, kappa, expected):
    """Protects the numbers measured on Product from S = 4; without momentum the cubic model's is 1.1237."""
    loss = catapults._product()
    found = catapults._catapult(
        loss, loss.minimum(sharpness=4.0), momentum, catapults._excess(kappa, momentum), 1e-6
    )
    assert found.overshoot == pytest.approx(expected, rel=5e-5)


def _as_if(found, **changes):
    """Return an experiment's data with other numbers for heavy ball."""
    data = found.copy(deep=True)
    for name, value in changes.items():
        data[name].loc[{"optimizer": "phb"}] = value
    return data


def test_the_margins_of_the_experiments_can_fail(monkeypatch):
    """Protects the entries on other models: equal runs and a divergence fail, no crossing says so."""
    found = flatter.diagonal_network(quick=True, threads=1)
    names = ["M4 diagonal flatter", "M4 diagonal test loss"]

    def verdicts(data, names=names):
        monkeypatch.setattr(flatter, "_comparison", lambda name: data)
        return verify(names)["verdict"].values.tolist()

    assert verdicts(found) == ["holds", "holds"]
    plain = found.sel(optimizer="gd_time")
    same = {
        "mean_sharpness": plain["mean_sharpness"].values,
        "final_test_loss": plain["final_test_loss"].values,
    }
    assert verdicts(_as_if(found, **same)) == ["fails", "fails"]
    assert verdicts(_as_if(found, diverged_at=7.0)) == ["fails", "fails"]
    assert verdicts(_as_if(found, crossed_at=np.nan)) == ["not run", "not run"]
    ten = ["M4 ten outputs not flatter"]
    assert verdicts(_as_if(found, mean_sharpness=0.9 * plain["mean_sharpness"].values), ten) == ["fails"]


def test_a_slow_ramp_is_one_by_theory(monkeypatch):
    """Protects the entry's premise: where theory predicts the larger catapult for momentum, it does not run."""
    numbers = {
        "predicted_excess": np.array([0.05]),
        "predicted_inertia": np.array([0.1]),
        "peak_relative_excess": np.array([0.1]),
    }
    monkeypatch.setattr(flatter, "_slow", lambda method: numbers)
    data = verify(["M4 slow ramp"])
    assert data["verdict"].values.tolist() == ["not run"]
    assert "the smaller catapult" in data["reason"].values[0]


def test_the_margin_of_the_slow_ramp_can_fail(monkeypatch):
    """Protects the entry: catapults that start as high with momentum as without fail it, lower ones do not."""

    def slow(peak, method):
        heavy = method == "phb"
        return {
            "predicted_excess": np.array([0.05 if heavy else 0.1]),
            "predicted_inertia": np.array([0.1]),
            "peak_relative_excess": np.array([peak if heavy else 0.1]),
        }

    for peak, verdict in ((0.095, "fails"), (0.085, "holds")):
        monkeypatch.setattr(flatter, "_slow", partial(slow, peak))
        assert verify(["M4 slow ramp"])["verdict"].values.tolist() == [verdict]
