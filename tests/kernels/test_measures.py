"""Words with known answers: the step of divergence, phases, the overshoot."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import selfstab as ss
from selfstab import phases
from selfstab.kernels.measures import MEASURES

ALL = tuple(MEASURES)


def cell(lr, momentum=0.0, *, alpha=0.0, start=(1e-3, 0.0), previous=None, steps=200, b2=1.0, **settings):
    """Return the measures of one run on the cubic model of curvature 1, through the same kernel for all."""
    data = ss.sweep(
        ss.CubicTaylor(1.0, alpha, b2), ss.HeavyBall(lr, momentum), {"lr": [lr]}, start=start, previous=previous,
        steps=steps, measure=ALL, progress=False, **settings,
    )  # fmt: skip
    return {name: float(values[0]) for name, values in data.data_vars.items()}


def label(measured):
    return phases.LABELS[int(measured["phase"])]


def doubling(steps, escape):
    """Return the step of divergence of x_t = (−2)^t: lr 3 on curvature 1, with next to no stabilization."""
    return cell(3.0, start=[1.0, 0.0], steps=steps, b2=1e-300, escape=escape)["diverged_at"]


@pytest.mark.parametrize("exponent", [1, 2, 3, 31, 62, 63, 64, 65, 66, 127, 128, 129, 250])
def test_diverged_at_is_exact(exponent):
    """Protects the step around the ends of chunks: |w| = escape is inside, the least above is out; last steps, too."""
    radius = 2.0**exponent
    below = np.nextafter(radius, 0)
    steps = exponent + 3
    assert doubling(steps, radius) == exponent + 1
    assert doubling(steps, below) == exponent
    assert doubling(exponent, below) == exponent
    assert doubling(exponent - 1, below) == -1
    assert doubling(exponent, radius) == -1
    run = ss.simulate(ss.CubicTaylor(1.0, 0.0, 1e-300), ss.HeavyBall(3.0), [1.0, 0.0], steps, escape=below)
    assert int(run.diverged_at) == exponent
    assert run.step.values.tolist() == [*range(exponent)]


@pytest.mark.parametrize("steps", [0, 1])
def test_the_shortest_runs(steps):
    """Protects the ends of the range: no step or one, nothing but numbers where a number is due."""
    got = cell(3.0, start=[1.0, 0.0], steps=steps, b2=1e-300)
    assert got["diverged_at"] == -1
    assert got["final_loss"] == 0.5 * 4**steps
    assert (got["min_sharpness"], got["max_sharpness"], got["final_sharpness"]) == (1.0, 1.0, 1.0)
    assert cell(3.0, start=[1.0, 0.0], steps=steps, b2=1e-300, escape=1.0)["diverged_at"] == (
        1 if steps else -1
    )


def test_the_largest_radius_counts_what_is_not_finite():
    """Protects the other half of the definition: with no radius to speak of, a run diverges where it overflows."""
    largest = np.finfo(float).max
    run = ss.simulate(ss.Quadratic([1.0]), ss.HeavyBall(3.0), [1.0], 1100, keep=["weights"], escape=largest)
    assert int(run.diverged_at) == 1024
    assert run.weights.values[-1, 0] == -(2.0**1023)


def test_measures_stop_before_the_divergence():
    """Protects final values from what lies beyond: they are those of a run that ends one step earlier."""
    settings = {"start": [0.5, 0.0], "previous": [-0.5, 0.0], "escape": 100.0}
    ended = cell(3.5, 0.0, steps=500, **settings)
    assert ended["diverged_at"] > 2
    before = cell(3.5, 0.0, steps=int(ended["diverged_at"]) - 1, **settings)
    assert before["diverged_at"] == -1
    for name in ("final_loss", "max_loss", "final_sharpness", "min_sharpness", "max_sharpness"):
        assert ended[name] == before[name]
    assert label(ended) == "diverged"
    assert all(np.isnan(ended[name]) for name in ("peak_excess_sharpness", "drop", "overshoot"))


FLIP = {"start": [1e-3, 0.0], "previous": [-1e-3, 0.0]}
PHASES = {
    # (1 − √β)² = 0.0026 at β = 0.9: above it an underdamped oscillation, below 1 for GD none.
    "monotone": {"lr": 0.5, "steps": 200},
    "oscillating": {"lr": 0.1, "momentum": 0.9, "steps": 500},
    "oscillating: flips": {"lr": 1.5, "steps": 200},
    "oscillating: flips of momentum": {"lr": 3.6, "momentum": 0.9, "steps": 600},
    "catapult": {"lr": 2.05, "steps": 1500, **FLIP},
    "catapult: of momentum": {"lr": 3.9, "momentum": 0.9, "steps": 1500, **FLIP},
    "edge": {"lr": 2.0, "alpha": 1e-4, "steps": 1500, "start": [0.01, 0.0], "previous": [-0.01, 0.0]},
    "edge: of momentum": {"lr": 3.0, "momentum": 0.5, "alpha": 1e-6, "steps": 4000,
                          "start": [0.001, 0.0], "previous": [-0.001, 0.0]},
    "diverged": {"lr": 4.5, "steps": 50, "start": [1.0, 0.0]},
}  # fmt: skip


@pytest.mark.parametrize("name", PHASES)
def test_phase_of_a_run_with_a_known_end(name):
    """Protects each label by an example whose end is known, and its stability when the run is twice as long."""
    settings = dict(PHASES[name])
    assert label(cell(**settings)) == name.split(":")[0]
    settings["steps"] *= 2
    assert label(cell(**settings)) == name.split(":")[0]


def test_undecided_is_too_short_to_say():
    """Protects against a verdict on a run that still moves; longer, it is monotone."""
    assert label(cell(0.01, steps=50)) == "undecided"
    assert label(cell(0.01, steps=2000)) == "monotone"


def test_a_two_cycle_is_an_edge():
    """Protects the steady kind of cycling: above S = 2/η the double well has a stable 2-cycle and no swing at all."""
    lr, keep = 1.05, ("loss", "sharpness", "weights", "velocity")
    run = ss.simulate(ss.DoubleWell(), ss.HeavyBall(lr), [1.01], 1500, keep=keep)
    assert ss.observables.measure(run, ["phase"])["phase"] == phases.EDGE
    p, q, again = run.weights.values[-3:, 0]
    assert again == pytest.approx(p, rel=1e-12)
    assert abs(p - q) > 0.1
    assert p - lr * (p**3 - p) == pytest.approx(q, rel=1e-12)


def test_overshoot_of_gradient_descent_is_the_law_to_third_order():
    """Protects the measure and the law: on the map the law's κ³ coefficient grows by (7/3)ρ², with ρ = 1 for GD."""
    kappa = np.array([0.01, 0.02, 0.04])
    got = [
        cell(2 * (1 + k), start=[1e-7, 0.0], previous=[-1e-7, 0.0], steps=int(80 / k))["overshoot"]
        for k in kappa
    ]
    error = np.array(got) - ss.theory.overshoot(kappa)
    order = np.polyfit(np.log(kappa), np.log(error), 1)[0]
    assert order == pytest.approx(3, abs=0.15)
    # error/κ³ = 7/3 + O(κ): the line through the two smallest ends there.
    assert 2 * (error / kappa**3)[0] - (error / kappa**3)[1] == pytest.approx(7 / 3, rel=0.02)


