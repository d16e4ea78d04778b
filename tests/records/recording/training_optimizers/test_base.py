"""What a training loop's optimizer does at a step: thresholds, weight decay and factors of single weights."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.records.recording.training_optimizers import OptimizerReading
from selfstab.records.recording.training_optimizers.base import (
    clipping_factor,
    divided,
    flip_gains,
    of_selfstab,
    per_weight,
    with_numbers,
)


def companion_radius(hessian, lr, beta, scale, shrinkage):
    """Return the spectral radius of averaged momentum with decoupled weight decay, by its matrix of two states."""
    n = len(hessian)
    zero, one = np.zeros((n, n)), np.eye(n)
    # m' = βm + (1 − β)Hw, w' = w − ηdλw − ηM m'
    mean = np.hstack([(1 - beta) * hessian, beta * one])
    weights = np.hstack([one - lr * np.diag(shrinkage), zero]) - lr * scale[:, None] * mean
    return np.abs(np.linalg.eigvals(np.vstack([weights, mean]))).max()


@pytest.mark.parametrize("shrinkage", [np.zeros(4), np.full(4, 0.3), np.array([0.05, 0.0, 0.02, 0.01])])
def test_the_threshold_with_decoupled_decay_is_that_of_the_iteration(shrinkage):
    """Protects S* of AdamW: the eigenvalues of its own update leave the unit circle there."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    hessian, scale, beta = root @ root.T, np.array([1.0, 0.3, 2.0, 0.7]), 0.9
    scaled = np.sqrt(np.outer(scale, scale)) * hessian
    values, vectors = np.linalg.eigh(scaled)
    flat = per_weight(shrinkage, [1] * 4)
    unit = OptimizerReading(ss.Adam(1.0, beta), 1.0, beta, scale, shrinkage=flat)
    taken = 38.0 - unit.threshold(vectors[:, -1])
    # Where λ differs among weights, its mean counts, to first order.
    exact = 1e-9 if isinstance(flat, float) else 2e-3
    critical = 38.0 / (values[-1] + taken)
    assert companion_radius(hessian, critical * (1 - exact), beta, scale, shrinkage) < 1
    assert companion_radius(hessian, critical * (1 + exact), beta, scale, shrinkage) > 1
    at_critical = OptimizerReading(ss.Adam(1.0, beta), critical, beta, scale, shrinkage=flat)
    assert at_critical.threshold(vectors[:, -1]) == pytest.approx(values[-1], rel=1e-12)


def test_products_are_with_decay_and_factors():
    """Protects H + Λ and M^½(H + Λ)M^½ against matrices, and Λ's part of the loss."""
    rng = np.random.default_rng(1)
    root = rng.normal(size=(5, 5))
    hessian, scale, decay = root @ root.T, rng.random(5), rng.random(5)
    reading = OptimizerReading(ss.HeavyBall(1.0), 0.1, 0.0, scale, decay)
    decayed = reading.decayed(lambda v: hessian @ v)
    np.testing.assert_allclose([decayed(v) for v in np.eye(5)], hessian + np.diag(decay), rtol=1e-14)
    matrix = np.sqrt(np.outer(scale, scale)) * (hessian + np.diag(decay))
    np.testing.assert_allclose([reading.matching(decayed)(v) for v in np.eye(5)], matrix, rtol=1e-12)
    w = rng.normal(size=5)
    assert reading.decay_energy([w[:2].reshape(1, 2), w[2:]]) == pytest.approx(decay @ w**2 / 2, rel=1e-14)
    assert reading.preconditioned
    plain = OptimizerReading(ss.HeavyBall(1.0), 0.1, 0.0)
    assert not plain.preconditioned
    assert plain.decayed(decayed) is decayed
    assert plain.decay_energy([w]) == 0.0


def test_a_rate_of_zero_has_no_threshold():
    """Protects the first step of a warmup, and weights whose own rate is 0."""
    assert OptimizerReading(ss.Adam(1.0), 0.0, 0.9, np.ones(2)).threshold() == np.inf
    assert divided(np.array([0.0, 1.0]), np.array([0.0, 4.0])).tolist() == [0.0, 0.25]


