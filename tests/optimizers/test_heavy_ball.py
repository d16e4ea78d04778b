"""The update, its thresholds, and optimizers matched to each other."""

import mpmath
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import selfstab as ss

momenta = st.floats(0, 0.999)
lookaheads = st.floats(0, 2)


@given(lr=st.floats(1e-3, 1e3), momentum=momenta, lookahead=lookaheads)
def test_threshold_is_where_an_eigenvalue_leaves_the_unit_circle(lr, momentum, lookahead):
    """Protects S* = 2(1 + β)/(η(1 + 2γ)): there the update of a quadratic has the eigenvalue −1."""
    optimizer = ss.HeavyBall(lr, momentum, lookahead)
    s = optimizer.max_stable_sharpness() * lr
    # (w, v) → (w + v', v'), v' = (β − γηS)v − ηS w
    a = momentum - lookahead * s
    matrix = np.array([[1 - s, a], [-s, a]])
    assert np.linalg.det(matrix + np.eye(2)) == pytest.approx(0, abs=1e-12 * (1 + s))
    assert np.linalg.det(matrix) == pytest.approx(-(np.trace(matrix) + 1), abs=1e-12 * (1 + s))


@given(
    lr=st.floats(1e-3, 1e3), start=st.floats(0, 1), steps=st.integers(1, 60),
    momentum=momenta, lookahead=lookaheads, other=momenta, ahead=lookaheads,
)  # fmt: skip
def test_matched_keeps_the_threshold_at_every_step(lr, start, steps, momentum, lookahead, other, ahead):
    """Protects comparisons at matched S*, along a warmup and after it."""
    one = ss.HeavyBall(ss.LinearWarmup(start * lr, lr, steps), momentum, lookahead)
    two = one.matched(other, ahead)
    assert (two.momentum, two.lookahead) == (other, ahead)
    assert two.thresholds(0, 80) == pytest.approx(one.thresholds(0, 80), rel=1e-14)


def test_matched_of_each_kind_of_rate():
    """Protects numbers, constants and schedules of one's own that can be scaled; others are refused."""

    class Own:
        def __init__(self, lr):
            self.lr = lr

        def values(self, first, last):
            return np.full(last - first, self.lr)

    class Scalable(Own):
        def scaled(self, factor):
            return Scalable(self.lr * factor)

    for lr in (0.4, ss.Constant(0.4), Scalable(0.4)):
        matched = ss.HeavyBall(lr, 0.5).matched()
        assert type(matched.lr) is type(lr)
        assert matched.max_stable_sharpness(7) == pytest.approx(7.5, rel=1e-15)
    with pytest.raises(
        TypeError, match=r"lr must be a number, Constant, LinearWarmup or a schedule with \.scaled"
    ):
        ss.HeavyBall(Own(0.4), 0.5).matched()


def test_no_rate_has_no_threshold():
    """Protects a warmup from lr 0: its first threshold is infinite, without a warning."""
    optimizer = ss.HeavyBall(ss.LinearWarmup(0.0, 1.0, 4), 0.5)
    assert optimizer.thresholds(0, 6).tolist() == [np.inf, 12.0, 6.0, 4.0, 3.0, 3.0]
    assert optimizer.max_stable_sharpness() == np.inf
    assert optimizer.max_stable_sharpness(2) == 6.0


def weights(run):
    return run.weights.values


def test_gradient_descent_on_a_quadratic():
    """Protects the plainest case: w_t = (1 − ηc)^t w_0 in each direction."""
    c, start = np.array([0.3, 1.0, 2.5]), np.array([1.0, -2.0, 0.5])
    run = ss.simulate(ss.Quadratic(c), ss.HeavyBall(0.7), start, 40, keep=["weights"])
    expected = (1 - 0.7 * c) ** np.arange(41)[:, None] * start
    assert weights(run) == pytest.approx(expected, rel=1e-13, abs=1e-300)


@pytest.mark.parametrize(("momentum", "lookahead"), [(0.9, 0.0), (0.5, 0.5), (0.3, 1.2), (0.99, 0.0)])
def test_momentum_on_a_quadratic(momentum, lookahead):
    """Protects sign, order and start of the update: the matrix of (w_t, w_{t−1}) to the power t, at 40 digits."""
    c, lr, steps = np.array([0.2, 1.0, 2.0]), 0.4, 200
    start, previous = np.array([1.0, -0.5, 0.3]), np.array([0.9, -0.7, 0.4])
    run = ss.simulate(
        ss.Quadratic(c), ss.HeavyBall(lr, momentum, lookahead), start, steps, previous=previous, keep=["weights"],
    )  # fmt: skip
    with mpmath.workdps(40):
        for j in range(3):
            b, g, h = mpmath.mpf(momentum), mpmath.mpf(lookahead), mpmath.mpf(lr) * mpmath.mpf(c[j])
            # w' = w + β(w − p) − h(w + γ(w − p))
            step = mpmath.matrix([[1 + b - h * (1 + g), -b + h * g], [1, 0]])
            first = mpmath.matrix([start[j], previous[j]])
            for t in (1, 2, 37, steps):
                exact = (step**t * first)[0]
                assert weights(run)[t, j] == pytest.approx(float(exact), rel=1e-11, abs=1e-15)


