"""Verdicts on predictions, which show themselves as a table."""

from __future__ import annotations

from selfstab.observables.table import Table


class Verdicts(Table):  # type: ignore[no-untyped-call]
    """What :func:`selfstab.verify` returns, in a terminal or a notebook: numbers and verdict of each prediction."""

    __slots__ = ()
    _columns = ("measured", "predicted", "error", "verdict")
