"""An empirical risk: the mean over samples of a formula of the weights and of a sample."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any, Final, Self

import numpy as np
import sympy

from selfstab import machine, validation
from selfstab.formulas.deadline import bounded
from selfstab.formulas.expressions import checked
from selfstab.formulas.size import check_nodes
from selfstab.kernels import modules
from selfstab.losses.base.kernel import Kernel, KernelSource
from selfstab.losses.base.sample_mean import SampleMean
from selfstab.losses.symbolic.entries import Names, Vector, by_name
from selfstab.losses.symbolic.loss import RESERVED, SymbolicLoss, _exact_text, _names, _text
from selfstab.losses.symbolic.risk_formulas import RiskFormulas
from selfstab.validation import Array

MOST_WEIGHTS: Final = 32
"""Most weights of a risk, whose Hessian has a sum over samples for each pair of weights."""


class EmpiricalRisk(SymbolicLoss, SampleMean):
    r"""The mean over samples of a formula of the weights and of a sample.

    .. math:: L(w) = \frac{1}{n} \sum_{i=1}^n \ell(w; x_i, y_i, ...)

    Value, gradient, Hessian and third derivatives of :math:`\ell` are derived once, for one sample. Compiled code sums
    them in a loop over the data, in the order of the rows, and divides by their number. So the time to compile depends
    on the formula alone, and a sweep runs in compiled code, as it does for :class:`SymbolicLoss`. Terms without an
    entry of a sample, such as a penalty on the weights, are outside the sum.

    Parameters
    ----------
    expression
        The loss :math:`\ell` of one sample: a SymPy expression, or text as for :class:`SymbolicLoss`. An entry of a
        vector x is ``x[0]``, ``x_0`` or ``x0`` in text, and ``IndexedBase("x")[0]`` or a symbol of one of these names
        in SymPy. ``dot(a, b)`` in text is the sum of the products of two vectors' entries.
    weights
        The weights, in order: names, or the length of a vector by its name, such as ``{"w": 3, "b": 1}``. The weights
        of a vector w of 3 are w_0, w_1 and w_2, and so are axes such as ``start.w_0``. A vector of one is a number.
    data
        Array by name, of shape (n,) for a number of each sample or (n, d) for a vector; all have the same n.
    parameters
        Number by name, or vector by name, for every other name of the expression. The numbers of a vector c are the
        parameters c_0, c_1, ...

    Raises
    ------
    TypeError
        If an argument is of the wrong kind, or a parameter's value is not a number or a vector of numbers.
    ValueError
        If the data are empty, not finite or of different lengths. If a name is repeated, reserved, undeclared or not a
        Python identifier, or an entry does not exist. If the expression reads no weight or no data, or is too large.
    MemoryError
        If the data take more than half of the free memory.

    See Also
    --------
    FunctionLoss : a loss whose gradient is code of one's own: larger models, at a millisecond or so a step.
    MLP : a network on data, by matrix products.

    Examples
    --------
    Logistic regression on three points, with a penalty on the weights:

    >>> import selfstab as ss
    >>> points, labels = [[0.0, 1.0], [2.0, -1.0], [1.0, 1.0]], [1.0, -1.0, 1.0]
    >>> risk = ss.EmpiricalRisk("log(1 + exp(-y*dot(w, x))) + c*dot(w, w)/2", {"w": 2}, {"x": points, "y": labels},
    ...                         {"c": 0.1})
    >>> risk.gradient([0.0, 0.0])
    array([ 0.16666667, -0.5       ])
    >>> risk.weight_names, round(risk.sharpness([0.0, 0.0])[0], 6)
    (('w_0', 'w_1'), 0.551184)
    >>> run = ss.simulate(risk, ss.HeavyBall(4.0), [1.0, 0.0], steps=100)
    >>> round(float(run.loss[-1]), 6), round(float(run.sharpness[-1]), 6)
    (0.307002, 0.301726)
    """

    @bounded("be checked and differentiated")
    def __init__(
        self,
        expression: sympy.Expr | str,
        weights: Mapping[str, int] | Iterable[sympy.Symbol | str],
        data: Mapping[str, Any],
        parameters: Mapping[sympy.Symbol | str, Any] | None = None,
    ) -> None:
        of_weights = _weight_vectors(weights)
        arrays = _arrays(data)
        values = _parameter_values(parameters)
        of_data = [Vector(name, None if a.ndim == 1 else a.shape[1]) for name, a in arrays.items()]
        self._vectors = tuple(Vector(n, None if np.ndim(v) == 0 else np.size(v)) for n, v in values.items())
        names = Names((*of_weights, *of_data, *self._vectors))
        self._names = tuple(entry for vector in of_weights for entry in vector.entries)
        self._parameters = {
            entry: float(value)
            for vector in self._vectors
            for entry, value in zip(vector.entries, np.atleast_1d(values[vector.name]), strict=True)
        }
        for name in self._parameters:
            if name in RESERVED:
                raise ValueError(
                    f"parameters must not be named like a sweep's axes, measures ({', '.join(RESERVED)}), got {name!r}"
                )
        self._entries = tuple(entry for vector in of_data for entry in vector.entries)
        self.expression = _of_sample(expression, names)
        self._written = expression if isinstance(expression, str) else ""
        self._check_reads()
        self._arrays = arrays
        self._table = np.column_stack([*arrays.values()])
        assert self._derived.functions

    def _check_reads(self) -> None:
        read = {s.name for s in self.expression.free_symbols}
        if not read & {*self._names}:
            raise ValueError(
                f"expression must use at least one of the weights {_short(', '.join(self._names))}, "
                f"got {_short(_text(self.expression))}"
            )
        if not read & {*self._entries}:
            raise ValueError(
                "expression must use at least one entry of the data, "
                f"got {_short(_text(self.expression))}: without data it is a SymbolicLoss"
            )

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def data(self) -> dict[str, Array]:
        """The data, copies by name."""
        return {name: array.copy() for name, array in self._arrays.items()}

    @property
    def sample_count(self) -> int:
        """The number of rows of each array."""
        return len(self._table)

    def of_rows(self, rows: Any) -> Self:
        """Return the risk of these rows of the data; formulas and compiled code are shared."""
        risk = copy.copy(self)
        risk._arrays = {name: array[rows] for name, array in self._arrays.items()}
        risk._table = self._table[rows]
        return risk

    @property
    def description(self) -> str:
        """The expression, the weights, the data by shape and a hash of the bytes, and the parameters, on one line."""
        digest = hashlib.sha256()
        for name, array in self._arrays.items():
            digest.update(f"{name}{array.shape}".encode())
            digest.update(array.astype("<f8").tobytes())
        shapes = ", ".join(f"{name} {'x'.join(map(str, a.shape))}" for name, a in self._arrays.items())
        inner = "".join(f", {name}={value!r}" for name, value in self._parameters.items())
        names = self._names if len(self._names) <= 8 else (*self._names[:3], "...", self._names[-1])
        return (
            f"{type(self).__name__}({_short(_text(self.expression))}; {', '.join(names)}; "
            f"{shapes}, sha256 {digest.hexdigest()[:12]}{inner})"
        )

    def replace(self, **parameters: Any) -> Self:
        """Return the same loss with other values of its parameters, of a vector's entry or of a whole vector.

        Raises
        ------
        TypeError, ValueError
            If a name is not a parameter's, or a value is not a finite number, or not a vector of as many.
        """
        numbers: dict[str, Any] = {}
        for name, value in parameters.items():
            vector = next((v for v in self._vectors if v.name == name and len(v.entries) > 1), None)
            if vector is None:
                numbers[name] = value
            else:
                row = validation.floats(name, value, shape=(len(vector.entries),))
                numbers |= dict(zip(vector.entries, row.tolist(), strict=True))
        return super().replace(**numbers)

    def state(self) -> dict[str, Any]:
        """Return the expression as text, the weights, the data and the parameters."""
        return {
            "expression": _exact_text(
                self.expression, [*self._names, *self._parameters, *self._entries], self._written
            ),
            "weights": self._names,
            "data": self._arrays,
            "parameters": self.parameters,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the loss that has this state."""
        return cls(state["expression"], list(state["weights"]), state["data"], state["parameters"])

    # -- kernels and derivatives ----------------------------------------------------------------------------------

    @property
    def _derived(self) -> _Derived:  # type: ignore[override]
        return _derived(
            self.expression, self._names, tuple(self._parameters), self._entries, type(self).__name__
        )

    @property
    def kernel(self) -> Kernel:
        """The compiled code of the loss."""
        return Kernel(self._derived.source, self._values, self._table)

    def _computed(self, source: str, name: str, out: Array, *at: Array) -> Array:
        """Call a function of a module of derivatives at weights and along directions."""
        self.kernel.function(source, name, 1)(*at, self._values, out)
        return out

    def value_at(self, w: Array) -> float:
        """Return L(w)."""
        return float(self._computed(self._derived.functions, "value", np.empty(1), w)[0])

    def gradient_at(self, w: Array) -> Array:
        """Return ∇L(w)."""
        return self._computed(self._derived.functions, "gradient", np.empty(self.dimension), w)

    def hessian_at(self, w: Array) -> Array:
        """Return ∇²L(w)."""
        n = self.dimension
        hessian, lower = np.empty((n, n)), np.tril_indices(n)
        hessian[lower] = self._computed(self._derived.functions, "hessian", np.empty(len(lower[0])), w)
        hessian.T[lower] = hessian[lower]
        return hessian

    def third_at(self, w: Array, u: Array, v: Array) -> Array:
        """Return ∇³L(w)(u, v, ·)."""
        return self._computed(self._derived.third, "directional", np.empty(self.dimension), w, u, v)

    def fourth_at(self, w: Array, u: Array, v: Array, z: Array) -> Array:
        """Return ∇⁴L(w)(u, v, z, ·)."""
        return self._computed(self._derived.fourth, "directional", np.empty(self.dimension), w, u, v, z)


