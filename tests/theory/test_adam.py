"""Adam's closed forms against the derivation and their limits."""

import numpy as np
import pytest

from selfstab import theory


def test_they_follow_the_derivation(at_50_digits):
    """Protects the three closed forms at random arguments, slow decays included."""
    from derivations import a13_adam

    rng = np.random.default_rng(0)
    for _ in range(30):
        beta2 = float(rng.choice([rng.uniform(0.01, 0.99), 1.0 - 10.0 ** rng.uniform(-6.0, -1.0)]))
        momentum, share, excess = (
            rng.uniform(0.0, 0.99),
            10.0 ** rng.uniform(-2.0, 2.0),
            rng.uniform(0.0, 0.1),
        )
        steps, lr, b, v0 = float(rng.integers(1, 5000)), *rng.uniform(0.1, 2.0, 3)
        values = {
            "beta_2": beta2, "beta": momentum, "R": share, "epsilon": excess, "t": steps, "eta": lr, "b": b, "v_0": v0
        }  # fmt: skip
        threshold = 2.0 * (1.0 + momentum) * np.sqrt(v0) / ((1.0 - momentum) * lr)
        for got, name in (
            (theory.fading_rate(beta2, steps), "fading_rate"),
            (theory.preconditioner_share(beta2, momentum, threshold, b**2, v0), "preconditioner_share"),
            (theory.adaptive_inertia_number(excess, momentum, share), "adaptive_inertia_number"),
        ):
            expected = float(at_50_digits(a13_adam.RESULTS[name], **values))
            assert got == pytest.approx(expected, rel=1e-10 if name == "preconditioner_share" else 1e-12)


def test_limits():
    """Protects what the words say: heavy ball's κ at a frozen P, a third of it where P does all, no fading at once."""
    for momentum in (0.0, 0.9):
        kappa = theory.inertia_number(0.01, momentum)
        assert theory.adaptive_inertia_number(0.01, momentum) == pytest.approx(kappa, rel=1e-14)
    ratio = theory.adaptive_inertia_number(1.0, 0.9999, 1e9) / theory.inertia_number(1.0, 0.9999)
    assert ratio == pytest.approx(1.0 / 3.0, rel=1e-6)
    assert theory.preconditioner_share(0.0, 0.0, 1.0) == 0.5
    assert theory.fading_rate(0.999) == pytest.approx(-np.log(0.999) / 2.0, rel=1e-14)
    assert theory.fading_rate(0.9999, 10) == pytest.approx(1.0 / 20.0, rel=1e-3)


def test_a_preconditioner_that_does_all():
    """Protects κ_A at R → ∞, κ(1/3 − 5ρ²/3), where R² overflows."""
    rho2 = (0.1 / 1.9) ** 2
    expected = 0.01 / rho2 * (1.0 - 5.0 * rho2) / 3.0
    assert theory.adaptive_inertia_number(0.01, 0.9, 1e300) == pytest.approx(expected, rel=1e-12)
