"""Parts of a report that are finished: kept with what they stand on, reused as long as that is the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfstab.files import write_text


def key(stated: Sequence[str], sources: Iterable[Path]) -> str:
    """Return a hash of settings and of the content of source files.

    >>> key(["modes"], []) == key(["modes"], []), key(["modes"], []) == key(["orbits"], [])
    (True, False)
    """
    digest = hashlib.sha256(json.dumps(list(stated)).encode())
    for source in sources:
        digest.update(f"{source.name} {content(source)}\n".encode())
    return digest.hexdigest()


def content(path: Path) -> str:
    """Return the hash of a file, or of all files of a folder; nothing if there is none."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    lines = [f"{file.relative_to(path)} {content(file)}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else ""


def recall(folder: Path, name: str, key: str) -> dict[str, Any] | None:
    """Return what is kept of a part, if it is of this key and its files are as they were written.

    Parameters
    ----------
    folder
        Where parts are kept, beside the files they made.
    name
        The part.
    key
        What it must stand on.

    Returns
    -------
    dict or None
        As it was kept; None if it must be made.
    """
    try:
        kept = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        whole = kept["key"] == key and all(
            content(folder.parent / file) == found for file, found in kept["contents"].items()
        )
        return dict(kept["part"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def forget(folder: Path, name: str) -> None:
    """Let a part be made again; before its files are written, so that half of them is never taken for the whole."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def keep(folder: Path, name: str, key: str, part: Mapping[str, Any], files: Sequence[str] = ()) -> None:
    """Keep a finished part, with the hashes of the files it made.

    Parameters
    ----------
    folder, name, key
        As for :func:`recall`.
    part
        What to recall: JSON.
    files
        Names of files and folders beside `folder`.
    """
    folder.mkdir(exist_ok=True)
    contents = {file: content(folder.parent / file) for file in files}
    write_text(
        folder / f"{name}.json",
        json.dumps({"key": key, "part": part, "contents": contents}, ensure_ascii=False),
    )
