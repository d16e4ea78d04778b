"""The constrained trajectory: definitions, constraints, flags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import selfstab as ss
from selfstab.flows import constrained, projection
from selfstab.verification.constrained import slow_loss, slow_start
from tests import damian


def network(width):
    """Make a small network on smooth data: dense up to 64 weights, by Lanczos beyond."""
    inputs = np.random.default_rng(3).standard_normal((8, 2))
    return ss.MLP((2, width, 1), inputs, np.sin(2.0 * inputs[:, 0]) + 0.3 * inputs[:, 1])


def nearly_trained(loss, seed, steps):
    """Return weights late on a gradient flow, where the sharpness still rises and the gradient is small."""
    w = loss.initial_weights(seed)
    for _ in range(steps):
        w = w - 0.05 * loss.gradient(w)
    return w


def case(loss, weights):
    """Return the loss, a start displaced along u, and a threshold just below its sharpness."""
    sharpness, u = loss.sharpness(weights)
    # To the side on which Newton's step back along u raises the sharpness: the projections end on the edge.
    side = -np.sign(u @ loss.sharpness_gradient(weights))
    return loss, weights + 0.0003 * side * u, 0.9999 * sharpness


SMALL, WIDE = network(4), network(24)
CASES = {
    "slow": (slow_loss(10.0, 1.0), slow_start() + np.array([-1e-4, 1e-6, 0.0]), 1.0),
    "network": case(SMALL, nearly_trained(SMALL, 1, 4000)),
    "wide": case(WIDE, nearly_trained(WIDE, 1, 1500)),
}
EXACT = {"slow": 1e-10, "network": 1e-10, "wide": 1e-6}  # Lanczos stops at its residual


def path(name, momentum=0.0, steps=60, keep=("weights", "top_eigenvector", "sharpness_gradient")):
    loss, start, threshold = CASES[name]
    optimizer = ss.HeavyBall(2.0 * (1.0 + momentum) / threshold, momentum)
    return ss.constrained_trajectory(loss, optimizer, start, steps, keep=keep)


@pytest.mark.parametrize("name", ["slow", "network", pytest.param("wide", marks=pytest.mark.slow)])
def test_without_momentum_it_is_that_of_damian_et_al(name):
    """Protects the definition: three linearized projections after a step, against an independent implementation."""
    loss, start, threshold = CASES[name]
    data = path(name)
    centres, _ = damian.trajectories(loss, 2.0 / threshold, start, 60)
    for t, centre in enumerate(centres):
        assert data.weights.values[t] == pytest.approx(centre.weights, rel=EXACT[name], abs=EXACT[name])
        assert data.constrained_sharpness.values[t] == pytest.approx(centre.sharpness, rel=EXACT[name])
        alpha = -centre.gradient @ centre.across
        assert data.progressive_sharpening.values[t] == pytest.approx(alpha, rel=100 * EXACT[name])
        assert data.stabilization.values[t] == pytest.approx(
            centre.across @ centre.across, rel=10 * EXACT[name]
        )
        second = np.linalg.eigvalsh(centre.hessian)[-2]
        assert data.second_eigenvalue.values[t] == pytest.approx(second, rel=EXACT[name], abs=1e-12)
        assert data.constrained_loss.values[t] == pytest.approx(
            loss.value(centre.weights), rel=10 * EXACT[name]
        )
    delta = np.sqrt(2.0 * data.progressive_sharpening / data.stabilization)
    assert data.delta.values == pytest.approx(delta.values, rel=1e-14)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_each_step_is_heavy_balls_projected(name, momentum):
    """Protects the velocity with momentum: that of the projected weights, projected again with them."""
    loss, _, threshold = CASES[name]
    data = path(name, momentum, 30)
    w, lr = data.weights.values, 2.0 * (1.0 + momentum) / threshold
    for t in range(30):
        velocity = w[t] - w[max(t - 1, 0)]
        moved = damian.Centre.at(loss, w[t] - lr * loss.gradient(w[t]) + momentum * velocity, None)
        assert w[t + 1] == pytest.approx(
            damian.projected(loss, moved, threshold).weights, rel=EXACT[name], abs=EXACT[name]
        )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_constraints_are_met(name, momentum):
    """Protects S <= S* and u·∇L = 0 along the whole of it; the start is displaced further than a step moves."""
    data = path(name, momentum)
    excess = data.constrained_sharpness / data.max_stable_sharpness - 1.0
    assert excess[0] < 1e-7
    assert excess[1:].max() < 1e-10
    assert np.abs(data.constrained_slope).max() < 1e-8
    assert (data.invalid == 0).all()
    u = data.top_eigenvector.values
    assert (np.einsum("tj,tj->t", u[1:], u[:-1]) > 0).all()
    assert np.einsum("tj,tj->t", u, data.sharpness_gradient.values) == pytest.approx(np.zeros(61), abs=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_below_the_threshold_it_is_heavy_ball(momentum):
    """Protects the inequality: in the cubic Taylor model y sharpens freely up to the threshold, and stays there."""
    loss = ss.CubicTaylor(1.0, progressive_sharpening=0.02, stabilization=4.0)
    optimizer = ss.HeavyBall(2.0 * (1.0 + momentum), momentum)
    data = ss.constrained_trajectory(loss, optimizer, [0.0, -0.1], 40)
    y, velocity, expected = -0.2, 0.0, []
    for _ in range(41):
        expected.append(1.0 + y)
        velocity = momentum * velocity + optimizer.lr * 0.02
        velocity = min(y + velocity, 0.0) - y
        y += velocity
    assert data.constrained_sharpness.values == pytest.approx(np.array(expected), rel=1e-12)
    assert data.progressive_sharpening.values == pytest.approx(np.full(41, 0.02), rel=1e-12)
    assert data.stabilization.values == pytest.approx(np.full(41, 4.0), rel=1e-12)
    assert data.delta.values == pytest.approx(np.full(41, 0.1), rel=1e-12)
    kappa = (1.0 + momentum) * optimizer.lr * np.sqrt(2.0 * 0.02) / (2.0 * (1.0 - momentum) ** 2)
    assert data.edge_inertia_number.values == pytest.approx(np.full(41, kappa), rel=1e-12)


def test_where_nothing_drives_a_cycle_its_inertia_number_is_unknown():
    """Protects a reader from a κ of 0 that reads as a small one: α <= 0 gives NaN, and a learning rate of 0 gives 0."""
    for sharpening in (0.0, -0.02):
        loss = ss.CubicTaylor(1.0, progressive_sharpening=sharpening, stabilization=4.0)
        data = ss.constrained_trajectory(loss, ss.HeavyBall(2.0), [0.0, -0.1], 5)
        assert (data.progressive_sharpening <= 0.0).all()
        assert np.isnan(data.edge_inertia_number).all()
        assert "invalid" in data.edge_inertia_number.attrs["long_name"]
    loss = ss.CubicTaylor(1.0, progressive_sharpening=0.02)
    data = ss.constrained_trajectory(loss, ss.HeavyBall(ss.LinearWarmup(0.0, 2.0, 5)), [0.0, -0.1], 5)
    assert data.edge_inertia_number[0] == 0.0
    assert (data.edge_inertia_number[1:] > 0.0).all()


def test_it_follows_a_threshold_that_moves():
    """Protects schedules: with a warmup the sharpness follows S*_t down once it is met, and lr 0 has none."""
    loss = ss.CubicTaylor(1.0, progressive_sharpening=1e-3)
    data = ss.constrained_trajectory(loss, ss.HeavyBall(ss.LinearWarmup(0.0, 4.0, 100), 0.5), [0.0, 0.0], 150)
    threshold, sharpness = data.max_stable_sharpness.values, data.constrained_sharpness.values
    assert threshold[0] == np.inf
    assert (sharpness <= threshold * (1 + 1e-12)).all()
    met = threshold < 1.0
    assert met.any()
    assert sharpness[met] == pytest.approx(threshold[met], rel=1e-12)


def test_flags_say_where_the_theory_does_not_apply():
    """Protects each bit: a second eigenvalue near the threshold, near the first, constraints that cannot be met."""
    optimizer = ss.HeavyBall(2.0)  # S* = 1
    plain = ss.SymbolicLoss("(1 + y)*x**2/2 + k*z**2/2 - y/100 + y**2/50", ["x", "y", "z"], {"k": 0.9})
    start = [0.0, 0.0, 0.0]

    def flags(**changes):
        return int(ss.constrained_trajectory(plain.replace(**changes), optimizer, start, 0).invalid[0])

    masks = {name: bit for bit, name in constrained.INVALID.items()}
    assert flags(k=0.9) == 0
    near, degenerate = masks["second_eigenvalue_near_threshold"], masks["top_eigenvalue_nearly_degenerate"]
    assert flags(k=0.96) == near | degenerate
    below = ss.constrained_trajectory(plain.replace(k=0.49), optimizer, [0.0, -0.5, 0.0], 0)
    assert int(below.invalid[0]) == degenerate
    rigid = ss.constrained_trajectory(ss.Quadratic([2.0, 0.1]), optimizer, [0.0, 1.0], 3)
    assert (rigid.invalid == masks["constraints_not_met"]).all()  # its sharpness has no gradient to go along
    assert rigid.invalid.attrs["flag_meanings"].split() == [*masks]


def test_the_second_eigenvalue_may_be_far_below():
    """Protects the second eigenvalue of a saddle: it is the matrix's, however negative."""
    loss = ss.SymbolicLoss("(1 + y)*x**2/2 - 5*y**2", ["x", "y"])
    data = ss.constrained_trajectory(loss, ss.HeavyBall(1.0), [0.0, 1e-3], 0)
    assert float(data.second_eigenvalue[0]) == pytest.approx(-10.0, rel=1e-12)


