"""edge_flow: exact cases, the equations it solves, its order, catapults, invariances, and how it ends."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import selfstab as ss
from tests.flows.test_averaged import NETWORK, Turned, orthogonal


def ends(flow):
    """Return c + (−1)^t ρu, shape (steps + 1, weights)."""
    swing = (-1.0) ** flow.step.values * flow.magnitude.values
    return flow.weights.values + swing[:, None] * flow.direction.values


def catapult(momentum, kappa, flip=1e-6, steps=30.0):
    """Return a cubic model, an optimizer, a flip start beyond its threshold, y₀ and a number of steps."""
    excess = kappa * ((1.0 - momentum) / (1.0 + momentum)) ** 2
    optimizer, loss = ss.HeavyBall(2.0 * (1.0 + momentum), momentum), ss.CubicTaylor(1.0)
    start, previous = ss.flip_start(loss, [0.0, excess], flip * excess)
    number = int(steps * (1.0 - momentum) / (2.0 * (1.0 + momentum) * excess) * (1.0 + 2.0 * np.sqrt(kappa)))
    return loss, optimizer, start, previous, excess, number


@pytest.mark.parametrize("warmup", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_with_whole_steps_it_is_the_run_on_the_cubic_model(momentum, warmup):
    """Protects both updates, the start and schedules: on this model c and ρ of heavy ball are the run itself."""
    loss, lr = ss.CubicTaylor(1.0, 1e-4 * (1.0 - momentum) ** 3, stabilization=2.0), 2.0 * (1.0 + momentum)
    rate = ss.LinearWarmup(0.99 * lr, 1.01 * lr, 100) if warmup else 1.005 * lr
    start, previous = [1e-3, 0.001], [-0.9e-3, 0.0012]
    optimizer = ss.HeavyBall(rate, momentum)
    flow = ss.edge_flow(loss, optimizer, start, 200, previous=previous, keep=["weights", "direction"])
    run = ss.simulate(loss, optimizer, start, 200, previous=previous, keep=["weights"]).weights.values
    assert np.ptp(flow.sharpness.values) > 0.01
    assert ends(flow) == pytest.approx(run, abs=1e-9)
    assert flow.averaged_loss.values == pytest.approx([loss.value(w) for w in run], abs=1e-9)
    assert flow.variance.values == pytest.approx(run[:, 0] ** 2, abs=1e-9)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_it_solves_its_equations(momentum, order):
    """Protects the equations, written anew for the cubic model, and the order of the error in a substep's length."""
    loss, optimizer, start, previous, excess, steps = catapult(momentum, 0.05, flip=0.3, steps=14.0)
    lr, inertia, friction = 2.0 * (1.0 + momentum), 0.5 * (1.0 + momentum), 1.0 - momentum

    def forces(z, rho):
        return -0.5 * lr * rho**2, lr * z * rho

    def first(_, state):
        return np.array(forces(*state)) / friction

    def second(_, state):
        force = np.array(forces(*state[:2])) - friction * state[2:]
        return np.concatenate([state[2:], force / inertia])

    flow = ss.edge_flow(loss, optimizer, start, 0, previous=previous, keep=["weights"])
    begin = np.array([float(flow.weights[0, 1]), float(flow.magnitude[0])])
    velocity = 0.5 * np.array(forces(*begin)) / inertia  # a flip start has no change before it
    begin = np.concatenate([begin, velocity]) if order == 2 else begin
    exact = solve_ivp(
        first if order == 1 else second, (0.0, steps), begin, "DOP853", t_eval=np.arange(steps + 1.0),
        rtol=1e-12, atol=1e-15,
    ).y[:2]  # fmt: skip
    off = []
    for substeps in (8, 16):
        flow = ss.edge_flow(
            loss, optimizer, start, steps, previous=previous, order=order, substeps=substeps, keep=["weights"]
        )
        off.append(np.abs(np.array([flow.weights.values[:, 1], flow.magnitude.values]) - exact).max())
    assert off[1] < 0.01 * excess
    assert np.log2(off[0] / off[1]) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(("momentum", "kappa"), [(0.0, 0.1), (0.5, 1.0), (0.9, 10.0)])
def test_its_overshoot_is_the_law_s(momentum, kappa):
    """Protects catapults at κ > 1: on the cubic model the flow falls by 2y₀G(κ) at every momentum."""
    loss, optimizer, start, previous, excess, steps = catapult(momentum, kappa)
    drops = [
        ss.edge_flow(
            loss, optimizer, start, steps, previous=previous, substeps=n, every=steps
        ).sharpness.values
        for n in (2, 4)
    ]
    falls = [(values[0] - values[-1]) / (2.0 * excess) for values in drops]
    limit = falls[1] + (falls[1] - falls[0]) / 3.0  # the error is of second order
    assert limit == pytest.approx(float(ss.theory.overshoot(kappa)), rel=2e-3)


