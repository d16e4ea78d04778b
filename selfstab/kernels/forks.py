"""Processes that are forked while other threads work: locks that those hold would stay taken in the child for ever."""

from __future__ import annotations

import logging  # noqa: F401  # what a thread imports while a fork waits for it would be released without being held
import os
import sys
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any


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
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=hold, after_in_parent=release, after_in_child=release)


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


if hasattr(os, "register_at_fork") and hasattr(cached_property(len), "lock"):
    os.register_at_fork(after_in_child=_free_properties)
