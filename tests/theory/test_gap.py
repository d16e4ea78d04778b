"""The sharpness gap against the derivation, and against an iteration of the cubic model with noise."""

import numpy as np
import pytest

import selfstab as ss
from selfstab import theory


def test_gap_follows_the_derivation(at_50_digits):
    """Protects both closed forms and the share of cycles at random arguments, from weak noise to the strongest."""
    from derivations import a12_gap

    rng = np.random.default_rng(0)
    for _ in range(20):
        lr, momentum, b, transverse, strength = rng.uniform(
            [0.1, 0.0, 0.1, 0.0, 0.0], [2.0, 0.99, 3.0, 1e-2, 1.0]
        )
        alpha = 10.0 ** rng.uniform(-8.0, -1.0)
        strength *= 10.0 ** rng.uniform(-12.0, 0.0)
        noise = np.sqrt(strength * 2.0 * (1.0 - momentum**2) * alpha) / (lr * b)
        values = {
            "eta": lr,
            "beta": momentum,
            "alpha": alpha,
            "b": b,
            "sigma_u": noise,
            "sigma_s": transverse,
        }
        expected = float(at_50_digits(a12_gap.RESULTS["gap"], **values))
        assert theory.sharpness_gap(lr, momentum, alpha, noise, b**2) == pytest.approx(expected, rel=1e-12)
        expected += float(at_50_digits(a12_gap.RESULTS["transverse_gap"], **values))
        assert theory.sharpness_gap(lr, momentum, alpha, noise, b**2, transverse) == pytest.approx(
            expected, rel=1e-12
        )
        sigma, c0, threshold, k, f = rng.uniform(0.1, 3.0, 5)
        values |= {"S_star": threshold, "sigma": sigma, "c_0": c0, "k": k, "f": f}
        expected = float(at_50_digits(a12_gap.RESULTS["general_gap"], **values))
        general = theory.linear_sharpness_gap(threshold, sigma, c0, alpha, noise, b**2, transverse)
        assert general == pytest.approx(expected, rel=1e-12)
        expected = float(at_50_digits(a12_gap.RESULTS["cycles"], **values))
        assert theory.cycle_gap(sigma, c0, k, alpha, f) == pytest.approx(expected, rel=1e-12)


def test_matched_momentum_multiplies_the_gap():
    """Protects (1 + β)/(1 − β) at matched S*, and the factor of three of noise in all directions."""
    for momentum in (0.3, 0.9):
        ratio = theory.sharpness_gap(1.0 + momentum, momentum, 1e-3, 1e-6) / theory.sharpness_gap(
            1.0, 0.0, 1e-3, 1e-6
        )
        assert ratio == pytest.approx((1.0 + momentum) / (1.0 - momentum), rel=1e-6)
        both = theory.sharpness_gap(1.0, momentum, 1e-3, 1e-6, 2.0, 1e-6)
        assert both == pytest.approx(3.0 * theory.sharpness_gap(1.0, momentum, 1e-3, 1e-6, 2.0), rel=1e-6)


def test_too_strong_noise_has_no_gap():
    """Protects the end of the domain: S*/2 where both roots meet, NaN beyond."""
    noise = np.sqrt(2.0 * (1.0 - 0.5**2) * 0.01)  # at lr 1 and b 1
    assert theory.sharpness_gap(1.0, 0.5, 0.01, noise * (1.0 - 1e-12)) == pytest.approx(1.5, rel=1e-5)
    assert np.isnan(theory.sharpness_gap(1.0, 0.5, 0.01, noise * (1.0 + 1e-9)))


OPTIMIZERS = [
    ss.HeavyBall(0.7, 0.8), ss.AveragedHeavyBall(0.7, 0.6), ss.QuasiHyperbolic(0.7, 0.9, 0.7),
    ss.AggregatedMomentum(0.7, (0.0, 0.9)), ss.AggregatedMomentum(0.7, (0.0, 0.9, 0.95)),
]  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
def test_stationary_variance_is_that_of_the_impulse_response(optimizer):
    """Protects the variance: the squares of a run of the optimizer's own rule after one kick, summed."""
    numerator, denominator = optimizer.transfer_function()
    threshold = optimizer.max_stable_sharpness()
    for share in (0.1, 0.5, 0.95):
        w, states, squares = 0.0, (0.0,) * len(optimizer.states), 0.0
        for t in range(3000):
            w, states = optimizer.rule(w, states, share * threshold * w + float(t == 0), optimizer.lr, t)
            squares += w * w
        assert theory.stationary_variance(
            optimizer.lr * numerator, denominator, share * threshold
        ) == pytest.approx(squares, rel=1e-9)
    assert theory.stationary_variance(optimizer.lr * numerator, denominator, 1.001 * threshold) == np.inf


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
def test_leading_order_of_the_exact_variance(optimizer):
    """Protects the gap of any optimizer: at S* − ΔS the exact variance is 2α/b², up to a relative ΔS."""
    numerator, denominator = optimizer.transfer_function()
    at = optimizer.transfer_coefficients()
    threshold, errors = optimizer.max_stable_sharpness(), []
    for noise in (1e-5, 3e-6):
        gap = theory.linear_sharpness_gap(threshold, at.sigma, optimizer.lr * at.c0, 1e-6, noise, 4.0)
        variance = noise**2 * theory.stationary_variance(
            optimizer.lr * numerator, denominator, threshold - gap
        )
        errors.append((variance * 4.0 / 2e-6 - 1.0) / gap)
    assert errors[1] == pytest.approx(errors[0], rel=0.01)
    assert abs(errors[0]) < 10.0