def test_of_first_order_it_falls_by_twice_the_excess():
    """Protects the reason for the inertia: without it the drop is 2y₀ at every κ."""
    loss, optimizer, start, previous, excess, steps = catapult(0.9, 3.0, flip=1e-4, steps=5.0)
    flow = ss.edge_flow(loss, optimizer, start, steps, previous=previous, order=1, substeps=60, every=steps)
    assert float(flow.sharpness[0] - flow.sharpness[-1]) == pytest.approx(2.0 * excess, rel=0.01)


def test_without_momentum_it_is_the_three_equations():
    """Protects gradient descent's flow, of first order, written anew on a loss whose top eigenvector turns."""
    loss = ss.SymbolicLoss(
        "(1 + y + q**2/2)*x**2/2 + x**2*q/10 + x*y*q/10 + q**2/20 - y/500", ["x", "y", "q"]
    )
    lr, start = 2.05, np.array([0.02, -0.01, 0.3])

    def velocity(_, state):
        c, u, rho = state[:3], state[3:6], state[6]
        forward, backward = loss.gradient(c + rho * u), loss.gradient(c - rho * u)
        hu = loss.hessian(c) @ u
        rate = lr * 0.5 * (u @ (forward - backward)) / rho - 2.0
        return np.concatenate([-0.5 * lr * (forward + backward), lr * (hu - (u @ hu) * u), [rate * rho]])

    flows = [
        ss.edge_flow(
            loss, ss.HeavyBall(lr), start, 60, previous=-start * [1, -1, -1], order=1, substeps=n,
            keep=["weights", "direction"],
        )
        for n in (40, 80)
    ]  # fmt: skip
    first = flows[0].isel(step=0)
    begin = np.concatenate([first.weights, first.direction, [first.magnitude]])
    exact = solve_ivp(
        velocity, (0.0, 60.0), begin, "DOP853", t_eval=np.arange(61.0), rtol=1e-10, atol=1e-13
    ).y
    assert flows[0].magnitude.values.max() > 2.0 * float(first.magnitude)
    found = [np.vstack([f.weights.values.T, f.direction.values.T, f.magnitude.values]) for f in flows]
    limit = 2.0 * found[1] - found[0]
    off = np.abs(limit - exact).max(axis=1)
    assert off.max() < 1e-3, off


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_threshold(momentum):
    """Protects where the swing starts to grow: S*, at every length of a substep."""
    loss = ss.Quadratic([1.0, 0.01])
    for substeps in (1, 3):
        for share, grows in ((0.998, False), (1.002, True)):
            optimizer = ss.HeavyBall(share * 2.0 * (1.0 + momentum), momentum)
            flow = ss.edge_flow(
                loss, optimizer, [0.1, 1.0], 60, previous=[-0.1, 1.0], every=15, substeps=substeps
            )
            rho = flow.magnitude.values[2:]
            assert bool(rho[-1] > rho[0]) is grows
            assert flow.attrs["flow"] == "edge flow"
            assert (flow.attrs["order"], flow.attrs["substeps"]) == (2, substeps)


@pytest.mark.parametrize("substeps", [1, 4])
def test_the_centre_coasts_as_far_as_heavy_ball(substeps):
    """Protects the start's velocity: on a flat direction it carries the centre β/(1 − β) times the last change."""
    loss, beta = ss.Quadratic([1.0, 0.0]), 0.8
    flow = ss.edge_flow(
        loss,
        ss.HeavyBall(1.0, beta),
        [0.0, 1.0],
        300,
        previous=[0.0, 0.9],
        substeps=substeps,
        keep=["weights"],
    )
    assert float(flow.weights[-1, 1]) == pytest.approx(1.0 + beta / (1.0 - beta) * 0.1, rel=1e-9)


@pytest.mark.parametrize(("kappa", "within"), [(1.0, 0.02), (10.0, 0.02)])
def test_it_follows_a_catapult(kappa, within):
    """Protects its purpose: the final sharpness of a large catapult, which the flow of first order misses."""
    loss, beta = ss.Product(), 0.9
    excess = kappa * ((1.0 - beta) / (1.0 + beta)) ** 2
    w = np.sqrt([2.0 + np.sqrt(3.0), 2.0 - np.sqrt(3.0)])  # uv = 1, S = 4
    optimizer = ss.HeavyBall(0.5 * (1.0 + beta) * (1.0 + excess), beta)
    start, previous = ss.flip_start(loss, w, 1e-4)
    steps = 150 if kappa > 5 else 450
    run = ss.simulate(loss, optimizer, start, steps, previous=previous, keep=["sharpness"])
    drop = 4.0 - float(run.sharpness[-1])
    of_flow = {"edge": ss.edge_flow(loss, optimizer, start, steps, previous=previous)}
    of_flow["first order"] = ss.edge_flow(loss, optimizer, start, steps, previous=previous, order=1)
    off = {name: (4.0 - float(flow.sharpness[-1])) / drop - 1.0 for name, flow in of_flow.items()}
    assert abs(off["edge"]) < within
    assert abs(off["first order"]) > 0.3


