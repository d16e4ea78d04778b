"""One thread of BLAS: the bits of a product depend on the number of threads that compute it."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any


def one_blas_thread() -> AbstractContextManager[None]:
    """Context in which BLAS computes with one thread, in whatever thread of the process and however nested.

    The process counts who is inside. The first to enter sets each BLAS library to one thread. The last to leave sets
    the number again that the first one met. A library that counts for each thread of Python by itself, as MKL does,
    is set in every thread that enters, and restored when that thread leaves.

    Returns
    -------
    AbstractContextManager
        The context. It is left by the thread that entered it. To enter it again inside costs less than a
        microsecond.

    Raises
    ------
    RuntimeError
        On entering, if a library still reports another number than one after it was set. Nothing has been computed
        then, and the numbers of all libraries are as before. The remedy is an environment variable such as
        OPENBLAS_NUM_THREADS=1, set before Python starts.

    Warns
    -----
    RuntimeWarning
        On leaving, if other code set another number in the meantime, such as a limit of threadpoolctl that ended in
        another thread. Bits may then differ from those of a lone run. That number stays.

    Notes
    -----
    A library that is loaded inside the context has its own number of threads until the context is entered again,
    nested or by another thread, after an import. It is then set to one thread, and restored with the others.
    Libraries that threadpoolctl does not know, such as Accelerate, are left alone, as are those without a number.

    A process forked inside the context is inside only if the thread that forked was. Else the numbers are restored
    in it.

    From version 3.7 on, threadpoolctl lets one thread set limits and ignores the others without a word. The guard
    sets its number all the same, and leaves every thread free to set limits.

    Examples
    --------
    >>> from threadpoolctl import threadpool_info
    >>> from selfstab.eigen.blas import one_blas_thread
    >>> with one_blas_thread():
    ...     numbers = {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
    >>> numbers <= {1}
    True
    """
    return _guard


class _Thread(threading.local):
    """What a thread of Python has entered."""

    def __init__(self) -> None:
        self.depth = 0
        self.interventions = 0
        self.numbers: dict[str, int] = {}


class _Guard(AbstractContextManager[None]):
    """The context, one object for the process.

    ``_numbers`` holds the number of threads that each library had outside, by its path; that of a thread holds those
    of the libraries that count by thread.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._forks = False
        self._thread = _Thread()
        self._inside: set[int] = set()
        self._numbers: dict[str, int] = {}
        self._by_thread: dict[str, bool] = {}
        self._libraries: list[Any] = []
        self._modules = -1
        self._interventions = 0

    def __enter__(self) -> None:
        thread = self._thread
        thread.depth += 1
        if thread.depth > 1 and len(sys.modules) == self._modules:
            return
        try:
            with self._lock:
                self._inside.add(threading.get_ident())
                self._set_all()
                if thread.depth == 1:
                    thread.interventions = self._interventions
        except BaseException:
            self._leave()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        if self._thread.depth == 0 and self._thread.interventions != self._interventions:
            warnings.warn(
                "other code set the number of BLAS threads while selfstab computed with one: bits may differ from"
                " those of another run; limit BLAS threads around calls of selfstab, not beside them",
                RuntimeWarning,
                stacklevel=2,
            )

    def _set_all(self) -> None:
        """Set each library to one thread, for the calling thread at least."""
        if len(sys.modules) != self._modules:
            from threadpoolctl import ThreadpoolController

            modules = len(sys.modules)  # before the search: what is loaded during it is searched for again
            self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers
            self._modules = modules
        for library in self._libraries:
            path, number = library.filepath, library.get_num_threads()
            if number is None:
                continue
            if number != 1 and path not in self._by_thread:
                self._by_thread[path] = _counts_by_thread(library)
            numbers = self._numbers_of(library)
            if number == 1:
                numbers.setdefault(path, 1)
                continue
            self._interventions += path in numbers
            numbers[path] = number  # the newest: it is what the others want
            if not _set(library, 1):
                least = library.get_num_threads()
                del numbers[path]
                _set(library, number)
                raise RuntimeError(
                    f"the BLAS library {path} must compute with one thread for bits that repeat, got {least} after it"
                    " was set to 1; set OPENBLAS_NUM_THREADS, MKL_NUM_THREADS, BLIS_NUM_THREADS and OMP_NUM_THREADS"
                    " to 1 before Python starts"
                )

    def _leave(self) -> None:
        thread = self._thread
        thread.depth -= 1
        if thread.depth:
            return
        with self._lock:
            self._inside.discard(threading.get_ident())
            self._restore(thread.numbers)
            if not self._inside:
                self._restore(self._numbers)
            else:
                self._interventions += any(
                    library.get_num_threads() != 1
                    for library in self._libraries
                    if not self._by_thread.get(library.filepath) and library.filepath in self._numbers
                )

    def _restore(self, numbers: dict[str, int]) -> None:
        for library in self._libraries:
            number = numbers.get(library.filepath)
            if number is None or numbers is not self._numbers_of(library):
                continue
            if library.get_num_threads() != 1:
                self._interventions += 1
            elif number != 1:
                _set(library, number)
        numbers.clear()

    def _numbers_of(self, library: Any) -> dict[str, int]:
        return self._thread.numbers if self._by_thread.get(library.filepath) else self._numbers

    def before_fork(self) -> None:
        """Wait until no other thread is about to set or restore a number."""
        self._lock.acquire()
        self._forks = True

    def after_fork_in_parent(self) -> None:
        """Let the other threads go on."""
        # While a fork waits, another thread may import this module.
        if self._forks:
            self._forks = False
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Forget the other threads, which the new process does not have."""
        self._inside = {threading.get_ident()} if self._thread.depth else set()
        if not self._inside:
            self._restore(self._numbers)
        self.after_fork_in_parent()


def _set(library: Any, number: int) -> bool:
    """Set a library's number of threads, and return whether it has it."""
    # From 3.7 on, threadpoolctl sets nothing, without a word, beside another thread that has set something.
    release = getattr(library, "clear_controlling_thread", lambda force: None)
    library.set_num_threads(number)
    if library.get_num_threads() != number:
        release(force=True)
        library.set_num_threads(number)
    release(force=False)
    return bool(library.get_num_threads() == number)


def _counts_by_thread(library: Any) -> bool:
    """Whether a library that has several threads keeps them when another thread sets it to one."""
    other = threading.Thread(target=_set, args=(library, 1))
    other.start()
    other.join()
    return bool(library.get_num_threads() != 1)


_guard = _Guard()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_guard.before_fork,
        after_in_parent=_guard.after_fork_in_parent,
        after_in_child=_guard.after_fork_in_child,
    )
