"""One BLAS thread, whoever computes beside, and afterwards the number from before."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg  # noqa: F401 (it brings a BLAS library of its own, before any number is read)
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

import selfstab as ss
from selfstab.eigen.blas import one_blas_thread
from tests.eigen.other_threads import SECONDS, all_warnings, another_thread_inside, in_thread

# Whoever has JAX loaded, or other threads, is warned of a fork: those here run nothing of theirs.
FORKS = pytest.mark.filterwarnings("ignore:.*fork\\(\\)")


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
            stack.enter_context(another_thread_inside(_limit_to_two))
        two = _numbers()
        assert two
        assert set(two.values()) == {2}
        yield two
        assert _numbers() == two
    assert _numbers() == before


def _limit_to_two():
    return threadpool_limits(2, user_api="blas")


def _one(numbers):
    return dict.fromkeys(numbers, 1)


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
        other.enter_context(another_thread_inside(one_blas_thread))
    with one_blas_thread():
        if first_to_leave == "last to enter":
            other.enter_context(another_thread_inside(one_blas_thread))
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


def test_a_limit_that_ends_beside_it_warns_and_stays():
    """Protects the user from bits that changed without a word, and the process from a number of ours."""
    before = _numbers()
    three = dict.fromkeys(before, 3)
    limit = contextlib.ExitStack()
    with all_warnings() as record:
        try:
            _set_numbers(three)
            limit.enter_context(another_thread_inside(_limit_to_two))
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
    with another_thread_inside(one_blas_thread):
        pass
    with one_blas_thread():
        pass

    def limited():
        with threadpool_limits(2, user_api="blas"):
            return _numbers()

    assert in_thread(limited) == dict.fromkeys(before, 2)
    assert _numbers() == before


if sys.platform == "linux":  # elsewhere the system's own libraries may not survive a fork beside threads

    def _numbers_in_fork():
        """Return the numbers in a forked process, those in a thread of it that is inside, and those afterwards."""
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork beside threads
            child = os.fork()
        if child == 0:
            try:
                numbers = [sorted(set(_numbers().values()))]

                def enter():
                    with one_blas_thread():
                        numbers.append(sorted(set(_numbers().values())))

                thread = threading.Thread(target=enter, daemon=True)
                thread.start()
                thread.join(SECONDS)
                numbers.append(sorted(set(_numbers().values())))
                os.write(writing, repr(numbers).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        assert os.waitpid(child, 0)[1] == 0
        return text

    @FORKS
    def test_a_fork_of_the_thread_inside_is_inside(two_threads):
        """Protects a computation that forks in its midst."""
        with one_blas_thread():
            assert _numbers_in_fork() == "[[1], [1], [1]]"
        assert _numbers_in_fork() == "[[2], [1], [2]]"

    @FORKS
    def test_a_fork_beside_the_thread_inside_is_outside(two_threads):
        """Protects a new process from one thread for good, as nobody in it would ever restore the number."""
        with another_thread_inside(one_blas_thread):
            assert _numbers_in_fork() == "[[2], [1], [2]]"
            assert _numbers() == _one(two_threads)

    @FORKS
    def test_forks_beside_threads_that_come_and_go(two_threads):
        """Protects a new process from a lock or a count that another thread was about to change."""
        over = threading.Event()

        def come_and_go():
            while not over.is_set():
                with one_blas_thread():
                    pass

        with ThreadPoolExecutor(2) as pool:
            others = [pool.submit(come_and_go) for _ in range(2)]
            try:
                texts = {_numbers_in_fork() for _ in range(8)}
            finally:
                over.set()
            for other in others:
                other.result(timeout=SECONDS)
        assert texts == {"[[2], [1], [2]]"}


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