def test_what_an_optimizer_of_ours_needs_is_named():
    """Protects loops by hand: a preconditioner where there is one, each number above 0."""
    with pytest.raises(
        ValueError, match="preconditioner must be given to log: the threshold of Adam is of the Hessian"
    ):
        of_selfstab(ss.Adam(0.1), 0)
    for wrong in ([1.0, 0.0], [[1.0]], ["a"], [np.nan]):
        with pytest.raises(ValueError, match="preconditioner must be one number > 0 for each weight"):
            of_selfstab(ss.Adam(0.1), 0, wrong)
    with pytest.raises(ValueError, match=r"momentum must be left out: the optimizer has its own, got 0\.5"):
        with_numbers(of_selfstab(ss.Adam(0.1), 0, [1.0]), {"momentum": 0.5})
    with pytest.raises(ValueError, match="lr must be"):
        with_numbers(of_selfstab(ss.HeavyBall(0.1), 0), {"lr": -1.0})
    warmup = of_selfstab(ss.HeavyBall(ss.LinearWarmup(0.0, 1.0, 10), 0.5), 5)
    assert (warmup.lr, warmup.momentum) == (0.5, 0.5)
    assert with_numbers(warmup, {"lr": 0.25, "momentum": 0.0, "lookahead": None}).threshold() == 8.0


def groups_radius(hessian, lrs, momenta, lookaheads):
    """Return the spectral radius of heavy ball with a rule of its own for each weight, by its matrix of two states."""
    one, eta, beta, ahead = np.eye(len(hessian)), np.diag(lrs), np.diag(momenta), np.diag(lookaheads)
    # v' = βv − ηH(w + γv), w' = w + v'
    velocity = np.hstack([-eta @ hessian, beta - eta @ hessian @ ahead])
    weights = velocity + np.hstack([one, np.zeros_like(one)])
    return np.abs(np.linalg.eigvals(np.vstack([weights, velocity]))).max()


def test_groups_of_several_momenta_have_a_threshold():
    """Protects the gains of a flip: on 300 random quadratics, the radius of the matrix is 1 there, and nowhere below.

    Nowhere below: no complex pair leaves the unit circle before.
    """
    rng = np.random.default_rng(0)
    for _ in range(300):
        size = rng.integers(2, 6)
        root = rng.normal(size=(size, size))
        hessian = root @ root.T
        lrs, momenta = rng.uniform(0.01, 1.0, size), rng.uniform(0.0, 0.98, size)
        lookaheads = np.where(rng.random(size) < 0.5, momenta, rng.uniform(0.0, 3.0, size))
        first, scale = flip_gains(list(lrs), list(momenta), list(lookaheads))
        assert max(scale) == scale[first] == 1.0
        reading = OptimizerReading(
            ss.HeavyBall(1.0, momenta[first], lookaheads[first]), lrs[first], momenta[first], np.array(scale)
        )
        shares = np.sqrt(scale)
        sharpness = np.linalg.eigvalsh(shares[:, None] * hessian * shares)[-1]
        critical = reading.threshold() / sharpness
        for factor in (0.1, 0.5, 0.9, 0.999):
            assert groups_radius(factor * critical * hessian, lrs, momenta, lookaheads) < 1.0
        assert groups_radius(critical * hessian, lrs, momenta, lookaheads) == pytest.approx(1.0, abs=1e-7)
        assert groups_radius(1.001 * critical * hessian, lrs, momenta, lookaheads) > 1.0


def test_factors_are_in_the_precision_of_the_weights():
    """Protects memory: one number a weight, of four bytes where the weights have four."""
    assert per_weight([1.0, 2.0], [1, 2], np.float32).dtype == np.float32


@pytest.mark.parametrize(("norm", "factor"), [(0.0, 1.0), (1.0, 0.5), (np.inf, 0.0)])
def test_gradients_are_clipped_by_their_norm(norm, factor):
    """Protects the factor against its meaning: no norm above the largest, to PyTorch's 1e-6."""
    assert clipping_factor(norm, 0.5) == pytest.approx(factor, rel=2e-6)
