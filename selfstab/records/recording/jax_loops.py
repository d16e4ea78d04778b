"""What a JAX training loop shows at one step."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.losses.functions import differences
from selfstab.losses.functions.random_states import generators_of, random_states
from selfstab.records.recording.jax_compiled import Compiled, CompiledByUser, first_line
from selfstab.records.recording.jax_weights import Weights, doubled
from selfstab.records.recording.training_loops import Reading, check_parts, number
from selfstab.validation import Array

_KINKS: Final = frozenset(
    ("abs", "argmax", "argmin", "clamp", "cummax", "cummin", "max", "min", "reduce_max", "reduce_min",
     "reduce_window_max", "select_and_gather_add", "select_and_scatter_add", "select_n", "sign", "sort", "top_k")
)  # fmt: skip
"""Operations whose gradient may jump."""

_UNKNOWN: Final = (
    "custom_vjp_call",
    "pure_callback",
    "io_callback",
    "ffi_call",
    "stop_gradient",
    "pallas_call",
)
"""How operations are called whose derivatives are of the user's own, or dropped."""

_SAME_FUNCTION: Final = 0.5
"""Relative difference of gradients beyond which a function in float64 is another one."""


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
        # A function that jax.jit has compiled keeps the data that it closed over first.
        jitted = type(function).__name__ == "PjitFunction"
        self._function, self._parts = (function.__wrapped__ if jitted else function), parts
        self._compiled: Compiled | None = None
        self._generators: list[Any] = []
        self._by_user = CompiledByUser(function)
        self._tried, self._by_differences = False, False
        self._in_double: _DoubleLoop | None = None

    def read(self, parameters: Any, *data: Any) -> Reading:
        """Return what the loop shows at parameters."""
        import jax.numpy as jnp

        if data and self._parts is not None:
            raise ValueError("data must be left out, for the recorder has parts")
        form = Weights(parameters)
        if self._compiled is None:
            self._generators = generators_of(self._function, self._parts)
        with random_states(self._generators):  # a function that draws is refused, and has moved nothing
            compiled = self._fresh(form, data)
            if not self._tried:
                self._try(compiled, form, data)

        def vector(numbers: Any) -> Any:
            return jnp.asarray(numbers, form.precision)

        def along(v: Any) -> Any:
            if self._by_differences:
                image = self._difference(compiled, form, data, np.asarray(v, form.precision))
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
            noise=self._noise(form.precision),
        )

    def _noise(self, precision: str) -> float:
        if not self._by_differences:
            return 0.0
        return differences.NOISE["float64" if self._in_double is not None else precision]

    def _arguments(self, data: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        """Yield what the function takes besides parameters: once, or once for each part."""
        if self._parts is None:
            yield self._data(data)
            return
        with random_states(self._generators):  # of a loader that shuffles
            for part in self._parts:
                yield self._data((part,))

    @staticmethod
    def _data(rest: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return arguments as the function takes them."""
        return rest

    def _fresh(self, form: Weights, data: tuple[Any, ...]) -> Compiled:
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
            compiled = Compiled(self._function, form, first)
        for rest in self._arguments(data):
            compiled.keep(form, rest)
        self._by_user.check(compiled, form, first)
        self._compiled = compiled
        return compiled

    def _total(
        self, derivative: Any, weights: Any, form: Weights, data: tuple[Any, ...], *directions: Any
    ) -> list[Any]:
        """Return the sum, or weighted mean, of what a derivative gives for each part, as numbers."""
        total: list[Any] = []
        weight, paired = 0.0, False
        for rest in self._arguments(data):
            image, own = derivative(weights, *directions, form.others, rest)
            if own is not None and self._parts is not None:  # of one whole the weight says nothing
                paired, own = True, number("weight", own)
                weight += own
                image = [own * leaf for leaf in image]
            total = [a + b for a, b in zip(total, image, strict=True)] if total else list(image)
        if paired and weight <= 0.0:
            raise ValueError(f"weight must be positive for one part at least, got a sum of {weight:g}")
        total = [leaf / weight for leaf in total] if paired else total
        return total

    def _gradient(self, compiled: Compiled, weights: Any, form: Weights, data: tuple[Any, ...]) -> Any:
        return form.joined(self._total(compiled.gradient, weights, form, data))

    def _product(self, compiled: Compiled, form: Weights, data: tuple[Any, ...], v: Any) -> Any:
        return form.joined(self._total(compiled.product, form.weights, form, data, form.pieces(v)))

    def _displaced(
        self, compiled: Compiled, form: Weights, data: tuple[Any, ...], v: Any, length: float
    ) -> tuple[Any, Any]:
        """Return the difference of gradients at two points ±length along a direction, and that of the points."""
        gradients, points = [], []
        for sign in (1.0, -1.0):
            moved = form.moved(v, sign * length)
            points.append(form.joined(moved))
            gradients.append(self._gradient(compiled, moved, form, data))
        return gradients[0] - gradients[1], points[0] - points[1]

    def _by_difference(self, compiled: Compiled, form: Weights, data: tuple[Any, ...], v: Any) -> Array:
        """Return the product with the Hessian as a central difference of gradients."""
        length = differences.LENGTH[form.precision] * form.scale
        size = float(np.linalg.norm(v))
        difference, displacement = self._displaced(compiled, form, data, v / (size or 1.0), length)
        moved = float(np.linalg.norm(displacement))
        out: Array = difference * (size / moved) if moved else 0.0 * difference
        return out

    def _try(self, compiled: Compiled, form: Weights, data: tuple[Any, ...]) -> None:
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
        except Exception as error:  # whatever JAX raises where there is no second derivative
            obstacle = first_line(error)
        names = compiled.operations(form, next(self._arguments(data)))
        # JAX's own operations have the derivatives that they should have.
        if not obstacle and form.precision == "float32" and not any(n.startswith(_UNKNOWN) for n in names):
            return
        inner = self._doubled(form, data, gradient) if form.precision == "float32" else None
        judgement = None if inner is None else inner.judgement(form, data, direction, fails=bool(obstacle))
        if judgement is None:
            kinks = names & _KINKS and not any(name.startswith(_UNKNOWN[:-1]) for name in names)
            # Kinks of a gradient in float32 are met at every step that is longer than rounding.
            if not obstacle and kinks and form.precision == "float32":
                return
            judgement = self._judgement(compiled, form, data, direction, fails=bool(obstacle))
        wrong, symmetric = judgement
        if wrong and not symmetric:
            raise ValueError(
                "function must have a gradient with a symmetric derivative, got products that are no derivatives of one"
                + (f" ({obstacle})" if obstacle else ": leave out stop_gradient")
            )
        self._by_differences = wrong
        if inner is not None:
            self._in_double = inner if wrong and inner.is_kept else None
            inner.release()

    def _judgement(
        self, compiled: Compiled, form: Weights, data: tuple[Any, ...], direction: Any, *, fails: bool
    ) -> tuple[bool, bool]:
        """Return whether products are wrong or fail, and whether differences are those of a symmetric matrix."""
        if not fails and not self._contradicts(compiled, form, data, direction):
            return False, True
        return True, differences.symmetric(lambda v: self._by_difference(compiled, form, data, v), direction)

    def _contradicts(self, compiled: Compiled, form: Weights, data: tuple[Any, ...], direction: Any) -> bool:
        return differences.contradicts(
            lambda v, length: self._displaced(compiled, form, data, v, length),
            lambda v: self._product(compiled, form, data, v),
            direction,
            form.scale,
        )

    def _doubled(self, form: Weights, data: tuple[Any, ...], gradient: Any) -> _DoubleLoop | None:
        """Return the loop in float64, or None where the function is another then or cannot be evaluated."""
        inner = _DoubleLoop(self._function, self._parts)
        inner._generators = self._generators
        try:
            slope = inner.slope(form, data)
        except Exception:  # whatever a function raises that insists on a precision
            return None
        error = float(np.linalg.norm(slope - gradient))
        return inner if error <= _SAME_FUNCTION * float(np.linalg.norm(slope)) else None

    def _difference(self, compiled: Compiled, form: Weights, data: tuple[Any, ...], v: Any) -> Any:
        """Return the product with the Hessian as a difference of gradients, in float64 if that is possible."""
        if self._in_double is None:
            return self._by_difference(compiled, form, data, v)
        return self._in_double.difference(form, data, v)


class _DoubleLoop(_Loop):
    """A loop's loss evaluated in float64, whatever the precision of its parameters.

    Parameters
    ----------
    function, parts
        Of the loop.
    """

    @staticmethod
    def _data(rest: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return arguments in float64."""
        return tuple(doubled(rest))

    def __init__(self, function: Any, parts: Any) -> None:
        super().__init__(function, parts)
        self._by_user = CompiledByUser(None)  # that is seen to by the loop itself
        self._single: Weights | None = None
        self._double: Weights | None = None
        self.is_kept = False
        """Whether it may stay: JAX keeps one copy of NumPy's data that are closed over, in one precision."""

    def slope(self, form: Weights, data: tuple[Any, ...]) -> Any:
        """Return the gradient."""
        with enable_x64():
            double, compiled = self._at(form, data)
            first = next(self._arguments(data))
            self.is_kept = not compiled.holds_host_arrays(double, first)
            return self._gradient(compiled, double.weights, double, data)

    def judgement(
        self, form: Weights, data: tuple[Any, ...], direction: Any, *, fails: bool
    ) -> tuple[bool, bool] | None:
        """Return what :meth:`_judgement` does, or None where there are products in float32 only."""
        with enable_x64():
            double, compiled = self._at(form, data)
            try:
                return self._judgement(compiled, double, data, direction.astype(np.float64), fails=fails)
            except Exception:  # whatever JAX raises
                return None

    def difference(self, form: Weights, data: tuple[Any, ...], v: Any) -> Any:
        """Return the product with the Hessian as a difference of gradients."""
        with enable_x64():
            double, compiled = self._at(form, data)
            return self._by_difference(compiled, double, data, v.astype(np.float64)).astype(form.precision)

    def release(self) -> None:
        """Forget what holds the user's data in float64."""
        if not self.is_kept and self._compiled is not None:
            self._compiled.clear()
            self._compiled = self._double = None
            gc.collect()

    def _at(self, form: Weights, data: tuple[Any, ...]) -> tuple[Weights, Compiled]:
        """Return parameters in float64 and what is compiled for them, made once a record."""
        if self._single is not form or self._double is None or self._compiled is None:
            self._single, self._double = form, form.doubled()
            self._fresh(self._double, data)
        assert self._compiled is not None
        return self._double, self._compiled


@contextmanager
def enable_x64() -> Iterator[None]:
    """Let JAX compute in float64 within."""
    import jax

    with (jax if hasattr(jax, "enable_x64") else import_module("jax.experimental")).enable_x64(True):
        yield
