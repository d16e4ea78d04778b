"""One BLAS thread, whoever computes beside, and afterwards the number from before."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

import selfstab as ss
from selfstab.eigen import blas
from selfstab.eigen.blas import one_blas_thread

SECONDS = 60
"""Longest wait of one thread for another: an end, not a speed."""


def _numbers():
    """Return the number of threads that each BLAS library of the process reports."""
    return {
        library["filepath"]: library["num_threads"]
        for library in threadpool_info()
        if library["user_api"] == "blas"
    }


def _set_numbers(numbers):
    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        library.set_num_threads(numbers[library.filepath])
        getattr(library, "clear_controlling_thread", lambda: None)()


def _in_thread(function):
    """Run a function in a thread of its own, and return what it returns or raise what it raises."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=SECONDS)


@contextlib.contextmanager
def _another_thread_inside(make_context):
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


@pytest.fixture(params=["no limit", "a limit of this thread", "a limit of another thread"])
def two_threads(request):
    """Two threads in each BLAS library, set plainly or by a limit that lasts."""
    before = _numbers()
    with contextlib.ExitStack() as stack:
        if request.param == "no limit":
            stack.callback(_set_numbers, before)
            _set_numbers(dict.fromkeys(before, 2))
        elif request.param == "a limit of this thread":
            stack.enter_context(threadpool_limits(2, user_api="blas"))
        else:
            stack.enter_context(_another_thread_inside(_limit_to_two))
        two = _numbers()
        assert two
        assert set(two.values()) == {2}
        yield two
        assert _numbers() == two
    assert _numbers() == before


def _limit_to_two():
    return threadpool_limits(2, user_api="blas")


