"""Ticks of logarithmic axes and colour bars: 1, 2 and 5 of each power of ten where few powers are within."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.colorbar import Colorbar

_FEWEST: Final = 3
"""Fewer powers of ten than these leave an axis almost without numbers."""


def log_ticks(low: float, high: float) -> list[float]:
    """Return where an axis of few powers of ten has its numbers; nothing where the powers are enough.

    Within a decade and a half these are 1, 2 and 5 of each power, and 1 and 3 beyond. Within half a decade they are
    evenly spaced.

    Parameters
    ----------
    low, high
        Ends of the axis, above 0.

    Examples
    --------
    >>> log_ticks(0.3, 8.0), log_ticks(0.3, 40.0), log_ticks(1.0, 1e4)
    ([0.5, 1.0, 2.0, 5.0], [0.3, 1.0, 3.0, 10.0, 30.0], [])
    """
    from matplotlib.ticker import MaxNLocator

    first, last = np.log10(low), np.log10(high)
    if np.floor(last) - np.ceil(first) + 1 >= _FEWEST:
        return []
    if last - first < 0.5:
        ticks = [*map(float, MaxNLocator(nbins=4, steps=[1, 2, 5, 10]).tick_values(low, high))]
    else:
        parts = (1, 2, 5) if last - first <= 1.5 else (1, 3)
        powers = range(int(np.floor(first)), int(np.floor(last)) + 1)
        ticks = [float(f"{part}e{power}") for power in powers for part in parts]
    margin = 1e-9 * high
    return [tick for tick in ticks if low - margin <= tick <= high + margin]


def name_log_ticks(axis: Axis | Colorbar) -> None:
    """Put these ticks at a logarithmic axis or colour bar; they follow its limits.

    Parameters
    ----------
    axis
        Such as ``ax.yaxis`` once its scale is logarithmic, or a colour bar.
    """
    from matplotlib.colorbar import Colorbar
    from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

    class Locator(LogLocator):
        def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
            low, high = min(vmin, vmax), max(vmin, vmax)
            few = log_ticks(low, high) if 0.0 < low < high < np.inf else []
            return few or super().tick_values(vmin, vmax)

    class Formatter(LogFormatterSciNotation):
        def __call__(self, x: float, pos: Any = None) -> str:
            low, high = sorted(map(float, self.axis.get_view_interval()))  # type: ignore[union-attr]
            if 0.0 < low < high and log_ticks(low, high) and 1e-3 <= x < 1e4:
                return f"{x:.6g}"
            if x > 0.0 and not np.isclose(np.log10(x), np.rint(np.log10(x))):
                part, power = f"{x:.5e}".split("e")
                return rf"${float(part):g}\times10^{{{int(power)}}}$"
            return super().__call__(x, pos)

    if isinstance(axis, Colorbar):
        axis.locator, axis.formatter = Locator(), Formatter()
        axis.update_ticks()
        axis.long_axis.set_minor_formatter(NullFormatter())
        return
    axis.set_major_locator(Locator())
    axis.set_major_formatter(Formatter())
    axis.set_minor_formatter(NullFormatter())
