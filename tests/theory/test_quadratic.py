"""Modes, regions, threshold and growth on quadratics against derivations, numerical roots and iteration."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import selfstab as ss
from selfstab import phases, theory
from selfstab.theory.quadratic import FLIP

MOMENTA = st.floats(0.0, 0.999)


def numerical_modes(product, momentum, lookahead):
    return np.roots([1.0, -(1.0 + momentum - product * (1.0 + lookahead)), momentum - lookahead * product])


def test_modes_follow_the_derivation(at_50_digits):
    """Protects both roots, real and complex, near β = 1 and next to the boundaries of the regions."""
    from derivations import q1_modes

    rng = np.random.default_rng(0)
    for momentum in (1e-12, 0.3, 0.9, 1.0 - 1e-6, 1.0 - 1e-15):
        edges = theory.region_boundaries(momentum)
        for product in [*rng.uniform(0.0, 4.5, 5), *(edge * (1.0 + 1e-3) for edge in edges)]:
            expected = [
                complex(at_50_digits(q1_modes.RESULTS[name], h=product, beta=momentum))
                for name in ("first_mode", "second_mode")
            ]
            expected.sort(key=lambda root: (-round(abs(root), 12), -root.imag))
            # Next to a double root a rounding of β or ηS moves the roots by many roundings: 1e-13, not 1e-15.
            np.testing.assert_allclose(theory.modes(product, momentum), expected, rtol=1e-13)
            radius = theory.spectral_radius(product, momentum)
            assert radius == pytest.approx(abs(expected[0]), rel=1e-13)


@given(product=st.floats(-3.0, 8.0), momentum=MOMENTA, lookahead=st.floats(-0.9, 1.5))
def test_modes_have_the_right_sum_and_product(product, momentum, lookahead):
    """Protects the roots at any lookahead: Vieta's formulas determine both."""
    first, second = theory.modes(product, momentum, lookahead)
    assert abs(first) >= abs(second) * (1.0 - 1e-15)
    assert first * second == pytest.approx(momentum - lookahead * product, abs=1e-13)
    assert first + second == pytest.approx(1.0 + momentum - product * (1.0 + lookahead), abs=1e-13)


@given(position=st.floats(0.0, 1.0), momentum=st.floats(1e-9, 0.999))
def test_oscillating_modulus_is_sqrt_momentum(position, momentum):
    """Protects the exact modulus √β wherever the modes are complex."""
    lower, upper, _ = theory.region_boundaries(momentum)
    product = lower + position * (upper - lower)
    assume(lower < product < upper)
    assert theory.spectral_radius(product, momentum) == np.sqrt(momentum)


def test_regions_follow_numerical_roots():
    """Protects the codes of the regions: signs and sizes of roots found by a general eigenvalue solver."""
    rng = np.random.default_rng(1)
    for product, momentum in zip(rng.uniform(-0.5, 4.5, 400), rng.uniform(0.0, 0.98, 400), strict=True):
        roots = numerical_modes(product, momentum, 0.0)
        if np.abs(roots).max() > 1.0:
            expected = "divergent"
        elif np.abs(roots.imag).max() > 0.0:
            expected = "oscillating"
        else:
            expected = "monotone" if roots.real.min() > 0.0 else "flip"
        assert theory.REGIONS[theory.region(product, momentum)] == expected


def test_a_region_has_the_code_of_the_phase_of_its_runs():
    """Protects one number from two meanings: a run on a quadratic has the code of its region; flips oscillate."""
    loss, steps = ss.Quadratic([1.0]), 4000
    for lr, momentum in ((0.05, 0.3), (1.0, 0.3), (2.5, 0.3), (2.7, 0.3), (0.5, 0.0), (1.5, 0.0), (2.1, 0.0)):
        code = int(theory.region(lr, momentum))
        data = ss.sweep(
            loss, ss.HeavyBall(lr, momentum), {"start.w0": [1.0]}, start=[1.0], steps=steps, measure=["phase"],
            progress=False,
        )  # fmt: skip
        assert int(data.phase[0]) == (phases.OSCILLATING if code == FLIP else code)
    assert FLIP not in phases.LABELS


def test_boundaries_follow_the_derivation(at_50_digits):
    """Protects (1 − √β)² from cancellation as β → 1."""
    from derivations import q1_modes

    for momentum in (0.2, 0.99, 1.0 - 1e-9, 1.0 - 1e-15):
        for got, name in zip(
            theory.region_boundaries(momentum), ("monotone_end", "oscillating_end", "flip_end"), strict=True
        ):
            expected = float(at_50_digits(q1_modes.RESULTS[name], beta=momentum))
            np.testing.assert_allclose(got, expected, rtol=1e-15)


