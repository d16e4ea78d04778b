"""Bounds on the time of symbolic steps: SymPy may take for ever over a short formula.

Within this process a step is stopped as Ctrl-C would stop it, by an exception between two operations of Python: see
:func:`bounded`. One operation that takes very long, such as a product of integers of 10^9 digits, ends only with its
process. For text that is not trusted see :class:`selfstab.losses.symbolic.checker.Checker`.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from selfstab import validation

SECONDS: Final = 10.0
"""Most seconds of a symbolic step where nothing else is set."""

_AGAIN: Final = (
    0.25  # seconds until a step is stopped once more: code that ends an object may swallow an exception
)

P = ParamSpec("P")
R = TypeVar("R")

_seconds: Final[ContextVar[float]] = ContextVar("seconds of a symbolic step", default=SECONDS)
_thread: Final = threading.local()
"""``ends``: when the innermost step under way in this thread must end, by the thread's :func:`_clock`."""


class DeadlineError(ValueError):
    """A symbolic step took longer than it may."""


class _Expired(BaseException):
    """Raised in the thread of a step whose time is over; no exception that SymPy catches."""


@contextlib.contextmanager
def derive_within(seconds: float) -> Iterator[None]:
    """Give each symbolic step that begins within a ``with`` block at most so many seconds.

    One step is the construction of a loss: its text is read, checked and differentiated. Others are its third and
    fourth derivatives, and the formulas of its kernel. Each is made when first needed. Outside of such a block a step
    has 10 s. Other threads keep their limit. Compilation is no symbolic step. The time is that of the processor, where
    the system knows it of other threads (Linux). So a busy machine refuses no loss.

    Parameters
    ----------
    seconds
        The limit, above 0.

    Raises
    ------
    TypeError, ValueError
        If seconds is not a number above 0.

    Examples
    --------
    >>> import selfstab as ss
    >>> with ss.derive_within(60):
    ...     loss = ss.SymbolicLoss("(u*v - 1)**2/2", ["u", "v"])
    >>> loss.value([2.0, 1.0])
    0.5
    """
    # Beyond that, waiting for the end of a step overflows.
    token = _seconds.set(validation.real("seconds", seconds, above=0, at_most=1e6))
    try:
        yield
    finally:
        _seconds.reset(token)


def bounded(step: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator: the function raises :class:`DeadlineError` where it takes longer than a step may.

    A step within another ends with it. SymPy is left as after a KeyboardInterrupt: its caches hold no half results.
    Where SymPy itself fails, by an AttributeError for example, the function raises ValueError.

    Parameters
    ----------
    step
        What the function does, for the message: "expression must ... within 10 s".

    Examples
    --------
    >>> @bounded("be done")
    ... def forever():
    ...     while True:
    ...         pass
    >>> with derive_within(0.1):
    ...     forever()
    Traceback (most recent call last):
    ...
    selfstab.formulas.deadline.DeadlineError: expression must be done within 0.1 s, ...
    """

    def decorator(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            seconds = _seconds.get()
            outer: float = getattr(_thread, "ends", float("inf"))
            clock = _clock()
            ends = clock() + seconds
            if outer <= ends:
                return function(*args, **kwargs)
            watch, expired = _Watch(clock, ends), False
            try:
                _thread.ends = ends
                watch.start()
                result = function(*args, **kwargs)
            except _Expired:
                expired = True
            except (ValueError, TypeError, MemoryError):
                raise
            except Exception as error:
                raise ValueError(
                    f"expression must {step}, got one at which SymPy fails: {validation.shown(error, 200)}"
                ) from error
            finally:
                # A last exception may be raised as soon as the function below begins.
                while not watch.ended:
                    with contextlib.suppress(_Expired):
                        watch.end()
                _thread.ends = outer
            if not expired:
                return result
            if clock() < ends:
                raise _Expired  # of a step around this one
            raise DeadlineError(
                f"expression must {step} within {seconds:g} s, got one that takes SymPy longer: write it with fewer "
                "factors or less nesting, a sum of samples as ss.EmpiricalRisk, or allow more time by ss.derive_within"
            )

        return inside

    return decorator


class _Watch:
    """A thread that raises :class:`_Expired` in the thread that made it, from the deadline on until it is ended."""

    def __init__(self, clock: Callable[[], float], ends: float) -> None:
        self._clock, self._ends, self._target = clock, ends, threading.get_ident()
        self._over = threading.Event()
        self._fired = self._drained = self.ended = False
        self._watcher = threading.Thread(target=self._run, name="selfstab-deadline", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._watcher.start()

    def _run(self) -> None:
        # A thread has less computing time than time goes by.
        while not self._over.wait(max(self._ends - self._clock(), _AGAIN if self._fired else 0.001)):
            if self._clock() >= self._ends and not _ends_objects(self._target):
                self._fired = True
                _raise_in(self._target)

    def end(self) -> None:
        """Stop watching, whatever interrupts; no exception of the watch is raised from here on."""
        interrupt: BaseException | None = None
        while not self.ended:
            try:
                self._over.set()
                if self._watcher.ident is not None:
                    self._watcher.join()
                if self._fired and not self._drained:
                    # A thread holds one exception that is yet to be raised. It cannot be taken back without slowing
                    # the thread for good, so that one more takes its place, and is raised here.
                    self._drained = True
                    if _raise_in(self._target):
                        while True:
                            pass
                self.ended = True
            except _Expired:
                continue
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


def _ends_objects(thread: int) -> bool:
    """Whether a thread runs code that ends an object: Python reports an exception there, and goes on without it."""
    callbacks = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_code in callbacks:
            return True
        frame = frame.f_back
    return False


def _clock() -> Callable[[], float]:
    """Return a clock that any thread can read: the computing time of this thread, or the time where there is none."""
    if sys.platform != "win32" and hasattr(time, "pthread_getcpuclockid"):
        identifier = time.pthread_getcpuclockid(threading.get_ident())
        return lambda: time.clock_gettime(identifier)
    return time.monotonic


def _raise_in(thread: int) -> bool:
    """Have _Expired raised in a thread before its next operation, and return whether there is such a thread."""
    set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
    return bool(set_exception(ctypes.c_ulong(thread), ctypes.py_object(_Expired)))