@pytest.mark.parametrize("second", [-0.5, -5.0, -300.0])
def test_the_second_eigenvalue_of_a_large_saddle(second):
    """Protects it where it is found by products alone: u, taken out of the spectrum, is not found again."""
    curvatures = np.r_[1.0, second, np.linspace(2.0 * second, 1.2 * second, 98)]
    loss = ss.FunctionLoss(
        lambda w: 0.5 * float(w @ (curvatures * w)), lambda w: curvatures * w, 100,
        hessian_vector=lambda w, v: curvatures * v, third=lambda w, u, v: 0.0 * w,
    )  # fmt: skip
    assert not loss.explicit_hessian
    data = ss.constrained_trajectory(loss, ss.HeavyBall(0.1), np.full(100, 0.1), 0)
    assert float(data.second_eigenvalue[0]) == pytest.approx(second, rel=1e-9)


def test_an_eigenpair_that_is_not_converged_is_flagged(monkeypatch):
    """Protects against silent use: the residual is recorded, and a large one sets its bit."""
    loss, start, _ = CASES["network"]
    real = projection.eigenpair

    def poor(*arguments):
        pair = real(*arguments)
        vector = pair.vector + 1e-3
        vector /= np.linalg.norm(vector)
        image = arguments[0].hessian @ vector
        value = float(vector @ image)
        return projection.Eigenpair(value, vector, float(np.linalg.norm(image - value * vector)))

    monkeypatch.setattr(projection, "eigenpair", poor)
    data = ss.constrained_trajectory(loss, ss.HeavyBall(0.1), start, 2)
    assert (data.invalid.values & 4 == 4).all()
    assert (data.constrained_sharpness_residual > 1e-6 * data.constrained_sharpness).all()


