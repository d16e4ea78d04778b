"""A loss that is right in all it does, and one that is broken for each check."""

import threading

import numpy as np

import selfstab as ss
from selfstab.eigen.pairs import Eigenpair
from selfstab.losses.base.derivatives import Derivatives
from selfstab.losses.base.kernel import Kernel

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


class NoDimension(Quartic):
    dimension = 2.0


class RepeatedNames(Quartic):
    weight_names = ("a", "a")


class TwoLines(Quartic):
    description = "one\ntwo"


class TextParameter(Quartic):
    parameters = {"k": 1.0, "kind": True}  # noqa: RUF012 (as a user writes it, who annotates nothing)


class InfiniteStart(Quartic):
    def initial_weights(self, seed=0, scale=1.0):
        return np.full(2, np.inf)


class ListStart(Quartic):
    def initial_weights(self, seed=0, scale=1.0):
        return [0.5, 0.5]


class Unseeded(Quartic):
    def initial_weights(self, seed=0, scale=1.0):
        return np.random.standard_normal(2)  # noqa: NPY002 (the global generator is what is broken here)


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


class StaleGradients(Quartic):
    def gradients_at(self, points):
        return np.tile(self.gradient_at(points[0]), (len(points), 1))


class LostHessians(Quartic):
    def hessian_blocks_at(self, points):
        yield from ([self.hessian_at(points[0])] for _ in points)


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


class Leaking(Quartic):
    """The new loss is right, and the old one is changed."""

    def replace(self, k):
        self.k = k
        return Quartic(k)


class Doubling(Quartic):
    def replace(self, k):
        return Quartic(2.0 * k)


class Refusing(Quartic):
    def replace(self, k):
        if k != 1.0:
            raise ValueError("k must be 1")
        return Quartic(k)


class Nameless(Quartic):
    def replace(self, **parameters):
        if set(parameters) != {"k"}:
            raise ValueError("no such number")
        return Quartic(**parameters)


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
