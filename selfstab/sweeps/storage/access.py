"""Access to a store's folder: its path, what must not be in it, and the lock of the one process that writes."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import IO, Any, Final

from selfstab import validation
from selfstab.files.folders import Folder, NotPlain
from selfstab.notices import printable
from selfstab.sweeps.storage.layout import DONE, RECORD
from selfstab.validation import ArgumentError

UNLOCKED: Final = "SELFSTAB_UNLOCKED_STORES"
"""The environment variable that lets stores be written without a lock, where a file system has none."""

_LOCK: Final = f"{DONE}/lock"

_NO_LOCKS: Final = frozenset(
    getattr(errno, name, -1)
    for name in ("ENOLCK", "ENOSYS", "EOPNOTSUPP", "ENOTSUP", "EINVAL", "EACCES", "EPERM", "EBADF")
)
"""What a system answers where it has no locks; one that is held elsewhere is answered by EWOULDBLOCK."""


def checked_path(path: Any) -> Path:
    """Return the path of a store, or raise TypeError or ValueError if it is no place for one."""
    if not isinstance(path, (str, Path)):
        raise TypeError(f"store must be the path of a folder, got {validation.shown(path)}")
    if "://" in str(path) or "\0" in str(path) or not str(path):
        raise ArgumentError("store", f"must be a folder of this machine, got {validation.shown(path)}")
    root = Path(path)
    if root.exists() and not root.is_dir():
        raise ArgumentError("store", f"must be a folder, got the file {str(path)!r}")
    if not root.parent.is_dir():
        raise ArgumentError("store", f"must be in a folder that exists, got {str(path)!r}")
    return root


def opened(root: Path, *, new: bool = False) -> Folder:
    """Return the store's folder, open; a new one is made."""
    try:
        if new:
            root.mkdir(exist_ok=True)
        return Folder(root)
    except OSError as error:
        raise (unwritten if new else unread)(root, error) from None


def refuse_foreign(folder: Folder) -> None:
    """Raise ValueError if a folder holds something else than a store."""
    names = folder.names()
    if names and not folder.is_folder(DONE):
        others = {*names} - {RECORD}
        if others or not folder.is_folder(RECORD) or folder.names(RECORD):
            raise ArgumentError(
                "store",
                f"must be a new folder or the store of a sweep, got {str(folder.path)!r}, which holds something else",
            )


def refuse_links(folder: Folder, places: list[str]) -> None:
    """Raise ValueError if there is a link in one of these inner folders, or in place of one."""
    for place in places:
        try:
            links = [f"{place}/{name}".lstrip("/") for name in folder.links(place)]
        except NotPlain as error:
            links = [error.name] if error.kind == "a link" else []
        except FileNotFoundError:
            links = []
        except OSError as error:
            raise unread(folder.path, error) from None
        if links:
            _refuse_link(folder, links[0])


def _refuse_link(folder: Folder, name: str) -> None:
    raise ArgumentError(
        "store",
        f"must hold no links, got {str(folder.path)!r}, in which {printable(name)} is one; nothing was changed",
    )


# -- the lock -----------------------------------------------------------------------------------------------------


def locked(folder: Folder) -> IO[bytes]:
    """Return the lock of the store, which goes with the process that holds it, however that ends."""
    try:
        with folder.opened(_LOCK, os.O_RDWR | os.O_CREAT) as opened:
            if os.fstat(opened).st_nlink > 1:
                _refuse_link(folder, _LOCK)
            file = os.fdopen(os.dup(opened), "r+b", buffering=0)
    except OSError as error:
        raise unwritten(folder.path, error) from None
    try:
        _lock(file)
    except OSError as error:
        owner = _owner(file) if _held_elsewhere(error) else ""
        if owner or not _unlocked(error):
            file.close()
            raise _refusal(folder, error, owner) from None
    try:
        file.seek(0)
        file.truncate(0)
        file.write(str(os.getpid()).encode())
    except OSError as error:
        file.close()
        raise unwritten(folder.path, error) from None
    return file


def _owner(file: IO[bytes]) -> str:
    """Return the number of the process that has the lock, as it stands in the file; empty if none does."""
    try:
        file.seek(0)
        text = file.read(20).decode("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
    return text if text.isdecimal() else ""


def _unlocked(error: OSError) -> bool:
    """Whether the user lets a store be written without a lock, and the error may be that of a disk without any."""
    may_be = error.errno in _NO_LOCKS or _held_elsewhere(error)
    return may_be and os.environ.get(UNLOCKED, "") not in ("", "0")


def _refusal(folder: Folder, error: OSError, owner: str) -> Exception:
    """Return what to raise where there is no lock to be had."""
    root, way_out = repr(str(folder.path)), f"{UNLOCKED}=1 if no other process writes to it"
    if _held_elsewhere(error):
        writer = f"process {owner} writes" if owner else f"another process writes; set {way_out}"
        return ArgumentError("store", f"must not be in use, got {root}, which {writer}")
    if error.errno in _NO_LOCKS:
        return OSError(
            error.errno,
            f"store {root} is on a file system without locks ({error.strerror}): put it on another disk, or set "
            f"{way_out}",
        )
    return unwritten(folder.path, error)


if sys.platform == "win32":

    def _lock(file: IO[bytes]) -> None:
        import msvcrt

        # A byte far behind the text, which others may read.
        file.seek(2**20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _held_elsewhere(error: OSError) -> bool:
        return isinstance(error, (BlockingIOError, PermissionError))

else:

    def _lock(file: IO[bytes]) -> None:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _held_elsewhere(error: OSError) -> bool:
        return isinstance(error, BlockingIOError)


def unwritten(root: Path, error: OSError, done: bool = False) -> OSError:
    """Return the error of a store that cannot be written; `done` tells whether it holds finished blocks."""
    good = "; the blocks that are done stay good, and the same call goes on from there" if done else ""
    return OSError(error.errno, f"store {str(root)!r} cannot be written: {error.strerror}{good}")


def unread(root: Path, error: OSError) -> OSError:
    """Return the error of a store that cannot be read."""
    return OSError(error.errno, f"store {str(root)!r} cannot be read: {error.strerror}")
