"""Gradient flow: order, stability, tolerance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import selfstab as ss
from selfstab.flows.gradient import KINKED_ERROR, KINKED_STEPS, GradientFlow, _coefficients, _reach, _stages


def amplification(stages, z):
    """Return the method's factor on dw/dt = λw for z = step·λ, from its coefficients."""
    first, rows = _coefficients(stages)
    older, old = 1.0, 1.0 + first * z
    for mu, nu, mu_force, gamma in rows:
        older, old = old, (1.0 - mu - nu) + mu * old + nu * older + mu_force * z * old + gamma * z
    return old


@pytest.mark.parametrize("stages", [2, 3, 7, 20, 60])
def test_the_method_is_stable_as_far_as_it_says(stages):
    """Protects the stages chosen: on the whole negative axis up to their reach no mode grows."""
    reach = _reach(stages)
    z = -np.linspace(1e-9, reach, 20001)
    assert np.abs(amplification(stages, z)).max() <= 1.0
    assert abs(amplification(stages, -1.5 * reach)) > 1.0
    assert _stages(reach) == stages


@pytest.mark.parametrize("stages", [2, 5, 11])
def test_the_method_is_of_second_order(stages):
    """Protects the coefficients: the error of a step is of third order in it."""
    steps = np.array([0.02, 0.04, 0.08])
    error = np.abs(amplification(stages, -steps) - np.exp(-steps))
    assert np.polyfit(np.log(steps), np.log(error), 1)[0] == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("time", [0.5, 40.0])
def test_it_agrees_with_another_integrator(time):
    """Protects the flow and its tolerance on a nonlinear loss, from mild to stiff pieces of time."""
    loss, start = ss.Chain(3), np.array([1.5, 0.4, 0.9])
    errors = []
    for tolerance in (1e-5, 1e-7):
        flow = GradientFlow(loss, start, tolerance)
        for _ in range(4):
            flow.advance(time, loss.sharpness(flow.weights)[0])
        exact = solve_ivp(
            lambda _, w: -loss.gradient(w), (0.0, 4.0 * time), start, method="DOP853", rtol=1e-12, atol=1e-14
        ).y[:, -1]
        errors.append(np.linalg.norm(flow.weights - exact) / np.linalg.norm(exact))
    assert errors[0] < 1e-3
    assert errors[1] < 3e-6
    assert errors[1] < errors[0]


def test_pieces_follow_on_each_other(same_bits):
    """Protects the force kept from one piece of time to the next: a new flow, which has none, goes the same way."""
    loss = ss.Chain(3)
    flow = GradientFlow(loss, np.array([1.5, 0.4, 0.9]))
    for time in (0.3, 0.0, 2.0, 0.7):
        new = GradientFlow(loss, flow.weights, _step=flow._step)
        for each in (flow, new):
            each.advance(time, 5.0)
        assert same_bits(flow.weights, new.weights)


def test_no_time_moves_nothing():
    """Protects warmups from lr 0."""
    flow = GradientFlow(ss.Product(), np.array([2.0, 1.0]))
    flow.advance(0.0, 5.0)
    assert flow.weights.tolist() == [2.0, 1.0]


def test_it_gives_up_at_an_infinity():
    """Protects the run beside it: a flow to infinity in finite time ends as NaN, without a warning or a hang."""
    flow = GradientFlow(ss.SymbolicLoss("-x**4 - y**4", ["x", "y"]), np.array([1.0, 1.0]))
    flow.advance(10.0, 0.0)
    assert np.isnan(flow.weights).all()


def test_it_gives_up_where_the_sharpness_is_not_finite():
    """Protects what stands beside it from an error: without a sharpness there is no step."""
    for sharpness in (np.nan, np.inf):
        flow = GradientFlow(ss.Product(), np.array([2.0, 1.0]))
        flow.advance(1.0, sharpness)
        assert np.isnan(flow.weights).all()


def kinked():
    """Return |x| + y²/2, whose flow slides along the kink at x = 0, and a list that grows with each gradient."""
    gradients = []

    def gradient(w):
        gradients.append(w)
        return np.array([np.sign(w[0]), w[1]])

    return ss.FunctionLoss(lambda w: abs(w[0]) + 0.5 * w[1] ** 2, gradient, 2), gradients


def test_a_kink_does_not_stall_it():
    """Protects runs of ReLU networks: pieces of time at a kink take bounded work, and the error is told."""
    loss, gradients = kinked()
    flow = GradientFlow(loss, np.array([0.35, 1.0]))
    before = len(gradients)
    for _ in range(10):
        flow.advance(0.1, 1.0)
    # At the tolerance it would be some 50,000.
    assert len(gradients) - before < 10 * 6 * KINKED_STEPS
    # The exact flow is at x = 0 from t = 0.35 on, and y falls as e^{−t}.
    assert abs(flow.weights[0]) <= 0.1 / KINKED_STEPS
    assert flow.weights[1] == pytest.approx(np.exp(-1.0), rel=1e-4)
    assert 1e-5 < flow.local_error <= KINKED_ERROR
    # Before the kink the tolerance holds.
    smooth = GradientFlow(loss, np.array([0.35, 1.0]))
    smooth.advance(0.1, 1.0)
    assert 0.0 < smooth.local_error <= 1e-6


def test_a_smooth_flow_keeps_the_tolerance_where_it_is_short_of_steps():
    """Protects flows that need more steps than a kink's bound, such as those from a random start: none is a kink."""
    loss = ss.MLP([64, 8, 1], *ss.datasets.digits(100, target="parity"))
    start = loss.initial_weights(seed=0)
    sharpness = loss.sharpness(start)[0]
    flow = GradientFlow(loss, start)
    flow.advance(38.0 / sharpness, sharpness)
    assert flow.local_error <= 1e-6
    exact = GradientFlow(loss, start, 1e-8)
    exact.advance(38.0 / sharpness, sharpness)
    assert np.linalg.norm(flow.weights - exact.weights) < 1e-4 * np.linalg.norm(exact.weights)