def test_threshold_follows_the_derivation(at_50_digits):
    """Protects S* on both branches of the lookahead."""
    from derivations import q2_threshold

    rng = np.random.default_rng(2)
    for _ in range(30):
        lr, momentum, lookahead = rng.uniform([0.01, 0.0, -0.95], [2.0, 0.999, 1.0])
        name = "flip_sharpness" if lookahead > -(1.0 - momentum) / 4.0 else "neimark_sacker_sharpness"
        expected = at_50_digits(q2_threshold.RESULTS[name], eta=lr, beta=momentum, gamma=lookahead)
        assert theory.max_stable_sharpness(lr, momentum, lookahead) == pytest.approx(
            float(expected), rel=1e-12
        )


@given(momentum=st.floats(0.0, 0.99), lookahead=st.floats(-0.9, 1.5))
def test_threshold_separates_stable_from_unstable(momentum, lookahead):
    """Protects S*: numerical roots lie inside the unit circle just below it and outside just above."""
    threshold = theory.max_stable_sharpness(1.0, momentum, lookahead)
    below, above = (
        np.abs(numerical_modes(threshold * (1.0 + shift), momentum, lookahead)).max()
        for shift in (-1e-4, 1e-4)
    )
    assert below < 1.0 < above


def test_threshold_of_known_methods():
    """Protects the published values: 2/η, Polyak's 2(1 + β)/η, Nesterov's 2(1 + β)/(η(1 + 2β))."""
    assert theory.max_stable_sharpness(0.5, 0.0) == 4.0
    assert theory.max_stable_sharpness(0.1, 0.9) == pytest.approx(38.0, rel=1e-15)
    assert theory.max_stable_sharpness(0.1, 0.9, 0.9) == pytest.approx(38.0 / 2.8, rel=1e-15)


def test_growth_factor_follows_the_derivation(at_50_digits):
    """Protects |λ| at small ε and β near 1, where 1 + ε and 1 − √β would be rounded away."""
    from derivations import q3_growth

    for momentum in (1e-9, 0.5, 0.99, 1.0 - 1e-8, 1.0 - 1e-15):
        for excess in (1e-18, 1e-9, 1e-3, 0.3, 5.0):
            exact = at_50_digits(q3_growth.RESULTS["growth_factor"], beta=momentum, epsilon=excess)
            expected = float(exact)
            assert theory.growth_factor(excess, momentum) == pytest.approx(expected, rel=5e-16)


@given(excess=st.floats(-2.0, 3.0), momentum=MOMENTA)
def test_growth_factor_is_the_spectral_radius_at_that_excess(excess, momentum):
    """Protects every branch of the growth factor: flip, complex, monotone, negative curvature."""
    radius = np.abs(numerical_modes(2.0 * (1.0 + momentum) * (1.0 + excess), momentum, 0.0)).max()
    # A double root at the edge of the complex region moves by the square root of a rounding error.
    assert theory.growth_factor(excess, momentum) == pytest.approx(radius, rel=1e-7)


def test_growth_factor_leading_order():
    """Protects 1 + 2ε(1 + β)/(1 − β): the remainder is of second order in ε."""
    for momentum in (0.0, 0.5, 0.9):
        excess = np.array([1e-5, 2e-5]) * (1.0 - momentum) ** 2
        leading = 1.0 + 2.0 * excess * (1.0 + momentum) / (1.0 - momentum)
        rest = np.abs(theory.growth_factor(excess, momentum) - leading)
        if momentum == 0.0:
            assert (rest < 1e-15).all()  # gradient descent: exact
        else:
            assert np.log2(rest[1] / rest[0]) == pytest.approx(2.0, abs=0.01)


def test_growth_factor_against_iteration():
    """Protects the meaning of the growth factor: the size of the iterates per step, on a quadratic."""
    lr, momentum, excess = 0.3, 0.8, 0.02
    sharpness = (1.0 + excess) * theory.max_stable_sharpness(lr, momentum)
    previous, w, sizes = 0.0, 1.0, []
    for _ in range(150):
        previous, w = w, w - lr * sharpness * w + momentum * (w - previous)
        sizes.append(abs(w))
    assert sizes[-1] / sizes[-2] == pytest.approx(theory.growth_factor(excess, momentum), rel=1e-12)


def test_overflow_is_infinite_and_silent():
    """Protects against warnings from arguments at the end of the floating-point range."""
    assert theory.growth_factor(1e308, 0.5) == np.inf
    assert theory.max_stable_sharpness(1e-309, 0.9) == np.inf
    assert theory.spectral_radius(1.7e308, 0.5, 1.0) == np.inf


def test_moduli_with_lookahead_are_those_of_the_companion_matrix():
    """Protects |λ|² = β − γηS of complex modes with a lookahead, and the real ones beside them."""
    generator = np.random.default_rng(3)
    for momentum, share, product in zip(
        *generator.uniform([0.1, 0.0, 0.05], [0.98, 1.0, 1.2], (60, 3)).T, strict=True
    ):
        lookahead = share * momentum
        roots = np.roots(
            [1.0, -(1.0 + momentum - product * (1.0 + lookahead)), momentum - lookahead * product]
        )
        measured = theory.spectral_radius(product, momentum, lookahead)
        assert measured == pytest.approx(np.abs(roots).max(), rel=1e-7)
