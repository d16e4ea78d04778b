"""A thread that works on the latest request: older ones are dropped, and the one under way is asked to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Calls ``work(request, wanted)`` in a thread of its own, for the latest request only.

    Parameters
    ----------
    work
        Is given the request, and a function that says whether it is still the latest.

    Examples
    --------
    >>> done = []
    >>> worker = Latest(lambda request, wanted: done.append(request))
    >>> worker.ask(1)
    >>> worker.close()
    >>> done
    [1]
    """

    def __init__(self, work: Callable[[T, Callable[[], bool]], None]) -> None:
        self._work = work
        self._change = threading.Condition()
        self._next: list[T] = []
        self._asked = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="selfstab-explorer", daemon=True)
        self._thread.start()

    def ask(self, request: T) -> None:
        """Ask for a piece of work; a request that has not begun is dropped for it."""
        with self._change:
            self._next = [request]
            self._asked += 1
            self._change.notify()

    def close(self, timeout: float | None = None) -> None:
        """End the thread, after the request that waits, if there is one."""
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._next or self._closing)
                if not self._next:
                    return
                request, number = self._next.pop(), self._asked
            self._work(request, lambda number=number: number == self._asked)  # type: ignore[misc]
