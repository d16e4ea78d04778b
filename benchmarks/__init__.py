"""Speed, start-up and memory as ratios against named baselines, each taken in the same run."""

from __future__ import annotations

import os


def run(quick: bool = False, json_path: str | os.PathLike[str] | None = None) -> int:
    """Measure everything, print the table and return the exit code.

    Parameters
    ----------
    quick
        Small sizes and few samples, to see that all parts work; targets are then not judged.
    json_path
        Where to write versions, processor, date and all samples; None writes nothing.

    Returns
    -------
    int
        0 if every target is met, 1 if one is missed or a measurement failed, 3 if a baseline is missing.
    """
    from . import comparisons

    return comparisons.run(quick, json_path)
