"""Files in a folder that may be somebody else's: no link is followed, and there is an end to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from selfstab.records.formats.base import ReadError

DEEPEST: Final = 8
MOST: Final = 20_000


def files(folder: Path, deepest: int = DEEPEST) -> Iterator[Path]:
    """Yield the files in a folder and those inside, in alphabetical order, the nearest first.

    Parameters
    ----------
    folder
        Where to look.
    deepest
        How many folders inside one another are looked into.

    Raises
    ------
    ReadError
        If there are too many.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "inside").mkdir()
    >>> _ = [path.write_text("") for path in (folder / "inside" / "a", folder / "b")]
    >>> [path.relative_to(folder).as_posix() for path in files(folder)]
    ['b', 'inside/a']
    """
    seen = 0
    level = [folder]
    for _ in range(deepest + 1):
        below: list[Path] = []
        for place in level:
            with os.scandir(place) as entries:
                ordered = sorted(entries, key=lambda entry: entry.name)
            seen += len(ordered)
            if seen > MOST:
                raise ReadError(
                    f"run must be a folder of at most {MOST} files, got more; name the run's own folder"
                )
            for entry in ordered:
                if entry.is_symlink():
                    continue
                if entry.is_dir():
                    below.append(Path(entry.path))
                elif entry.is_file():
                    yield Path(entry.path)
        level = below
