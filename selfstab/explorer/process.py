"""A process that works for one tab: asked through a pipe, bounded in time and memory, ended at will.

SymPy on a typed formula, or a compilation, cannot be stopped within this process, and holds up all its threads.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext, SpawnContext
    from multiprocessing.process import BaseProcess

LIMIT_SECONDS: Final = 120.0
"""Longest wait for a part of the work, such as a picture, the compilation of a kernel, or a file."""

START_SECONDS: Final = 60.0
"""Longest wait for a process to start."""

IDLE_SECONDS: Final = 600.0
"""A process that is asked nothing for so long ends; the next request starts another."""

LOOK_SECONDS: Final = 0.05
"""How often a waiting thread looks whether its request is still the latest."""

_REAP_SECONDS: Final = 5.0
"""How long the end of a process is waited for."""

STARTING: Final = threading.Lock()
"""Held while a process is started: one whose parent ends in the midst of that says so in a traceback."""

MEMORY: Final = 3 * 2**30
"""Bytes that a process may hold, where the system can say so (Linux)."""

_PRELOADED: Final = ["selfstab.explorer.preloaded"]
"""Imported once, in the process that the others are forked from."""


class WorkError(Exception):
    """What went wrong in the process, in words for the page."""


class Interrupted(Exception):
    """The process was ended because nobody wants its answer."""


class TabProcess:
    """A process, started when it is first asked, and anew after it was ended.

    Parameters
    ----------
    limit
        Seconds that a part of the work may take.

    Examples
    --------
    >>> from selfstab.explorer import tasks
    >>> from selfstab.explorer.state import PageState
    >>> process = TabProcess()
    >>> [start] = process.answers(tasks.start, PageState())
    >>> start.weight_names
    ('x', 'z')
    >>> process.close()
    """

    def __init__(self, limit: float = LIMIT_SECONDS) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self._pipe: Connection[Any, Any] | None = None
        self._number = 0
        self._closed = self._unwanted = False

    def answers(
        self, task: Callable[..., Any], *arguments: Any, current: Callable[[], bool] = lambda: True
    ) -> Generator[Any, None, Any]:
        """Yield the answers of task(*arguments, current), a function of a module that returns a generator.

        Each answer of None only says that a part is done. What the task returns is returned.

        Parameters
        ----------
        current
            Asked again and again; where it says no, so does the task's own `current`.

        Raises
        ------
        WorkError
            If the task raises, a part of it takes longer than the limit, or the process dies.
        Interrupted
            If :meth:`interrupt` or :meth:`close` is called meanwhile.
        """
        pipe = self._started()
        self._number += 1
        try:
            pipe.send((self._number, task, arguments, self.limit))
            stopped, deadline = False, time.monotonic() + self.limit
            while True:
                answered = pipe.poll(LOOK_SECONDS)
                if not stopped and not current():
                    stopped = True
                    pipe.send((self._number, None, (), 0.0))
                if not answered:
                    if time.monotonic() > deadline:
                        self._end()
                        raise WorkError(
                            f"ended after {self.limit:g} s: take a simpler loss or fewer steps, or start the explorer "
                            "with a larger --limit"
                        )
                    continue
                kind, answer = pipe.recv()
                if kind == "error":
                    raise WorkError(answer)
                if kind == "end":
                    return answer
                deadline = time.monotonic() + self.limit
                if answer is not None:
                    yield answer
                    deadline = time.monotonic() + self.limit
        except (EOFError, OSError):
            unwanted = self._unwanted
            self._end()
            if unwanted:
                raise Interrupted from None
            raise WorkError(
                f"the process of this page died: it may hold at most {MEMORY / 2**30:g} GiB"
            ) from None

    def interrupt(self) -> None:
        """End the work under way, if there is any."""
        with self._lock:
            self._unwanted = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End the process for good."""
        self._closed = True
        self.interrupt()

    def _started(self) -> Connection[Any, Any]:
        """Return the pipe to a process that waits for a request."""
        with self._lock:
            process, pipe, unwanted = self._process, self._pipe, self._unwanted
            self._unwanted = self._closed
        if process is not None and pipe is not None and process.is_alive() and not unwanted:
            return pipe
        self._end()
        context = _context()
        ours, theirs = context.Pipe()
        # It may take seconds: without the lock, so that nobody who ends it waits.
        process = context.Process(target=_serve, args=(theirs,), name="selfstab-tab", daemon=True)
        with STARTING:
            process.start()
        theirs.close()
        with self._lock:
            self._process, self._pipe = process, ours
            if self._unwanted:
                process.kill()
        with suppress(EOFError, OSError):
            if ours.poll(START_SECONDS):
                ours.recv()
                return ours
        unwanted = self._unwanted
        self._end()
        raise Interrupted if unwanted else WorkError("the process of this page did not start")

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
            pipe, self._pipe = self._pipe, None
        if process is not None:
            process.kill()
            process.join(_REAP_SECONDS)
        if pipe is not None:
            pipe.close()


def _context() -> ForkServerContext | SpawnContext:
    if "forkserver" in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")


def begin_forkserver() -> None:
    """Start what processes are forked from, deaf to Ctrl-C, and have it import what they need; else do nothing."""
    context = _context()
    if context.get_start_method() != "forkserver":
        return
    context.set_forkserver_preload(_PRELOADED)
    from multiprocessing import forkserver

    # Processes inherit this: none is interrupted before it can say so itself.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


# -- in the process ---------------------------------------------------------------------------------------------------


def _serve(pipe: Connection[Any, Any]) -> None:
    """Answer requests until the pipe is closed or idle."""
    # Ctrl-C reaches all processes of a terminal; the server ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _bound_memory()
    _keep_no_semaphores()
    with suppress(EOFError, OSError):
        pipe.send(("ready", None))
        while pipe.poll(IDLE_SECONDS):
            number, task, arguments, limit = pipe.recv()
            if task is None:
                continue  # it came too late to stop anything
            _answer(pipe, number, task, arguments, limit)
    os._exit(0)


def _answer(pipe: Connection[Any, Any], number: int, task: Any, arguments: Any, limit: float) -> None:
    stopped = False

    def current() -> bool:
        nonlocal stopped
        _end_after(limit)
        pipe.send(("answer", None))
        while not stopped and pipe.poll():
            stopped = pipe.recv()[0] == number
        return not stopped

    _end_after(limit)
    try:
        generator = task(*arguments, current)
        while True:
            try:
                answer = next(generator)
            except StopIteration as end:
                pipe.send(("end", end.value))
                break
            pipe.send(("answer", answer))
            _end_after(limit)
    except (EOFError, OSError):
        raise
    except Exception as error:
        # Whatever goes wrong is told in words: the page must not stand still.
        pipe.send(("error", str(error) or type(error).__name__))
    finally:
        _end_after(0.0)


def _end_after(seconds: float) -> None:
    """Have the system end this process in some seconds, should nobody be left who does; 0: no longer."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds and seconds + 5.0)


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, also in the midst of its work."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _keep_no_semaphores() -> None:
    """Give progress bars a lock of threads: one of processes would be left behind when this one is ended."""
    from tqdm.std import tqdm

    tqdm.set_lock(threading.RLock())


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
