"""What tests of one thread need of other threads: to be inside a context, to call, to warn."""

from __future__ import annotations

import contextlib
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

SECONDS = 20
"""Longest wait of one thread for another: an end, not a speed."""


def in_thread(function):
    """Run a function in a thread of its own, and return what it returns or raise what it raises."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=SECONDS)


@contextlib.contextmanager
def another_thread_inside(make_context):
    """Have another thread inside a context that it makes itself."""
    entered, over = threading.Event(), threading.Event()

    def stay():
        with make_context():
            entered.set()
            assert over.wait(SECONDS)

    with ThreadPoolExecutor(1) as pool:
        stay_inside = pool.submit(stay)
        assert entered.wait(SECONDS)
        try:
            yield
        finally:
            over.set()
            stay_inside.result(timeout=SECONDS)


@contextlib.contextmanager
def all_warnings():
    """Record all warnings, also those of other threads."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        yield record
