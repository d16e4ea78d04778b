"""Finished parts of a report: each is saved with a hash of its sources, and reused while that is the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfstab.files.writing import write_text


def key(stated: Sequence[str], sources: Iterable[Path]) -> str:
    """Return a hash of settings and of the content of source files.

    Parameters
    ----------
    stated
        Settings, in an order that counts.
    sources
        Files; their names and contents count, their folders do not.

    Returns
    -------
    str
        SHA-256 in hexadecimal.

    Examples
    --------
    >>> key(["modes"], []) == key(["modes"], []), key(["modes"], []) == key(["orbits"], [])
    (True, False)
    """
    digest = hashlib.sha256(json.dumps(list(stated)).encode())
    for source in sources:
        digest.update(f"{source.name} {content(source)}\n".encode())
    return digest.hexdigest()


def content(path: Path) -> str:
    """Return the hash of a file, or of all files of a folder.

    Parameters
    ----------
    path
        A file or folder.

    Returns
    -------
    str
        SHA-256 in hexadecimal; of a folder, of its files' names and hashes. Empty if there is no file.
    """
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    lines = [f"{file.relative_to(path)} {content(file)}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else ""


def recall(folder: Path, name: str, key: str) -> dict[str, Any] | None:
    """Return a saved part, if it has this key and its files are as they were written.

    Parameters
    ----------
    folder
        Where parts are saved, in the folder of their files.
    name
        The part.
    key
        The hash of its sources today, as :func:`key` gives it.

    Returns
    -------
    dict or None
        The part as :func:`keep` took it; None if it is missing, damaged, of another key, or a file has changed.
    """
    try:
        document = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        unchanged = document["key"] == key and all(
            content(folder.parent / file) == digest for file, digest in document["contents"].items()
        )
        return dict(document["part"]) if unchanged else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def forget(folder: Path, name: str) -> None:
    """Remove a saved part; done before its files are written, so that half of them never counts as the part.

    Parameters
    ----------
    folder, name
        As for :func:`recall`.
    """
    (folder / f"{name}.json").unlink(missing_ok=True)


def keep(folder: Path, name: str, key: str, part: Mapping[str, Any], files: Sequence[str] = ()) -> None:
    """Save a finished part, with the hashes of its files.

    Parameters
    ----------
    folder, name, key
        As for :func:`recall`.
    part
        What :func:`recall` returns: plain values.
    files
        Names of the part's files and folders, beside `folder`.
    """
    folder.mkdir(exist_ok=True)
    contents = {file: content(folder.parent / file) for file in files}
    write_text(
        folder / f"{name}.json",
        json.dumps({"key": key, "part": part, "contents": contents}, ensure_ascii=False),
    )
