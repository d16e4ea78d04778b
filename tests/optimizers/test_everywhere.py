"""One definition adds an optimizer to all: runs, sweeps, branches, orbits, stores, the explorer."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import selfstab as ss
from selfstab.explorer import views
from selfstab.explorer.script import script
from selfstab.explorer.state import PageState
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.settings import setting
from selfstab.runs import states as states_module
from selfstab.sweeps.storage import settings as storage_settings
from tests.optimizers.own import Aggregated, Mixed, Moments, TwoMomenta

LOSS = ss.Product()
START, PREVIOUS = ss.flip_start(LOSS, LOSS.minimum(sharpness=4.0), size=1e-2)
OWN = [TwoMomenta(0.8, 0.1, 0.8), Moments(0.01), Aggregated(0.5, momenta=(0.0, 0.5, 0.9))]
MEASURES = ("final_loss", "max_sharpness", "min_sharpness", "diverged_at", "phase", "overshoot")


def named(values):
    return [type(value).__name__ for value in values]


def two_momenta_by_hand(lr, fast, slow, steps, noise=None):
    """Return the weights of TwoMomenta, and its steps, from the formulas in its docstring, by plain NumPy."""
    w = START
    push = (START - PREVIOUS) / (-lr[0] * 0.5 * (1 / (1 + fast) + 1 / (1 + slow)))
    quick, heavy = push / (1 + fast), push / (1 + slow)
    weights = [w]
    for t in range(steps):
        g = LOSS.gradient(w) + (0.0 if noise is None else noise[t])
        quick, heavy = fast * quick + g, slow * heavy + g
        w = w - lr[t] * (quick + heavy) / 2
        weights.append(w)
    return np.array(weights)


def adam_by_hand(lr, steps, beta1=0.9, beta2=0.999, eps=1e-8):
    """Return the weights of Adam, from its paper's algorithm."""
    w, m, s, weights = START, 0.0, 0.0, [START]
    for t in range(1, steps + 1):
        g = LOSS.gradient(w)
        m, s = beta1 * m + (1 - beta1) * g, beta2 * s + (1 - beta2) * g**2
        w = w - lr * (m / (1 - beta1**t)) / (np.sqrt(s / (1 - beta2**t)) + eps)
        weights.append(w)
    return np.array(weights)


def test_a_run_is_that_of_its_formulas():
    """Protects simulate: kernels, along a warmup and with noise, give the weights of a loop written by hand."""
    schedule = ss.LinearWarmup(0.2, 0.9, 30)
    run = ss.simulate(
        LOSS, TwoMomenta(schedule, 0.1, 0.8), START, 60, previous=PREVIOUS, noise=1e-3, seed=3,
        keep=["weights", "velocity"],
    )  # fmt: skip
    from selfstab.runs.noise import normal

    expected = two_momenta_by_hand(schedule.values(0, 60), 0.1, 0.8, 60, 1e-3 * normal(3, 0, 0, 60, 2))
    assert run.weights.values == pytest.approx(expected, rel=1e-9)
    assert run.velocity.values[0] == pytest.approx(START - PREVIOUS, rel=1e-12)
    assert run.velocity.values[1:] == pytest.approx(np.diff(run.weights.values, axis=0), rel=1e-9, abs=1e-12)
    assert run.max_stable_sharpness.values == pytest.approx(TwoMomenta(schedule, 0.1, 0.8).thresholds(0, 61))
    assert json.loads(run.attrs["optimizer"])["name"] == "TwoMomenta"
    adam = ss.simulate(LOSS, Moments(0.01), START, 200, keep=["weights"])
    assert adam.weights.values == pytest.approx(adam_by_hand(0.01, 200), rel=1e-9)


def same_loss_without_a_kernel():
    return ss.FunctionLoss(
        lambda w: 0.5 * (w[0] * w[1] - 1.0) ** 2, lambda w: (w[0] * w[1] - 1.0) * w[::-1], dimension=2
    )


