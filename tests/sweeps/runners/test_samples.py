"""Sweeps of empirical risks: the bits of plain CPython in any company, stores, and what is published of catapults."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.kernels.measures import MEASURES
from selfstab.kernels.terms import exp
from selfstab.sweeps.plan.blocks import cut
from selfstab.sweeps.storage import memory
from tests import twin

ALL = tuple(MEASURES)
RNG = np.random.default_rng(7)
POINTS = RNG.standard_normal((4, 3))
LABELS = np.sign(POINTS @ [1.0, -2.0, 0.5] + 0.3 * RNG.standard_normal(4))
INPUTS = np.array([-1.0, 0.3, 1.5])

LOGISTIC = ss.EmpiricalRisk(
    "log(1 + exp(-y*dot(w, x))) + c*dot(w, w)/2", {"w": 3}, {"x": POINTS, "y": LABELS}, {"c": 0.1}
)
TANH = ss.EmpiricalRisk("(v*tanh(a*x) - s[1]*x)**2/2", "v, a", {"x": INPUTS}, {"s": [1.0, 0.7]})
LINEAR = ss.EmpiricalRisk("(dot(u, v)*x - 1)**2/2", {"u": 3, "v": 3}, {"x": INPUTS})

CASES = {
    # Three weights and a term outside the mean; a chunk and an odd step more; runs that leave and runs that settle.
    "logistic": (LOGISTIC, ss.HeavyBall(1.0), {
        "lr": [1.0, 8.0, 40.0], "momentum": [0.0, 0.8], "c": [0.01, 0.5], "start.w_1": [0.0, 2.0, 6.0]},
        {"start": [1.0, 0.0, 0.0], "steps": 37, "escape": 60.0}),
    # A gradient ahead of the weights, noise, an excess, a closed form of two weights.
    "tanh": (TANH, ss.HeavyBall(1.0), {
        "lookahead": [0.0, 0.4], "momentum": [0.0, 0.9], "excess": [-0.5, 0.3, 2.0], "s_1": [0.2, 0.7],
        "start.a": [0.5, 1.0]},
        {"start": [1.0, 0.5], "steps": 34, "noise": 1e-3, "seed": 3, "escape": 20.0}),
    # A matrix that a loop fills, a ramp of the rate, steps that end in the midst of a chunk.
    "linear": (LINEAR, ss.HeavyBall(ss.LinearWarmup(0.0, 0.2, 10), lookahead=0.3), {
        "lr.end": [0.1, 0.4, 1.0, 2.5], "momentum": [0.0, 0.7], "start.u_0": [0.3, 1.5]},
        {"start": [0.5, -0.2, 0.4, 1.0, 0.3, -0.6], "steps": 21}),
}  # fmt: skip
every_case = pytest.mark.parametrize("name", CASES)


def swept(name, **changes):
    loss, optimizer, axes, settings = CASES[name]
    return ss.sweep(loss, optimizer, axes, **({"measure": ALL, "progress": False} | settings | changes))


@pytest.fixture(scope="module")
def results():
    return {name: swept(name, threads=1) for name in CASES}


@every_case
def test_equals_plain_cpython(name, results, plain_engine, same_cells):
    """Protects the meaning of a kernel with data: compiled and interpreted, every measure has the same bits."""
    same_cells(results[name], plain_engine(swept, name, threads=1))


def test_the_cases_meet_every_end(results):
    """Protects the case above from being empty: runs diverge in more than one chunk, others settle."""
    ended = np.concatenate([r.diverged_at.values.ravel() for r in results.values()])
    assert {*(ended[ended >= 0] // 16)} >= {0, 1}
    assert {*(ended[ended >= 0] % 2)} == {0, 1}
    phases = np.unique(np.concatenate([r.phase.values.ravel() for r in results.values()]))
    assert phases.size >= 4


@every_case
def test_threads_blocks_and_order_change_no_bit(name, results, monkeypatch, same_cells):
    """Protects a cell from its neighbours: threads, blocks that are no whole lanes, and the order of blocks."""
    for threads, size in ((2, 64), (1, 5)):

        def backwards(cells, repeats, _, size=size):
            return reversed([*cut(cells, repeats, size)])

        monkeypatch.setattr(memory, "cut", backwards)
        same_cells(results[name], swept(name, threads=threads))


def test_where_chunks_end_changes_no_bit(results, monkeypatch, plain_engine, same_cells):
    """Protects runs from the engine's looks at them: chunks of another length give the same bits, divergence too."""
    monkeypatch.setattr("selfstab.kernels.sweep_template.SHORT_CHUNK", 6)
    sources = LOGISTIC.kernel.source
    with monkeypatch.context() as patch:
        for name, value in (("_sweeps", {}), ("_runs", {})):
            patch.setitem(vars(sources), name, value)
        assert "CHUNK = 6" in LOGISTIC.source(ALL)
        same_cells(results["logistic"], plain_engine(swept, "logistic", threads=1))


