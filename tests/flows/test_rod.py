"""rod_flow: closed forms, the papers' equations, order, closure, invariances, and how it ends."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import selfstab as ss
from selfstab.flows import rod as rod_module
from tests.flows.test_averaged import NETWORK, Turned, orthogonal


@pytest.mark.parametrize("excess", [0.02, 0.05])
@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.9])
def test_it_settles_on_the_two_cycle(momentum, excess):
    """Protects the fixed point: Σ is the squared half-difference of the two-cycle, w̄ its midpoint."""
    loss, optimizer = ss.DoubleWell(), ss.HeavyBall((1.0 + momentum) * (1.0 + excess), momentum)
    half = float(ss.theory.two_cycle_half_amplitude(excess, 2.0, 6.0, 6.0))
    start = np.array([1.0 - half**2 + half])
    rod = ss.rod_flow(loss, optimizer, start, 150, previous=start - 2 * half, every=150, keep=["weights"])
    run = ss.simulate(
        loss, optimizer, start, 4001, previous=start - 2 * half, keep=["weights"]
    ).weights.values[-2:, 0]
    assert float(rod.variance[-1]) == pytest.approx(0.25 * (run[1] - run[0]) ** 2, rel=1e-6)
    assert float(rod.weights[-1, 0]) == pytest.approx(run.mean(), rel=1e-7)
    ends = [loss.value([w]) for w in run]
    assert float(rod.averaged_loss[-1]) == pytest.approx(np.mean(ends), rel=1e-5)


def test_without_momentum_it_is_the_paper_s():
    """Protects gradient descent's equations, written anew for one weight and integrated by another method."""
    lr, loss = 1.03, ss.DoubleWell()

    def velocity(_, state):
        w, variance = state
        d = np.sqrt(variance)
        g = [loss.gradient([w + s * d])[0] for s in (1, -1)]
        h = [loss.hessian([w + s * d])[0, 0] for s in (1, -1)]
        return [
            -0.5 * lr * sum(g) - 0.125 * lr**2 * sum(h) * sum(g),
            0.25 * lr**2 * (g[0] ** 2 + g[1] ** 2) - 2.0 * variance,
        ]

    first = 1.2
    second = first - lr * loss.gradient([first])[0]
    begin = [0.5 * (first + second), 0.25 * (first - second) ** 2]
    exact = solve_ivp(
        velocity, (0.0, 40.0), begin, "DOP853", t_eval=np.arange(41.0), rtol=1e-11, atol=1e-14
    ).y
    rod = ss.rod_flow(loss, ss.HeavyBall(lr), [first], 40, substeps=16, keep=["weights"])
    assert rod.weights.values[:, 0] == pytest.approx(exact[0], abs=1e-6)
    assert rod.variance.values == pytest.approx(exact[1], abs=1e-6)


def changed(momentum, lr, curvatures):
    """Return DG on a quadratic."""
    h = lr * np.diag(curvatures)
    if momentum == 0.0:
        return -h
    eye = np.eye(len(h))
    return np.block([[-h, momentum * eye], [-h, -(1.0 - momentum) * eye]])


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_on_a_quadratic_all_of_the_spread_is_followed(momentum):
    """Protects Σ of several axes: there it obeys the linear dΣ/dt = ½DGΣDGᵀ − 2Σ + ½ffᵀ, z̄ its matrix exponential."""
    curvatures, lr, steps = np.array([1.0, 0.7, 0.2]), 1.02 * 2.0 * (1.0 + momentum), 12
    start, previous = np.array([1.0, -0.5, 0.8]), np.array([-0.9, 0.4, 0.7])
    rod = ss.rod_flow(
        ss.Quadratic(curvatures), ss.HeavyBall(lr, momentum), start, steps, previous=previous, substeps=16,
        keep=["weights"],
    )  # fmt: skip
    slope = changed(momentum, lr, curvatures)
    z = start if momentum == 0.0 else np.concatenate([start, start - previous])
    middle, d = z + 0.5 * slope @ z, -0.5 * slope @ z
    flow = slope - 0.5 * slope @ slope
    size = len(z)

    def velocity(time, packed):
        spread, drift = packed.reshape(size, size), slope @ expm(time * flow) @ middle
        return (0.5 * slope @ spread @ slope.T + 0.5 * np.outer(drift, drift) - 2.0 * spread).ravel()

    spread = solve_ivp(
        velocity, (0.0, steps), np.outer(d, d).ravel(), "DOP853", t_eval=np.arange(steps + 1.0), rtol=1e-10, atol=1e-12
    ).y.T.reshape(-1, size, size)  # fmt: skip
    middles = np.array([expm(t * flow) @ middle for t in range(steps + 1)])
    assert rod.weights.values == pytest.approx(middles[:, :3], abs=1e-5)
    assert rod.variance.values == pytest.approx(np.trace(spread[:, :3, :3], axis1=1, axis2=2), rel=1e-5)
    tops = [np.linalg.eigvalsh(s[:3, :3])[-1] for s in spread]
    assert rod.largest_variance.values == pytest.approx(tops, rel=1e-5)