@pytest.mark.parametrize("optimizer", OWN, ids=named(OWN))
def test_kernels_and_the_plain_rule_agree(optimizer):
    """Protects the two readings of a rule: a loss with a kernel and the same one without give the same run."""
    settings = {"previous": PREVIOUS, "keep": ["weights"], "noise": 1e-4}
    one = ss.simulate(LOSS, optimizer, START, 40, **settings)
    two = ss.simulate(same_loss_without_a_kernel(), optimizer, START, 40, **settings)
    assert two.weights.values == pytest.approx(one.weights.values, rel=1e-8)


AXES = {
    "TwoMomenta": {"slow": [0.0, 0.5, 0.9], "excess": [-0.05, 0.05]},
    "Moments": {"beta1": [0.0, 0.9], "lr": [0.003, 0.01]},
    "Aggregated": {"momenta.2": [0.0, 0.95], "start.u": [1.9, 1.95], "noise": [0.0, 1e-4]},
}


@pytest.mark.parametrize("optimizer", OWN, ids=named(OWN))
def test_a_sweep_has_the_bits_of_plain_cpython_and_the_runs_of_simulate(optimizer, plain_engine, same_cells):
    """Protects compiled lanes: numbers of the optimizer as axes, an excess, noise; each cell is one run."""
    axes = AXES[type(optimizer).__name__]
    arguments = {"start": START, "previous": PREVIOUS, "steps": 300, "measure": MEASURES, "progress": False}
    data = ss.sweep(LOSS, optimizer, axes, threads=2, **arguments)
    same_cells(data, plain_engine(ss.sweep, LOSS, optimizer, axes, threads=1, **arguments))
    for index in np.ndindex(*data.sizes.values()):
        values = {name: float(axes[name][k]) for name, k in zip(axes, index, strict=True)}
        start = np.array([values.get("start.u", START[0]), START[1]])
        own = optimizer.with_numbers({n: v for n, v in values.items() if n in optimizer.numbers or n == "lr"})
        if "excess" in values:
            own = own.with_numbers({"lr": own.at_excess(LOSS.sharpness(start)[0], values["excess"])})
        run = ss.simulate(LOSS, own, start, 300, previous=PREVIOUS, noise=values.get("noise", 0.0))
        assert int(run.diverged_at) == int(data.diverged_at[index])
        assert float(run.loss[-1]) == pytest.approx(float(data.final_loss[index]), rel=1e-6, abs=1e-14)
        assert float(run.sharpness.max()) == pytest.approx(float(data.max_sharpness[index]), rel=1e-9)
    assert data[next(iter(axes))].attrs["long_name"]


def test_measures_of_a_loss_without_a_kernel_agree(plain_engine):
    """Protects the displacement that measures read, where no state of the optimizer is it: lanes against runs."""
    axes = {"slow": [0.0, 0.9], "excess": [0.01, 0.1]}
    arguments = {"start": START, "previous": PREVIOUS, "steps": 400, "measure": MEASURES, "progress": False}
    one = plain_engine(ss.sweep, LOSS, TwoMomenta(1.0), axes, **arguments)
    two = ss.sweep(same_loss_without_a_kernel(), TwoMomenta(1.0), axes, **arguments)
    assert (one.phase == 3).any()
    assert (one.phase.values == two.phase.values).all()
    assert two.overshoot.values == pytest.approx(one.overshoot.values, rel=1e-4, nan_ok=True)


@pytest.mark.parametrize("optimizer", OWN, ids=named(OWN))
def test_orbits_are_the_ends_of_runs(optimizer, monkeypatch, same_bits, plain_engine):
    """Protects runs in parts: all states are handed over, and a rule that reads the step knows which it is."""
    axes = {"lr": [0.002, 0.01]}
    with monkeypatch.context() as patch:
        patch.setattr(states_module, "NUMBERS", 37)
        patch.setattr(states_module, "_LEAST_UPDATES", 3)
        data = plain_engine(
            ss.orbits, LOSS, optimizer, axes, start=START, previous=PREVIOUS, steps=200, last=90, progress=False,
            keep=("weights", "velocity"),
        )  # fmt: skip
    for k, lr in enumerate(axes["lr"]):
        run = ss.simulate(
            LOSS,
            optimizer.with_numbers({"lr": lr}),
            START,
            200,
            previous=PREVIOUS,
            keep=("weights", "velocity"),
        )
        assert same_bits(data.weights.values[k], run.weights.values[-90:])
        assert same_bits(data.velocity.values[k], run.velocity.values[-90:])


