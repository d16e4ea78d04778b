"""The contract of a loss: a loss of one's own gets the rest for free."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.losses.base.loss import Loss


class Bowl(Loss):
    """½(uv − 1)² written by hand, to the contract and no more."""

    dimension = 2

    def value_at(self, w):
        return 0.5 * (w[0] * w[1] - 1) ** 2

    def gradient_at(self, w):
        return (w[0] * w[1] - 1) * w[::-1]

    def hessian_at(self, w):
        side = 2 * w[0] * w[1] - 1
        return np.array([[w[1] ** 2, side], [side, w[0] ** 2]])

    def third_at(self, w, u, v):
        x, y = w
        pairs = u[0] * v[1] + u[1] * v[0]
        return 2 * np.array([y * pairs + x * u[1] * v[1], x * pairs + y * u[0] * v[0]])


class Matrixless(Bowl):
    """The same through Hessian-vector products."""

    explicit_hessian = False


POINT, U, V = [1.7, 0.8], [0.3, -0.4], [1.0, 0.2]


@pytest.mark.parametrize("kind", [Bowl, Matrixless])
def test_what_comes_for_free(kind):
    """Protects losses of one's own: all that a symbolic loss answers, from four functions."""
    mine, known = kind(), ss.Product()
    assert mine.value(POINT) == pytest.approx(known.value(POINT))
    assert mine.hessian_vector(POINT, V) == pytest.approx(known.hessian_vector(POINT, V))
    assert mine.third(POINT, U, V) == pytest.approx(known.third(POINT, U, V))
    assert mine.sharpness(POINT)[0] == pytest.approx(known.sharpness(POINT)[0], rel=1e-13)
    assert mine.sharpness(POINT)[1] == pytest.approx(known.sharpness(POINT)[1], rel=1e-10)
    assert mine.sharpness_gradient(POINT) == pytest.approx(known.sharpness_gradient(POINT), rel=1e-10)
    w = mine.minimum(POINT)
    assert w[0] * w[1] == pytest.approx(1, abs=1e-12)
    assert mine.initial_weights(seed=3, scale=2.0) == pytest.approx(
        2 * np.random.default_rng(3).standard_normal(2)
    )
    assert mine.weight_names == ("w0", "w1")
    assert kind.__name__ in mine.description
    assert dict(mine.parameters) == {}


@pytest.mark.parametrize(
    "loss",
    [
        Bowl(),
        Matrixless(),
        ss.Product(),
        ss.DiagonalNetwork([[1.0]], [1.0]),
        ss.LossFamily(lambda seed: Bowl(), seed=0),
    ],
)
def test_derivatives_at_one_point(loss, same_bits):
    """Protects what trajectories use: the derivatives at a point are those asked for one by one."""
    w, u, v = map(np.array, (POINT, U, V))
    local = loss.derivatives_at(w)
    assert local.value == loss.value(w)
    assert same_bits(local.gradient, loss.gradient(w))
    assert same_bits(local.hessian, loss.hessian(w))
    assert same_bits(local.product(v), loss.hessian_vector(w, v))
    assert same_bits(local.third(u, v), loss.third(w, u, v))
    assert local.top(None, 1e-12, 0.1).value == pytest.approx(loss.sharpness(w)[0], rel=1e-14)


def test_a_family_works_as_what_it_makes():
    """Protects the shortcuts of the loss made: its operator and its pass are used, and it refuses what it lacks."""
    x = np.random.default_rng(0).standard_normal((5, 2))
    family = ss.LossFamily(lambda width: ss.MLP((2, width, 1), x, x[:, 0], "relu"), width=3)
    w = family.initial_weights()
    assert type(family.derivatives_at(w)) is type(family.made.derivatives_at(w))
    assert family.hessian_operator_at(w).__qualname__ == family.made.hessian_operator_at(w).__qualname__
    with pytest.raises(ValueError, match=r"derivatives of order 3 for this.* got 'relu'"):
        family.third(w, w, w)


