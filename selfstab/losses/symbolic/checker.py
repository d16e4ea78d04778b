"""Formulas that are not trusted, checked in a process of their own that ends with the time they have.

An exception reaches SymPy between two operations of Python only (:mod:`selfstab.formulas.deadline`). A process
can be ended at any time, whatever it computes. It takes about a second to start, and is kept for the next formula.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import IO, Any, Final

from selfstab.formulas.deadline import SECONDS, DeadlineError, bounded, derive_within
from selfstab.losses.symbolic.loss import SymbolicLoss

START_SECONDS: Final = 60.0
"""Most seconds until the process is ready for its first formula."""

MEMORY: Final = 4 * 2**30
"""Most bytes of address space of the process, where the system can bound it."""

_BUSY: Final = 4.0  # times as long may a process take on a machine that does other work, too
_GRACE: Final = 1.0  # seconds in which a process says itself that its time is over, before it is ended

# The process reads no file beside this package: it takes the paths of the process that starts it.
_CODE: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.readline()); "
    "from selfstab.losses.symbolic.checker import serve; serve()"
)


def check_in_process(
    text: str,
    variables: Iterable[str],
    parameters: Mapping[str, float] | None = None,
    seconds: float = SECONDS,
) -> None:
    """Check in another process that a text is a formula which can be derived and written as a kernel within a time.

    What passes here is made in this process by ``SymbolicLoss(text, variables, parameters)``, in about the same time.

    Parameters
    ----------
    text, variables, parameters
        As for :class:`selfstab.SymbolicLoss`; text only.
    seconds
        Most seconds for it, above 0, of the process's computing time (see :func:`selfstab.derive_within`); the process
        is ended after four times as many and one. Its start, about one second, is no part of them.

    Raises
    ------
    TypeError, ValueError
        What ``SymbolicLoss`` raises; :class:`~selfstab.formulas.deadline.DeadlineError` if the time is over.

    Examples
    --------
    >>> check_in_process("(u*v - 1)**2/2", ["u", "v"])
    """
    _CHECKER.check(text, variables, parameters, seconds)


class Checker:
    """A process that checks formulas one at a time; it starts with the first, and again after it was ended.

    Threads may share it: they wait for each other.

    Examples
    --------
    >>> checker = Checker()
    >>> checker.prepare()
    >>> try:
    ...     checker.check("u*v", ["u"])
    ... except ValueError as error:
    ...     print(error)
    expression must be a formula, got 'u*v': column 3: unknown name 'v'; known are u, pi, E, ...
    >>> checker.close()
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._answers: SimpleQueue[str] = SimpleQueue()
        self._ready = False

    def prepare(self) -> None:
        """Start the process, if there is none, without waiting for it."""
        with self._lock:
            self._started()

    def check(
        self,
        text: str,
        variables: Iterable[str],
        parameters: Mapping[str, float] | None = None,
        seconds: float = SECONDS,
    ) -> None:
        """Check a formula; see :func:`check_in_process`."""
        request = json.dumps([text, [*variables], dict(parameters or {}), seconds])
        with self._lock:
            try:
                answer = self._answer(request, seconds)
            except (
                BaseException
            ):  # KeyboardInterrupt, too: an answer to come would be that of the next formula
                self._end()
                raise
        if answer is not None:
            kinds = {"DeadlineError": DeadlineError, "TypeError": TypeError}
            raise kinds.get(answer[0], ValueError)(answer[1])

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _answer(self, request: str, seconds: float) -> list[str] | None:
        process = self._started()
        if not self._ready:
            self._read(START_SECONDS, "a process that checks formulas must start")
            self._ready = True
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended: no answer follows
            process.stdin.write(request + "\n")
            process.stdin.flush()
        answer: list[str] | None = self._read(
            _BUSY * seconds + _GRACE, f"expression must be checked and differentiated within {seconds:g} s"
        )
        return answer

    def _read(self, limit: float, duty: str) -> Any:
        try:
            line = self._answers.get(timeout=limit)
        except Empty:
            raise DeadlineError(
                f"{duty}, got one that takes longer and was ended: write it shorter"
            ) from None
        if not line:
            raise ValueError(
                f"{duty}, got one that ended its process, for want of memory or time: write it shorter"
            )
        return json.loads(line)

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._answers, self._ready = SimpleQueue(), False
            self._process = process = subprocess.Popen(
                [sys.executable, "-I", "-c", _CODE],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for the process that asks
            )  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps(sys.path) + "\n")
                process.stdin.flush()
            threading.Thread(target=_read_lines, args=(process.stdout, self._answers), daemon=True).start()
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.wait()


def _read_lines(stream: IO[str], lines: SimpleQueue[str]) -> None:
    """Put the lines of a process into a queue, and an empty one at its end."""
    with stream:
        for line in stream:
            lines.put(line)
    lines.put("")


def serve() -> None:
    """Answer what a :class:`Checker` asks, line by line, until its end."""
    # What is printed by accident is no answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on this system, or bounded more tightly
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        text, variables, parameters, seconds = json.loads(line)
        # This ends the process even within one operation, and if nobody is left to end it.
        faulthandler.dump_traceback_later(_BUSY * seconds + 2 * _GRACE, exit=True)
        error: list[str] | None = None
        try:
            with derive_within(seconds):
                _derive(text, variables, parameters)
        except (ValueError, TypeError) as reason:
            error = [type(reason).__name__, str(reason)]
        except MemoryError:
            error = [
                "ValueError",
                "expression must be one that SymPy can handle in 4 GiB of memory, got a larger one",
            ]
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(error), file=answers, flush=True)


@bounded("be checked and differentiated")
def _derive(text: str, variables: list[str], parameters: dict[str, float]) -> None:
    SymbolicLoss(text, variables, parameters).source()


_CHECKER: Final = Checker()
atexit.register(_CHECKER.close)