@pytest.mark.parametrize("name", ["logistic", "tanh"])
def test_equals_a_twin_in_numpy(name, results):
    """Protects the steps: weights' losses and divergences as a loop in NumPy has them, a few cells of each case."""
    loss, _, axes, settings = CASES[name]
    data = results[name]
    for flat in np.random.default_rng(1).choice(data.phase.size, 6, replace=False):
        index = np.unravel_index(flat, data.phase.shape)
        at = {key: float(values[k]) for (key, values), k in zip(axes.items(), index, strict=True)}
        own = loss.replace(**{k: v for k, v in at.items() if k in loss.parameters})
        start = [at.get(f"start.{n}", w) for n, w in zip(own.weight_names, settings["start"], strict=True)]
        momentum, ahead = at.get("momentum", 0.0), at.get("lookahead", 0.0)
        lr = at.get("lr")
        if lr is None:
            lr = (1 + at["excess"]) * 2 * (1 + momentum) / (own.sharpness(start)[0] * (1 + 2 * ahead))
        noise = None
        if "noise" in settings:
            run = ss.simulate(own, ss.HeavyBall(lr, momentum, ahead), start, settings["steps"], noise=settings["noise"],
                              seed=settings["seed"], escape=settings["escape"])  # fmt: skip
            assert int(run.diverged_at) == int(data.diverged_at.values[index])
            last = int(run.diverged_at) - 1 if run.diverged_at >= 0 else settings["steps"]
            assert float(run.loss.sel(step=last)) == float(data.final_loss.values[index])
            continue
        run = twin.run(
            own.gradient_at,
            start,
            start,
            [lr] * settings["steps"],
            momentum,
            ahead,
            noise,
            settings["escape"],
        )
        assert run.diverged_at == int(data.diverged_at.values[index])
        assert own.value(run.weights[-1]) == pytest.approx(float(data.final_loss.values[index]), rel=1e-6)


def test_a_store_goes_on_and_knows_its_data(tmp_path, same_cells):
    """Protects stores: one is read without the loss, goes on with the same bits, and refuses other data."""
    _, optimizer, axes, settings = CASES["logistic"]
    folder = tmp_path / "sweep.zarr"
    data = swept("logistic", store=folder)
    same_cells(ss.resume(folder, progress=False), data)
    other = ss.EmpiricalRisk(
        "log(1 + exp(-y*dot(w, x))) + c*dot(w, w)/2", {"w": 3}, {"x": POINTS + 1e-9, "y": LABELS}, {"c": 0.1}
    )
    with pytest.raises(ValueError, match=r"loss\.data\.x is .* there and .* here"):
        ss.sweep(other, optimizer, axes, measure=ALL, progress=False, store=folder, **settings)


