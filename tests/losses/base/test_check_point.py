"""A loss at a point: what its checks call, and how they compare."""

import numpy as np
import pytest

import selfstab as ss
from selfstab.losses.base.check_point import BY_DIFFERENCES, EXACT, Check, CheckPoint, CheckResult, Failure
from tests.losses.base.broken import POINT, Forgetful, Quartic


def squares(**derivatives):
    """Return ½‖w‖² of three weights as a loss of functions."""
    return ss.FunctionLoss(lambda w: 0.5 * float(w @ w), lambda w: w.copy(), 3, **derivatives)


class Large(Quartic):
    """Too many weights for an explicit Hessian."""

    dimension = 401
    explicit_hessian = False


class LargeAndFormed(Large):
    explicit_hessian = True


class WithoutFourth(Quartic):
    def fourth_at(self, w, u, v, z):
        raise NotImplementedError


class OfOrderTwo(Quartic):
    highest_derivative = 2


def test_the_point_is_the_one_given_or_a_moved_start():
    """Protects the default: near the initial weights of seed 0, the same each time, and nowhere symmetric."""
    assert CheckPoint(Quartic(), np.array(POINT)).w.tolist() == POINT
    one, other = CheckPoint(ss.Product(), None).w, CheckPoint(ss.Product(), None).w
    assert np.array_equal(one, other)
    moved = one - ss.Product().initial_weights(0)
    assert (moved != 0.0).all()
    assert len({*np.abs(one)}) == one.size


def test_directions_are_three_of_norm_one():
    """Protects the directions: unit vectors, no two alike, the same each time."""
    directions = np.array(CheckPoint(squares(), None).directions)
    assert directions.shape == (3, 3)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(np.ones(3), rel=1e-15)
    assert abs(np.linalg.det(directions)) > 1e-3
    assert np.array_equal(directions, CheckPoint(squares(), None).directions)


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        (Quartic(), ["value", "gradient", "hessian_vector", "hessian", "third", "fourth"]),
        (WithoutFourth(), ["value", "gradient", "hessian_vector", "hessian", "third"]),
        (OfOrderTwo(), ["value", "gradient", "hessian_vector", "hessian"]),
    ],
)
def test_only_what_a_loss_has_is_called(loss, names):
    """Protects losses without third or fourth derivatives from being called what they do not define."""
    assert [*CheckPoint(loss, np.array(POINT)).names()] == names


def test_a_large_hessian_is_not_formed():
    """Protects memory: beyond 400 weights the Hessian is seen through its products, unless the loss forms it."""
    at = np.full(401, 0.1)
    assert not CheckPoint(Large(), at).explicit
    assert "hessian" not in [*CheckPoint(Large(), at).names()]
    assert CheckPoint(LargeAndFormed(), at).explicit
    assert "hessian" in [*CheckPoint(LargeAndFormed(), at).names()]


def test_a_derivative_is_called_with_copies():
    """Protects the point from a loss that changes its arguments."""
    point = CheckPoint(Quartic(), np.array(POINT))
    for argument in point.arguments("fourth"):
        argument[:] = np.nan
    assert np.isfinite(np.array(point.arguments("fourth"))).all()
    u, v, _ = point.directions
    assert np.array_equal(point.call("third"), Quartic().third_at(np.array(POINT), u, v))


def test_bits_differ_with_one_of_another_loss():
    """Protects the comparison with a copy: all derivatives of both are taken at the same point."""
    point = CheckPoint(Quartic(), np.array(POINT))
    assert point.bits(Quartic(1.0)) == point.bits()
    other = point.bits(Forgetful(2.0))
    # The third derivative does not know k.
    assert {name for name, bits in point.bits().items() if other[name] != bits} == {
        "value", "gradient", "hessian_vector", "hessian"}  # fmt: skip


def test_differences_are_allowed_more():
    """Protects users without formulas: what is taken by differences may be off by 1e-5, the rest by 1e-9."""
    point = CheckPoint(squares(), None)
    assert point.tolerance("hessian_vector") == BY_DIFFERENCES
    assert point.tolerance("gradient") == EXACT
    exact = CheckPoint(squares(hessian_vector=lambda w, v: v.copy()), None)
    assert exact.tolerance("hessian_vector") == EXACT


@pytest.mark.parametrize(
    ("one", "other", "passes"),
    [
        ([100.0, 0.0], [100.0, 0.0009], True),  # over the largest entry, not each its own
        ([100.0, 0.0], [100.0, 0.0011], False),
        ([0.0, 0.0], [0.0, 0.0], True),
        ([np.nan, 1.0], [np.nan, 1.0], False),
        ([np.inf, 1.0], [1.0, 1.0], False),
        ([1.0, 1.0], [[1.0, 1.0]], False),
    ],
)
def test_a_comparison_is_of_the_difference_over_the_size(one, other, passes):
    """Protects the judgement: zeros agree, NaN and other shapes do not."""
    point = CheckPoint(Quartic(), np.array(POINT))

    def function(point):
        with np.errstate(invalid="ignore"):
            return point.compare("a and b", one, other, 1e-5, "mend it")

    result = Check("of two", function).result(point)
    assert result.outcome == ("holds" if passes else "fails")
    assert result.detail.startswith("off by" if passes else "a and b ")
    assert result.detail.endswith("mend it") is not passes


def test_a_comparison_is_symmetric():
    """Protects the judgement from the order of the two: the size is that of the larger."""
    point = CheckPoint(Quartic(), np.array(POINT))
    assert point.compare("a and b", 1.0, 2.0, 0.6, "") == point.compare("a and b", 2.0, 1.0, 0.6, "")
    assert point.compare("a and b", 1.0, 2.0, 0.6, "") == "off by 5.0e-01"


def test_what_a_check_raises_is_its_result():
    """Protects the report: a failure's text is kept, any other exception is named, cut and put on one line."""

    def raising(error):
        def function(point):
            raise error

        return Check("c", function).result(CheckPoint(Quartic(), np.array(POINT)))

    assert raising(Failure("wrong:  mend it")) == CheckResult("c", "fails", "wrong:  mend it")
    assert raising(KeyError("a\nb")) == CheckResult("c", "fails", "raised KeyError: 'a\\nb'")
    assert raising(RuntimeError("one\n two")).detail == "raised RuntimeError: one two"
    assert raising(ValueError("x" * 300)).detail == "raised ValueError: " + "x" * 200
