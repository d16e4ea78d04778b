"""Speed, start-up and memory as ratios against named baselines, each taken in the same run."""

from __future__ import annotations

import os
from collections.abc import Sequence


def names(words: Sequence[str] = (), quick: bool = False) -> list[str]:
    """Return the names of the lines, or of those that hold one of the words, in any case."""
    from . import comparisons

    return [case.name for case in comparisons.cases_named(words, quick)]


def run(
    quick: bool = False, json_path: str | os.PathLike[str] | None = None, words: Sequence[str] = ()
) -> int:
    """Measure, print each line when it is measured and then the table, and return the exit code.

    Parameters
    ----------
    quick
        Small sizes and few samples, to see that all parts work; targets are then not judged.
    json_path
        Where to write versions, the machine and its load, date and all samples; None writes nothing.
    words
        Only lines whose names hold one of these, in any case; by default all.

    Returns
    -------
    int
        0 if every target is met, 1 if one is missed or a measurement failed, 3 if a baseline is missing, 130 if
        interrupted.

    Raises
    ------
    ValueError
        If a word is in no line's name.
    """
    from . import comparisons

    return comparisons.run(quick, json_path, comparisons.cases_named(words, quick))
