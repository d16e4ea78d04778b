"""The text that identifies code and values: the same for the same, another for another, in every process."""

import math
import subprocess
import sys
import threading

import numpy as np
import pytest

import selfstab as ss
from selfstab.losses.base.fingerprint import _Text, closure_of, hash_of


def adding(number):
    return lambda x: x + number


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (True, 1),
        (0.0, -0.0),
        (0.1, np.nextafter(0.1, 1.0)),
        ("a", b"a"),
        ([1, 2], (1, 2)),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        (np.arange(3), np.arange(3.0)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (adding(1), adding(2)),
        (lambda x: x + 1, lambda x: x + 2),
        (lambda x, y=1: x, lambda x, y=2: x),
        (math.sin, math.cos),
        (ss.Product, ss.Chain),
        (ss.HeavyBall(0.1), ss.HeavyBall(0.2)),
    ],
)
def test_what_differs_has_another_hash(one, other):
    """Protects resumed sweeps: code or numbers that changed are seen, to the last bit."""
    assert hash_of(one) != hash_of(other)
    assert hash_of(one) == hash_of(one)


def test_where_code_stands_does_not_matter():
    """Protects scripts in which lines were added above: the same function elsewhere is the same."""
    spaces = {}
    for lines in ("", "\n\n\n# a comment\n"):
        namespace = {"__name__": "script"}
        exec(f"{lines}def f(x):\n    return 2.0 * x", namespace)
        spaces[lines] = hash_of(namespace["f"])
    assert len({*spaces.values()}) == 1


def test_another_process_says_the_same():
    """Protects stores across processes: sets, whose order differs from one to the next, functions and classes."""
    code = (
        "from selfstab.losses.base.fingerprint import hash_of\n"
        "class Mine:\n"
        "    names = {'alpha', 'beta', 'gamma'}\n"
        "    def f(self, x): return x in self.names\n"
        "print(hash_of([Mine, {'alpha', 'beta', 'gamma'}, lambda x: x + 1]))"
    )
    hashes = set()
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        process = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        hashes.add(process.stdout)
    assert len(hashes) == 1


def test_what_refers_to_itself_ends():
    """Protects against endless texts: cycles of values and of functions."""
    loop = [1]
    loop.append(loop)
    assert hash_of(loop).startswith("sha256 ")

    def countdown(n):
        return n and countdown(n - 1)

    assert hash_of(countdown) == hash_of(countdown)


def test_functions_that_are_used_count():
    """Protects helpers of a script: a function that the loss calls is part of it."""
    hashes = []
    for body in ("2 * x", "3 * x"):
        namespace = {"__name__": "script"}
        exec(f"def helper(x):\n    return {body}\ndef f(x):\n    return helper(x)", namespace)
        hashes.append(hash_of(namespace["f"]))
    assert hashes[0] != hashes[1]


def test_classes_of_this_package_keep_the_names_that_0_1_gave_them():
    """Protects stores of version 0.1: its modules have moved, the text that names a class has not."""
    assert _Text().of(ss.Loss) == "selfstab.losses.protocol.Loss"
    assert _Text().of(ss.MLP) == "selfstab.losses.mlp.MLP"
    assert _Text().of(ss.Initialization) == "selfstab.losses.protocol.Initialization"
    assert _Text().of(ss.LinearWarmup) == "selfstab.schedules.LinearWarmup"
    assert _Text().of(ss.Product) == "selfstab.losses.toys.Product"


def test_what_has_no_state_is_refused():
    """Protects against two different things with one hash: a lock has nothing to tell it by."""
    with pytest.raises(TypeError, match="lock has no state to tell"):
        hash_of(threading.Lock())


def test_closures():
    """Protects families: the numbers around a function, and None for those not set yet."""

    def outer():
        def inner():
            return late

        values = closure_of(inner)
        late = 3
        return values, closure_of(inner)

    assert outer() == ([None], [3])
    assert closure_of(adding(2)) == [2]
