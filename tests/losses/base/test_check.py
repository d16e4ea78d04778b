"""`check_loss`: every loss of ours passes, and for every check there is a loss that fails it and says so."""

import pickle
import threading

import numpy as np
import pytest

import selfstab as ss
from selfstab.eigen.pairs import Eigenpair
from selfstab.losses.base.check import LossError
from selfstab.losses.base.checks import CHECKS
from selfstab.losses.base.derivatives import Derivatives
from selfstab.losses.base.kernel import Kernel

INPUTS = np.random.default_rng(0).standard_normal((7, 2))
TARGETS = INPUTS[:, 0] - 0.5 * INPUTS[:, 1]
POINT = [1.2, -0.7]


class Quartic(ss.Loss):
    """½k‖w‖² + ¼Σwᵢ⁴ + ½(w₀w₁)², right in all it does."""

    dimension = 2

    def __init__(self, k=1.0):
        self.k = k

    @property
    def parameters(self):
        return {"k": self.k}

    def replace(self, k):
        return type(self)(k)

    def value_at(self, w):
        return float(self.k * (w @ w) / 2 + (w**4).sum() / 4 + (w[0] * w[1]) ** 2 / 2)

    def gradient_at(self, w):
        return self.k * w + w**3 + w[0] * w[1] * w[::-1]

    def hessian_at(self, w):
        side = 2 * w[0] * w[1]
        return np.diag(self.k + 3 * w**2 + w[::-1] ** 2) + side * np.array([[0.0, 1.0], [1.0, 0.0]])

    def third_at(self, w, u, v):
        return 6 * w * u * v + 2 * (w * u[::-1] * v[::-1] + w[::-1] * (u * v[::-1] + u[::-1] * v))

    def fourth_at(self, w, u, v, z):
        a, b, c = (x[::-1] for x in (u, v, z))
        return 6 * u * v * z + 2 * (u * b * c + v * a * c + z * a * b)


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


# -- one that fails, for each check --------------------------------------------------------------------------------


class NoDimension(Quartic):
    dimension = 2.0


class RepeatedNames(Quartic):
    weight_names = ("a", "a")


class Unseeded(Quartic):
    def initial_weights(self, seed=0, scale=1.0):
        return np.random.standard_normal(2)  # noqa: NPY002


class OneElement(Quartic):
    def value_at(self, w):
        return np.array([super().value_at(w)])


class Single(Quartic):
    def gradient_at(self, w):
        return super().gradient_at(w).astype(np.float32)


class NotANumber(Quartic):
    def hessian_at(self, w):
        return super().hessian_at(w) / 0.0


class Overflowing(Quartic):
    def value_at(self, w):
        return super().value_at(w) + 0.0 * float(w[0]) ** 2


class Overwriting(Quartic):
    def gradient_at(self, w):
        gradient = super().gradient_at(w)
        w *= 1.0 + 1e-15
        return gradient


class Returning(Quartic):
    """Its third derivative is right where it is an argument, and is returned as that argument."""

    def third_at(self, w, u, v):
        u[:] = super().third_at(w, u, v)
        return u


class View(ss.Loss):
    """½‖w‖², whose gradient is its argument."""

    dimension = 2

    def value_at(self, w):
        return float(w @ w) / 2

    def gradient_at(self, w):
        return w

    def hessian_at(self, w):
        return np.eye(2)

    def third_at(self, w, u, v):
        return np.zeros(2)


class Cached(Quartic):
    """The arrays it returns are those it keeps."""

    def hessian_at(self, w):
        key = w.tobytes()
        memory = self.__dict__.setdefault("memory", {})
        if key not in memory:
            memory[key] = super().hessian_at(w)
        return memory[key]


class Counting(Quartic):
    """Its value depends on how often it was asked."""

    def value_at(self, w):
        self.count = getattr(self, "count", 0) + 1
        return super().value_at(w) + 1e-14 * self.count


class WrongGradient(Quartic):
    def gradient_at(self, w):
        return super().gradient_at(w) * (1.0 + 1e-6)


class WrongProduct(Quartic):
    def hessian_vector_at(self, w, v):
        return super().hessian_vector_at(w, v) + np.array([1e-6, 0.0]) * v[0]


class WrongThird(Quartic):
    def third_at(self, w, u, v):
        return super().third_at(w, u, v) * (1.0 - 1e-6)


class WrongFourth(Quartic):
    def fourth_at(self, w, u, v, z):
        return super().fourth_at(w, u, v, z) * (1.0 + 1e-6)


class Lopsided(Quartic):
    def hessian_at(self, w):
        hessian = super().hessian_at(w)
        hessian[0, 1] *= 1.0 + 3e-16
        return hessian


