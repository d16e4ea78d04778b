"""The compiled code of a loss: plain and compiled give the same bits, and the bits of the methods."""

import numpy as np
import pytest

import selfstab as ss
from selfstab.kernels.variants import Variant
from selfstab.losses.base.kernel import PLAIN_STEPS
from selfstab.optimizers.text import rule_text

LOSS = ss.CubicTaylor(1.3, 0.01, 0.7)
POINTS = np.random.default_rng(0).standard_normal((PLAIN_STEPS + 1, 2))


def test_compiled_points_have_the_bits_of_plain_ones():
    """Protects bit equality at the switch: one point more than plain CPython takes, and half of them."""
    kernel = LOSS.kernel
    compiled = kernel.evaluate(POINTS, loss=True, sharpness=True)
    half = len(POINTS) // 2
    plain = kernel.evaluate(POINTS[:half], loss=True, sharpness=True)
    assert (
        kernel.run_function("evaluate", PLAIN_STEPS).__module__
        != kernel.run_function("evaluate", PLAIN_STEPS + 1).__module__
    )  # else nothing is tested
    for many, few in zip(compiled, plain, strict=True):
        assert many[:half].tobytes() == few.tobytes()


def test_the_values_are_those_of_mpmath_by_hand():
    """Protects what the kernel computes: ½(c + bz)x² − (α/b)z and ½(h + √(h² + 4b²x²)), in NumPy."""
    x, z = POINTS[:50].T
    b = np.sqrt(0.7)
    h = 1.3 + b * z
    losses, sharpnesses = LOSS.kernel.evaluate(POINTS[:50], loss=True, sharpness=True)
    assert losses == pytest.approx(0.5 * h * x**2 - 0.01 / b * z, rel=1e-12, abs=1e-14)
    assert sharpnesses == pytest.approx(0.5 * (h + np.sqrt(h**2 + 4 * b**2 * x**2)), rel=1e-13)
    nothing = LOSS.kernel.evaluate(POINTS[:50])
    assert [array.size for array in nothing] == [0, 0]


def test_losses_of_one_formula_share_their_source():
    """Protects the time of sweeps along parameters: the text is written once, the values are each loss's own."""
    other = LOSS.replace(curvature=2.0)
    assert other.kernel.source is LOSS.kernel.source
    assert other.kernel.values.tolist() == [2.0, 0.01, 0.7]
    variant = Variant(("final_loss",), rule_text(ss.HeavyBall(1.0), ()))
    assert other.kernel.sweep_source(variant) is LOSS.sweep_source(variant)
    values = LOSS.kernel.values
    values[:] = 0.0
    assert LOSS.kernel.values.tolist() == [1.3, 0.01, 0.7]


@pytest.mark.parametrize(
    "loss", [ss.DiagonalNetwork([[1.0]], [1.0]), ss.LossFamily(lambda c: ss.Quadratic([c]), c=1.0)]
)
def test_a_loss_without_one_says_so(loss):
    """Protects the runner's question: None is the answer of a loss that runs by its methods."""
    assert loss.kernel is None
