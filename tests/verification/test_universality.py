"""Catapults between two minima: what is measured, and the two numbers of a loss that theory takes."""

import numpy as np
import pytest

import selfstab as ss
from selfstab import phases, theory
from selfstab.verification import universality, verify
from selfstab.verification.catapults import _catapult, _excess
from tests.verification.judging import assert_holds, entries


@pytest.mark.parametrize("name", entries(universality))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


def test_a_centred_loss_is_the_same_loss():
    """Protects the change of coordinates: value, gradient and Hessian are the loss's own."""
    loss, minimum = ss.Chain(4), (0.5, 1.0, 1.0, 2.0)
    moved = universality.centred(loss, minimum)
    for w in np.random.default_rng(0).normal(size=(5, 4)):
        at = np.array(minimum) + w
        assert moved.value(w) == pytest.approx(loss.value(at), rel=1e-12)
        np.testing.assert_allclose(moved.gradient(w), loss.gradient(at), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(moved.hessian(w), loss.hessian(at), rtol=1e-11, atol=1e-12)


def test_numbers_of_the_product_are_its_closed_forms():
    """Protects σ and τ: on uv = 1 b² = 4(S² − 4)/S, so σ = S²/(S² − 4) − ½ and τ = −4/(S² − 4)."""
    start = universality.STARTS["Product"]()
    s2 = 4.25**2
    assert start.sharpness == pytest.approx(4.25, rel=1e-14)
    assert start.slope2 == pytest.approx(4.0 * (s2 - 4.0) / 4.25, rel=1e-12)
    assert start.sigma == pytest.approx(s2 / (s2 - 4.0) - 0.5, rel=1e-9)
    assert start.tau == pytest.approx(-4.0 / (s2 - 4.0), rel=1e-9)
    assert start.coupling == 0.0


def test_numbers_of_the_cubic_model_are_zero():
    """Protects the law's own model: nothing but the map deviates there."""
    start = universality.STARTS["CubicTaylor"]()
    assert (start.sigma, start.tau, start.coupling) == (0.0, 0.0, 0.0)


def test_numbers_of_a_network_agree_with_its_minima_nearby():
    """Protects σ where other modes matter: along the minima d ln b²/d ln S = 2σ, by finite differences."""
    loss = ss.DiagonalNetwork(*ss.datasets.sparse_regression(samples=8, features=12, nonzeros=3, seed=1))
    minimum = loss.minimum(loss.initial_weights())
    start = universality.Start.at(loss, minimum)
    curvatures, modes = np.linalg.eigh(loss.hessian(minimum))
    flat = modes[:, curvatures < 1e-8]
    uphill = flat @ (flat.T @ loss.sharpness_gradient(minimum))
    uphill *= 1e-3 / np.linalg.norm(uphill)
    low, high = (universality.Start.at(loss, loss.minimum(minimum + side * uphill)) for side in (-1.0, 1.0))
    slope = np.log(high.slope2 / low.slope2) / np.log(high.sharpness / low.sharpness)
    assert slope == pytest.approx(2.0 * start.sigma, rel=1e-4)


def test_a_drop_between_minima_is_the_overshoot_of_the_recorded_run():
    """Protects the measurement: a sweep's definition, by smoothed swings, gives the same overshoot."""
    loss, minimum = ss.Product(), np.array([2.0, 0.5])
    drop = universality.catapult(universality.STARTS["Product"](), 0.9, 1.0)
    recorded = _catapult(loss, minimum, 0.9, _excess(1.0, 0.9), size=1e-5)
    assert drop.phase == phases.CATAPULT
    assert drop.excess == _excess(1.0, 0.9)
    assert drop.overshoot == pytest.approx(recorded.overshoot, rel=1e-4)  # the record's flip is of order 1e-5


def test_a_run_without_an_overshoot_says_why():
    """Protects cells that diverge, or have too few steps, from counting as measured."""
    start = universality.STARTS["Product"]()
    diverged = universality.catapult(start, 0.0, 2.0)  # lr = 6/S: beyond 4/S nothing catches the run
    assert diverged.phase == phases.DIVERGED
    assert np.isnan(diverged.overshoot)
    loss, minimum = ss.Product(), [2.0, 0.5]
    short = universality.catapult(universality.Start.at(loss, minimum, most_steps=50), 0.9, 0.1)
    assert (short.phase, short.steps) == (phases.UNDECIDED, 50)
    assert np.isnan(short.overshoot)


def test_a_run_that_is_not_quiet_goes_on():
    """Protects slow ends: Minimalist's flip lives longer than the law says, and its run is made longer."""
    start = universality.STARTS["Minimalist"]()
    drop = universality.catapult(start, 0.0, 0.003)
    assert drop.phase == phases.CATAPULT
    assert drop.steps >= 4 * universality._COMPILED_STEPS


def test_the_parts_of_first_order_add_up():
    """Protects the causes: their sum is theory's whole deviation."""
    start = universality.STARTS["Chain"]()
    kappa = np.array([0.01, 1.0, 10.0])
    parts = universality.deviation_parts(start, 1e-3, kappa)
    whole = 1e-3 * theory.overshoot_deviation(kappa, start.sigma, start.tau) / theory.overshoot(kappa)
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-12)


def test_a_wrong_law_fails_on_every_loss(monkeypatch):
    """Protects the entries' power: a law off by a part in a thousand leaves a deviation that does not vanish."""
    names = [p.name for p in universality.PREDICTIONS]
    assert len(names) == 6
    right = theory.overshoot
    monkeypatch.setattr(theory, "overshoot", lambda kappa: 1.001 * right(kappa))
    assert verify(names)["verdict"].values.tolist() == ["fails"] * 6