@pytest.mark.parametrize("kappa", [0.1, 0.3, 1.0])
def test_overshoot_at_large_momentum_is_the_law(kappa):
    """Protects G(κ) with no constant to fit: at β = 0.99 only the map's share is left, of order ρ² = 2.5e-5."""
    beta = 0.99
    rho = (1 - beta) / (1 + beta)
    excess = kappa * rho**2
    size = 1e-7 * excess
    got = cell(
        2 * (1 + beta) * (1 + excess),
        beta,
        start=[size, 0.0],
        previous=[-size, 0.0],
        steps=int(80 / excess * rho),
    )
    assert label(got) == "catapult"
    expected = ss.theory.overshoot(kappa)
    assert got["overshoot"] == pytest.approx(expected, abs=5 * rho**2 * kappa**3)
    assert got["overshoot"] != expected
    # y0 is the excess at the start, S* ε/(1 + ε) in units of the curvature.
    assert got["peak_excess_sharpness"] == pytest.approx(excess / (1 + excess), rel=1e-9)
    assert got["drop"] == pytest.approx(2 * got["peak_excess_sharpness"] * got["overshoot"], rel=1e-12)


def test_every_measure_has_a_long_name():
    """Protects labels of axes and the reading of files by other tools."""
    for name, measure in MEASURES.items():
        assert measure.attributes["long_name"], name


@pytest.mark.parametrize(("ratio", "expected"), [(0.98e-3, "monotone"), (1.02e-3, "undecided")])
def test_settled_is_a_thousandth(ratio, expected):
    """Protects the threshold of "settled": steps shrink as (1 − ηc)^t, so that the last eighth's share is known."""
    steps = 160
    lr = 1 - ratio ** (1 / (7 * steps / 8))
    assert label(cell(lr, start=[1e-3, 0.0], steps=steps, b2=1e-300)) == expected


KEEP = ("loss", "sharpness", "weights", "velocity")


def record(sharpness, velocity):
    """Return a run made by hand, with the threshold 10 and whatever loss."""
    steps = len(sharpness)
    variables = {
        "loss": np.zeros(steps),
        "sharpness": sharpness,
        "max_stable_sharpness": np.full(steps, 10.0),
    }
    run = xr.Dataset(
        {name: ("step", values) for name, values in variables.items()}, coords={"step": np.arange(steps)}
    )
    run["velocity"] = (("step", "weight"), np.asarray(velocity)[:, None])
    run["weights"] = run.velocity.cumsum("step")
    run["diverged_at"] = -1
    return run


