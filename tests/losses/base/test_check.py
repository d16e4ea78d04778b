"""`check_loss`: every loss of ours passes, all failures are listed, and the report is a table."""

import pickle

import numpy as np
import pytest

import selfstab as ss
from selfstab.losses.base.check import LossError
from selfstab.losses.base.checks import CHECKS
from tests.losses.base.broken import POINT, Quartic, Single, View, WrongThird

INPUTS = np.random.default_rng(0).standard_normal((7, 2))
TARGETS = INPUTS[:, 0] - 0.5 * INPUTS[:, 1]


def sum_of_squares(w):
    return 0.25 * (w @ w) ** 2


def its_gradient(w):
    return (w @ w) * w


LOSSES = [
    Quartic(),
    ss.Quadratic([2.0, 1.0]),
    ss.CubicTaylor(1.0, 0.01),
    ss.Product(),
    ss.DoubleWell(),
    ss.Minimalist(),
    ss.Chain(1),
    ss.Chain(4),
    ss.Coupled(0.5, 0.01),
    ss.SymbolicLoss("Abs(x)*x**2 + exp(y*x) + c*erf(y)", "x,y", {"c": 0.5}),
    ss.DiagonalNetwork(INPUTS, TARGETS),
    ss.DiagonalNetwork(INPUTS, TARGETS, depth=1),
    ss.DiagonalNetwork(INPUTS, TARGETS, depth=3),
    *(ss.MLP((2, 4, 3, 1), INPUTS, TARGETS, name) for name in ("tanh", "relu", "gelu", "softplus", "linear")),
    ss.MLP((2, 4, 3), INPUTS, np.arange(7) % 3, criterion="cross-entropy", weight_decay=0.1),
    ss.MLP((2, 30, 30, 1), INPUTS, TARGETS),
    ss.FunctionLoss(sum_of_squares, its_gradient, 3),
    ss.FunctionLoss(
        sum_of_squares, its_gradient, 3, hessian_vector=lambda w, v: (w @ w) * v + 2 * (w @ v) * w
    ),
    ss.LossFamily(lambda seed: ss.DiagonalNetwork(INPUTS + seed, TARGETS), seed=1),
    ss.LossFamily(lambda c: ss.Quadratic([c, 1.0]), c=2.0),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.description[:40])
def test_every_loss_of_ours_passes(loss):
    """Protects the contract and the check at once: no loss is refused that is right, and every check was tried."""
    report = ss.check_loss(loss)
    assert [result.outcome for result in report.results] == ["holds"] * len(CHECKS)


def test_losses_of_jax_pass():
    """Protects derivatives by automatic differentiation, of which nothing is written out here."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    loss = ss.FunctionLoss.from_jax(lambda w: jax.numpy.cosh(w[0] * w[1]) + (w**4).sum(), 3)
    assert not ss.check_loss(loss).failures


def test_what_cannot_be_tried_is_not_called_a_failure():
    """Protects the list of what fails: one wrong shape does not drown its reader in consequences."""
    with pytest.raises(LossError, match=f"fails 1 of {len(CHECKS)} checks") as caught:
        ss.check_loss(Single(), POINT)
    outcomes = {result.name: result.outcome for result in caught.value.report.results}
    assert outcomes["shapes and dtypes"] == "fails"
    assert outcomes["gradient is the derivative of value"] == "not tried"
    assert outcomes["messages"] == "holds"


def test_all_failures_are_listed_at_once():
    """Protects the user's time: two mistakes take one call to find."""

    class Two(WrongThird):
        weight_names = ("a", "a")

    with pytest.raises(LossError) as caught:
        ss.check_loss(Two(), POINT)
    names = [result.name for result in caught.value.report.failures]
    assert names[0] == "names"
    assert "third is the derivative of hessian_vector" in names


def test_an_error_of_the_users_code_is_a_failure_with_its_text():
    """Protects the report: an exception in a method ends its check, not the others."""

    class Raising(Quartic):
        def third_at(self, w, u, v):
            raise KeyError("table of thirds")

    with pytest.raises(LossError, match="shapes and dtypes: raised KeyError: 'table of thirds'"):
        ss.check_loss(Raising(), POINT)


def test_the_report_is_a_table_and_the_error_travels():
    """Protects notebooks and workers: the report shows each check, the error pickles with it."""
    table = repr(ss.check_loss(Quartic(), POINT)).splitlines()
    assert table[0].startswith("Quartic(k=1.0)")
    assert len(table) == 3 + len(CHECKS)
    with pytest.raises(LossError) as caught:
        ss.check_loss(View(), POINT)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.report == caught.value.report


def test_bad_arguments():
    """Protects the door: what is no loss, and a point of another shape."""
    with pytest.raises(TypeError, match=r"loss must be a selfstab\.Loss, got 'Product'"):
        ss.check_loss("Product")
    with pytest.raises(ValueError, match=r"^at must "):
        ss.check_loss(Quartic(), [1.0])
