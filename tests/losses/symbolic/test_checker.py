"""Formulas that are not trusted are checked in a process that is ended with their time."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

import selfstab as ss
from selfstab.formulas.deadline import DeadlineError
from selfstab.losses.symbolic.checker import Checker


@pytest.fixture(scope="module")
def checker():
    """Make a process for all tests of this file."""
    one = Checker()
    yield one
    one.close()


@pytest.mark.parametrize("text", ["u**", "foo(u)", "u**2/exp(-10**9)", "v**2", "7"])
def test_what_is_refused_here_is_refused_there_with_the_same_words(checker, text):
    """Protects messages: where a formula is checked makes no difference."""
    with pytest.raises(ValueError, match="expression must") as there:
        checker.check(text, ["u"])
    with pytest.raises(ValueError, match="expression must") as here:
        ss.SymbolicLoss(text, ["u"])
    assert str(there.value) == str(here.value)


def test_a_formula_that_takes_too_long_ends_and_the_next_is_checked(checker):
    """Protects a server from one formula that stands for all."""
    with pytest.raises(DeadlineError, match=r"within 0\.3 s"):
        checker.check("*".join(f"tan(u*v+{k})" for k in range(40)), ["u", "v"], seconds=0.3)
    checker.check("a*(u*v - 1)**2", ["u", "v"], {"a": 1.0})
    with pytest.raises(TypeError, match="a must be a single number"):
        checker.check("a*u", ["u"], {"a": "x"})


def test_one_operation_that_never_ends_is_ended_with_its_process(monkeypatch):
    """Protects from what no exception reaches: a process that answers nothing is killed, and started anew."""
    checker = Checker()
    with monkeypatch.context() as deaf:
        deaf.setattr(
            "selfstab.losses.symbolic.checker._CODE", "import time; print(0, flush=True); time.sleep(99)"
        )
        checker.prepare()
    process = checker._process
    with pytest.raises(DeadlineError, match=r"within 0\.1 s, got one that takes longer and was ended"):
        checker.check("u**2", ["u"], seconds=0.1)
    assert process.poll() is not None
    checker.check("u**2", ["u"])
    checker.close()


def test_threads_share_a_process(checker):
    """Protects answers from each other: each thread has the one to its own formula."""
    endings = {}

    def ask(text):
        try:
            checker.check(text, ["u"])
        except ValueError as error:
            endings[text] = str(error)

    texts = [f"u*{name}" for name in "abcdef"]
    threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(f"unknown name {text[-1]!r}" in endings[text] for text in texts)


def test_nothing_of_the_folder_is_imported(tmp_path):
    """Protects a user who works in somebody else's folder: its modules are not taken for Python's."""
    (tmp_path / "json.py").write_text("open('imported', 'w')")
    code = "from selfstab.losses.symbolic.checker import check_in_process as c; c('u**2', ['u'])"
    subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, check=True, timeout=100)
    assert not (tmp_path / "imported").exists()
