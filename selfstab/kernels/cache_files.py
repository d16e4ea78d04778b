"""Compiled functions on disk, each file checked before it is used.

Numba's own files are not: a damaged one ends the process or gives wrong numbers, and two processes that save at once
can mix up two functions. Here a file is named by all that decides its content, begins with its digest and is put in
place by one rename; what is missing, cut or changed is compiled again.

A file holds a pickle, so it is read only where it and its folder belong to who runs this process, and nobody else may
write there. The digest tells damage, and no malice.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from selfstab.files import beside
from selfstab.folders import Folder, private
from selfstab.machine import free_memory

_DIGEST: Final = hashlib.sha256().digest_size


class CheckedFiles:
    """Stands in for the files of one function in Numba's cache: ``load(key)`` and ``save(key, data)``."""

    def __init__(self, directory: Path, stem: str) -> None:
        self._directory, self._stem = directory, stem
        self.flushed = False

    def _name(self, key: Any) -> str:
        versions = [version(name) for name in ("numba", "llvmlite")]
        decides = (key, *versions, sys.version, sys.platform)
        return f"{self._stem}.{hashlib.sha256(repr(decides).encode()).hexdigest()[:32]}.kernel"

    def load(self, key: Any) -> Any:
        """Return what was saved under `key`; None if there is nothing whole, or nothing of our own."""
        try:
            with Folder(self._directory) as folder:
                if not private(folder):
                    return None
                content = folder.read(self._name(key), free_memory() // 2, ours=True)
        except OSError:
            return None
        digest, data = content[:_DIGEST], content[_DIGEST:]
        return pickle.loads(data) if hashlib.sha256(data).digest() == digest else None

    def save(self, key: Any, data: Any) -> None:
        """Save `data`; a disk that cannot take it means that it is compiled again next time."""
        from numba.core import serialize

        dumps: Callable[[Any], bytes] = serialize.dumps
        content = dumps(data)
        name = self._name(key)
        partial = beside(Path(name), "partial").name
        with contextlib.suppress(OSError), Folder(self._directory) as folder:
            if private(folder):
                folder.write(name, hashlib.sha256(content).digest() + content, partial, mode=0o600)

    def flush(self) -> None:
        """Note that the cache has reached these files; nothing is forgotten, for a name says what a file depends on."""
        self.flushed = True


def check_files_of(module: ModuleType, path: Path) -> int:
    """Let the compiled functions of a module, whose source is at `path`, be loaded from checked files.

    Numba documents no way to put something else in place of its files: ``NUMBA_CACHE_LOCATOR_CLASSES`` and
    ``NUMBA_CACHE_DIR`` choose the folder only. So an attribute of its cache is set, and then tried.

    Returns
    -------
    int
        For how many functions that worked. Those of another Numba may be built otherwise.
    """
    caches = {name: getattr(function, "_cache", None) for name, function in vars(module).items()}
    return sum(
        _uses(cache, CheckedFiles(path.parent, f"{path.stem}.{name}"))
        for name, cache in caches.items()
        if hasattr(cache, "_cache_file")
    )


def _uses(cache: Any, files: CheckedFiles) -> bool:
    """Give files to a function's cache; return whether it uses them."""
    cache._cache_file = files
    cache.flush()
    return files.flushed
