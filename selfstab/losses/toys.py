"""Toy losses, each a few lines on SymbolicLoss, with their minima in closed form.

A class more, and its line in :mod:`selfstab.losses.registry`, make a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import sympy

from selfstab import validation
from selfstab.formulas.size import check_weights
from selfstab.losses.base.named_loss import numbers, whole
from selfstab.losses.symbolic.toy import Demonstration, SliderRange, Toy, sharpness_setting
from selfstab.validation import Array


class Quadratic(Toy):
    """½ Σ cᵢ wᵢ², with constant Hessian diag(c).

    Parameters
    ----------
    curvatures
        c, one per weight, at most 500, finite; weights are named w0, w1, ... and parameters c0, c1, ...

    Raises
    ------
    TypeError, ValueError
        If the curvatures are not a one-dimensional array of finite numbers.

    Examples
    --------
    >>> Quadratic([2.0, 1.0]).sharpness([0.0, 0.0])
    (2.0, array([1., 0.]))
    """

    text_settings = MappingProxyType({"curvatures": "2,1"})

    @classmethod
    def from_text(cls, settings: Mapping[str, str]) -> Self:
        """Return the loss with the curvatures that a text writes, separated by commas."""
        return cls(numbers("curvatures", settings.get("curvatures", cls.text_settings["curvatures"])))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the loss with these curvatures."""
        return cls([*state["parameters"].values()])

    def __init__(self, curvatures: Any) -> None:
        c = validation.floats("curvatures", curvatures, shape=(None,))
        if c.size == 0:
            raise ValueError("curvatures must hold at least one number, got none")
        check_weights("curvatures", c.size)
        w = sympy.symbols(f"w:{c.size}", real=True)
        p = sympy.symbols(f"c:{c.size}", real=True)
        expression = sympy.Add(*(a * b**2 for a, b in zip(p, w, strict=True))) / 2
        super().__init__(expression, w, dict(zip(p, c, strict=True)))

    def minimum(self, start: Any = None) -> Array:
        """Return the origin, wherever `start` is; ValueError if a curvature is negative: there is no minimum."""
        if start is not None:
            self.checked_weights("start", start)
        validation.broadcastable("curvatures of a loss with a minimum", self._values, at_least=0)
        return np.zeros(self.dimension)


class CubicTaylor(Toy):
    """½(c + b z) x² − (α/b) z: the cubic Taylor model of a sharp direction x and the direction z that sharpens it.

    Its sharpness is ½(h + √(h² + 4b²x²)) with h = c + b z; with y = b z + c − S*, heavy ball obeys
    x_{t+1} = x_t − η(S* + y_t)x_t + β(x_t − x_{t−1}), y_{t+1} = y_t + η(α − b²x_t²/2) + β(y_t − y_{t−1})
    (the dynamics of [Damian2023]_ with momentum).

    Parameters
    ----------
    curvature
        c, the sharpness at the origin.
    progressive_sharpening
        α, the rate at which the gradient raises the sharpness, per unit of lr.
    stabilization
        b² > 0, the squared gradient of the sharpness.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a finite number, or stabilization is not above 0.

    Examples
    --------
    >>> CubicTaylor(curvature=1.0).sharpness([0.0, 0.5])[0]
    1.5
    """

    domain = MappingProxyType({"stabilization": {"above": 0.0}})
    text_settings = MappingProxyType({"curvature": "1", "progressive_sharpening": "0", "stabilization": "1"})
    demonstration = Demonstration(
        "½(1 + b z) x² − (α/b) z",
        (
            SliderRange("progressive_sharpening", "progressive sharpening α", 0.0, 1e-3, 1e-5, 0.0),
            SliderRange("stabilization", "stabilization b²", 0.1, 4.0, 0.05, 1.0),
        ),
        start=(0.0, 0.0),
        weight=1,
        fixed=MappingProxyType({"curvature": 1.0}),
    )

    def __init__(
        self, curvature: float, progressive_sharpening: float = 0.0, stabilization: float = 1.0
    ) -> None:
        x, z = sympy.symbols("x z", real=True)
        c, a, b2 = sympy.symbols("curvature progressive_sharpening stabilization", real=True)
        b = sympy.sqrt(b2)
        super().__init__(
            (c + b * z) * x**2 / 2 - a / b * z,
            (x, z),
            {c: curvature, a: progressive_sharpening, b2: stabilization},
        )

    def minimum(self, start: Any = None) -> Array:
        """Return the origin, wherever `start` is; ValueError if progressive_sharpening is not 0: there is no minimum.

        The gradient vanishes then at saddles only (α > 0) or nowhere (α < 0).
        """
        if start is not None:
            self.checked_weights("start", start)
        if slope := self._parameters["progressive_sharpening"]:
            raise ValueError(f"progressive_sharpening must be 0 for a loss with a minimum, got {slope!r}")
        return np.zeros(2)


class Product(Toy):
    """½(u v − 1)²: the smallest network; its minima uv = 1 have every sharpness u² + v² >= 2.

    The toy of [Lewkowycz2020]_, among others.

    Examples
    --------
    >>> loss = Product()
    >>> round(loss.sharpness(loss.minimum(sharpness=4.0))[0], 12)
    4.0
    """

    demonstration = Demonstration("½(u v − 1)²", sharpness=sharpness_setting(2.2, 12.0, 6.0))

    def __init__(self) -> None:
        u, v = sympy.symbols("u v", real=True)
        super().__init__((u * v - 1) ** 2 / 2, (u, v))

    def minimum(self, start: Any = None, *, sharpness: float = 4.0) -> Array:
        """Return the minimum with u >= v > 0 and the given sharpness u² + v² >= 2 (or the one near `start`)."""
        if start is not None:
            return super().minimum(start)
        s = validation.real("sharpness", sharpness, at_least=2)
        # (u + v)² = s + 2 and (u − v)² = s − 2; v = 1/u has no cancellation.
        u = 0.5 * (np.sqrt(s + 2.0) + np.sqrt(s - 2.0))
        return np.array([u, 1.0 / u])


