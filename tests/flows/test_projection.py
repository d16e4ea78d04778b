"""Points with the derivatives of the theory, their projection, and second eigenpairs."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.flows import projection
from selfstab.flows.projection import FINE, Point
from selfstab.verification.constrained import slow_loss, slow_start
from tests import damian

POINTS = [[0.02, -0.3, 0.4], [-0.1, 0.2, 0.1], [0.3, 0.05, -0.7]]


@pytest.mark.parametrize("weights", POINTS)
def test_a_point_has_the_derivatives_of_its_closed_form(weights):
    """Protects α, b², ∇S⊥ and u·∇L, against differences of a dense eigensolver's sharpness."""
    loss, w = slow_loss(1.0, 1.0), np.array(weights)
    point = Point.at(loss, w, None, FINE)
    values, vectors = np.linalg.eigh(loss.hessian(w))
    u = vectors[:, -1] * np.sign(vectors[:, -1] @ point.top.vector)
    h = 1e-5
    slope = np.array(
        [
            (
                np.linalg.eigvalsh(loss.hessian(w + h * e))[-1]
                - np.linalg.eigvalsh(loss.hessian(w - h * e))[-1]
            )
            / (2 * h)
            for e in np.eye(3)
        ]
    )
    across = slope - (u @ slope) * u
    gradient = loss.gradient(w)
    assert point.top.value == pytest.approx(values[-1], rel=1e-12)
    assert point.top.vector == pytest.approx(u, abs=1e-10)
    assert point.across == pytest.approx(across, abs=1e-8)
    assert abs(point.across @ u) < 1e-12
    assert point.stabilization == pytest.approx(across @ across, rel=1e-7)
    assert point.sharpening == pytest.approx(-gradient @ across, abs=1e-8)
    assert point.slope == pytest.approx(u @ gradient, abs=1e-10)


@pytest.mark.parametrize("weights", [[1e-3, 0.004, 0.02], [-2e-3, 0.01, -0.05]])
def test_a_projection_is_that_of_damian_et_al(weights):
    """Protects the three linearized projections, against an implementation of its own from the paper."""
    loss, w = slow_loss(1.0, 1.0), np.array(weights)
    own = damian.projected(loss, damian.Centre.at(loss, w, None), 1.0)
    point = Point.at(loss, w, None, FINE).projected(1.0)
    assert point.weights == pytest.approx(own.weights, abs=1e-13)


def test_below_the_threshold_the_slope_alone_goes():
    """Protects the inequality: a point that is flat enough is moved along u alone, onto u·∇L = 0."""
    loss = ss.Quadratic([2.0, 0.5])
    point = Point.at(loss, np.array([0.3, -1.0]), None, FINE)
    assert point.projected(2.5).weights.tolist() == [0.0, -1.0]
    # Its sharpness has no gradient: above the threshold there is no way down, and nothing divides by zero.
    assert point.projected(1.0).weights.tolist() == [0.0, -1.0]


def test_what_a_projection_leaves():
    """Protects the order of what k projections leave: 2k in the swing or more, after a step of its square.

    The step along ∇S⊥ does not know what Newton's step along u does to S: it leaves that for the next projection.
    """
    scales = np.array([8.0, 16.0, 32.0])
    left = np.empty((3, scales.size))
    for j, scale in enumerate(scales):
        loss = slow_loss(scale, 1.0)
        step = 2e-5 * scale**2 * np.array([-1.0, 0.6, -0.8])
        point = Point.at(loss, slow_start() + step, None, FINE)
        for k in range(3):
            point = point._projected_once(1.0, FINE)
            left[k, j] = max(point.top.value - 1.0, 0.0) + abs(point.slope)
    orders = [np.polyfit(np.log(scales), np.log(row), 1)[0] for row in left]
    assert orders[0] == pytest.approx(2.0, abs=0.1)
    assert (np.array(orders) > np.array([1.9, 3.9, 5.9])).all(), (orders, left)


def of_products(curvatures):
    """Return a quadratic that is seen through its products alone."""
    return ss.FunctionLoss(
        lambda w: 0.5 * float(w @ (curvatures * w)), lambda w: curvatures * w, len(curvatures),
        hessian_vector=lambda w, v: curvatures * v, third=lambda w, u, v: 0.0 * w,
    )  # fmt: skip


@pytest.mark.parametrize("second", [0.999, 0.1, -0.5, -40.0])
@pytest.mark.parametrize("explicit", [True, False])
def test_the_second_pair_is_the_matrixs(second, explicit):
    """Protects the second eigenvalue by both ways to it: near the first, small, and far below zero."""
    curvatures = np.r_[
        1.0, second, np.linspace(2.0 * second, 1.2 * second, 98) - (3.0 if second > 0.0 else 0.0)
    ]
    loss = ss.Quadratic(curvatures) if explicit else of_products(curvatures)
    local = projection.second_pair(Point.at(loss, np.full(100, 0.1), None, FINE), None)
    assert local.value == pytest.approx(second, rel=1e-8)
    assert abs(local.vector[1]) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("guess", [None, np.full(2, np.nan), np.array([1.0, 0.0])])
def test_beyond_float64_the_pair_is_nan(guess):
    """Protects trajectories that run off: they record NaN, and what follows such a pair is NaN, too."""
    loss = of_products(np.array([np.inf, 1.0]))
    pair = projection.eigenpair(loss.derivatives_at(np.ones(2)), guess, FINE)
    assert np.isnan([pair.value, pair.residual, *pair.vector]).all()


def test_after_a_pair_of_nan_the_next_is_nan():
    """Protects the direction: no eigenvector is found anew where the last was lost."""
    local = ss.Product().derivatives_at(np.array([1.0, 2.0]))
    assert np.isnan(projection.eigenpair(local, np.full(2, np.nan), FINE).value)
    assert projection.eigenpair(local, None, FINE).value == pytest.approx(
        np.linalg.eigvalsh(local.hessian)[-1]
    )
