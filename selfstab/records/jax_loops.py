"""What a JAX training loop shows at one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.losses.functions import differences
from selfstab.records.training_loops import PRECISIONS, Reading, check_parts, number
from selfstab.validation import Array

_KINKS: Final = frozenset(
    ("abs", "argmax", "argmin", "clamp", "cummax", "cummin", "max", "min", "reduce_max", "reduce_min",
     "reduce_window_max", "select_and_gather_add", "select_and_scatter_add", "select_n", "sign", "sort", "top_k")
)  # fmt: skip
"""Operations whose gradient may jump."""

_CUSTOM: Final = ("custom_vjp_call", "pure_callback", "ffi_call")
"""How operations are called whose derivatives may be of the user's own."""


def of_jax(function: Any, parts: Any = None) -> Callable[..., Reading]:
    """Return what reads a JAX loop: parameters → loss, and products forward over reverse, compiled."""
    if not callable(function):
        raise TypeError(f"function must be a function, got {validation.shown(function)}")
    if parts is not None:
        check_parts(parts)
    return _Loop(function, parts).read


class _Loop:
    """A loop's loss, and its derivatives for parameters of the form that it had at the last record.

    Parameters
    ----------
    function
        Parameters → loss, or parameters and data or one part → loss, or loss and weight.
    parts
        Parts of the loss, or None.
    """

    def __init__(self, function: Any, parts: Any) -> None:
        self._function, self._parts = function, parts
        self._compiled: _Compiled | None = None
        self._tried, self._by_differences = False, False

    def read(self, parameters: Any, *data: Any) -> Reading:
        """Return what the loop shows at parameters."""
        import jax.numpy as jnp

        if data and self._parts is not None:
            raise ValueError("data must be left out, for the recorder has parts")
        form = _Form(parameters)
        compiled = self._fresh(form, data)
        if not self._tried:
            self._try(compiled, form, data)

        def vector(numbers: Any) -> Any:
            return jnp.asarray(numbers, form.precision)

        def along(v: Any) -> Any:
            if self._by_differences:
                image = self._by_difference(compiled, form, data, np.asarray(v, form.precision))
            else:
                image = self._product(compiled, form, data, v)
            return image if isinstance(v, np.ndarray) else vector(image)

        def gradient() -> Any:
            """Return the gradient in the parameters' form; leaves that are no weights are as they were."""
            return form.whole(self._total(compiled.gradient, form.weights, form, data), form.others)

        loss = number("loss", self._total(compiled.value, form.weights, form, data)[0])
        return Reading(
            loss,
            along,
            form.size,
            form.precision,
            vector=vector,
            gradient=gradient,
            gradient_norm=lambda: float(np.linalg.norm(self._gradient(compiled, form.weights, form, data))),
            arrays=lambda: form.weights,
            noise=differences.NOISE[form.precision] if self._by_differences else 0.0,
        )

    def _arguments(self, data: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        """Yield what the function takes besides parameters: once, or once for each part."""
        if self._parts is None:
            yield data
        else:
            yield from ((part,) for part in self._parts)

    def _fresh(self, form: _Form, data: tuple[Any, ...]) -> _Compiled:
        """Return compiled functions that compute what the function computes now."""
        first = next(self._arguments(data), None)
        if first is None:
            raise ValueError("parts must hold at least one, got none")
        compiled = self._compiled
        if (
            compiled is None
            or not compiled.fits(form)
            or any(compiled.is_stale(form, rest) for rest in self._arguments(data))
        ):
            compiled = self._compiled = _Compiled(self._function, form, first)
        return compiled

    def _total(
        self, derivative: Any, weights: Any, form: _Form, data: tuple[Any, ...], *directions: Any
    ) -> list[Any]:
        """Return the sum, or weighted mean, of what a derivative gives for each part, as numbers."""
        total: list[Any] = []
        weight, paired = 0.0, False
        for rest in self._arguments(data):
            image, own = derivative(weights, *directions, form.others, rest)
            if own is not None:
                paired, own = True, number("weight", own)
                weight += own
                image = [own * leaf for leaf in image]
            total = [a + b for a, b in zip(total, image, strict=True)] if total else list(image)
        if paired and weight <= 0.0:
            raise ValueError(f"weight must be positive for one part at least, got a sum of {weight:g}")
        total = [leaf / weight for leaf in total] if paired else total
        return total

    def _gradient(self, compiled: _Compiled, weights: Any, form: _Form, data: tuple[Any, ...]) -> Any:
        return form.joined(self._total(compiled.gradient, weights, form, data))

    def _product(self, compiled: _Compiled, form: _Form, data: tuple[Any, ...], v: Any) -> Any:
        return form.joined(self._total(compiled.product, form.weights, form, data, form.pieces(v)))

    def _displaced(
        self, compiled: _Compiled, form: _Form, data: tuple[Any, ...], v: Any, length: float
    ) -> tuple[Any, Any]:
        """Return the difference of gradients at two points ±length along a direction, and that of the points."""
        gradients, points = [], []
        for sign in (1.0, -1.0):
            moved = form.moved(v, sign * length)
            points.append(form.joined(moved))
            gradients.append(self._gradient(compiled, moved, form, data))
        return gradients[0] - gradients[1], points[0] - points[1]

    def _by_difference(self, compiled: _Compiled, form: _Form, data: tuple[Any, ...], v: Any) -> Array:
        """Return the product with the Hessian as a central difference of gradients."""
        length = differences.LENGTH[form.precision] * form.scale
        size = float(np.linalg.norm(v))
        difference, displacement = self._displaced(compiled, form, data, v / (size or 1.0), length)
        moved = float(np.linalg.norm(displacement))
        out: Array = difference * (size / moved) if moved else 0.0 * difference
        return out

    def _try(self, compiled: _Compiled, form: _Form, data: tuple[Any, ...]) -> None:
        """Raise unless the loss depends on the parameters; see whether JAX's products are right."""
        gradient = self._gradient(compiled, form.weights, form, data)
        if not np.isfinite(gradient).all():
            return  # nothing can be compared here: a later record is tried
        self._tried = True
        direction = differences.generic_direction(gradient)
        if (
            not gradient.any()
            and not self._gradient(compiled, form.moved(direction, form.scale), form, data).any()
        ):
            raise ValueError(
                "function must depend on the parameters that log is given, got a gradient of zero at two points"
            )
        obstacle = ""
        try:
            self._product(compiled, form, data, direction)
            # Kinks of a gradient in float32 are met at every step that is longer than rounding.
            if form.precision == "float32" and compiled.has_kinks_only(form, next(self._arguments(data))):
                return
            wrong = differences.contradicts(
                lambda v, length: self._displaced(compiled, form, data, v, length),
                lambda v: self._product(compiled, form, data, v),
                direction,
                form.scale,
            )
        except Exception as error:  # whatever JAX raises where there is no second derivative
            wrong, obstacle = True, _first_line(error)
        if not wrong:
            return
        if not differences.symmetric(lambda v: self._by_difference(compiled, form, data, v), direction):
            raise ValueError(
                "function must have a gradient with a symmetric derivative, got products that are no derivatives of one"
                + (f" ({obstacle})" if obstacle else ": leave out stop_gradient")
            )
        self._by_differences = True


class _Form:
    """Parameters by leaves: weights, which are floating-point numbers, and others, which stay as they are.

    Parameters
    ----------
    parameters
        A pytree.
    """

    def __init__(self, parameters: Any) -> None:
        import jax
        import jax.numpy as jnp

        leaves, self.tree = jax.tree_util.tree_flatten(parameters)
        arrays = [jnp.asarray(leaf) if isinstance(leaf, (float, np.floating)) else leaf for leaf in leaves]
        self.places = tuple(
            k
            for k, leaf in enumerate(arrays)
            if hasattr(leaf, "shape") and jnp.issubdtype(getattr(leaf, "dtype", object), jnp.floating)
        )
        if not self.places:
            raise TypeError(
                f"parameters must hold arrays of float64 or float32, got {validation.shown(parameters)}"
            )
        # With a dtype: weakly typed weights would be traced apart from those moved, and hide changed data.
        self.weights = [jnp.asarray(arrays[k], arrays[k].dtype) for k in self.places]
        rest = [(k, leaf) for k, leaf in enumerate(leaves) if k not in self.places]
        self.others = {k: leaf for k, leaf in rest if _is_traceable(leaf)}
        self.fixed = {k: leaf for k, leaf in rest if k not in self.others}
        self.precision = str(jnp.result_type(*self.weights))
        if self.precision not in PRECISIONS:
            raise TypeError(f"parameters must be of float64 or float32, got {self.precision}")
        self.sizes = [leaf.size for leaf in self.weights]
        self.size = sum(self.sizes)

    @property
    def scale(self) -> float:
        """Norm of the weights; 1 where all are zero."""
        return float(np.linalg.norm(self.joined(self.weights).astype(np.float64))) or 1.0

    def joined(self, leaves: Any) -> Any:
        """Return leaves like the weights as one vector."""
        return np.concatenate([np.asarray(leaf, dtype=self.precision).ravel() for leaf in leaves])

    def pieces(self, v: Any) -> list[Any]:
        """Return a vector as leaves like the weights."""
        import jax.numpy as jnp

        parts = np.split(np.asarray(v), np.cumsum(self.sizes)[:-1])
        return [
            jnp.asarray(part.reshape(leaf.shape), leaf.dtype)
            for part, leaf in zip(parts, self.weights, strict=True)
        ]

    def moved(self, v: Any, length: float) -> list[Any]:
        """Return the weights moved by a length along a unit vector."""
        return [w + length * piece for w, piece in zip(self.weights, self.pieces(v), strict=True)]

    def whole(self, weights: Any, others: Any) -> Any:
        """Return parameters in the user's form."""
        import jax

        leaves = dict(zip(self.places, weights, strict=True)) | others | self.fixed
        return jax.tree_util.tree_unflatten(self.tree, [leaves[k] for k in range(len(leaves))])


class _Compiled:
    """A function and its derivatives, compiled for parameters of one form.

    Parameters
    ----------
    function
        Parameters and perhaps data → loss, or loss and weight.
    form
        Parameters of the form.
    rest
        What the function takes besides parameters.
    """

    def __init__(self, function: Any, form: _Form, rest: tuple[Any, ...]) -> None:
        import jax

        self._function, self._form = function, form

        def loss(weights: Any, others: Any, rest: Any) -> tuple[Any, Any]:
            returned = function(form.whole(weights, others), *rest)
            if isinstance(returned, tuple) and len(returned) == 2:
                return returned[0], returned[1]
            return returned, None

        slope = jax.grad(loss, has_aux=True)
        try:
            kind, weight = jax.eval_shape(loss, form.weights, form.others, rest)
            if getattr(kind, "shape", None) != () or kind.dtype.kind not in "fV":
                raise TypeError(f"a result of {validation.shown(kind)}")
            if weight is not None and weight.shape != ():
                raise TypeError(f"a weight of shape {weight.shape}")
            jax.eval_shape(slope, form.weights, form.others, rest)
        except Exception as error:
            raise TypeError(
                "function must be traceable and differentiable by JAX and return one number, got "
                f"{_first_line(error)}"
            ) from error

        def product(weights: Any, v: Any, others: Any, rest: Any) -> tuple[Any, Any]:
            of_gradient = jax.jvp(lambda w: slope(w, others, rest), (weights,), (v,), has_aux=True)
            return of_gradient[1], of_gradient[2]

        def value(weights: Any, others: Any, rest: Any) -> tuple[Any, Any]:
            out, weight = loss(weights, others, rest)
            return [out], weight

        self._loss = loss
        self.value, self.gradient, self.product = jax.jit(value), jax.jit(slope), jax.jit(product)
        self._rounding = self._difference(form, rest)

    def fits(self, form: _Form) -> bool:
        """Whether parameters have this form."""
        own = self._form
        same = (own.tree, own.places, own.others.keys()) == (form.tree, form.places, form.others.keys())
        return same and all(_equal(leaf, form.fixed[k]) for k, leaf in own.fixed.items())

    def is_stale(self, form: _Form, rest: tuple[Any, ...]) -> bool:
        """Whether the function computes something else than when it was compiled, by data that it closes over."""
        least = 16.0 * float(np.finfo(form.precision).eps)
        return self._difference(form, rest) > max(least, 4.0 * self._rounding)

    def _difference(self, form: _Form, rest: tuple[Any, ...]) -> float:
        """Return how far the compiled function is off the function, relative, at a generic point near the weights."""
        generic = np.random.default_rng(1).standard_normal(form.size).astype(form.precision)
        for weights in (form.moved(generic / np.linalg.norm(generic), 0.1 * form.scale), form.weights):
            now = number("loss", self._loss(weights, form.others, rest)[0])
            then = number("loss", self.value(weights, form.others, rest)[0][0])
            if np.isfinite(now) and np.isfinite(then):
                return abs(now - then) / (max(abs(now), abs(then)) or 1.0)
            if np.isfinite(now) != np.isfinite(then):
                return float("inf")
        return 0.0

    def has_kinks_only(self, form: _Form, rest: tuple[Any, ...]) -> bool:
        """Return whether the function has operations with kinks, and none with derivatives of the user's own."""
        import jax

        names: set[str] = set()
        todo: list[Any] = [jax.make_jaxpr(self._loss)(form.weights, form.others, rest)]
        while todo:
            one = todo.pop()
            if isinstance(one, (list, tuple)):
                todo.extend(one)
                continue
            inner = getattr(one, "jaxpr", one)
            for equation in getattr(inner, "eqns", ()):
                names.add(equation.primitive.name)
                todo.extend(equation.params.values())
        return bool(names & _KINKS) and not any(name.startswith(_CUSTOM) for name in names)


def _is_traceable(leaf: Any) -> bool:
    """Whether a leaf can be an argument of a compiled function."""
    import jax

    if isinstance(leaf, (bool, np.ndarray)):
        return not isinstance(leaf, bool) and leaf.dtype.kind in "biufc"
    return isinstance(leaf, (int, float, complex, np.number, np.bool_, jax.Array))


def _equal(a: Any, b: Any) -> bool:
    try:
        return a is b or bool(a == b)
    except Exception:  # objects of the user's, of any kind
        return False


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {validation.one_line((str(error).splitlines() or [''])[0])}"