def test_everything_that_takes_a_loss_takes_a_risk(plain_engine):
    """Protects the other commands: runs, orbits, continuation, flows and starts accept a risk."""
    optimizer, start = ss.HeavyBall(0.3, 0.5), [1.0, 0.5]
    run = ss.simulate(TANH, optimizer, start, 60, keep=["loss", "weights"])
    assert float(run.loss[-1]) < float(run.loss[0])
    minimum = LOGISTIC.minimum([1.0, 0.0, 0.0])
    assert np.abs(LOGISTIC.gradient(minimum)).max() < 1e-8
    assert len(ss.flip_start(LOGISTIC, minimum, 1e-3)) == 2
    orbit = ss.orbits(TANH, optimizer, {"lr": [0.1, 0.3]}, start=start, steps=60, last=2, keep=["loss"],
                      progress=False)  # fmt: skip
    np.testing.assert_array_equal(orbit["loss"].values[1], run.loss.values[-2:])
    along = plain_engine(ss.continuation, TANH, optimizer, {"lr": [0.1, 0.3]}, along="lr", start=start, steps=20,
                            measure=["final_loss", "diverged_at"], progress=False)  # fmt: skip
    assert np.isfinite(along.final_loss.values).all()
    assert ss.averaged_flow(TANH, optimizer, start, 5).sizes["step"] == 6
    assert ss.constrained_trajectory(TANH, ss.HeavyBall(1.0), start, 3).sizes["step"] == 4


class Decaying(ss.Optimizer):
    """A heavy ball whose steps shrink by exp(−t/100): a rule that calls an elementary function."""

    states = ("velocity",)

    def rule(self, weights, states, gradient, lr, step):
        velocity = 0.5 * states[0] - lr * exp(-0.01 * step) * gradient
        return weights + velocity, (velocity,)

    def begin(self, start, previous, lr):
        return (start - previous,)

    def threshold_fraction(self):
        return 3.0, 1.0


@pytest.mark.parametrize(
    ("loss", "start"), [(LINEAR, CASES["linear"][3]["start"]), (ss.Chain(3), [1.0, 1.1, 0.6])]
)
def test_an_optimizer_with_functions_of_its_own(loss, start, plain_engine):
    """Protects a module's functions: those that a rule calls stand beside the loss's eigenvalue, not in its place."""
    data = plain_engine(ss.sweep, loss, Decaying(0.1), {"lr": [0.01, 0.1]}, start=start, steps=20,
                        measure=["max_sharpness", "final_loss"], progress=False)  # fmt: skip
    run = ss.simulate(loss, Decaying(0.1), start, 20)
    assert float(run.loss[-1]) == float(data.final_loss[1])
    assert float(run.sharpness.max()) == float(data.max_sharpness[1])


def test_lewkowycz_catapult():
    """Protects the published regimes: below 2/λ, a flatter minimum between 2/λ and 4/λ, divergence above 4/λ."""
    width = 9
    u, v = np.random.default_rng(0).standard_normal((2, width))
    start = np.concatenate([u, v])
    network = ss.EmpiricalRisk(
        "(dot(u, v)*x/n - y)**2/2", {"u": width, "v": width}, {"x": [1.0], "y": [0.0]}, {"n": width**0.5}
    )
    curvature = (start @ start) / width  # the tangent kernel at the start
    runs = [
        ss.simulate(network, ss.HeavyBall(k / curvature), start, 200, keep=["loss", "weights"])
        for k in (1.0, 3.0, 4.5)
    ]
    assert [int(run.diverged_at) >= 0 for run in runs] == [False, False, True]
    kernels = [float((run.weights[-1] ** 2).sum()) / width for run in runs[:2]]
    assert all(float(run.loss[-1]) < 1e-8 for run in runs[:2])
    assert kernels[0] == pytest.approx(curvature, rel=0.2)
    assert kernels[1] < 2 * curvature / 3
    assert float(runs[1].loss.max()) > 3 * float(runs[1].loss[0])
