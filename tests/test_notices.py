"""Notices: a warning at the caller's line, a text to a listener, one thread apart from another."""

from __future__ import annotations

import pickle
import threading
import warnings

import numpy as np
import pytest

import selfstab as ss
from selfstab import notices
from selfstab.kernels import modules
from selfstab.notices import unwarned
from selfstab.validation import ArgumentError


def test_a_notice_points_to_the_caller():
    """Protects warnings from naming a line of the package, however deep they arise."""
    with pytest.warns(RuntimeWarning, match="^the folder was empty$") as record:
        notices.notify("the folder was empty", RuntimeWarning)
    assert record[0].filename == __file__


def test_a_notice_arises_deep_in_the_package(monkeypatch):
    """Protects the same through frames of the package, as many as there are."""
    namespace = {"notify": notices.notify}
    code = "def deep(n):\n    deep(n - 1) if n else notify('deep')"
    exec(compile(code, f"{notices._PACKAGE}deep.py", "exec"), namespace)
    for depth in (0, 3):
        with pytest.warns(UserWarning, match="^deep$") as record:
            namespace["deep"](depth)
        assert record[0].filename == __file__


def test_listeners_of_threads_are_apart():
    """Protects runs side by side: what one thread is notified of, no other's listener hears."""
    heard: dict[str, list[str]] = {"a": [], "b": []}
    both = threading.Barrier(2)

    def run(name: str) -> None:
        with notices.heard_by(heard[name].append):
            both.wait(10)
            notices.notify(name)
            both.wait(10)

    threads = [threading.Thread(target=run, args=(name,)) for name in heard]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert heard == {"a": ["a"], "b": ["b"]}


def test_an_argument_error_travels():
    """Protects errors from another process: a pickle keeps the argument's name and the message."""
    error = pickle.loads(pickle.dumps(ArgumentError("store", "must be a folder")))
    assert (error.argument, str(error), type(error)) == ("store", "store must be a folder", ArgumentError)


def test_threads_that_overlap_leave_the_filters_of_warnings_unchanged():
    """Protects a program's warnings: a thread that leaves last must not put back what another had set."""
    before = [*warnings.filters]
    inside, leave = threading.Event(), threading.Event()

    def first():
        with unwarned(UserWarning):
            inside.set()
            leave.wait(30)

    def second():
        with unwarned():
            pass

    one, other = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    inside.wait(30)
    other.start()
    leave.set()
    one.join(30)
    other.join(30)
    assert warnings.filters == before


def test_kernels_and_formulas_change_no_filter_of_warnings(monkeypatch):
    """Protects a program's warnings from runs in threads: what overflows, and what Python remarks, is quiet."""

    def forbidden(*_, **__):
        raise AssertionError("a filter of warnings is the whole process's")

    function = modules.plain("@compiled\ndef f(x):\n    return x * x\n\n\n")["f"]
    monkeypatch.setattr(warnings, "catch_warnings", forbidden)
    monkeypatch.setattr(warnings, "simplefilter", forbidden)
    assert function(np.float64(1e200)) == np.inf
    with pytest.raises(ValueError, match="column 1: invalid syntax"):
        ss.SymbolicLoss("2and u", ["u"])
