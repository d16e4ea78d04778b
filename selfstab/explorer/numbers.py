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
        usual = float(default) if isinstance(default, (int, float)) else 0.5 * (low + high)
        low, high = min(low, usual), max(high, usual)  # a default may be closer to a bound
        out.append(SliderRange(name, label, low, high, (high - low) / 200.0, usual))
    return tuple(out)


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