class _Derived:
    """What follows from the formula of one sample alone, whatever the data and the parameters' values."""

    def __init__(self, formulas: RiskFormulas, title: str) -> None:
        self.formulas, self.source = formulas, KernelSource(formulas, title)

    @cached_property
    def functions(self) -> str:
        """Text of the module of value, gradient and Hessian; plain CPython has read it."""
        source = self.formulas.derivatives
        modules.plain(source)
        return source

    @cached_property
    @bounded("have third derivatives")
    def third(self) -> str:
        """Text of the module of the third derivative along two directions."""
        return self.formulas.directional(3)

    @cached_property
    @bounded("have fourth derivatives")
    def fourth(self) -> str:
        """Text of the module of the fourth derivative along three directions."""
        return self.formulas.directional(4)


@lru_cache(maxsize=64)
def _derived(
    expression: sympy.Expr,
    weights: tuple[str, ...],
    parameters: tuple[str, ...],
    entries: tuple[str, ...],
    kind: str,
) -> _Derived:
    symbols = [[sympy.Symbol(name, real=True) for name in names] for names in (weights, parameters, entries)]
    title = f"{kind}: L({', '.join(weights)}) = mean of {expression}"
    return _Derived(RiskFormulas(expression, *symbols), title)


def _short(text: str) -> str:
    """Return a text, its middle left out where it is long."""
    return text if len(text) <= 200 else f"{text[:150]}...{text[-40:]}"


