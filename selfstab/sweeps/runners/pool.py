"""Blocks of cells on a pool of threads, with a progress bar."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from selfstab import validation
from selfstab.machine import available_threads

B = TypeVar("B", bound=Sized)

MOST_THREADS: Final = 1024
"""Most threads of a sweep: a larger number is a slip, and would stall the machine."""


def checked_threads(threads: Any, progress: Any) -> int:
    """Return the number of threads, by default one for each CPU, or raise; `progress` must be True or False."""
    if not isinstance(progress, bool):
        raise TypeError(f"progress must be True or False, got {validation.shown(progress)}")
    if threads is None:
        return available_threads()
    count = validation.integer("threads", threads, at_least=1)
    if count > MOST_THREADS:
        raise ValueError(f"threads must be at most {MOST_THREADS}, got {count}")
    return count


def run_blocks(
    work: Callable[[B], None],
    blocks: Iterable[B],
    threads: int,
    bar: Any,
    interrupted: Callable[[], None] | None = None,
) -> None:
    """Call work(block) for each block, `threads` at a time; `bar.update` gets the size of each that is done.

    A block is taken from the iterable when a thread is free for it. The first exception of a block is raised after
    the blocks under way have ended; those not begun never begin. The same holds for an interrupt, at which
    `interrupted` is called to end those under way early.
    """
    waiting = iter(blocks)
    lock, stopped = threading.Lock(), threading.Event()

    def serve() -> None:
        while True:
            with lock:
                block = None if stopped.is_set() else next(waiting, None)
            if block is None:
                return
            try:
                work(block)
            except BaseException:
                stopped.set()
                raise
            with lock:
                bar.update(len(block))

    with ThreadPoolExecutor(threads) as pool:
        try:
            servants = [*_submitted(pool, serve, threads)]
            if not servants:
                serve()
            for servant in servants:
                servant.result()
        except KeyboardInterrupt:
            stopped.set()
            if interrupted is not None:
                interrupted()
            raise
        finally:
            stopped.set()


def threads_start() -> bool:
    """Whether threads can be started: none can where the interpreter ends.

    >>> threads_start()
    True
    """
    with ThreadPoolExecutor(1) as pool:
        return bool([*_submitted(pool, lambda: None, 1)])


def _submitted(pool: ThreadPoolExecutor, serve: Callable[[], None], count: int) -> Iterator[Future[None]]:
    """Give the threads that could be started: none where the interpreter ends, fewer where there are no more."""
    for _ in range(count):
        try:
            yield pool.submit(serve)
        except RuntimeError:
            return


def progress_bar(total: int, unit: str, shown: bool, done: int = 0) -> Any:
    """Return a bar with rate and time left: in terminals and notebooks only, and nowhere unless `shown`.

    Of the `total`, `done` were done before: the bar begins there, and its rate does not count them.
    """
    # As tqdm.auto chooses, which warns in a notebook without ipywidgets.
    widgets = _in_notebook() and importlib.util.find_spec("ipywidgets") is not None
    bar: Any = importlib.import_module("tqdm.notebook" if widgets else "tqdm").tqdm
    if not hasattr(bar, "_lock"):
        # tqdm's own lock has a semaphore, which a process that is ended by a signal leaves behind with a warning.
        bar.set_lock(threading.RLock())

    # None: shown if the output is a terminal. That of a notebook is none, but shows a bar well.
    columns, lines = _assumed_size()
    disable = None if shown and not _in_notebook() else not shown
    return bar(
        total=total, initial=done, unit=unit, unit_scale=True, disable=disable, leave=False,
        ncols=columns, nrows=lines,
    )  # fmt: skip


def _assumed_size() -> tuple[int | None, int | None]:
    """Return columns and lines of a terminal that gives none: tqdm takes 0 columns for no place to show a bar."""
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # no terminal
        return None, None
    return (None, None) if size.columns and size.lines else (size.columns or 80, size.lines or 24)


def prepared(prepare: Callable[[Callable[[], None]], None], bar: Any) -> None:
    """Call prepare(compiling); the bar says so while a kernel is compiled, and its time begins afterwards."""
    prepare(lambda: bar.set_description_str("compiling the kernel"))
    bar.set_description_str("", refresh=False)
    bar.unpause()


def _in_notebook() -> bool:
    # As tqdm tells it; there the bar is a widget, or text where ipywidgets is missing.
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config
