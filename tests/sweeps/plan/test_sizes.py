"""What a plan takes of memory and files: counted by hand, and refused in one line before anything runs."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab import machine
from selfstab.sweeps.plan import sizes
from tests.sweeps.storage.cases import plan_for

LOSS, START = ss.CubicTaylor(1.0), [0.1, 0.0]
MANY = np.linspace(0.1, 0.2, 10**4)


class Own:
    """A schedule of one's own, which kernels read from a table."""

    def values(self, first, last):
        return np.full(last - first, 0.1)


def run(function, axes, optimizer=None, **changes):
    settings = {"start": START, "steps": 10, "progress": False, "threads": 1} | changes
    return function(LOSS, optimizer or ss.HeavyBall(0.1), axes, **settings)


@pytest.mark.parametrize(
    ("call", "words"),
    {
        "repeats": (
            lambda: run(ss.sweep, {"lr": [0.1]}, repeats=10**12), ["1 cells with repeats = 1000000000000", "a store"]
        ),
        "noise": (lambda: run(ss.sweep, {"lr": [0.1]}, noise=0.1, steps=10**12), ["noise for steps = 1000000000000"]),
        "axis of noise": (lambda: run(ss.sweep, {"noise": [0.1]}, steps=10**12), ["tables of noise", "simulate"]),
        "continuation": (
            lambda: run(ss.continuation, {"lr": MANY, "momentum": MANY, "start.x": MANY}, along="lr"),
            ["1000000000000 cells", "fewer values of axes"],
        ),
        "continued noise": (
            lambda: run(ss.continuation, {"lr": [0.1, 0.2]}, along="lr", noise=0.1, steps=10**12), ["tables of noise"]
        ),
        "refine": (
            lambda: run(ss.refine, {"lr": (0.1, 0.2, 10**6), "momentum": (0.1, 0.2, 10**6)}, levels=1,
                        max_cells=10**13),
            ["1000000000000 coarsest cells", "levels refine"],
        ),
        "orbits": (
            lambda: run(ss.orbits, {"lr": [0.1, 0.2]}, steps=10**12, last=10**11),
            ["last = 100000000000 states of 2 cells", "keep fewer"],
        ),
    }.values(),
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(call, words, monkeypatch):
    """Protects the machine and the user's time: no start is looked at, nothing is compiled or allocated."""
    monkeypatch.setattr("selfstab.kernels.modules.compiled", lambda source: 1 / 0)
    for kind in (ValueError, MemoryError):
        with pytest.raises(kind) as caught:
            call()
        message = str(caught.value)
        assert "\n" not in message
        assert "GB of free memory" in message
        assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("n", "shown"), [(10**9, "n = 1000000000"), (10**400, "n = 1000")], ids=["1e9", "1e400"]
)
def test_a_grid_of_points_that_does_not_fit_is_refused(plain_engine, n, shown):
    """Protects rasterize, also from a number of points beyond float64."""
    axes = {"lr": (0.1, 0.2, 2), "momentum": (0.1, 0.2, 2)}
    data = plain_engine(run, ss.refine, axes, levels=0, steps=0)
    with pytest.raises(MemoryError, match=f"points of {shown}.* take a lower n"):
        ss.rasterize(data, n)


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({"noise": 0.1}, 2),
        ({"noise": 0.1, "repeats": 2}, 4),
        ({"axes": {"noise": [0.1, 0.2]}}, 4),
        ({"axes": {"noise": [0.1, 0.2]}, "repeats": 2}, 6),
        ({"optimizer": ss.HeavyBall(Own()), "axes": {"momentum": [0.1]}}, 3),
        ({"optimizer": ss.HeavyBall(Own()), "axes": {"momentum": [0.1]}, "noise": 0.1}, 5),
        ({"optimizer": ss.HeavyBall(ss.LinearWarmup(0.0, 0.1, 5)), "axes": {"momentum": [0.1]}}, 0),
        ({}, 0),
    ],
)
def test_tables_by_hand(changes, numbers, monkeypatch):
    """Protects the bound: noise of two weights, of two repeats, of another level; rates, if a table."""
    monkeypatch.setattr(machine, "SMALL", 0)
    plan = plan_for(**({"axes": {"lr": [0.1]}, "steps": 99} | changes))
    size = 8 * 100 * numbers
    monkeypatch.setattr(machine, "free_memory", lambda: 2 * size)
    sizes.check_tables(plan)
    if numbers:
        monkeypatch.setattr(machine, "free_memory", lambda: 2 * size - 2)
        with pytest.raises(MemoryError, match="for steps = 99 take"):
            sizes.check_tables(plan)
