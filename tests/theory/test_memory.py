"""The slow flow against its limits, heavy ball's law, an independent integrator and the iterated map."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import selfstab as ss
from selfstab import theory
from tests.theory.linear_map import map_overshoot


@pytest.mark.parametrize("kappa", [1e-6, 1e-3, 0.1, 1.0, 10.0])
def test_heavy_ball_is_one_end(kappa):
    """Protects the end κ_x = κ_m, φ = 0: the table of the overshoot law."""
    assert theory.memory_overshoot(kappa, 0.0, kappa) == pytest.approx(theory.overshoot(kappa), rel=1e-8)


def integrated(memory, direct):
    """Return G from dp/dI = 2y by an explicit method, p = a²/2 and I = ∫p: no time, no a."""

    def slopes(t, s):
        log, y, m, _ = s
        push = np.exp(log)
        return [2.0 * y, -direct * push - m, ((1.0 - direct) * push - m) / memory, push]

    end = solve_ivp(
        slopes, (0.0, 60.0 + 30.0 * memory), [np.log(1e-12), 1.0, 0.0, 0.0], "DOP853", rtol=1e-11, atol=1e-13
    )
    return end.y[3, -1] / 2.0


@pytest.mark.parametrize(("memory", "direct"), [(0.5, 0.1), (2.0, 0.3), (20.0, 0.3), (5.0, 0.9)])
def test_memory_flow_is_integrated_rightly(memory, direct):
    """Protects the equations: G is half the integral of a²/2, by another method in another variable."""
    assert theory.memory_overshoot(memory, direct) == pytest.approx(integrated(memory, direct), rel=1e-8)


def test_bounds():
    """Protects 1 <= G <= 1/φ."""
    from derivations import a11_memory

    memory, direct = np.meshgrid([0.01, 1.0, 100.0, 1e4], [0.05, 0.3, 0.7])
    overshoots = np.asarray(theory.memory_overshoot(memory, direct))
    assert (overshoots >= 1.0).all()
    highest = np.array(
        [[float(a11_memory.RESULTS["bound"].subs(a11_memory.phi, d)) for d in row] for row in direct]
    )
    assert (overshoots <= highest).all()


def test_long_and_short_memories():
    """Protects both limits of the derivation: what they leave out falls as they say."""
    from derivations import a11_memory

    phi, kappa = a11_memory.phi, a11_memory.kappa_m
    large, small = (a11_memory.RESULTS[name].subs(phi, 0.3) for name in ("large", "small"))
    far = [1.0 / 0.3 - theory.memory_overshoot(k, 0.3) for k in (300.0, 3000.0)]
    for k, deficit in zip((300.0, 3000.0), far, strict=True):
        assert deficit == pytest.approx(1.0 / 0.3 - float(large.subs(kappa, k)), rel=12.0 / k)
    near = [theory.memory_overshoot(k, 0.3) - float(small.subs(kappa, k)) for k in (0.04, 0.08)]
    assert np.log2(near[1] / near[0]) == pytest.approx(4.0, abs=0.3)


def test_memory_of_the_sharpness_alone():
    """Protects the middle of the family, φ = 0 and κ_x = 0: G = κ_m/C² of the half-jet, linear."""
    slope = (theory.memory_overshoot(2000.0) - theory.memory_overshoot(1000.0)) / 1000.0
    assert slope == pytest.approx(0.87575**-2, rel=2e-5)


def test_a_swing_of_its_own_multiplies_the_bound():
    """Protects G → G_x(κ_x)/φ, where G_x is without memory."""
    alone = theory.memory_overshoot(0.0, 1.0, 0.1)
    assert alone == pytest.approx(1.0 + 0.1 / 3.0 + 2.0 * (0.1 / 3.0) ** 2 - 23.0 * 0.1**3 / 135.0, abs=1e-4)
    assert theory.memory_overshoot(1e5, 0.4, 0.1) == pytest.approx(alone / 0.4, rel=1e-4)


@pytest.mark.parametrize(
    ("optimizer", "excess", "within"),
    [
        (ss.HeavyBall(1.0, 0.95), 0.0005, 2e-3),
        (ss.HeavyBall(1.0, 0.9, 0.9), 0.02, 2e-3),
        (ss.QuasiHyperbolic(1.0, 0.99, 0.7), 0.02, 5e-4),
        (ss.AggregatedMomentum(1.0, (0.0, 0.5, 0.95)), 0.02, 5e-3),
        (([0.328, -0.48, 0.192], np.polymul([1.0, -1.0], [1.0, -1.6, 0.64])), 0.02, 5e-3),  # a pole twice
        (([0.356, -0.48, 0.204], np.polymul([1.0, -1.0], [1.0, -1.6, 0.68])), 0.02, 5e-3),  # a complex pair
    ],
)
def test_slow_flow_follows_the_map(optimizer, excess, within):
    """Protects the flow of any transfer function at κ of order 1, also with poles that are double or complex."""
    pair = optimizer if isinstance(optimizer, tuple) else optimizer.transfer_function()
    assert theory.slow_overshoot(optimizer, excess) == pytest.approx(map_overshoot(*pair, excess), rel=within)


def test_small_excess_is_the_series():
    """Protects the hand-over to the series, and an excess of 0."""
    optimizer = ss.QuasiHyperbolic(1.0, 0.9, 0.7)
    overshoots = theory.slow_overshoot(optimizer, [0.0, 1e-6, 3e-4, 3e-3])
    assert overshoots[0] == 1.0
    np.testing.assert_allclose(overshoots[1:3], theory.linear_overshoot(optimizer, [1e-6, 3e-4]), rtol=1e-6)
    assert overshoots[3] == pytest.approx(theory.linear_overshoot(optimizer, 3e-3), rel=1e-4)


def test_a_negative_swing_inertia():
    """Protects the form without a second mode, where the oscillation runs ahead."""
    optimizer = ([1.0, -0.6], [1.0, -1.3, 0.3])
    assert theory.inertia(optimizer, 0.05).swing < 0.05
    pair = tuple(np.asarray(part) for part in optimizer)
    assert theory.slow_overshoot(optimizer, 0.05) == pytest.approx(map_overshoot(*pair, 0.05), rel=2e-3)


def test_too_large_a_swing_is_refused():
    """Protects the range of κ_x, in units of the excess."""
    with pytest.raises(ValueError, match=r"^excess must be at most 0\.277008 of this optimizer, got 3\.0"):
        theory.slow_overshoot(ss.HeavyBall(1.0, 0.9), 3.0)
