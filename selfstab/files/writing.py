"""Files and folders that are written whole: a reader sees the old content or the new one, and never a part.

A folder that takes another's place is absent for the moment between two renames; the old one stands beside it then.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path at which to write a file or a folder; after the block it takes the place of `path`.

    Parameters
    ----------
    path
        Where the file or folder is wanted, in a folder that exists. Through a symbolic link its target is replaced.

    Yields
    ------
    pathlib.Path
        A new path in the same folder, with a name that ends alike. No other process or thread gets the same one.

    Raises
    ------
    OSError
        If the disk cannot take it. Whatever fails, `path` is as before and nothing is left beside it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with replacing(folder / "run.csv") as partial:
    ...     _ = partial.write_text("step,sharpness")
    >>> [file.name for file in folder.iterdir()]
    ['run.csv']
    """
    target = path.resolve()
    partial = beside(target, "partial")
    try:
        yield partial
        _move(partial, target)
    finally:
        _remove(partial)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file of bytes whole.

    Parameters
    ----------
    path
        The file, in a folder that exists; it is replaced. A symbolic link is replaced itself.
    content
        What it holds afterwards.

    Raises
    ------
    OSError
        If the disk cannot take it; `path` is as before.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "data"
    >>> write_bytes(path, b"abc")
    >>> path.read_bytes()
    b'abc'
    """
    first = beside(path, "partial")
    try:
        first.write_bytes(content)
        first.replace(path)
    except BaseException:
        first.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a file of text whole, in UTF-8; see :func:`write_bytes`.

    Parameters
    ----------
    path
        The file, in a folder that exists; it is replaced.
    text
        What it holds afterwards, with its line ends as they are.

    Raises
    ------
    OSError
        If the disk cannot take it; `path` is as before.
    """
    write_bytes(path, text.encode("utf-8"))


def beside(path: Path, word: str) -> Path:
    """Return a new hidden path in the folder of `path`, ``.WORD.RANDOM.NAME``: writers go by the ending of a name.

    Random, and not numbered: processes on two machines may write to one disk.
    """
    return path.with_name(f".{word}.{secrets.token_hex(8)}.{path.name}")


def _move(partial: Path, target: Path) -> None:
    if not target.is_dir():
        partial.replace(target)
        return
    # A folder takes no other's place: the old one steps aside first, and back if the new one cannot come.
    old = beside(target, "old")
    target.replace(old)
    try:
        partial.replace(target)
    except BaseException:
        old.replace(target)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