@pytest.mark.parametrize("loss", [LOSS, same_loss_without_a_kernel()], ids=["kernel", "no kernel"])
def test_a_branch_hands_over_every_state(loss, plain_engine):
    """Protects continuation: two runs of 40 steps at the same lr are one of 80."""
    optimizer = TwoMomenta(0.3, 0.1, 0.8)
    data = plain_engine(
        ss.continuation, loss, optimizer, {"lr": [0.3, 0.3]}, along="lr", start=START, previous=PREVIOUS, steps=40,
        measure=["final_loss"], direction="forward", progress=False,
    )  # fmt: skip
    run = ss.simulate(loss, optimizer, START, 80, previous=PREVIOUS, every=40, keep=["loss"])
    assert data.final_loss.values[:, 0] == pytest.approx(run.loss.values[1:], rel=1e-9, abs=1e-300)


def test_a_border_is_refined_at_the_threshold():
    """Protects refine, and the threshold of an optimizer of one's own: the border of divergence is at S*."""
    optimizer = TwoMomenta(1.0, 0.1, 0.8)
    data = ss.refine(
        ss.Quadratic([1.0]), optimizer, {"lr": (0.5, 4.0, 4)}, start=[1.0], previous=[-1.0], steps=400, levels=5,
        measure="phase", progress=False,
    )  # fmt: skip
    picture = ss.rasterize(data, 128)
    first = float(picture.lr.values[np.argmax(picture.phase.values == -1)])
    assert first == pytest.approx(optimizer.with_numbers({"lr": 1.0}).max_stable_sharpness(), rel=0.03)


def stored(folder, optimizer, **changes):
    settings = {
        "start": START,
        "previous": PREVIOUS,
        "steps": 50,
        "measure": ["final_loss"],
        "progress": False,
    }
    return ss.sweep(LOSS, optimizer, {"slow": [0.1, 0.5]}, store=folder, **(settings | changes))


def test_a_store_goes_on_by_the_optimizers_name(tmp_path):
    """Protects stores: an optimizer that is defined is found again; another rule, or none, is refused."""
    folder = str(tmp_path / "own.zarr")
    data = stored(folder, TwoMomenta(0.3, 0.1)).load()
    assert ss.resume(folder, progress=False).load().equals(data)
    assert stored(folder, TwoMomenta(0.3, 0.1)).load().equals(data)
    with pytest.raises(ValueError, match=r"fast is 0\.1 there and 0\.2 here"):
        stored(folder, TwoMomenta(0.3, 0.2))


def test_a_store_of_another_rule_is_refused(tmp_path, monkeypatch):
    """Protects stores from a rule that was edited: its code is part of the settings."""

    def made(factor):
        class Drifting(Optimizer):
            slow: float = setting(default=0.5, at_least=0, below=1)
            states = ("push",)

            def rule(self, weights, states, gradient, lr, step):
                push = self.slow * states[0] + factor * gradient
                return weights - lr * push, (push,)

            def begin(self, start, previous, lr):
                return (0.0 * start,)

            def threshold_fraction(self):
                return 2.0 * (1.0 + self.slow), factor

        return Drifting

    folder = str(tmp_path / "own.zarr")
    data = stored(folder, made(1.0)(0.3)).load()
    assert stored(folder, made(1.0)(0.3)).load().equals(data)
    with pytest.raises(ValueError, match=r"optimizer\.code is"):
        stored(folder, made(2.0)(0.3))
    with pytest.raises(ValueError, match="settings are not those of one sweep"):
        ss.resume(folder, progress=False)

    def unknown(name):
        raise ValueError(f"optimizer must be one of HeavyBall, got {name!r}")

    monkeypatch.setattr(storage_settings, "optimizer_named", unknown)
    with pytest.raises(ValueError, match="settings hold an optimizer that is not defined here"):
        ss.resume(folder, progress=False)


