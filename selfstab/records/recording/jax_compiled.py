"""A JAX function and its derivatives, compiled, and whether it still computes what was compiled."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.losses.functions.reachable import reachable
from selfstab.records.recording import jax_traces
from selfstab.records.recording.jax_weights import Weights

_SAME_GRADIENT: Final = {"float64": 1e-6, "float32": 2e-2}
"""Relative difference of two gradients, compiled and not, that may be rounding."""

_FOREIGN: Final = ("jax.", "jax._", "jaxlib", "flax.", "optax.", "equinox.", "haiku.")
"""How modules begin whose compiled functions close over no data of the user's."""


class Compiled:
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

    def __init__(self, function: Any, form: Weights, rest: tuple[Any, ...]) -> None:
        import jax

        self._form = form
        self._fingerprints: dict[Any, str] = {}

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
            if weight is not None and getattr(weight, "shape", None) != ():
                shape = getattr(weight, "shape", type(weight).__name__)
                raise TypeError(f"a weight of shape {shape}: return the loss alone")
            jax.eval_shape(slope, form.weights, form.others, rest)
        except Exception as error:
            raise TypeError(
                f"function must be traceable and differentiable by JAX and return one number, got {first_line(error)}"
            ) from error

        def product(weights: Any, v: Any, others: Any, rest: Any) -> tuple[Any, Any]:
            of_gradient = jax.jvp(lambda w: slope(w, others, rest), (weights,), (v,), has_aux=True)
            return of_gradient[1], of_gradient[2]

        def value(weights: Any, others: Any, rest: Any) -> tuple[Any, Any]:
            out, weight = loss(weights, others, rest)
            return [out], weight

        self._loss, self._slope = loss, slope
        self.value, self.gradient, self.product = jax.jit(value), jax.jit(slope), jax.jit(product)

    def fits(self, form: Weights) -> bool:
        """Whether parameters have this form."""
        own = self._form
        same = (own.tree, own.places, own.others.keys()) == (form.tree, form.places, form.others.keys())
        return same and all(_equal(leaf, form.fixed[k]) for k, leaf in own.fixed.items())

    def is_stale(self, form: Weights, rest: tuple[Any, ...]) -> bool:
        """Whether the function computes something else than when it was compiled, by data that it closes over."""
        known = self._fingerprints.get(_signature(form, rest))
        return known is not None and known != self._fingerprint(form, rest)

    def keep(self, form: Weights, rest: tuple[Any, ...]) -> None:
        """Remember what is compiled for arguments of these shapes; raise if each trace gives something else."""
        signature = _signature(form, rest)
        if signature in self._fingerprints:
            return
        self._fingerprints[signature] = self._fingerprint(form, rest)
        if self.is_stale(form, rest):
            raise ValueError(
                "function must compute one loss, got another each time that it is traced: let parameters or data hold "
                "the key that it draws with"
            )

    def operations(self, form: Weights, rest: tuple[Any, ...]) -> set[str]:
        """Return the names of operations in the loss and its gradient."""
        arguments = form.weights, form.others, rest
        out: set[str] = set()
        for function in (self._loss, self._slope):
            out |= jax_traces.operations(jax_traces.trace(function, *arguments))
        return out

    def holds_host_arrays(self, form: Weights, rest: tuple[Any, ...]) -> bool:
        """Whether the function closes over NumPy's numbers in float64."""
        return jax_traces.holds_host_arrays(jax_traces.trace(self._loss, form.weights, form.others, rest))

    def clear(self) -> None:
        """Forget what is compiled."""
        compiled: tuple[Any, ...] = self.value, self.gradient, self.product
        for function in compiled:
            function.clear_cache()

    def uncompiled_gradient(self, form: Weights, rest: tuple[Any, ...]) -> Any:
        """Return the gradient as Python computes it now, also of functions that JAX has compiled within."""
        import jax

        with jax.disable_jit():
            return form.joined(self._slope(form.weights, form.others, rest)[0])

    def _fingerprint(self, form: Weights, rest: tuple[Any, ...]) -> str:
        try:
            return jax_traces.fingerprint(jax_traces.trace(self._loss, form.weights, form.others, rest))
        except Exception as error:  # such as a key that a trace before has left behind
            raise TypeError(
                "function must be traceable by JAX again and again, and leave nothing behind, got "
                f"{first_line(error)}"
            ) from error


class CompiledByUser:
    """Functions that the user compiled: JAX does not see where data that they close over have changed.

    Parameters
    ----------
    function
        That the recorder is given, compiled or calling compiled ones.
    """

    def __init__(self, function: Any) -> None:
        self._function = function
        self._state: list[Any] | None = None

    def check(self, compiled: Compiled, form: Weights, rest: tuple[Any, ...]) -> None:
        """Raise ValueError if one of them still computes with earlier data."""
        functions = [
            one
            for one in (self._function, *reachable(self._function))
            if type(one).__name__ == "PjitFunction"
            and not str(getattr(one, "__module__", "")).startswith(_FOREIGN)
        ]
        if not functions:
            return
        state = [_state_of(entry) for entry in reachable(*functions)]
        if self._state is not None and _are_same(state, self._state):
            return
        own = Compiled(self._function, form, rest)
        then = form.joined(own.gradient(form.weights, form.others, rest)[0])
        now = compiled.uncompiled_gradient(form, rest)
        error = float(np.linalg.norm(now - then))
        if np.isfinite(error) and error > _SAME_GRADIENT[form.precision] * float(np.linalg.norm(now)):
            raise ValueError(
                "function must take data that change as an argument, which log(step, parameters, data) gives it, got "
                "one that jax.jit compiled with earlier data"
            )
        self._state = state


def _signature(form: Weights, rest: tuple[Any, ...]) -> Any:
    """Return structure, shapes and precisions of what a function is traced for."""
    import jax

    leaves, structure = jax.tree_util.tree_flatten((form.weights, form.others, rest))
    return structure, tuple(
        (getattr(leaf, "shape", ()), str(getattr(leaf, "dtype", type(leaf)))) for leaf in leaves
    )


def _state_of(entry: Any) -> Any:
    """Return what tells whether an object has changed: itself, or a copy of what can change in place."""
    if isinstance(entry, np.ndarray):
        return entry.copy()
    return entry


def _are_same(state: list[Any], other: list[Any]) -> bool:
    return len(state) == len(other) and all(
        a is b
        or (type(a) is type(b) and isinstance(a, (bool, int, float, str)) and a == b)
        or (isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.array_equal(a, b, equal_nan=True))
        or not (isinstance(a, (bool, int, float, str, np.ndarray)) or hasattr(a, "dtype"))
        for a, b in zip(state, other, strict=True)
    )


def _equal(a: Any, b: Any) -> bool:
    try:
        return a is b or bool(a == b)
    except Exception:  # objects of the user's, of any kind
        return False


def first_line(error: Exception) -> str:
    """Return the kind of an error and the first line of its message."""
    return f"{type(error).__name__}: {validation.one_line((str(error).splitlines() or [''])[0])}"