def test_lookahead_equal_to_momentum_is_nesterov():
    """Protects Nesterov's case against the textbook's form: y = w + β(w − w_{−1}), w ← y − η∇L(y)."""
    loss, beta, lr = ss.Product(), 0.8, 0.05
    w = before = np.array([2.0, 0.8])
    run = ss.simulate(loss, ss.HeavyBall(lr, beta, beta), w, 60, keep=["weights"])
    for t in range(60):
        y = w + beta * (w - before)
        before, w = w, y - lr * loss.gradient(y)
        assert weights(run)[t + 1] == pytest.approx(w, rel=1e-12)


def test_update_is_called_once_at_the_lookahead_point():
    """Protects the contract with losses of one's own: one gradient a step, at w + γv."""
    seen = []

    def gradient(w):
        seen.append(w.copy())
        return 2.0 * w

    w, v = np.array([1.0]), np.array([0.5])
    got = ss.HeavyBall(0.1, 0.5, 2.0).update(w, v, gradient, 0.1, noise=1.0)
    assert [x.tolist() for x in seen] == [[2.0]]
    assert got[1] == pytest.approx(0.25 - 0.1 * 5.0)
    assert got[0] == pytest.approx(1.0 + 0.25 - 0.5)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"lr": 0}, r"lr must be in \(0, inf\), got 0.0"),
        ({"lr": -1}, "lr must be"),
        ({"lr": np.nan}, "lr must be"),
        ({"lr": np.inf}, "lr must be"),
        ({"lr": "0.1"}, "lr must be a single number"),
        ({"lr": None}, "lr must be real numbers"),
        ({"lr": 1j}, "lr must be real numbers"),
        ({"lr": [0.1]}, "lr must be a single number"),
        ({"lr": [[1], [1, 2]]}, "lr must be a single number or a schedule, got .*LinearWarmup"),
        ({"lr": True}, "lr must be a single number"),
        ({"lr": {}}, "lr must be real numbers"),
        ({"lr": {"a": 1}}, "lr must be real numbers"),
        ({"lr": ss.LinearWarmup}, "lr must be a single number or a schedule"),
        (
            {"lr": lambda step: 0.1},
            r"a schedule, got <function .*: take ss\.LinearWarmup, or an object of a class with",
        ),
        ({"lr": xr.DataArray([0.1, 0.2])}, "lr must be a single number"),
        ({"lr": 10**5000}, r"lr must be of magnitude at most 1\.8e308, .*, got an integer of 16610 bits"),
        ({"lr": 0.1, "momentum": 1}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"lr": 0.1, "momentum": -0.1}, "momentum must be"),
        ({"lr": 0.1, "momentum": np.nan}, "momentum must be"),
        ({"lr": 0.1, "momentum": "0"}, "momentum must be"),
        ({"lr": 0.1, "momentum": False}, "momentum must be a single number"),
        ({"lr": 0.1, "lookahead": -1e-9}, r"lookahead must be in \[0, inf\)"),
        ({"lr": 0.1, "lookahead": np.inf}, "lookahead must be"),
    ],
)
def test_bad_input_is_named(arguments, match):
    """Protects the door."""
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        ss.HeavyBall(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("step", [-1, 1.0, True, "1", None, 10**30])
def test_bad_step_is_named(step):
    """Protects the thresholds' argument."""
    with pytest.raises((ValueError, TypeError), match="step must be an integer"):
        ss.HeavyBall(ss.LinearWarmup(0, 1, 5)).max_stable_sharpness(step)


def test_a_labelled_number_is_a_rate():
    """Protects the natural call HeavyBall(run.lr[0]): what is recorded can be used again."""
    assert ss.HeavyBall(xr.DataArray(0.25)).max_stable_sharpness() == 8.0


def test_an_lr_that_overflows_is_refused():
    """Protects from infinity, and from NumPy's warning, where a sharpness is tiny and an excess huge."""
    with pytest.raises(ValueError, match="sharpness and excess must be those of an lr that float64 holds"):
        ss.HeavyBall(1.0).at_excess(sharpness=1e-310, excess=1e308)
