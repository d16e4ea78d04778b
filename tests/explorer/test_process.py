"""A tab's process: its answers, its errors in words, its bounds, and its end."""

from __future__ import annotations

import os
import threading
import time

import psutil
import pytest

from selfstab.explorer import process
from selfstab.explorer.process import Interrupted, TabProcess, WorkError


def squares(count, current):
    for k in range(count):
        yield k * k
    return "done"


def until_stopped(current):
    yield "begun"
    while current():
        time.sleep(0.01)
    yield "stopped"


def failing(current):
    yield os.getpid()
    raise KeyError


def forever(current):
    yield os.getpid()
    10 ** (10**10)  # one instruction, which nothing in its process can stop


def alive(pid):
    """Whether a process runs; one that has ended may not have been waited for."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def tab():
    made = TabProcess()
    yield made
    made.close()


def test_answers_come_in_order_and_errors_in_words(tab):
    """Protects what the page shows: each answer, what the task returns, and an exception's words or name."""
    answers = tab.answers(squares, 3)
    assert [next(answers) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(StopIteration) as end:
        next(answers)
    assert end.value.value == "done"
    answers = tab.answers(failing)
    pid = next(answers)
    with pytest.raises(WorkError, match="KeyError"):
        next(answers)
    assert next(tab.answers(failing)) == pid  # the same process goes on


def test_what_is_no_longer_wanted_stops(tab):
    """Protects a slider that is dragged: the task hears that its request is not the latest."""
    wanted = [True]
    answers = tab.answers(until_stopped, current=lambda: bool(wanted))
    assert next(answers) == "begun"
    wanted.clear()
    assert list(answers) == ["stopped"]
    assert list(tab.answers(squares, 2)) == [0, 1]  # a late word of it stops nothing else


@pytest.mark.parametrize("how", ["limit", "interrupt", "close"])
def test_work_that_cannot_be_stopped_is_ended(how):
    """Protects the machine and the page: integers of ten thousand million digits end with their process."""
    tab = TabProcess(3.0 if how == "limit" else 600.0)
    answers = tab.answers(forever)
    pid = next(answers)
    if how != "limit":
        threading.Timer(0.3, getattr(tab, how)).start()
    with pytest.raises(WorkError if how == "limit" else Interrupted):
        next(answers)
    while alive(pid):
        time.sleep(0.05)
    if how == "close":
        with pytest.raises(Interrupted):
            next(tab.answers(squares, 1))
    else:
        assert list(tab.answers(squares, 1)) == [0]
        tab.close()


def test_a_tabs_memory_is_bounded(monkeypatch):
    """Protects the machine from what is typed in one tab."""
    resource = pytest.importorskip("resource", reason="not run: this system bounds no memory")
    bounds = []
    monkeypatch.setattr(resource, "setrlimit", lambda which, bound: bounds.append((which, bound[0])))
    process._bound_memory()
    assert bounds == [(resource.RLIMIT_DATA, process.MEMORY)]
