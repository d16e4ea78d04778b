"""Processes that are forked while other threads work: locks that those hold would stay taken in the child for ever."""

from __future__ import annotations

import importlib
import logging  # noqa: F401  # what a thread imports while a fork waits for it would be released without being held
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

IMPORT_SECONDS: Final = 60.0
"""Longest wait of a fork for other threads' imports."""

_HOLDS: Final[list[tuple[Callable[[], None], Callable[[], None]]]] = []
_to_release: Final[list[Callable[[], None]]] = []


def free_in_children(lock: Any) -> None:
    """Have a lock of this process free in every process that is forked from it.

    For locks of what a child can use however far another thread had come with it.

    >>> lock = threading.RLock()
    >>> free_in_children(lock)
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lock._at_fork_reinit)


def hold_at_forks(hold: Callable[[], None], release: Callable[[], None]) -> None:
    """Call `hold` before this process is forked, and `release` afterwards in both processes.

    For locks of what a child can use in a whole state only: the fork waits for it.
    """
    _HOLDS.append((hold, release))


def _before() -> None:
    """Wait for the threads that import, and for those that hold what a child needs whole."""
    end = time.monotonic() + IMPORT_SECONDS
    while True:
        while _others_import() and time.monotonic() < end:
            time.sleep(0.01)
        for hold, release in [*_HOLDS]:
            hold()
            _to_release.append(release)
        # Another import may have begun meanwhile, one that needs what is held now.
        if not _others_import() or time.monotonic() >= end:
            return
        _after()


def _after() -> None:
    while _to_release:
        _to_release.pop()()


def _others_import() -> bool:
    """Whether another thread imports a module: its lock would stay taken in the child.

    Python frees its own import lock in a child, and not that of each module. The first use of a public name imports
    SymPy, xarray or LLVM.
    """
    locks: dict[str, Any] = getattr(importlib._bootstrap, "_module_locks", {})
    owners = {getattr(reference(), "owner", None) for reference in [*locks.values()]}
    return not owners <= {None, threading.get_ident()}


def _free_properties() -> None:
    """Give each cached property of selfstab a new lock, which Python 3.11 holds while it works a property out."""
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] != "selfstab":
            continue
        for kind in [*vars(module).values()]:
            if isinstance(kind, type):
                for attribute in vars(kind).values():
                    if isinstance(attribute, cached_property) and hasattr(attribute, "lock"):
                        attribute.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    # Once for all: a hook that is registered while a fork waits would release what was never held.
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
if hasattr(os, "register_at_fork") and hasattr(cached_property(len), "lock"):
    os.register_at_fork(after_in_child=_free_properties)
