"""Sliders of an optimizer's numbers, by what it declares of them."""

from __future__ import annotations

from dataclasses import fields

from selfstab.losses.symbolic.toy import SliderRange
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.settings import Setting


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
        if name == "momentum" or known.several:
            continue
        low, high = known.usual or _usual(known)
        default = defaults[name]
        label = " ".join(filter(None, (known.long_name or name, known.symbol)))
        middle = 0.5 * (low + high)
        usual = float(default) if isinstance(default, (int, float)) else middle
        out.append(SliderRange(name, label, low, high, (high - low) / 200.0, usual))
    return tuple(out)


def _usual(known: Setting) -> tuple[float, float]:
    """Return a slider's ends where none are declared: the range, a little inside where an end is not in it."""
    low = 0.0 if known.at_least is None else known.at_least
    low = low if known.above is None else known.above + 1e-3
    high = known.at_most if known.below is None else known.below - 1e-2
    return low, max(low, 0.0) + 1.0 if high is None else high
