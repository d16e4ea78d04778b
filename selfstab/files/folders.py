"""Folders that others may have filled: their files are opened without following links, and read up to a size.

Where the system can open a file relative to an open folder (not Windows), nobody can replace a folder by a link
between a check and its use. Elsewhere each part of a path is looked at before it is used.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_RELATIVE: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_FOLLOW_NOTHING: Final = getattr(os, "O_NOFOLLOW", 0)
_PLAIN: Final = (
    _FOLLOW_NOTHING | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
)
"""No links, no inheritance, no translation of bytes, and no waiting for the other end of a pipe."""
_REPARSE: Final = getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0)

WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class NotPlain(OSError):
    """A link, a pipe or a device where a plain file or folder must be."""

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(errno.EINVAL, f"{name} is {kind}")
        self.name, self.kind = name, kind


class Folder:
    """An open folder; names of what is in it are relative, their parts separated by "/".

    Parameters
    ----------
    path
        A folder that exists. The path itself may lead through links, which are followed once, here.

    Raises
    ------
    OSError
        If it cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> with Folder(Path(tempfile.mkdtemp())) as folder:
    ...     folder.make("inner")
    ...     folder.write("inner/a", b"abc", "partial")
    ...     folder.read("inner/a", 100), folder.names("inner")
    (b'abc', ['a'])
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened = -1
        if _RELATIVE:
            self._opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        elif not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Let the folder go."""
        opened, self._opened = getattr(self, "_opened", -1), -1
        if opened >= 0:
            os.close(opened)

    # -- what is there ------------------------------------------------------------------------------------------------

    def status(self, name: str = "") -> os.stat_result | None:
        """Return what the system says of an entry, of a link itself; None if there is nothing."""
        if not name:
            return os.fstat(self._opened) if _RELATIVE else self.path.stat()
        try:
            with self._at(name) as (last, inside):
                return os.stat(last, dir_fd=inside, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def is_folder(self, name: str) -> bool:
        """Whether an entry is a folder, and no link to one."""
        try:
            status = self.status(name)
        except NotPlain:  # it is said to be in something that is none
            return False
        return status is not None and stat.S_ISDIR(status.st_mode)

    def names(self, name: str = "") -> list[str]:
        """Return the names in an inner folder, in order."""
        return sorted(entry for entry, _ in self._entries(name))

    def links(self, name: str = "") -> list[str]:
        """Return which names in an inner folder are links, in order."""
        return sorted(entry for entry, link in self._entries(name) if link)

    def _entries(self, name: str) -> list[tuple[str, bool]]:
        with self._folder_at(name) as place, os.scandir(place) as entries:
            return [(entry.name, _is_link(entry)) for entry in entries]

    def read(self, name: str, most: int, *, ours: bool = False) -> bytes:
        """Return the bytes of a plain file.

        Parameters
        ----------
        name
            The file.
        most
            Most bytes that it may have.
        ours
            Whether it must belong to who runs this process, and nobody else may be able to write to it.

        Raises
        ------
        FileNotFoundError
            If there is none.
        NotPlain
            If it is a link, a folder, a pipe, a device or, where it must be ours, somebody else's; or its folder is a
            link.
        OSError
            If it cannot be read, or has more than `most` bytes.
        """
        with self.opened(name, os.O_RDONLY) as file:
            if ours and not owned(os.fstat(file)):
                raise NotPlain(name, "somebody else's")
            if os.fstat(file).st_size > most:
                raise OSError(errno.EFBIG, f"{name} has more than {most} bytes")
            parts = []
            while most >= 0 and (part := os.read(file, min(most + 1, 2**20))):
                parts.append(part)
                most -= len(part)
            if most < 0:  # it grew meanwhile
                raise OSError(errno.EFBIG, f"{name} is too large")
            return b"".join(parts)

    @contextmanager
    def opened(self, name: str, flags: int, mode: int = 0o666) -> Iterator[int]:
        """Yield the descriptor of a plain file, opened with these flags of ``os.open``."""
        with self._at(name) as (last, inside):
            if not _FOLLOW_NOTHING and os.path.lexists(last) and _is_link(Path(last)):
                raise NotPlain(name, "a link")
            try:
                file = os.open(last, flags | _PLAIN, mode, dir_fd=inside)
            except OSError as error:
                raise self._explained(error, name, last, inside) from None
        try:
            kind = _kind(os.fstat(file).st_mode)
            if kind != "a file":
                raise NotPlain(name, kind)
            yield file
        finally:
            os.close(file)

    # -- changes ------------------------------------------------------------------------------------------------------

    def make(self, name: str) -> None:
        """Make an inner folder with those around it; what is one already is left as it is."""
        parts = name.split("/")
        for k in range(len(parts)):
            part = "/".join(parts[: k + 1])
            with self._at(part) as (last, inside), contextlib.suppress(FileExistsError):
                os.mkdir(last, dir_fd=inside)
            status = self.status(part)
            if status is None or not stat.S_ISDIR(status.st_mode):
                raise NotPlain(part, "nothing" if status is None else _kind(status.st_mode))

    def write(self, name: str, content: bytes, partial: str, mode: int = 0o666) -> None:
        """Write a file whole: a new file, which then takes the place of what had the name.

        So nothing is written into a file that is there, which may have other names elsewhere.

        Parameters
        ----------
        name
            The file, in an inner folder that exists.
        content
            What it holds afterwards.
        partial
            Where it is written first. What is left there of an earlier write is removed.
        mode
            Permissions of the new file.

        Raises
        ------
        OSError
            If the disk cannot take it, or a folder stands in the way; what had the name is as before.
        """
        with self._at(partial) as (first, here):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(first, dir_fd=here)
            try:
                file = os.open(first, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN, mode, dir_fd=here)
                try:
                    write_all(file, content)
                finally:
                    os.close(file)
                with self._at(name) as (last, there):
                    os.replace(first, last, src_dir_fd=here, dst_dir_fd=there)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(first, dir_fd=here)
                raise

    def remove(self, name: str) -> None:
        """Remove a file, or a link itself; nothing happens if there is none."""
        with self._at(name) as (last, inside), contextlib.suppress(FileNotFoundError):
            os.unlink(last, dir_fd=inside)

    def rename(self, name: str, other: str) -> None:
        """Give an entry another name in this folder."""
        with self._at(name) as (last, here), self._at(other) as (new, there):
            os.rename(last, new, src_dir_fd=here, dst_dir_fd=there)

    # -- places -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _at(self, name: str) -> Iterator[tuple[str, int | None]]:
        """Yield the last part of a name and the open folder that it is in; a path and None where there are none."""
        around, _, last = name.rpartition("/")
        if last in ("", ".", "..") or "\0" in name or os.sep in last or (os.altsep or "/") in last:
            raise ValueError(f"{name!r} is no name in a folder")
        with self._folder_at(around) as place:
            if isinstance(place, int):
                yield last, place
            else:
                yield str(Path(place) / last), None

    @contextmanager
    def _folder_at(self, name: str) -> Iterator[int | str]:
        """Yield an inner folder, open; its path where the system cannot open folders."""
        parts = name.split("/") if name else []
        if any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"{name!r} is no name in a folder")
        if not _RELATIVE:
            place = self.path
            for k, part in enumerate(parts):
                place = place / part
                kind = _kind(os.lstat(place).st_mode) if not _is_link(place) else "a link"
                if kind != "a folder":
                    raise NotPlain("/".join(parts[: k + 1]), kind)
            yield str(place)
            return
        inside = os.dup(self._opened)
        try:
            for k, part in enumerate(parts):
                try:
                    inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _PLAIN, dir_fd=inside)
                except OSError as error:
                    raise self._explained(error, "/".join(parts[: k + 1]), part, inside) from None
                os.close(inside)
                inside = inner
            yield inside
        finally:
            os.close(inside)

    def _explained(self, error: OSError, name: str, last: str, inside: int | None) -> OSError:
        """Return what to raise where opening failed: what stands there, if that is the reason."""
        if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EMLINK, errno.ENXIO):
            return error
        try:
            status = os.stat(last, dir_fd=inside, follow_symlinks=False)
        except OSError:
            return error
        return NotPlain(name, _kind(status.st_mode))


def write_all(file: int, content: bytes) -> None:
    """Write bytes to an open file, in as many parts as the system takes them."""
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]


def private(folder: Folder) -> bool:
    """Whether a folder belongs to who runs this process, and nobody else may write in it; always so on Windows."""
    status = folder.status()
    return status is not None and owned(status)


def owned(status: os.stat_result) -> bool:
    """Whether a file or folder belongs to who runs this process, and nobody else may write in it."""
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & WRITABLE_BY_OTHERS


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISREG, "a file"), (stat.S_ISDIR, "a folder"), (stat.S_ISLNK, "a link"))
    return next((kind for tells, kind in kinds if tells(mode)), "a pipe or a device")


def _is_link(place: Path | os.DirEntry[str]) -> bool:
    """Whether an entry is a link; on Windows whatever leads elsewhere is one."""
    if place.is_symlink():
        return True
    if not _REPARSE:
        return False
    status = place.lstat() if isinstance(place, Path) else place.stat(follow_symlinks=False)
    return bool(getattr(status, "st_file_attributes", 0) & _REPARSE)
