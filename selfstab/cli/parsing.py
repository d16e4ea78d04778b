"""Starts and axes named in text, as a command line gives them; nothing is evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np

from selfstab import validation
from selfstab.losses.base.loss import Loss
from selfstab.losses.base.named_loss import number, numbers, whole
from selfstab.losses.base.starts import Initialization
from selfstab.validation import Array


def named_initialization(text: str) -> Initialization | None:
    """Return the initialization that ``initial[:SCALE]`` names; None for another text.

    Examples
    --------
    >>> named_initialization("initial:0.1")
    Initialization(seed=0, scale=0.1)
    """
    word, _, detail = text.partition(":")
    if word != "initial":
        return None
    return Initialization(scale=number("start", detail) if detail else 1.0)


def named_start(text: str, loss: Loss) -> Array:
    """Return the weights a text names: numbers, ``minimum[:SHARPNESS]``, ``near:NUMBERS`` or ``initial[:SCALE]``.

    ``near:1.9,0.5`` is the minimum that Newton's method finds from these numbers.

    Examples
    --------
    >>> import selfstab as ss
    >>> named_start("minimum:4", ss.Product()).round(4)
    array([1.9319, 0.5176])
    >>> named_start("near:1.9,0.5", ss.SymbolicLoss("(u*v - 1)**2/2", ["u", "v"])).prod().round(12)
    np.float64(1.0)
    """
    if (drawn := named_initialization(text)) is not None:
        return drawn.weights(loss)
    word, _, detail = text.partition(":")
    if word == "minimum":
        finder: Any = loss.minimum
        try:
            weights: Array = finder(sharpness=number("start", detail)) if detail else finder()
        except TypeError:
            what = "no minimum of a given sharpness" if detail else "no minimum in closed form"
            raise ValueError(f"start: this loss has {what}, got {text!r}; try near:NUMBERS") from None
        return weights
    if word == "near":
        near: Array = loss.minimum(numbers("start", detail))
        return near
    return numbers("start", text)


def named_axis(text: str) -> tuple[str, Array]:
    """Return the name and values of an axis: ``NAME=a,b,c``, ``NAME=lin:FIRST:LAST:COUNT`` or ``NAME=log:...``.

    Examples
    --------
    >>> named_axis("excess=log:0.001:0.1:3")
    ('excess', array([0.001, 0.01 , 0.1  ]))
    """
    name, equals, values = text.partition("=")
    if not equals or not name:
        raise ValueError(f"axis must be NAME=VALUES, got {text!r}")
    parts = values.split(":")
    if parts[0] not in ("lin", "log"):
        if ":" in values:
            raise ValueError(
                f"axis {name} must be a,b,c or lin:FIRST:LAST:COUNT or log:FIRST:LAST:COUNT, got {values!r}"
            )
        return name, numbers(f"axis {name}", values)
    if len(parts) != 4:
        raise ValueError(f"axis {name} must be {parts[0]}:FIRST:LAST:COUNT, got {values!r}")
    first, last = number(f"axis {name}", parts[1]), number(f"axis {name}", parts[2])
    count = validation.integer(f"axis {name}", whole(f"axis {name}", parts[3]), at_least=1, at_most=10**8)
    if parts[0] == "log" and (first <= 0 or last <= 0):
        raise ValueError(f"axis {name} must have ends above 0 for log, got {values!r}")
    with np.errstate(over="ignore", invalid="ignore"):
        points = (np.geomspace if parts[0] == "log" else np.linspace)(first, last, count)
    if not np.isfinite(points).all():
        raise ValueError(f"axis {name} must have finite ends and a finite span, got {values!r}")
    return name, points
