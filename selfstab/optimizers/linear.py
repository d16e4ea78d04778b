"""Any linear optimizer, by its transfer function or its matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, Self

from selfstab import validation
from selfstab.optimizers.arithmetic import where
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.schedules import Schedule
from selfstab.optimizers.settings import rule_field
from selfstab.transfer_functions import (
    Polynomial,
    Transfer,
    exact,
    first_to_leave,
    floats,
    integrated,
    is_stable,
    of_matrices,
    value_at,
)

MOST_COEFFICIENTS: Final = 33
"""Most coefficients of a polynomial."""


class LinearOptimizer(Optimizer):
    """A linear optimizer of constant coefficients, w = −η T(q)∇L with q the forward shift.

    T is a ratio of polynomials in z, such as z/((z − 1)(z − β)) of the heavy ball. It needs a pole at z = 1, which sums
    up the steps, and its other poles within the unit circle. The gradient at w_t first moves w_{t+1}, so that the
    numerator's degree is below the denominator's. The weights move by w_{t+1} = w_t − η u_t, with
    u = (z − 1)T(z) of the gradients.

    The threshold is where the first root of 1 + ηS·T(z) = 0 leaves the unit circle; S* = −1/(ηT(−1)) if it leaves at
    z = −1. Coefficients are no axes of sweeps: each set of them has a kernel.

    PyTorch's ``SGD(lr, momentum=β, dampening=d)`` is ``LinearOptimizer(lr, [1 - d, 0], [1, -1 - β, β])``, if its buffer
    starts at 0.

    Parameters
    ----------
    lr
        Learning rate η per step: a number > 0 or a schedule such as :class:`LinearWarmup`.
    numerator, denominator
        Coefficients of T for η = 1, the highest power of z first; at most 33 each.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range. If T is not strictly proper, has no pole at z = 1, or
        has another pole outside the unit circle or on it. If no sharpness is stable, or all are.

    See Also
    --------
    LinearOptimizer.from_matrices : The same, by the matrices of its states.

    Examples
    --------
    The optimizer of a PID controller: momentum, and a derivative of the gradients of weight k,
    T = [z + k(1 − β)(z − 1)]/((z − 1)(z − β)):

    >>> beta, k = 0.9, 3.0
    >>> optimizer = LinearOptimizer(0.1, [1 + k * (1 - beta), -k * (1 - beta)], [1, -1 - beta, beta])
    >>> round(optimizer.max_stable_sharpness(), 9)
    23.75
    >>> round(optimizer.amplification(), 9), round(optimizer.inertia(0.01).effective, 6)
    (11.875, 0.301167)
    """

    numerator: tuple[float, ...] = rule_field(
        "numbers", "T's numerator for lr 1, highest power of z first.", example="1.3,-0.3"
    )
    denominator: tuple[float, ...] = rule_field(
        "numbers", "T's denominator, highest power of z first.", example="1,-1.9,0.9"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("numerator", "denominator"):
            value = getattr(self, name)
            if isinstance(value, (str, int, float)):
                raise TypeError(
                    f"{name} must be coefficients such as (1.0, -1.0), got {validation.shown(value)}"
                )
            values = validation.floats(name, value, shape=(None,))
            if not 1 <= values.size <= MOST_COEFFICIENTS:
                raise ValueError(f"{name} must hold 1 to {MOST_COEFFICIENTS} coefficients, got {values.size}")
            object.__setattr__(self, name, tuple(map(float, values)))
        self._filter  # noqa: B018  # raises where T is none

    @classmethod
    def from_matrices(cls, lr: float | Schedule, matrix: Any, inputs: Any, outputs: Any) -> Self:
        """Return the optimizer x_{t+1} = A x_t + B ∇L(w_t), w_t = −η C x_t, of as many states x as A has rows.

        T = C(z − A)⁻¹B, by exact arithmetic. Each weight has states of its own.

        Parameters
        ----------
        lr
            Learning rate η.
        matrix
            A, of shape (n, n).
        inputs, outputs
            B and C, of shape (n,).

        Raises
        ------
        TypeError, ValueError
            If an argument is of another shape, or as :class:`LinearOptimizer` for T.

        Examples
        --------
        The heavy ball: x is the sum of the velocities, and the velocity.

        >>> LinearOptimizer.from_matrices(0.1, [[1, 0.5], [0, 0.5]], [1, 1], [1, 0])
        LinearOptimizer(lr=0.1, numerator=(1.0, 0.0), denominator=(1.0, -1.5, 0.5))
        """
        a = validation.floats("matrix", matrix, shape=(None, None))
        size = len(a)
        if not 1 <= size < MOST_COEFFICIENTS or a.shape != (size, size):
            raise ValueError(
                f"matrix must be square, of 1 to {MOST_COEFFICIENTS - 1} rows, got shape {a.shape}"
            )
        b, c = (
            [Fraction(float(v)) for v in validation.floats(name, value, shape=(size,))]
            for name, value in (("inputs", inputs), ("outputs", outputs))
        )
        ratio = of_matrices([[Fraction(float(v)) for v in row] for row in a], b, [-v for v in c])
        return cls(
            lr,
            tuple(map(float, floats(ratio.numerator or (Fraction(0),)))),
            tuple(map(float, floats(ratio.denominator))),
        )

    @property
    def states(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the states, one less than T has poles."""
        return tuple(f"filter_{k}" for k in range(len(self._filter.backward)))

    @property
    def _filter(self) -> _Filter:
        return _filter_of(self.numerator, self.denominator)

    def rule(
        self, weights: Any, states: tuple[Any, ...], gradient: Any, lr: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return w_{t+1} and the states of the filter (z − 1)T(z) in its transposed direct form."""
        known = self._filter
        first = [known.direct * gradient] if known.direct else []
        update = _sum([*states[:1], *first])
        following = []
        for k, (forward, backward) in enumerate(zip(known.forward, known.backward, strict=True)):
            parts = [*states[k + 1 : k + 2]]
            parts += [forward * gradient] if forward else []
            parts += [-backward * update] if backward else []
            following.append(_sum(parts))
        return weights - lr * update, tuple(following)

    def begin(self, start: Any, previous: Any, lr: Any) -> tuple[Any, ...]:
        """Return the states of a flip; 0 at the lr 0 of a warmup, or where T(−1) is 0 and no flip is a mode."""
        flip = where(lr > 0.0, (start - previous) / where(lr > 0.0, lr, 1.0), 0.0)
        return tuple(share * flip for share in self._filter.flip)

    def threshold_fraction(self) -> tuple[Any, Any]:
        """Return S* at lr 1, and 1."""
        return self._filter.threshold, 1.0


def _sum(parts: Sequence[Any]) -> Any:
    return sum(parts[1:], parts[0])


@dataclass(frozen=True)
class _Filter:
    """(z − 1)T(z) as a filter: u = direct·g + s_0, s_k ← forward_k·g + s_{k+1} − backward_k·u."""

    direct: float
    forward: tuple[float, ...]
    backward: tuple[float, ...]
    flip: tuple[float, ...]
    """The states where weights flip, by η⁻¹(w_0 − w_{−1})."""
    threshold: float


@lru_cache(maxsize=256)
def _filter_of(numerator: tuple[float, ...], denominator: tuple[float, ...]) -> _Filter:
    above, below = exact(numerator), exact(denominator)
    if not above or not below:
        name, value = ("denominator", denominator) if above else ("numerator", numerator)
        raise ValueError(f"{name} must have a coefficient that is not 0, got {_shown(value)}")
    if len(above) >= len(below):
        raise ValueError(
            "numerator must be of a lower degree than the denominator, since a gradient is known only after its "
            f"weights, got degrees {len(above) - 1} and {len(below) - 1}"
        )
    transfer = Transfer.reduced(above, below)
    rest = integrated(transfer.denominator)
    if rest is None:
        raise ValueError(
            "denominator must be 0 at z = 1, and the numerator not, for steps to add up, got "
            f"{_shown(numerator)} and {_shown(denominator)}"
        )
    if not is_stable(rest):
        raise ValueError(
            "denominator must have its roots within the unit circle, but for one at z = 1, got "
            f"{_shown(denominator)}"
        )
    try:
        sharpness, _ = first_to_leave(transfer)
    except OverflowError:
        sharpness = math.inf
    if not 0.0 < sharpness < math.inf:
        which = "all are" if sharpness else "none is"
        raise ValueError(
            "numerator and denominator must have a threshold, up to which sharpness is stable, got "
            f"{_shown(numerator)} and {_shown(denominator)}: {which}"
        )
    try:
        return _realized(transfer.numerator, rest, sharpness)
    except OverflowError:
        raise ValueError(
            "numerator and denominator must be such that float64 holds their filter, got "
            f"{_shown(numerator)} and {_shown(denominator)}"
        ) from None


def _realized(above: Polynomial, rest: Polynomial, sharpness: float) -> _Filter:
    # Rounded coefficients may share a factor only once the pole at 1 is off.
    ratio = Transfer.reduced(above, rest)
    above, rest = ratio.numerator, ratio.denominator
    if any(c and not float(c) for c in (*above, *rest)):
        raise OverflowError("a coefficient that is not 0 is below the smallest float64")
    padded = (Fraction(0),) * (len(rest) - len(above)) + above
    at_flip = value_at(padded, -1) / value_at(rest, -1)
    # A flip's gradient is ±(w_0 − w_{−1})/(η F(−1)); from the last state on, s_k ← −s_k.
    shares: list[Fraction] = []
    following = Fraction(0)
    for forward, backward in zip(reversed(padded[1:]), reversed(rest[1:]), strict=True):
        following = backward - forward / at_flip - following if at_flip else Fraction(0)
        shares.append(following)
    return _Filter(
        float(padded[0]),
        tuple(map(float, padded[1:])),
        tuple(map(float, rest[1:])),
        tuple(map(float, reversed(shares))),
        sharpness,
    )


def _shown(coefficients: Sequence[float]) -> str:
    return validation.shown(list(coefficients), 80)