@pytest.mark.parametrize("thin", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_threshold(momentum, thin, monkeypatch):
    """Protects where the spread starts to grow: S*, beside a drift in other directions, at full and rank one."""
    if thin:
        monkeypatch.setattr(rod_module, "FULL_UP_TO", 0)
    loss = ss.Quadratic([1.0, 0.01])
    for share, grows in ((0.998, False), (1.002, True)):
        optimizer = ss.HeavyBall(share * 2.0 * (1.0 + momentum), momentum)
        rod = ss.rod_flow(loss, optimizer, [0.1, 1.0], 60, previous=[-0.1, 1.0], keep=["axis"], every=15)
        assert rod.attrs["closure"] == ("rank one" if thin else "none")
        assert rod.attrs["flow"] == "rod flow"
        along = np.abs(rod.axis.values[2:, 0])
        assert bool(along[-1] > along[0]) is grows


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_closure_follows_one_axis(momentum, monkeypatch):
    """Protects the rank-one closure: where one direction swings it is the full flow but for the drift's small share."""
    loss = ss.Product()
    start, previous = ss.flip_start(loss, [1.4, 1.0 / 1.4], 0.02)
    optimizer = ss.HeavyBall(1.05 * 2.0 * (1.0 + momentum) / loss.sharpness([1.4, 1.0 / 1.4])[0], momentum)
    full = ss.rod_flow(loss, optimizer, start, 60, previous=previous, keep=["weights"])
    monkeypatch.setattr(rod_module, "FULL_UP_TO", 1)
    thin = ss.rod_flow(loss, optimizer, start, 60, previous=previous, keep=["weights"])
    assert full.variance.values.max() > 4.0 * full.variance.values[0]  # a catapult is within
    assert thin.weights.values == pytest.approx(full.weights.values, abs=0.02)
    assert thin.variance.values == pytest.approx(
        full.variance.values, abs=0.12 * full.variance.values.max()
    )  # it swings up half a step early


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_order_in_the_substep(momentum):
    """Protects the method's order, four."""
    call = (ss.Product(), ss.HeavyBall(0.4 * (1.0 + momentum), momentum), [2.0, 0.9], 5)
    exact = ss.rod_flow(*call, substeps=96, keep=["weights"]).weights.values
    pieces = np.array([16, 24, 36])
    errors = [
        np.abs(ss.rod_flow(*call, substeps=int(n), keep=["weights"]).weights.values - exact).max()
        for n in pieces
    ]
    assert -np.polyfit(np.log(pieces), np.log(errors), 1)[0] == pytest.approx(4.0, abs=0.25)


@pytest.mark.parametrize("thin", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_other_coordinates(momentum, thin, monkeypatch):
    """Protects from the choice of coordinates: turned weights give the same flow, with the full Σ and with rank one."""
    if thin:
        monkeypatch.setattr(rod_module, "FULL_UP_TO", 0)
    w, q = NETWORK.initial_weights(1), orthogonal(NETWORK.dimension)
    optimizer = ss.HeavyBall(2.0 * (1.0 + momentum) / NETWORK.sharpness(w)[0], momentum)
    rod = ss.rod_flow(NETWORK, optimizer, w, 4, previous=1.01 * w, keep=["weights"])
    turned = ss.rod_flow(Turned(NETWORK, q), optimizer, q @ w, 4, previous=1.01 * q @ w, keep=["weights"])
    assert turned.weights.values == pytest.approx(rod.weights.values @ q.T, abs=1e-9)
    assert turned.variance.values == pytest.approx(rod.variance.values, rel=1e-6)


def test_it_begins_with_the_first_two_iterates():
    """Protects the meaning of step 0: midpoint and half-difference of w_0 and w_1, whatever `previous` is."""
    loss, optimizer = ss.Product(), ss.HeavyBall(0.3, 0.5)
    call = (loss, optimizer, [1.5, 0.4])
    run = ss.simulate(*call, 1, previous=[1.4, 0.5], keep=["weights"]).weights.values
    rod = ss.rod_flow(*call, 0, previous=[1.4, 0.5], keep=["weights", "axis"])
    assert rod.weights.values[0] == pytest.approx(run.mean(axis=0), rel=1e-14)
    assert np.abs(rod.axis.values[0]) == pytest.approx(np.abs(0.5 * (run[0] - run[1])), rel=1e-7)
    assert float(rod.averaged_loss[0]) == pytest.approx(np.mean([loss.value(w) for w in run]), rel=1e-7)


def test_records(same_bits):
    """Protects determinism and strides: same call, same bits; fewer records are the same records."""
    call = (ss.Product(), ss.HeavyBall(ss.LinearWarmup(0.1, 0.5, 5), 0.5), [1.5, 0.9], 10)
    whole, again = (ss.rod_flow(*call, keep=["weights"]) for _ in range(2))
    part = ss.rod_flow(*call, keep=["weights"], every=4)
    assert part.step.values.tolist() == [0, 4, 8, 10]
    for name in whole.data_vars:
        assert same_bits(again[name].values, whole[name].values)
        if "step" in whole[name].dims:
            assert same_bits(part[name].values, whole[name].sel(step=part.step).values)
            assert whole[name].attrs["long_name"]
    assert whole.lr.values[:6] == pytest.approx(np.linspace(0.1, 0.5, 6))


def test_divergence_is_a_result():
    """Protects the end of a flow that runs away: its step, and the records before it."""
    rod = ss.rod_flow(ss.DoubleWell(), ss.HeavyBall(1.0), [1.0], 100, previous=[0.1], escape=1.5)
    assert int(rod.diverged_at) == -1
    for escape in (1.5, 1e6):
        rod = ss.rod_flow(ss.DoubleWell(), ss.HeavyBall(1.7, 0.1), [1.5], 100, previous=[-1.5], escape=escape)
        at = int(rod.diverged_at)
        assert 0 < at < 100
        assert rod.step.values.tolist() == [*range(at)]
        assert np.isfinite(rod.loss).all()


@pytest.mark.parametrize("thin", [False, True])
def test_a_rod_that_only_grows_diverges(thin, monkeypatch):
    """Protects the end where the midpoint stays: on a quadratic beyond S* Σ grows at the rate ½(ηS)² − 2."""
    if thin:
        monkeypatch.setattr(rod_module, "FULL_UP_TO", 0)
    rod = ss.rod_flow(ss.Quadratic([1.0]), ss.HeavyBall(2.1), [0.0102], 100, escape=1.0, keep=["weights"])
    half = 0.5 * (0.0102 + 0.01122)  # of the first two iterates, 0.0102 and −0.01122
    half *= 0.5 * 2.1 if thin else 1.0  # d = −½g at first
    rate = 0.5 * (0.5 * 2.1**2 - 2.0)
    assert int(rod.diverged_at) == int(np.ceil(-np.log(half) / rate)) == rod.sizes["step"]
    assert abs(rod.weights.values[-1, 0]) < 1e-6


BAD = {
    "loss": ({"loss": 3}, TypeError, "loss must be a selfstab loss"),
    "optimizer": ({"optimizer": 0.1}, TypeError, "optimizer must be a HeavyBall"),
    "lookahead": ({"optimizer": ss.HeavyBall(0.1, 0.5, 0.5)}, ValueError, "lookahead"),
    "start": ({"start": [1.0]}, ValueError, "start must have shape"),
    "previous": ({"previous": [1.0, np.inf]}, ValueError, "previous must be finite"),
    "steps": ({"steps": 1.5}, TypeError, "steps must be"),
    "substeps": ({"substeps": 0}, ValueError, "substeps must be"),
    "every": ({"every": 0}, ValueError, "every must be"),
    "keep": ({"keep": "loss"}, ValueError, "keep must be one of weights, axis"),
    "escape": ({"escape": -1.0}, ValueError, "escape must be"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_before_anything_runs(name, monkeypatch):
    """Protects the door: one line that names the argument, the value and what is allowed."""
    change, kind, message = BAD[name]
    monkeypatch.setattr(rod_module, "_followed", None)
    good = {"loss": ss.Product(), "optimizer": ss.HeavyBall(0.1), "start": [1.0, 1.0], "steps": 3}
    with pytest.raises(kind, match=message):
        ss.rod_flow(**(good | change))


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_closure_on_a_diagonal_network(momentum, monkeypatch):
    """Protects the closure where it is not made for it: 60 weights through a swing over the edge, beside the full Σ."""
    loss = ss.DiagonalNetwork(*ss.datasets.sparse_regression(20, 30, 3, seed=0))
    descent = ss.simulate(
        loss, ss.HeavyBall(0.02), loss.initial_weights(scale=0.3), 1500, every=20, keep=["weights"]
    )
    weights = descent.weights.values
    sharpness = np.array([loss.sharpness(w)[0] for w in weights])
    threshold = 0.9 * 3.2965
    w = weights[int(np.argmax(sharpness > 0.985 * threshold))]
    start, previous = ss.flip_start(loss, w, 0.01)
    optimizer, steps = (
        ss.HeavyBall(2.0 * (1.0 + momentum) / threshold, momentum),
        int(60 * (1 - momentum) / (1 + momentum)),
    )
    found = []
    for limit in (200, 0):
        monkeypatch.setattr(rod_module, "FULL_UP_TO", limit)
        found.append(ss.rod_flow(loss, optimizer, start, steps, previous=previous))
    full, thin = (rod.sharpness.values for rod in found)
    assert np.abs(full - threshold).max() > 0.05 * threshold
    assert thin == pytest.approx(full, abs=0.01 * threshold)