@pytest.mark.parametrize("kind", [Bowl, Matrixless])
def test_it_runs_and_sweeps_like_a_symbolic_one(kind, plain_engine):
    """Protects the general loops against the kernels: the same runs and measures, noise and divergence included."""
    axes = {"lr": [0.1, 0.45, 0.9], "momentum": [0.0, 0.5], "start.w0": [1.5, 2.5]}
    named = {"lr": axes["lr"], "momentum": axes["momentum"], "start.u": axes["start.w0"]}
    settings = {"start": [2.0, 0.6], "steps": 80, "noise": 1e-5, "seed": 2, "repeats": 2, "progress": False}
    mine = ss.sweep(kind(), ss.HeavyBall(0.1), axes, threads=2, **settings)
    known = plain_engine(ss.sweep, ss.Product(), ss.HeavyBall(0.1), named, **settings)
    assert mine.diverged_at.dims == ("lr", "momentum", "start.w0", "repeat")
    for name in ("diverged_at", "phase"):
        assert np.array_equal(mine[name].values, known[name].values)
    assert (mine.diverged_at >= 0).any()
    kept = (mine.diverged_at < 0).values
    for name in ("final_sharpness", "min_sharpness"):
        assert mine[name].values[kept] == pytest.approx(known[name].values[kept], rel=1e-5)
    keep = ("loss", "sharpness", "weights", "velocity", "gradient_norm")
    run = [
        ss.simulate(loss, ss.HeavyBall(0.3, 0.5, 0.2), [2.0, 0.6], 60, noise=1e-3, keep=keep)
        for loss in (kind(), ss.Product())
    ]
    for name in keep:
        assert run[0][name].values == pytest.approx(run[1][name].values, rel=1e-9, abs=1e-9)
    assert (run[0].sharpness_residual.values <= 1e-9 * run[0].sharpness.values).all()


def test_runs_beyond_the_range_of_float64():
    """Protects divergence as a result for general losses, too: nan where no number is left, no warning, no error."""
    data = ss.simulate(
        Bowl(),
        ss.HeavyBall(1.0),
        [10.0, 3.0],
        60,
        escape=1e300,
        keep=("sharpness", "top_eigenvector", "gradient_norm"),
    )
    assert int(data.diverged_at) == data.sizes["step"] < 10
    grid = ss.sweep(
        Bowl(), ss.HeavyBall(1.0), {"lr": [1.0]}, start=[10.0, 3.0], steps=60, escape=1e300, progress=False
    )
    assert int(grid.diverged_at[0]) == int(data.diverged_at)


def test_an_incomplete_loss_cannot_be_made():
    """Protects the contract: what is missing is named by Python itself."""

    class Half(Loss):
        dimension = 1

    with pytest.raises(TypeError, match="gradient_at"):
        Half()


def test_a_missing_fourth_derivative_is_named():
    """Protects losses of one's own that stop at the third derivative."""
    with pytest.raises(NotImplementedError, match=r"fourth_at\(w, u, v, z\).* which Bowl does not define"):
        Bowl().fourth(POINT, U, V, V)


def test_derivatives_that_a_loss_does_not_have_are_refused():
    """Protects losses with kinks: `highest_derivative` is asked before anything runs."""

    class Kinked(Bowl):
        highest_derivative = 2

    for call in (
        lambda loss: loss.third(POINT, U, V),
        lambda loss: loss.fourth(POINT, U, V, V),
        lambda loss: loss.sharpness_gradient(POINT),
    ):
        with pytest.raises(ValueError, match="Kinked must have derivatives of order"):
            call(Kinked())


def test_bad_input_is_named():
    """Protects the doors that every loss inherits."""
    for call, match in (
        (lambda: Bowl().value([1.0]), r"w must have shape \(2,\)"),
        (lambda: Bowl().third(POINT, U, [np.inf, 0]), "v must be finite"),
        (lambda: Bowl().replace(a=1.0), "parameters"),
        (lambda: Bowl().minimum([[1.0, 2.0]]), "start must have shape"),
        (lambda: Bowl().initial_weights(seed=1.5), "seed must be an integer"),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            call()
