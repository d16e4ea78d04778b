"""Generated sources as modules: compiled and cached on disk, or run by plain CPython.

exec'd code cannot use Numba's disk cache, so a source becomes a file whose name is the hash of its text. The file is
written atomically; a directory that cannot be written to means compiling in memory.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import cache, wraps
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from selfstab import files
from selfstab.kernels.arithmetic import HEADER, plain_namespace
from selfstab.kernels.cache_files import check_files_of
from selfstab.kernels.forks import hold_at_forks
from selfstab.notices import notify


def cache_directory() -> Path:
    """Return the directory of generated modules: $SELFSTAB_CACHE_DIR, or the platform's cache directory."""
    directory = os.environ.get("SELFSTAB_CACHE_DIR")
    if directory:
        return Path(directory)
    import platformdirs

    return Path(platformdirs.user_cache_dir("selfstab", appauthor=False))


class LoadedModules:
    """The compiled modules of this process: a source is loaded once, by whichever thread asks for it first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._compiler: Any = None
        self._modules: dict[str, ModuleType] = {}

    def module(self, source: str) -> ModuleType:
        """Return the module of a source."""
        with self._lock:
            if source not in self._modules:
                self._modules[source] = _from_disk(source) or _in_memory(source)
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

    def __iter__(self) -> Iterator[ModuleType]:
        return iter([*self._modules.values()])


LOADED: Final = LoadedModules()
# A process that is forked while another thread compiles would find Numba's lock taken, and half of its tables.
hold_at_forks(LOADED.hold, LOADED.release)


def compiled(source: str) -> ModuleType:
    """Return `source` as a module whose functions Numba compiles; the same text is loaded once a process."""
    return LOADED.module(source)


def _from_disk(source: str) -> ModuleType | None:
    text = HEADER.replace("CACHE", "True") + "\n\n" + source
    name = "selfstab_kernel_" + hashlib.sha256(text.encode()).hexdigest()[:32]
    path = cache_directory() / f"{name}.py"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            return None
        if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
            files.write_text(path, text)
    except OSError:
        return None
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        return None
    module = importlib.util.module_from_spec(specification)
    # Numba looks the module up by name when it loads a compiled function from its cache.
    sys.modules[name] = module
    specification.loader.exec_module(module)
    if check_files_of(module, path) == text.count("\n@entry\n"):
        return module
    # A damaged file of Numba's own can end the process.
    del sys.modules[name]
    notify(
        f"Numba {version('numba')} keeps compiled functions otherwise than selfstab knows how to check: "
        "kernels are compiled anew in each process",
        RuntimeWarning,
    )
    return None


def _in_memory(source: str) -> ModuleType:
    module = ModuleType("kernel_in_memory")
    exec(
        compile(HEADER.replace("CACHE", "False") + "\n\n" + source, "<selfstab kernel>", "exec"),
        module.__dict__,
    )
    return module


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
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return function(*arguments)

    return quiet
