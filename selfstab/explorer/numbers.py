"""Sliders of an optimizer's numbers, by what it declares of them."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from selfstab.losses.symbolic.toy import SliderRange
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.registry import registered
from selfstab.optimizers.settings import Setting, rule_fields_of


def numbers_of(kind: type[Optimizer]) -> tuple[SliderRange, ...]:
    """Return the sliders of an optimizer's numbers, other than the momentum's.

    Examples
    --------
    >>> from selfstab.optimizers.heavy_ball import HeavyBall
    >>> [(number.label, number.low, number.high) for number in numbers_of(HeavyBall)]
    [('lookahead γ', 0.0, 1.0)]
    """
    out = []
    defaults = {known.name: known.default for known in fields(kind)}
    for name, known in kind.settings.items():
        if name == "momentum":
            continue
        low, high = known.usual or _usual(known)
        label = " ".join(filter(None, (known.long_name or name, known.symbol)))
        places: dict[str, Any] = {"": defaults[name]}
        if known.several:
            # As many as by default; of no default there are none.
            several: Any = defaults[name] if isinstance(defaults[name], tuple) else ()
            places = {f".{k}": value for k, value in enumerate(several)}
        for place, default in places.items():
            usual = float(default) if isinstance(default, (int, float)) else 0.5 * (low + high)
            ends = min(low, usual), max(high, usual)  # a default may be closer to a bound
            words = label + (f" {int(place[1:]) + 1}" if place else "")
            out.append(SliderRange(name + place, words, *ends, (ends[1] - ends[0]) / 200.0, usual))
    return tuple(out)


def offered() -> list[str]:
    """Return the names of the optimizers that the page can make.

    It has a widget for all they must be given; and it sets the Hessian's sharpness, of which their threshold is.
    """
    of_hessian = Optimizer.preconditioner
    return [
        name
        for name, kind in registered().items()
        if kind.preconditioner is of_hessian and not _without_widget(kind)
    ]


def _without_widget(kind: type[Optimizer]) -> list[str]:
    required = [known.name for known in fields(kind) if known.name != "lr" and known.default is MISSING]
    return [
        name
        for name in required
        if not (name in kind.settings and not kind.settings[name].several)
        and not (name in rule_fields_of(kind) and rule_fields_of(kind)[name].example)
    ]


def _usual(known: Setting) -> tuple[float, float]:
    """Return a slider's ends where none are declared: the range, a little inside where an end is not in it."""
    low = known.at_least if known.above is None else known.above
    high = known.at_most if known.below is None else known.below
    if low is None:
        low = 0.0 if high is None else min(0.0, high - 1.0)
    if high is None:
        high = max(low, 0.0) + 1.0
    width = min(high - low, 1.0)
    return low + 1e-3 * width * (known.above is not None), high - 1e-2 * width * (known.below is not None)