class DoubleWell(Toy):
    """¼(w² − 1)²: two minima at ±1 of sharpness 2, a barrier between.

    Examples
    --------
    >>> DoubleWell().sharpness([1.0])
    (2.0, array([1.]))
    """

    demonstration = Demonstration("¼(w² − 1)²", momentum=0.0, excess=0.3)

    def __init__(self) -> None:
        w = sympy.Symbol("w", real=True)
        super().__init__((w**2 - 1) ** 2 / 4, (w,))

    def minimum(self, start: Any = None) -> Array:
        """Return the minimum at +1 (or the one near `start`)."""
        return np.array([1.0]) if start is None else super().minimum(start)


class Minimalist(Toy):
    """½(x²y² − 1)²: minima x²y² = 1 of sharpness 4(x² + y²) >= 8.

    The minimalist example of [Zhu2023]_, up to scale.

    Examples
    --------
    >>> loss = Minimalist()
    >>> round(loss.sharpness(loss.minimum(sharpness=10.0))[0], 12)
    10.0
    """

    demonstration = Demonstration("½(x² y² − 1)²", sharpness=sharpness_setting(8.5, 40.0, 20.0))

    def __init__(self) -> None:
        x, y = sympy.symbols("x y", real=True)
        super().__init__((x**2 * y**2 - 1) ** 2 / 2, (x, y))

    def minimum(self, start: Any = None, *, sharpness: float = 16.0) -> Array:
        """Return the minimum with x >= y > 0 and the given sharpness >= 8 (or the one near `start`)."""
        if start is not None:
            return super().minimum(start)
        s = validation.real("sharpness", sharpness, at_least=8) / 4.0
        x = 0.5 * (np.sqrt(s + 2.0) + np.sqrt(s - 2.0))
        return np.array([x, 1.0 / x])


class Chain(Toy):
    """½(u₀u₁⋯ − 1)²: a scalar linear network of the given depth; minima Πu = 1 of sharpness Σ 1/uᵢ².

    Parameters
    ----------
    depth
        Number of weights, 1 to 12.

    Raises
    ------
    TypeError, ValueError
        If depth is not an integer from 1 to 12.

    Examples
    --------
    >>> loss = Chain(3)
    >>> round(loss.sharpness(loss.minimum(sharpness=6.0))[0], 12)
    6.0
    """

    text_settings = MappingProxyType({"depth": "3"})
    demonstration = Demonstration(
        "½(u₀ u₁ ⋯ − 1)²",
        (SliderRange("depth", "depth", 2, 6, 1, 3, whole=True),),
        sharpness=sharpness_setting(6.5, 24.0, 8.0),
    )

    @classmethod
    def from_text(cls, settings: Mapping[str, str]) -> Self:
        """Return the chain of the depth that a text writes."""
        return cls(whole("depth", settings.get("depth", cls.text_settings["depth"])))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the chain with as many weights."""
        return cls(len(state["variables"]))

    def __init__(self, depth: int) -> None:
        depth = validation.integer("depth", depth, at_least=1, at_most=12)
        u = sympy.symbols(f"u:{depth}", real=True)
        super().__init__((sympy.prod(u) - 1) ** 2 / 2, u)

    def minimum(self, start: Any = None, *, sharpness: float | None = None) -> Array:
        """Return the minimum u₀ = r, u₁ = ... = r^{−1/(d−1)}, r <= 1, of the given sharpness >= d (d the depth).

        The least sharpness d is at u = 1 (the default); with `start`, the minimum near it.
        """
        if start is not None:
            return super().minimum(start)
        d = self.dimension
        s = validation.real("sharpness", d if sharpness is None else sharpness, at_least=d)
        if d == 1 or s == d:
            if s != d:
                raise ValueError(f"sharpness must be 1 at depth 1, got {s}")
            return np.ones(d)
        from scipy.optimize import brentq

        # With q = ln(1/r²): e^q + (d − 1)e^{−q/(d−1)} = s, increasing in q > 0.
        q = brentq(
            lambda q: np.exp(q) + (d - 1) * np.exp(-q / (d - 1)) - s, 0.0, np.log(s), xtol=1e-15, rtol=1e-15
        )
        return np.array([np.exp(-q / 2.0), *[np.exp(q / (2.0 * (d - 1)))] * (d - 1)])


class Coupled(Toy):
    """½(y + ζx)x² − ε(x + y): a cubic model whose sharp direction also feels x³, the toy of [Berthier2026]_.

    Parameters
    ----------
    zeta
        ζ, the strength of the x³ term.
    eps
        ε, the slope that sharpens.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a finite number.

    Examples
    --------
    >>> Coupled(zeta=0.5, eps=0.01).gradient([0.0, 2.0])
    array([-0.01, -0.01])
    """

    text_settings = MappingProxyType({"zeta": "0.5", "eps": "0.01"})
    demonstration = Demonstration(
        "½(y + ζ x) x² − ϵ (x + y)",
        (
            SliderRange("zeta", "coupling ζ", -1.0, 1.0, 0.02, 0.2),
            SliderRange("eps", "slope ϵ", 0.0, 2e-3, 2e-5, 2e-4),
        ),
        start=(0.0, 1.0),
        steps=1000,
        momentum=0.3,
    )

    def __init__(self, zeta: float, eps: float) -> None:
        x, y, z, e = sympy.symbols("x y zeta eps", real=True)
        super().__init__((y + z * x) * x**2 / 2 - e * (x + y), (x, y), {z: zeta, e: eps})
