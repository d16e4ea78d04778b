"""One thread of BLAS libraries of every kind, which stand in for those of this process."""

from __future__ import annotations

import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
import threadpoolctl

from selfstab.eigen import blas
from tests.eigen.other_threads import SECONDS, all_warnings, another_thread_inside, in_thread


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


class ManyThreadedLibrary(SharedLibrary):
    """A library that keeps at least two threads."""

    def set_num_threads(self, number):
        self.number = max(2, number)


@pytest.fixture
def guard_of(monkeypatch):
    """Return a guard of its own for libraries that stand in for those of the process."""

    def make(libraries):
        def selection(user_api):
            return types.SimpleNamespace(lib_controllers=list(libraries))  # those of now

        controller = types.SimpleNamespace(select=selection)
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
        with another_thread_inside(lambda: guard):
            assert number_outside() == 1
            assert in_thread(number_inside) == 1
        assert number_outside() == 1
    assert number_outside() == in_thread(number_outside) == 4
    with another_thread_inside(lambda: guard):
        with guard:
            assert number_outside() == 1
        assert number_outside() == (4 if kind is ThreadLibrary else 1)
    assert number_outside() == in_thread(number_outside) == 4


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
        assert in_thread(numbers) == (1, 2)
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
    libraries = [SharedLibrary(), ManyThreadedLibrary("many.so", 3)]
    guard = guard_of(libraries)
    for _ in range(2):
        with (
            pytest.raises(RuntimeError, match=r"many\.so must compute .* got 2 .* OPENBLAS_NUM_THREADS"),
            guard,
        ):
            raise AssertionError("entered")
    assert [library.number for library in libraries] == [4, 3]
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
            with another_thread_inside(lambda: guard):
                assert libraries[1].number == 1
        assert [library.number for library in libraries] == [1, 1]
    assert [library.number for library in libraries] == [4, 8]


def test_a_number_set_beside_is_set_to_one_again(guard_of):
    """Protects who enters after other code has set a number, and restores the newest."""
    library = SharedLibrary()
    guard = guard_of([library])
    with all_warnings() as record:
        with guard:
            library.set_num_threads(6)
            with another_thread_inside(lambda: guard):  # its bits do not differ: it is not warned
                assert library.number == 1
        assert len(record) == 1
    assert library.number == 6


def test_a_number_of_one_that_does_not_last(guard_of):
    """Protects the bits beside other code that has limited BLAS to one thread already, and ends."""
    library = SharedLibrary(number=1)
    with all_warnings() as record:
        with guard_of([library]):
            library.set_num_threads(6)
        assert len(record) == 1
    assert library.number == 6


def test_a_number_set_beside_warns_each_thread_inside(guard_of):
    """Protects both of two computations, the first to end and the last."""
    library = SharedLibrary()
    guard = guard_of([library])
    with all_warnings() as record:
        with guard:
            with another_thread_inside(lambda: guard):
                library.set_num_threads(6)
            assert len(record) == 1
        assert len(record) == 2
    assert library.number == 6