@pytest.mark.parametrize("which", ["top", "second"])
def test_a_residual_that_is_not_a_number_is_flagged(monkeypatch, which):
    """Protects the flag from comparisons with NaN, which are false."""
    where, name = {"top": (projection, "eigenpair"), "second": (constrained, "second_pair")}[which]
    real = getattr(where, name)
    monkeypatch.setattr(where, name, lambda *arguments: replace(real(*arguments), residual=np.nan))
    loss, start, _ = CASES["network"]
    data = ss.constrained_trajectory(loss, ss.HeavyBall(0.1), start, 2)
    assert (data.invalid.values & 4 == 4).all()


def test_an_overflow_ends_the_records():
    """Protects divergence as a result: a quadratic that nothing stabilizes runs off, and the step is recorded."""
    loss = ss.SymbolicLoss("x**2 + y**2/2 - z**2*10", ["x", "y", "z"])
    data = ss.constrained_trajectory(loss, ss.HeavyBall(1.0), [0.0, 0.0, 1.0], 50)
    reached = int(data.constrained_diverged_at)
    assert 0 < reached < 50
    assert data.sizes["step"] == reached
    # α < 0 drives no cycle, so that κ is not known.
    assert (data.progressive_sharpening <= 0.0).all()
    assert all(np.isfinite(data[name]).all() for name in data.data_vars if name != "edge_inertia_number")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": ss.HeavyBall(1.0, 0.5, 0.5)}, r"optimizer must have lookahead 0, .* got 0\.5"),
        ({"loss": ss.DoubleWell(), "start": [1.0]}, "loss must have two weights or more, got 1"),
        ({"start": [1.0]}, r"start must have shape \(2,\)"),
        ({"start": [np.nan, 1.0]}, "start must be finite"),
        ({"steps": -1}, "steps must be an integer >= 0"),
        (
            {"start": [1e5, 1e5], "optimizer": ss.HeavyBall(10.0)},
            r"start must lie where its projection .* 0\.2 is finite",
        ),
        (
            {"loss": ss.MLP((2, 3, 1), [[1.0, 0.0]], [[1.0]], "relu"), "start": [0.1] * 13},
            r"loss must have derivatives of order 3 for this, got MLP\(.*relu.* up to order 2",
        ),
        (
            {"optimizer": ss.HeavyBall(0.1, 0.5, 0.5)},
            "optimizer must have lookahead 0, for which the theory is made, got 0.5",
        ),
        ({"keep": ["loss"]}, "keep must be one of weights, top_eigenvector, sharpness_gradient, got 'loss'"),
    ],
)
def test_bad_input_is_refused(changes, message):
    """Protects the door: the argument, its value and what is allowed are named before anything runs."""
    arguments = {
        "loss": ss.Product(),
        "optimizer": ss.HeavyBall(0.1),
        "start": [1.0, 1.0],
        "steps": 1,
    } | changes
    with pytest.raises(ValueError, match=message):
        ss.constrained_trajectory(**arguments)