def test_a_rotation_of_the_weights_changes_nothing():
    """Protects coordinates being free, and losses of a user's own."""
    w = NETWORK.initial_weights(0)
    optimizer = ss.HeavyBall(1.02 * 3.0 / NETWORK.sharpness(w)[0], 0.5)
    turn = orthogonal(len(w))
    start, previous = ss.flip_start(NETWORK, w, 0.01)
    one = ss.edge_flow(NETWORK, optimizer, start, 40, previous=previous, keep=["weights"])
    other = ss.edge_flow(
        Turned(NETWORK, turn), optimizer, turn @ start, 40, previous=turn @ previous, keep=["weights"]
    )
    for name in ("loss", "sharpness", "variance", "averaged_loss"):
        assert other[name].values == pytest.approx(one[name].values, rel=1e-6), name
    assert other.weights.values @ turn == pytest.approx(one.weights.values, abs=1e-7)


def test_records_settings_and_bits():
    """Protects what is kept, when, and determinism."""
    loss, optimizer, start, previous, _, _ = catapult(0.5, 0.3)
    flows = [
        ss.edge_flow(loss, optimizer, start, 50, previous=previous, every=20, keep=["weights", "direction"])
        for _ in range(2)
    ]
    assert flows[0].step.values.tolist() == [0, 20, 40, 50]
    for name in flows[0].data_vars:
        assert np.array_equal(flows[0][name].values, flows[1][name].values), name
        assert flows[0][name].attrs.get("long_name"), name
    assert np.linalg.norm(flows[0].direction.values, axis=1) == pytest.approx(1.0, abs=1e-12)
    assert json.loads(flows[0].attrs["optimizer"])["momentum"] == 0.5
    assert ss.edge_flow(loss, optimizer, start, 1, order=1).attrs["substeps"] == 3


def test_a_start_without_a_swing_has_none():
    """Protects exact zeros: nothing swings by itself, and the centre goes as heavy ball."""
    loss, optimizer = ss.CubicTaylor(1.0, 0.01), ss.HeavyBall(3.0, 0.5)
    flow = ss.edge_flow(loss, optimizer, [0.0, 0.1], 30, keep=["weights"])
    run = ss.simulate(loss, optimizer, [0.0, 0.1], 30, keep=["weights"])
    assert not flow.magnitude.values.any()
    assert flow.weights.values == pytest.approx(run.weights.values, abs=1e-14)


def test_divergence_is_a_result():
    """Protects its end: the first step beyond the escape radius, without an error or a warning."""
    flow = ss.edge_flow(ss.Quadratic([1.0, 0.5]), ss.HeavyBall(3.0), [1.0, 1.0], 100, escape=1e3)
    run = ss.simulate(ss.Quadratic([1.0, 0.5]), ss.HeavyBall(3.0), [1.0, 1.0], 100, escape=1e3)
    assert int(flow.diverged_at) == int(run.diverged_at) > 0
    assert flow.sizes["step"] == int(flow.diverged_at)
    loss = ss.SymbolicLoss("x**2*(1+y)/2 - 0.05*y + exp(x*y*40)/1000000", ("x", "y"))
    assert int(ss.edge_flow(loss, ss.HeavyBall(2.5, 0.9), [1.5, 1.3], 150).diverged_at) >= 0


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"order": 3}, ValueError, "order must be"),
        ({"order": "2"}, TypeError, "order must be an integer"),
        ({"substeps": 0}, ValueError, "substeps must be"),
        ({"keep": ["axis"]}, ValueError, "keep must be"),
        ({"optimizer": ss.HeavyBall(1.0, 0.5, 0.5)}, ValueError, "optimizer must have lookahead 0"),
        ({"previous": [1.0]}, ValueError, r"previous must have shape \(2,\)"),
    ],
)
def test_bad_input_is_refused(changes, error, message):
    """Protects the door: the argument, its value and what is allowed are named before anything runs."""
    arguments = {
        "loss": ss.Product(), "optimizer": ss.HeavyBall(0.1), "start": [1.0, 1.0], "steps": 1,
    } | changes  # fmt: skip
    with pytest.raises(error, match=message):
        ss.edge_flow(**arguments)
