"""Machine code on disk, each file checked before it is used.

A file is named by all that decides its content, begins with its digest and is put in place by one rename; what is
missing, cut or changed is compiled again. It is run, so it is read only where it and its folder belong to who runs this
process, and nobody else may write there. The digest tells damage, and no malice.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from selfstab.files.folders import Folder, private
from selfstab.files.writing import beside
from selfstab.machine import free_memory

_DIGEST: Final = hashlib.sha256().digest_size


class CheckedFiles:
    """The files of one function, a file for each key."""

    def __init__(self, directory: Path, stem: str) -> None:
        self._directory, self._stem = directory, stem

    def _name(self, key: Any) -> str:
        decides = (key, version("llvmlite"), sys.platform)
        return f"{self._stem}.{hashlib.sha256(repr(decides).encode()).hexdigest()[:32]}.kernel"

    def load(self, key: Any) -> bytes | None:
        """Return what was saved under `key`; None if there is nothing whole, or nothing of our own."""
        try:
            with Folder(self._directory) as folder:
                if not private(folder):
                    return None
                content = folder.read(self._name(key), free_memory() // 2, ours=True)
        except OSError:
            return None
        digest, data = content[:_DIGEST], content[_DIGEST:]
        return data if hashlib.sha256(data).digest() == digest else None

    def save(self, key: Any, data: bytes) -> None:
        """Save `data`; a disk that cannot take it means that it is compiled again next time."""
        name = self._name(key)
        partial = beside(Path(name), "partial").name
        with contextlib.suppress(OSError), Folder(self._directory) as folder:
            if private(folder):
                folder.write(name, hashlib.sha256(data).digest() + data, partial, mode=0o600)