class LopsidedThird(Quartic):
    """Right along one direction twice, where a careless check looks."""

    def third_at(self, w, u, v):
        return super().third_at(w, u, v) + 1e-5 * (u[0] * v[1] - u[1] * v[0])


class TwoHessians(Quartic):
    def hessian_operator_at(self, w):
        return lambda v: self.hessian_vector_at(w, v) * (1.0 + 1e-6)


class _Stale(Derivatives):
    gradient = np.zeros(2)


class StaleTogether(Quartic):
    def derivatives_at(self, w):
        return _Stale(self, w)


class Smallest(Quartic):
    def sharpness_at(self, w, guess=None):
        values, vectors = np.linalg.eigh(self.hessian_at(w))
        return Eigenpair(float(values[0]), vectors[:, 0], 0.0)


class Unnormalized(Quartic):
    def sharpness_at(self, w, guess=None):
        pair = super().sharpness_at(w, guess)
        return Eigenpair(pair.value, 2.0 * pair.vector, pair.residual)


class OtherKernel(ss.Product):
    @property
    def kernel(self):
        return Kernel(ss.Minimalist().kernel.source, np.empty(0))


class SameObject(Quartic):
    def replace(self, k):
        self.k = k
        return self


class Deaf(Quartic):
    def replace(self, k):
        return Quartic(self.k)


class Greedy(Quartic):
    def replace(self, **parameters):
        return Quartic(parameters.get("k", self.k))


class Locked(Quartic):
    def __init__(self, k=1.0):
        super().__init__(k)
        self.lock = threading.Lock()


class Forgetful(Quartic):
    def __reduce__(self):
        return Quartic, (self.k + 1.0,)


class Unchecked(Quartic):
    """It defines the public method, as one who read the wrong page would."""

    def value(self, w):
        return self.value_at(np.resize(np.asarray(w), 2))


class Unrefused(Quartic):
    highest_derivative = 2

    def third(self, w, u, v):
        return self.third_at(np.asarray(w), np.asarray(u), np.asarray(v))


BROKEN = [
    (NoDimension, "dimension", "return the number of weights"),
    (RepeatedNames, "names", "none twice"),
    (Unseeded, "initial weights", "default_rng"),
    (OneElement, "shapes and dtypes", r"array of float64, shape \(1,\): return a float"),
    (Single, "shapes and dtypes", "float32"),
    (NotANumber, "finite", "hessian_vector_at is NaN or infinite"),
    (Overflowing, "overflow", "raises OverflowError at weights of 1e200"),
    (Overwriting, "purity", "gradient_at changes its arguments"),
    (Returning, "purity", "third_at changes its arguments"),
    (View, "purity", "gradient_at returns one of its arguments"),
    (Cached, "purity", "hessian_at gives other bits"),
    (Counting, "purity", "value_at gives other bits"),
    (WrongGradient, "gradient is the derivative of value", r"order -?0\.\d+"),
    (WrongProduct, "hessian_vector is the derivative of gradient", r"order -?0\.\d+"),
    (WrongThird, "third is the derivative of hessian_vector", r"order -?0\.\d+"),
    (WrongFourth, "fourth is the derivative of third", "correct fourth_at"),
    (Lopsided, "hessian is symmetric", "differs from its transpose"),
    (LopsidedThird, "third is symmetric", "change places"),
    (TwoHessians, "hessian products agree", "one matrix"),
    (StaleTogether, "derivatives together", "gradient_at differ by"),
    (Smallest, "sharpness", "by numpy.linalg.eigvalsh"),
    (Unnormalized, "sharpness", "norm 2.0"),
    (OtherKernel, "kernel", "the kernel's value and value_at differ"),
    (SameObject, "replace", "return a new loss"),
    (Deaf, "replace", r"replace\(k=1.0625\) has k=1.0"),
    (Greedy, "replace", r"no_such_parameter=1.0\) is accepted"),
    (Locked, "pickling", "cloudpickle raises TypeError"),
    (Forgetful, "pickling", "other bits"),
    (Unchecked, "messages", "value accepts .*: define value_at"),
    (Unrefused, "messages", "third is not refused"),
]


@pytest.mark.parametrize(("kind", "name", "detail"), BROKEN, ids=lambda item: getattr(item, "__name__", ""))
def test_a_broken_loss_fails_the_check_of_what_is_broken(kind, name, detail):
    """Protects each check: there is a loss that fails it, by name, with what to do."""
    with pytest.raises(LossError, match=f"  {name}: .*{detail}") as caught:
        ss.check_loss(kind(), POINT)
    assert name in [result.name for result in caught.value.report.failures]


def test_every_check_can_fail():
    """Protects the battery: a check that nothing fails is none."""
    assert {name for _, name, _ in BROKEN} == {check.name for check in CHECKS}


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