def _weight_vectors(weights: Any) -> list[Vector]:
    if isinstance(weights, Mapping):
        if not weights:
            raise ValueError("weights must name at least one weight, got none")
        vectors = [
            Vector(str(name), validation.integer(f"weights[{str(name)!r}]", length, at_least=1))
            for name, length in weights.items()
        ]
    else:
        vectors = [Vector(name) for name in _names("weights", weights)]
        if not vectors:
            raise ValueError("weights must name at least one weight, got none")
    count = sum(
        len(vector.entries) if (vector.length or 1) <= MOST_WEIGHTS else vector.length or 1
        for vector in vectors
    )
    if count > MOST_WEIGHTS:
        raise ValueError(
            f"weights must be at most {MOST_WEIGHTS}, as each pair of them is a sum over the data, got {count}: "
            "use MLP or FunctionLoss for larger models"
        )
    return vectors


def _arrays(data: Any) -> dict[str, Array]:
    if not by_name("data", data):
        raise ValueError("data must name at least one array, got none")
    arrays: dict[str, Array] = {}
    for name, value in by_name("data", data).items():
        _check_memory(f"data[{name!r}]", value)
        array = validation.floats(f"data[{name!r}]", value)
        if array.ndim not in (1, 2):
            raise ValueError(
                f"data[{name!r}] must have shape (n,) or (n, d), got shape {array.shape}: give one row a sample"
            )
        if 0 in array.shape:
            raise ValueError(f"data[{name!r}] must not be empty, got shape {array.shape}")
        arrays[name] = array
    lengths = {name: len(array) for name, array in arrays.items()}
    if len({*lengths.values()}) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"data must have the same number of samples in each array, got {_short(listed)}")
    return arrays


def _check_memory(name: str, value: Any) -> None:
    """Raise MemoryError if an array is too large to be copied."""
    size = getattr(value, "size", 0)
    if isinstance(size, (int, np.integer)) and 16 * int(size) > machine.free_memory() // 2:
        raise MemoryError(
            f"{name} has {int(size)} numbers, which with a copy take more than half of the free memory: "
            "use fewer samples"
        )


def _parameter_values(parameters: Any) -> dict[str, Any]:
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise TypeError(f"parameters must map names to values, got {validation.shown(parameters)}")
    values: dict[str, Any] = {}
    for key, value in parameters.items():
        name = str(key)
        if name in values:
            raise ValueError(f"parameters must not repeat a name, got {name}")
        label = name if name.isidentifier() else f"parameters[{name!r}]"
        _check_memory(label, value)
        if np.ndim(value) == 0:
            values[name] = validation.real(label, value)
        else:
            row = validation.floats(label, value, shape=(None,))
            if not row.size:
                raise ValueError(f"{label} must hold at least one number, got none")
            values[name] = row
    return values


def _of_sample(expression: Any, names: Names) -> sympy.Expr:
    if isinstance(expression, str):
        return checked(names.parsed(expression))
    if not isinstance(expression, sympy.Expr):
        raise TypeError(f"expression must be a SymPy expression or text, got {validation.shown(expression)}")
    check_nodes(expression)
    return checked(names.renamed(expression))