def test_heavy_balls_variance(at_50_digits):
    """Protects the variance against the derivation's closed form."""
    from derivations import a12_gap

    numerator, denominator = ss.HeavyBall(0.5, 0.9).transfer_function()
    expected = at_50_digits(a12_gap.RESULTS["variance"], beta=0.9, S_star=7.6, S=5.0, sigma_u=1.0)
    assert theory.stationary_variance(0.5 * numerator, denominator, 5.0) == pytest.approx(
        float(expected), rel=1e-12
    )


def test_a_common_factor_changes_nothing():
    """Protects denominators that do not begin with 1, and S = S*, where the variance is infinite."""
    numerator, denominator = ss.HeavyBall(0.5, 0.9).transfer_function()
    expected = theory.stationary_variance(numerator, denominator, 2.0)
    assert theory.stationary_variance(4.0 * numerator, 4.0 * denominator, 2.0) == pytest.approx(
        expected, rel=1e-14
    )
    assert theory.stationary_variance([1.0], [1.0, -1.0], 2.0) == np.inf


def test_huge_coefficients_are_silent():
    """Protects from warnings where coefficients overflow when divided by the first."""
    assert theory.stationary_variance([1e308], [1e-308, -1.0], 1.0) == np.inf


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0], [1.0], 1.0), ValueError, r"^denominator must begin .*, got \[1.0\]$"),
        (([1.0], [0.0, 1.0], 1.0), ValueError, r"^denominator must begin .*"),
        (([], [1.0, 1.0], 1.0), ValueError, r"^denominator must begin .*"),
        (([1.0], [1.0, np.nan], 1.0), ValueError, r"^denominator must .*"),
        (("z", [1.0, 1.0], 1.0), TypeError, r"^numerator must .*"),
        (([1.0], [1.0, 1.0], -1.0), ValueError, r"^sharpness must .*, got -1.0$"),
    ],
)
def test_stationary_variance_refuses(arguments, error, message):
    """Protects its door: one line that names the argument."""
    with pytest.raises(error, match=message):
        theory.stationary_variance(*arguments)


def mean_excess(momentum, alpha, noise, transverse, runs, steps, burn):
    """Return the mean of y with its standard error, and f: the cubic model at lr 1, b 1, by a loop of its own."""
    rng = np.random.default_rng(1)
    threshold = 2.0 * (1.0 + momentum)
    y = np.full(runs, -theory.sharpness_gap(1.0, momentum, alpha, noise, 1.0, transverse))
    x = np.sqrt(2.0 * alpha) * rng.standard_normal(runs)
    vx, vy, total, spread = 2.0 * x, 0.0, np.zeros(runs), 0.0  # a flip
    for t in range(steps):
        gx, gy = (threshold + y) * x, 0.5 * x * x - alpha
        if t >= burn:
            total += y
            spread += np.mean((gy / alpha) ** 2)
        vx = momentum * vx - (gx + noise * rng.standard_normal(runs))
        vy = momentum * vy - (gy + transverse * rng.standard_normal(runs))
        x, y = x + vx, y + vy
    means = total / (steps - burn)
    return means.mean(), means.std() / np.sqrt(runs), spread / (steps - burn)


@pytest.mark.parametrize("transverse", [0.0, 2e-4])
def test_each_noise_has_its_share(transverse):
    """Protects the shares of both noises: β = 0.5 within three standard errors, which are 2% at most."""
    alpha, noise = 1e-5, 2e-4
    mean, error, spread = mean_excess(0.5, alpha, noise, transverse, runs=400, steps=12_000, burn=2_000)
    gap = theory.sharpness_gap(1.0, 0.5, alpha, noise, 1.0, transverse)
    gap += theory.cycle_gap(1.0 / 6.0, 2.0, 9.0, alpha, spread)
    assert error < 0.02 * gap
    assert -mean == pytest.approx(gap, abs=3.0 * error)


def test_cycles_add_to_the_gap():
    """Protects the share of cycles at β = 0.9: 23% of noise's where the spread is 2.5, seen up to O(κ) of it."""
    alpha, noise = 2e-7, 5e-6
    mean, _, spread = mean_excess(0.9, alpha, noise, 0.0, runs=300, steps=14_000, burn=4_000)
    alone = theory.sharpness_gap(1.0, 0.9, alpha, noise)
    cycles = theory.cycle_gap(1.0 / 38.0, 10.0, 361.0, alpha, spread)
    # √(αc₀σS*) is 1.4 times the gap: noise does not dominate quite.
    assert 2.2 < spread < 2.8
    assert -mean - alone == pytest.approx(cycles, rel=0.15)
