"""Blocks of cells on a pool of threads, with a progress bar."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any


def available_threads() -> int:
    """Return the number of CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_blocks(
    work: Callable[[int, int], None],
    total: int,
    block: int,
    threads: int,
    *,
    progress: bool,
    unit: str = "cell",
) -> None:
    """Call work(first, count) for consecutive blocks of at most `block` cells, `threads` at a time.

    The first exception of a block is raised after the blocks under way have ended; those not begun never begin. The
    same holds for an interrupt.
    """
    firsts = range(0, total, block)
    with _bar(total, unit, progress) as bar, ThreadPoolExecutor(threads) as pool:

        def one(first: int) -> None:
            count = min(block, total - first)
            work(first, count)
            bar.update(count)

        futures = [pool.submit(one, first) for first in firsts]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            for future in futures:
                future.cancel()
        for future in futures:
            if not future.cancelled():
                future.result()


def _bar(total: int, unit: str, progress: bool) -> Any:
    with warnings.catch_warnings():
        # In a notebook without ipywidgets tqdm falls back to text, and warns.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

        # None: shown in terminals and notebooks only.
        return tqdm(total=total, unit=unit, unit_scale=True, disable=None if progress else True, leave=False)