def test_a_parameter_called_like_a_number_is_refused():
    """Protects axes: a name means one thing, also where the optimizer came after the loss."""
    loss = ss.SymbolicLoss("(u*v - slow)**2/2", "u,v", {"slow": 1.0})
    with pytest.raises(ValueError, match="loss must not have a parameter called slow, which is TwoMomenta's"):
        ss.sweep(loss, TwoMomenta(0.1), {"fast": [0.1]}, start=START, steps=5)


@pytest.mark.parametrize(
    "function",
    [ss.averaged_flow, ss.edge_flow, ss.rod_flow, ss.constrained_trajectory, ss.predicted_dynamics],
)
def test_theory_of_the_heavy_ball_refuses_others(function):
    """Protects trajectories in place of a run: they are derived for the heavy ball."""
    with pytest.raises(TypeError, match="optimizer must be a HeavyBall, for which the theory is made"):
        function(LOSS, TwoMomenta(0.1), START, 5)


def test_the_explorer_has_its_sliders_and_axes(same_bits):
    """Protects the explorer: an optimizer's numbers are sliders and axes, its script runs, the law stays silent."""
    state = replace(PageState().with_method("TwoMomenta"), steps=60)
    assert [number.name for number in state.own_numbers] == ["fast", "slow"]
    assert "momentum" not in state.axis_names
    assert state.axis_names["slow"] == "momentum of the slow state β₂"
    assert (state.across.name, state.up.name, state.orbit.name) == ("fast", "excess", "excess")
    state = replace(state.with_number("slow", 0.5).with_axis("orbit", "slow"), excess=0.05)
    optimizer = state.optimizer()
    assert (type(optimizer), optimizer.slow) == (TwoMomenta, 0.5)
    assert optimizer.max_stable_sharpness() == pytest.approx(state.setup().sharpness / 1.05, rel=1e-12)
    assert views.law(state).reason == "the law assumes the heavy ball without lookahead"
    assert views.diagram_key(state) != views.diagram_key(state.with_number("slow", 0.6))
    assert views.diagram_key(state) == views.diagram_key(state.with_number("fast", 0.6))
    namespace = {"__name__": "script"}
    exec(script(state, size=3, along=4), namespace)
    assert same_bits(namespace["run"].loss.values, views.run(state).loss.values)
    assert dict(namespace["diagram"].sizes) == {"excess": 3, "fast": 3}
    assert namespace["orbits"].equals(views.orbit_diagram(state, 4))
    back = state.with_method("HeavyBall")
    assert (back.across.name, back.numbers) == ("momentum", ())
    ahead = PageState().with_number("lookahead", 0.9)
    assert ahead.optimizer().lookahead == 0.9
    assert "ss.HeavyBall(lr, momentum, lookahead=0.9)" in script(ahead)
    for call in (lambda: replace(state, method="Adagrad"), lambda: state.with_number("slow", 1.0)):
        with pytest.raises(ValueError, match=r"optimizer must be one of|slow must be in \[0, 1\)"):
            call()


