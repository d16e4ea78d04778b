"""Generated sources as modules: compiled and cached on disk, or run by plain CPython.

A source is written to a file whose name is the hash of its text. It is for readers: what runs is compiled from the text
here, and no byte code is kept. A directory that cannot be written to, or that others can write to, means compiling in
memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache, wraps
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from selfstab.files.folders import Folder, private
from selfstab.files.writing import beside
from selfstab.forks import hold_at_forks
from selfstab.kernels.arithmetic import plain_namespace
from selfstab.kernels.cache_files import CheckedFiles
from selfstab.kernels.lowering import Source
from selfstab.kernels.machine_code import Entry
from selfstab.notices import notify

_SOURCE_BYTES: Final = 2**26
"""Most bytes of a file of source that is compared with the text."""


def cache_directory() -> Path | None:
    """Return the directory of generated modules: $SELFSTAB_CACHE_DIR, or the platform's cache directory.

    None if there is no home to hold it, as in a container whose user has no entry in its list of users.
    """
    directory = os.environ.get("SELFSTAB_CACHE_DIR")
    if directory:
        return Path(directory).absolute()
    import platformdirs

    try:
        path = Path(platformdirs.user_cache_dir("selfstab", appauthor=False))
    except (OSError, RuntimeError, LookupError, ValueError):
        return None
    # Without a home the name begins with "~".
    return path if path.is_absolute() else None


def cache_folder() -> Folder | None:
    """Return the open directory of generated modules, which is made if need be; None if it cannot be used.

    Compiled code is loaded from it, so it must belong to who runs this process, and nobody else may write in it.
    """
    path = cache_directory()
    if path is None:
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        if not os.access(path, os.W_OK):
            return None
        folder = Folder(path)
    except (OSError, ValueError):
        return None
    if private(folder) and not _somebodys_link(path):
        return folder
    folder.close()
    _refused_directory(path)
    return None


def _somebodys_link(path: Path) -> bool:
    """Whether a path is a link that somebody else may point elsewhere."""
    status = path.lstat()
    return stat.S_ISLNK(status.st_mode) and hasattr(os, "geteuid") and status.st_uid not in (0, os.geteuid())


@cache
def _refused_directory(path: Path) -> None:
    """Say once that a directory is not used."""
    notify(
        f"{str(path)!r} is not used for compiled kernels, which are compiled anew in each process: it must be a "
        "folder of your own that nobody else can write to (chmod 700), or set SELFSTAB_CACHE_DIR to one",
        RuntimeWarning,
    )


class LoadedModules:
    """The compiled modules of this process: a source is loaded once, by whichever thread asks for it first."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._compiler: Any = None
        self._modules: dict[str, ModuleType] = {}

    def module(self, source: str) -> ModuleType:
        """Return the module of a source."""
        with self._lock:
            if source not in self._modules:
                self._modules[source] = _module(source, self._lock)
            return self._modules[source]

    def hold(self) -> None:
        """Wait until nothing is loaded or compiled, and keep it so."""
        self._lock.acquire()
        numba: Any = sys.modules.get("numba.core.compiler_lock")
        self._compiler = None if numba is None else numba.global_compiler_lock
        if self._compiler is not None:
            self._compiler.acquire()

    def release(self) -> None:
        """Allow it again."""
        if self._compiler is not None:
            self._compiler.release()
        self._lock.release()

    @property
    def compiled(self) -> int:
        """Number of compilations in this process; what was on disk is not compiled."""
        return sum(vars(module)[name].compiled for module in self for name in vars(module)["entries"])

    def __iter__(self) -> Iterator[ModuleType]:
        return iter([*self._modules.values()])


LOADED: Final = LoadedModules()
# A process that is forked while another thread compiles would find Numba's lock taken, and half of its tables.
hold_at_forks(LOADED.hold, LOADED.release)


def compiled(source: str) -> ModuleType:
    """Return `source` as a module whose entries are compiled; the same text is loaded once a process."""
    return LOADED.module(source)


def _module(source: str, lock: threading.RLock) -> ModuleType:
    """Return a source as a module; its entries are compiled, or loaded from disk, when they are called."""
    name = f"selfstab_kernel_{hashlib.sha256(source.encode()).hexdigest()[:32]}"
    module = ModuleType(name)
    path = _on_disk(source, f"{name}.py")
    if path is not None:
        module.__file__ = str(path)
    vars(module)["entries"] = Source(source).entries
    for entry in vars(module)["entries"]:
        files = None if path is None else CheckedFiles(path.parent, f"{name}.{entry}")
        setattr(module, entry, Entry(entry, source, files, lock))
    return module


def _on_disk(source: str, name: str) -> Path | None:
    """Return the file of a source, which is written if need be; None if there is no place for it."""
    folder = cache_folder()
    if folder is None:
        return None
    with folder:
        try:
            _write_source(folder, name, source.encode())
        except OSError:
            return None
    return folder.path / name


def _write_source(folder: Folder, name: str, text: bytes) -> None:
    """Write the file of a source unless it is there as it must be."""
    try:
        if folder.read(name, _SOURCE_BYTES) == text:
            return
    except OSError:  # none, one of another kind, or one that is too large
        pass
    folder.write(name, text, beside(Path(name), "partial").name, mode=0o600)


@cache
def plain(source: str) -> dict[str, Any]:
    """Return the functions of `source`, run by plain CPython.

    Overflow and invalid operations are results here, as they are in the compiled code, so they do not warn.
    """
    namespace = plain_namespace()
    provided = set(namespace)
    exec(compile(source, "<selfstab kernel>", "exec"), namespace)
    return {
        name: _quiet(value) for name, value in namespace.items() if name not in provided and callable(value)
    }


def _quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def quiet(*arguments: Any) -> Any:
        # Of this thread alone; filters of warnings are the whole process's.
        with np.errstate(all="ignore"):
            return function(*arguments)

    return quiet
