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
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from selfstab.kernels.arithmetic import HEADER, plain_namespace
from selfstab.kernels.cache_files import check_files_of, write_whole

_lock = threading.Lock()
_loaded: dict[str, ModuleType] = {}


def cache_directory() -> Path:
    """Return the directory of generated modules: $SELFSTAB_CACHE_DIR, or the platform's cache directory."""
    chosen = os.environ.get("SELFSTAB_CACHE_DIR")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("selfstab", appauthor=False))


def compiled(source: str) -> ModuleType:
    """Return `source` as a module whose functions Numba compiles; the same text is loaded once a process."""
    with _lock:
        if source not in _loaded:
            _loaded[source] = _from_disk(source) or _in_memory(source)
        return _loaded[source]


def _from_disk(source: str) -> ModuleType | None:
    text = HEADER.replace("CACHE", "True") + "\n\n" + source
    name = "selfstab_kernel_" + hashlib.sha256(text.encode()).hexdigest()[:32]
    path = cache_directory() / f"{name}.py"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            return None
        if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
            write_whole(path, text.encode())
    except OSError:
        return None
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        return None
    module = importlib.util.module_from_spec(specification)
    # Numba looks the module up by name when it loads a compiled function from its cache.
    sys.modules[name] = module
    specification.loader.exec_module(module)
    check_files_of(module, path)
    return module


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