@pytest.mark.parametrize(
    "method",
    ["AveragedHeavyBall", "QuasiHyperbolic", "AggregatedMomentum", "LinearOptimizer", "SymbolicOptimizer"],
)
def test_the_explorer_makes_each_optimizer(method, same_bits):
    """Protects the explorer's widgets of tuples and of rules in text: its script gives the run that it shows."""
    state = replace(PageState().with_method(method), steps=60, excess=0.05)
    if method == "AggregatedMomentum":
        state = state.with_number("momenta.1", 0.5).with_axis("orbit", "momenta.1")
        assert state.optimizer().momenta == (0.0, 0.5, 0.99)
    if method == "SymbolicOptimizer":
        before = views.diagram_key(state)
        state = state.with_text("parameters", "beta=0.5")
        assert (state.optimizer().numbers, views.diagram_key(state) == before) == ({"beta": 0.5}, False)
        with pytest.raises(ValueError, match="unknown name 'nu'"):
            state.with_text("equations", "v = nu*v + g; w = w - lr*v")
        with pytest.raises(ValueError, match="parameters must be NAME=VALUE"):
            state.with_text("parameters", "beta")
    assert state.optimizer().max_stable_sharpness() == pytest.approx(
        state.setup().sharpness / 1.05, rel=1e-12
    )
    namespace = {"__name__": "script"}
    exec(script(state, size=3, along=4), namespace)
    assert namespace["optimizer"] == state.optimizer()
    assert same_bits(namespace["run"].loss.values, views.run(state).loss.values)
    assert namespace["orbits"].equals(views.orbit_diagram(state, 4))


def test_laws_of_the_heavy_ball_are_not_those_of_others():
    """Protects analyze and the swing's law from a momentum that is another optimizer's."""
    run = ss.simulate(LOSS, TwoMomenta(0.1), START, 20, keep=["loss", "sharpness", "weights"])
    analysed = ss.analyze(run)
    assert analysed.max_stable_sharpness.values == pytest.approx(run.max_stable_sharpness.values)
    with pytest.raises(ValueError, match="run must be of the heavy ball, got one of TwoMomenta"):
        ss.observables.swing(run, LOSS, START)


def test_pictures_of_other_optimizers_have_no_lines_of_the_heavy_balls_theory():
    """Protects figures: a run has its optimizer's name, a diagram no contours of κ, theory is refused."""
    run = ss.simulate(LOSS, Mixed(0.1, 0.5), START, 20)
    ax = ss.plotting.draw_sharpness(run)
    assert "Mixed" in [line.get_label() for line in ax.get_lines()]
    axes = {"momentum": [0.1, 0.5], "excess": [0.01, 0.1]}
    arguments = {"start": START, "previous": PREVIOUS, "steps": 30, "measure": ["phase"], "progress": False}
    scales = [
        ss.plotting.draw_phases(ss.sweep(LOSS, optimizer, axes, **arguments)).get_xscale()
        for optimizer in (ss.HeavyBall(1.0), Mixed(1.0, 0.5))
    ]
    assert scales == ["log", "linear"]
    orbits = ss.orbits(
        LOSS, Mixed(0.1, 0.5), {"lr": [0.1, 0.2]}, start=START, steps=9, last=4, progress=False
    )
    with pytest.raises(
        ValueError, match="run must be of the heavy ball for lines of theory, got one of Mixed"
    ):
        ss.plotting.draw_orbits(orbits, weight="u", sharpness=4.0)


@pytest.mark.parametrize(
    ("loss", "start"),
    [
        (ss.SymbolicLoss("w**2/2 + w", ["w"]), [1.0]),
        (ss.SymbolicLoss("(u*v - 1)**2/2 + w**4/4 + u*w", ["u", "v", "w"]), [1.0, 0.5, 0.3]),
    ],
    ids=["a sum", "three weights"],
)
def test_a_sweep_multiplies_a_gradient_that_is_a_sum(loss, start, plain_engine):
    """Protects rules that multiply or divide the gradient: its text, a sum, is written in parentheses there."""
    optimizer = Moments(0.05)
    run = ss.simulate(loss, optimizer, start, 40)
    data = ss.sweep(
        loss,
        optimizer,
        {"lr": [0.05]},
        start=start,
        steps=40,
        measure=["final_loss", "max_loss"],
        progress=False,
    )
    assert float(data.final_loss[0]) == float(run.loss[-1])
    assert float(data.max_loss[0]) == float(run.loss.max())
