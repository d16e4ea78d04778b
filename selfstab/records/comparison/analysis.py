"""The dataset that an analysis returns: it shows itself as the report's text."""

from __future__ import annotations

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
    The sharpness stays below the threshold, at 0.287 of it at most: no catapult. What to do for one: raise lr.
    4 records, steps 0 to 3; lr 0.5, momentum 0; threshold 4.
    0 catapults; 0 steps above the threshold.
    note: No column of steps: rows are taken as steps 0, 1, 2, ...
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the summary, the tables, cautions and notes, or of a part what a dataset shows."""
        from selfstab.records.comparison.analysis_text import table  # it is above this module

        return table(self) if self._is_whole() else super().__repr__()

    def _repr_html_(self) -> str:
        """Return the same for a notebook, with its tables."""
        from selfstab.records.comparison.analysis_text import as_html

        return as_html(self) if self._is_whole() else super()._repr_html_()

    def _is_whole(self) -> bool:
        """Whether nothing of the analysis is missing."""
        whole = {*self.variables} >= _NEEDED and {*self.sizes} >= {"step", "catapult", "edge_cycle"}
        return bool(whole and self.sizes["step"] and {"notes", "lookahead"} <= {*self.attrs})