def test_the_sharpness_of_a_flip_is_smoothed():
    """Protects the (1, 2, 1)/4 mean: a sharpness that alternates about 9.5 does not rise through 10 at every step."""
    t = np.arange(400)
    # Neither settled nor steady: only rises through the threshold could make it an edge.
    swings = record(9.5 + 2.0 * (-1.0) ** t, (-1.0) ** t * 0.99**t)
    assert ss.observables.measure(swings, ["phase"])["phase"] == phases.UNDECIDED
    waves = record(9.5 + 2.0 * np.sin(t / 5), (-1.0) ** t * 0.99**t)
    assert ss.observables.measure(waves, ["phase"])["phase"] == phases.EDGE


@pytest.mark.parametrize(("factor", "expected"), [(1.09, phases.EDGE), (1.12, phases.UNDECIDED)])
def test_steady_is_ten_percent(factor, expected):
    """Protects "cycling": the largest flips of the third and fourth quarter are within 10% of each other."""
    t = np.arange(401)
    # No two flips are equal to the last bit: the run is no cycle.
    size = np.where(t <= 300, 1.0, factor) * (1.0 + 1e-9 * t)
    assert (
        ss.observables.measure(record(np.full(401, 9.5), (-1.0) ** t * size), ["phase"])["phase"] == expected
    )


@pytest.mark.parametrize(("sharpness", "expected"), [(9.1, phases.EDGE), (8.9, phases.CYCLE)])
def test_an_edge_is_at_the_threshold(sharpness, expected):
    """Protects "cycling at the threshold": a steady flip 11% below it is a cycle, no edge."""
    run = record(np.full(401, sharpness), (-1.0) ** np.arange(401))
    assert ss.observables.measure(run, ["phase"])["phase"] == expected


def test_noise_far_below_the_threshold_is_no_edge():
    """Protects the label of a run that noise keeps moving: S = 1 is far below S* = 4."""
    data = ss.sweep(
        ss.Quadratic([1.0]), ss.HeavyBall(0.5), {"momentum": [0.0, 0.9]},
        start=[0.0], steps=2000, measure=["phase"], noise=1e-3, progress=False,
    )  # fmt: skip
    assert data.phase.values.tolist() == [phases.UNDECIDED] * 2


@pytest.mark.parametrize("steps", range(1, 10))
def test_a_short_growing_run_is_not_settled(steps):
    """Protects short runs: the last step always counts as late."""
    run = ss.simulate(ss.Quadratic([1.0]), ss.HeavyBall(2.5), [1.0], steps, keep=KEEP)
    assert ss.observables.measure(run, ["phase"])["phase"] == phases.UNDECIDED


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_the_overshoot_does_not_depend_on_the_side_the_flip_starts_on(beta):
    """Protects y0 from the first-order alternation of the sharpness: swapping start and previous changes little."""
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-3)
    lr = 1.02 * 2 * (1 + beta) / 4.0
    found = []
    for first, before in ((start, previous), (previous, start)):
        run = ss.simulate(loss, ss.HeavyBall(lr, beta), first, 3000, previous=before, keep=KEEP)
        found.append(ss.observables.measure(run, ["overshoot"])["overshoot"])
        found.append(float(ss.catapults(run.sharpness, run.max_stable_sharpness, run.loss).overshoot[0]))
    # The two starts differ by half a period of the flip: first order in size times growth, 1% here.
    np.testing.assert_allclose(found, found[0], rtol=0.02)


ALONE = {
    "Quadratic": (ss.Quadratic([2.0, 1.0]), [1.0, 1.0]),
    "CubicTaylor": (ss.CubicTaylor(1.0), [0.1, 0.0]),
    "Chain": (ss.Chain(3), [1.0, 1.1, 0.6]),
    "constants in the loss only": (ss.SymbolicLoss("a*exp(b) + c*u**2", ["u"], {"a": 1.0, "b": 0.3, "c": 1.0}), [1.0]),
    "a constant as the loss's last word": (ss.SymbolicLoss("a*exp(b*u) + u**2/2", ["u"], {"a": 1.0, "b": 0.3}), [1.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", ALONE)
def test_a_measure_alone_is_the_one_among_all(name, plain_engine, same_bits):
    """Protects kernels of a single measure: what only one piece of a loss reads is there for it."""
    loss, start = ALONE[name]
    for optimizer, axes in (
        (ss.HeavyBall(0.1), {"momentum": [0.5]}),
        (ss.HeavyBall(0.1), {"excess": [0.1]}),
        (ss.HeavyBall(ss.LinearWarmup(0.0, 0.1, 3), 0.5, 0.2), {"lr.end": [0.2]}),
    ):
        run = {"start": start, "steps": 3, "progress": False, "threads": 1}
        whole = plain_engine(ss.sweep, loss, optimizer, axes, measure=tuple(MEASURES), **run)
        for measure in MEASURES:
            alone = plain_engine(ss.sweep, loss, optimizer, axes, measure=[measure], **run)
            assert same_bits(alone[measure].values, whole[measure].values), measure
