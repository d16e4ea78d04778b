"""The dataset that an analysis returns: it shows itself as the report's text."""

from __future__ import annotations

from html import escape
from typing import Final

import xarray

_NEEDED: Final = frozenset(
    ("step", "lr", "momentum", "max_stable_sharpness", "diverged_at", "steps_above_threshold", "plateau_ratio",
     "cautions", "onset", "drop", "predicted_drop", "edge_cycle_onset")
)  # fmt: skip


class Analysis(xarray.Dataset):  # type: ignore[no-untyped-call]  # xarray's __init_subclass__
    """A recorded run beside the theory, which shows itself as its summary and the table of its catapults.

    It is an xarray dataset in all else. ``xarray.Dataset(seen.data_vars)`` shows itself as datasets do.

    Examples
    --------
    >>> import selfstab as ss
    >>> ss.analyze({"sharpness": [1.0, 1.1, 1.2, 1.1]}, lr=0.5, momentum=0.0)
    4 records, steps 0 to 3; lr 0.5, momentum 0; threshold 4.
    0 catapults; 0 steps above the threshold.
    note: No column of steps: rows are taken as steps 0, 1, 2, ...
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the summary, the table, cautions and notes, or of a part what a dataset shows."""
        return self._text() or super().__repr__()

    def _repr_html_(self) -> str:
        """Return the same for a notebook."""
        text = self._text()
        return f"<pre>{escape(text)}</pre>" if text else super()._repr_html_()

    def _text(self) -> str:
        """Return the report's text; nothing of what is no longer a whole analysis."""
        from selfstab.records.comparison.analysis_text import table  # it is above this module

        whole = {*self.variables} >= _NEEDED and {*self.sizes} >= {"step", "catapult", "edge_cycle"}
        if not (whole and self.sizes["step"] and {"notes", "lookahead"} <= {*self.attrs}):
            return ""
        return table(self)
