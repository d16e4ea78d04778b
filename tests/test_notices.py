"""Notices: a warning at the caller's line, a text to a listener, one thread apart from another."""

from __future__ import annotations

import pickle
import threading
import warnings

import pytest

from selfstab import notices
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