@contextlib.contextmanager
def _warnings():
    """Record all warnings, also those of other threads."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        yield record


def _one(numbers):
    return dict.fromkeys(numbers, 1)


# -- the libraries of this process ---------------------------------------------------------------------------------


def test_nested(two_threads):
    """Protects the outer computation from the end of an inner one."""
    with one_blas_thread():
        assert _numbers() == _one(two_threads)
        with one_blas_thread(), one_blas_thread():
            assert _numbers() == _one(two_threads)
        assert _numbers() == _one(two_threads)
    assert _numbers() == two_threads


def test_an_exception_ends_it(two_threads):
    """Protects the process from staying at one thread after an error."""
    with pytest.raises(ZeroDivisionError), one_blas_thread(), one_blas_thread():
        _ = 1 / 0
    assert _numbers() == two_threads


@pytest.mark.parametrize("first_to_leave", ["first to enter", "last to enter"])
def test_a_thread_leaves_while_another_computes(two_threads, first_to_leave):
    """Protects the computation that lasts longer, whichever began first, and the number after both."""
    other = contextlib.ExitStack()
    if first_to_leave == "first to enter":
        other.enter_context(_another_thread_inside(one_blas_thread))
    with one_blas_thread():
        if first_to_leave == "last to enter":
            other.enter_context(_another_thread_inside(one_blas_thread))
        assert _numbers() == _one(two_threads)
        other.close()
        assert _numbers() == _one(two_threads)
    assert _numbers() == two_threads


@pytest.mark.parametrize("threads", [2, 5])
def test_many_rounds_at_random(two_threads, threads):
    """Protects the number from every order in which threads come, nest, fail and go."""
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    start = threading.Barrier(threads)
    pauses = np.random.default_rng(0).uniform(0, 2e-4, size=(threads, 60, 3))

    def rounds(pauses_of_thread):
        seen = set()
        for before, inside, after in pauses_of_thread:
            start.wait(SECONDS)
            _pause(before)
            with contextlib.suppress(ZeroDivisionError), one_blas_thread():
                seen |= {library.get_num_threads() for library in libraries}
                with one_blas_thread():
                    _pause(inside)
                    seen |= {library.get_num_threads() for library in libraries}
                _pause(after)
                seen |= {library.get_num_threads() for library in libraries}
                _ = 1 // int(after > 1e-4)
            start.wait(SECONDS)
            ends.add(tuple(library.get_num_threads() for library in libraries))
        return seen

    ends: set[tuple[int, ...]] = set()
    with ThreadPoolExecutor(threads) as pool:
        assert set().union(*pool.map(rounds, pauses)) == {1}
    assert ends == {(2,) * len(libraries)}


def _pause(seconds):
    threading.Event().wait(seconds)


def test_a_run_beside_shorter_ones_has_the_bits_of_a_lone_run(two_threads, same_bits):
    """Protects the bits of overlapping calls of the library, on products large enough for two threads to share."""
    rng = np.random.default_rng(0)
    network = ss.MLP((100, 200, 1), rng.normal(size=(3000, 100)), rng.normal(size=(3000, 1)))
    start = network.initial_weights(seed=0)

    def run(steps):
        return ss.simulate(network, ss.HeavyBall(0.02, 0.9), start, steps, keep=["weights"]).weights.values

    with threadpool_limits(1, user_api="blas"):
        alone = run(12)
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(run, steps) for steps in (1, 12, 3)]
        beside = [result.result(timeout=SECONDS) for result in runs]
    for weights in beside:
        assert same_bits(weights, alone[: len(weights)])
    assert _numbers() == two_threads


def test_a_limit_that_ends_beside_it_is_told_and_stays():
    """Protects the user from bits that changed without a word, and the process from a number of ours."""
    before = _numbers()
    three = dict.fromkeys(before, 3)
    limit = contextlib.ExitStack()
    with _warnings() as record:
        try:
            _set_numbers(three)
            limit.enter_context(_another_thread_inside(_limit_to_two))
            with one_blas_thread():
                assert _numbers() == _one(before)
                limit.close()
                assert _numbers() == three
            assert _numbers() == three
        finally:
            _set_numbers(before)
    assert [warning.category for warning in record] == [RuntimeWarning]
    assert "other code set the number of BLAS threads" in str(record[0].message)
    assert record[0].filename == __file__


def test_limits_of_others_hold_afterwards():
    """Protects other code on threadpoolctl from 3.7 on, where a thread that stays in control stops all others."""
    before = _numbers()
    with _another_thread_inside(one_blas_thread):
        pass
    with one_blas_thread():
        pass

    def limited():
        with threadpool_limits(2, user_api="blas"):
            return _numbers()

    assert _in_thread(limited) == dict.fromkeys(before, 2)
    assert _numbers() == before


if hasattr(os, "fork"):  # not on Windows

    def _numbers_in_fork():
        """Return the numbers of a forked process, and those after it has entered and left the context itself."""
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork beside threads
            child = os.fork()
        if child == 0:
            try:
                at_fork = sorted(set(_numbers().values()))
                with one_blas_thread():
                    inside = sorted(set(_numbers().values()))
                after = sorted(set(_numbers().values()))
                os.write(writing, repr((at_fork, inside, after)).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            lines = pipe.read()
        assert os.waitpid(child, 0)[1] == 0
        return lines

    def test_a_fork_of_the_thread_inside_is_inside(two_threads):
        """Protects a computation that forks in its midst."""
        with one_blas_thread():
            assert _numbers_in_fork() == "([1], [1], [1])"
        assert _numbers_in_fork() == "([2], [1], [2])"

    def test_a_fork_beside_the_thread_inside_is_outside(two_threads):
        """Protects a new process from one thread for good, as nobody in it would ever restore the number."""
        with _another_thread_inside(one_blas_thread):
            assert _numbers_in_fork() == "([2], [1], [2])"
            assert _numbers() == _one(two_threads)


def test_no_other_limit_in_the_package():
    """Protects the count: a limit set past the guard gives threads back in the midst of a computation."""
    package = Path(ss.__file__).parent
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if not path.relative_to(package).parts[0].startswith("_")
        and any(
            name in path.read_text(encoding="utf-8") for name in ("threadpool_limits", "ThreadpoolController")
        )
    }
    assert users == {"eigen/blas.py"}


# -- libraries of other kinds ---------------------------------------------------------------------------------------


class SharedLibrary:
    """A library with one number for the process."""

    def __init__(self, filepath="shared", number=4):
        self.filepath, self.number = filepath, number

    def get_num_threads(self):
        return self.number

    def set_num_threads(self, number):
        self.number = number


class ThreadLibrary(threading.local):
    """A library with a number for each thread of Python, as MKL with ``MKL_Set_Num_Threads_Local``."""

    filepath, number = "thread", 4
    get_num_threads, set_num_threads = SharedLibrary.get_num_threads, SharedLibrary.set_num_threads


class ControlledLibrary(SharedLibrary):
    """A library as threadpoolctl treats OpenBLAS from 3.7 on: what a second thread sets is ignored."""

    controller: threading.Thread | None = None

    def set_num_threads(self, number):
        if self.controller is None or not self.controller.is_alive():
            self.controller = threading.current_thread()
        if self.controller is threading.current_thread():
            self.number = number

    def clear_controlling_thread(self, force=False):
        if force or self.controller is threading.current_thread():
            self.controller = None


class FixedLibrary(SharedLibrary):
    """A library that reports another number whatever is set."""

    def set_num_threads(self, number):
        pass


@pytest.fixture
def guard_of(monkeypatch):
    """Return a guard of its own for libraries that stand in for those of the process."""

    def make(libraries):
        selection = types.SimpleNamespace(lib_controllers=libraries)
        controller = types.SimpleNamespace(select=lambda user_api: selection)
        monkeypatch.setattr(threadpoolctl, "ThreadpoolController", lambda: controller)
        return blas._Guard()

    return make


@pytest.mark.parametrize("kind", [SharedLibrary, ThreadLibrary, ControlledLibrary])
def test_each_kind_of_library(kind, guard_of):
    """Protects each thread's one and each thread's number afterwards, one count for all or one for each thread."""
    library = kind()
    guard = guard_of([library])

    def number_inside():
        with guard, guard:
            return library.get_num_threads()

    def number_outside():
        return library.get_num_threads()

    with guard:
        assert number_outside() == 1
        with _another_thread_inside(lambda: guard):
            assert number_outside() == 1
            assert _in_thread(number_inside) == 1
        assert number_outside() == 1
    assert number_outside() == _in_thread(number_outside) == 4
    with _another_thread_inside(lambda: guard):
        with guard:
            assert number_outside() == 1
        assert number_outside() == (4 if kind is ThreadLibrary else 1)
    assert number_outside() == _in_thread(number_outside) == 4


def test_numbers_of_threads_differ(guard_of):
    """Protects the number that a thread has set for itself from that of another."""
    library = ThreadLibrary()
    guard = guard_of([library])
    library.set_num_threads(3)

    def numbers():
        library.set_num_threads(2)
        with guard:
            inside = library.get_num_threads()
        return inside, library.get_num_threads()

    with guard:
        assert _in_thread(numbers) == (1, 2)
        assert library.get_num_threads() == 1
    assert library.get_num_threads() == 3


def test_a_library_controlled_by_another_thread(guard_of):
    """Protects the bits from a limit that another thread has set, and lets that thread go on setting its own."""
    library = ControlledLibrary()
    guard = guard_of([library])
    set_once, over = threading.Event(), threading.Event()

    def control():
        library.set_num_threads(3)
        set_once.set()
        assert over.wait(SECONDS)
        library.set_num_threads(5)

    with ThreadPoolExecutor(1) as pool:
        controlling = pool.submit(control)
        assert set_once.wait(SECONDS)
        with guard:
            assert library.number == 1
        assert library.number == 3
        over.set()
        controlling.result(timeout=SECONDS)
    assert library.number == 5


def test_a_library_that_cannot_be_set(guard_of):
    """Protects the promise of bits: nothing is computed with another number, and the other libraries are restored."""
    libraries = [SharedLibrary(), FixedLibrary("fixed.so", 2)]
    guard = guard_of(libraries)
    for _ in range(2):
        with (
            pytest.raises(RuntimeError, match=r"fixed\.so must compute .* got 2 .* OPENBLAS_NUM_THREADS"),
            guard,
        ):
            raise AssertionError("entered")
    assert [library.number for library in libraries] == [4, 2]
    libraries[1].number = 1  # as the environment variable has it
    with guard:
        assert libraries[0].number == 1
    assert libraries[0].number == 4


def test_a_library_without_a_number(guard_of):
    """Protects runs on a library that does not say how many threads it has."""
    library = SharedLibrary(number=None)
    with guard_of([library]):
        pass
    assert library.number is None


@pytest.mark.parametrize("entering", ["nested", "another thread"])
def test_a_library_loaded_inside(entering, guard_of, monkeypatch):
    """Protects what is computed by a library that an import brings in the midst of a run, and its number."""
    libraries = [SharedLibrary()]
    guard = guard_of(libraries)
    with guard:
        libraries.append(SharedLibrary("loaded", 8))
        monkeypatch.setitem(
            sys.modules, "selfstab_loads_a_library", types.ModuleType("selfstab_loads_a_library")
        )
        if entering == "nested":
            with guard:
                assert libraries[1].number == 1
        else:
            with _another_thread_inside(lambda: guard):
                assert libraries[1].number == 1
        assert [library.number for library in libraries] == [1, 1]
    assert [library.number for library in libraries] == [4, 8]


def test_a_number_set_beside_is_set_to_one_again(guard_of):
    """Protects who enters after other code has set a number, and restores the newest."""
    library = SharedLibrary()
    guard = guard_of([library])
    with _warnings() as record:
        with guard:
            library.set_num_threads(6)
            with _another_thread_inside(lambda: guard):  # its bits do not differ: it is not warned
                assert library.number == 1
        assert len(record) == 1
    assert library.number == 6


def test_a_number_set_beside_warns_each_thread_inside(guard_of):
    """Protects both of two computations, the first to end and the last."""
    library = SharedLibrary()
    guard = guard_of([library])
    with _warnings() as record:
        with guard:
            with _another_thread_inside(lambda: guard):
                library.set_num_threads(6)
            assert len(record) == 1
        assert len(record) == 2
    assert library.number == 6
