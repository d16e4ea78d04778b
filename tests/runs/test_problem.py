"""The arguments of a run: the form they are kept in, and what follows from them at step 0."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.runs import problem as module
from selfstab.runs.noise import normal
from selfstab.runs.problem import MOST_STEPS, Problem
from tests.optimizers.own import Aggregated, Moments, TwoMomenta


def checked(**changes):
    arguments = {
        "loss": ss.Product(), "optimizer": ss.HeavyBall(0.1, 0.5), "start": [1.5, 0.5], "previous": None,
        "steps": 10, "escape": 1e6, "noise": 0.0, "seed": 0,
    }  # fmt: skip
    return Problem.checked(**(arguments | changes))


def test_a_problem_has_arrays_of_its_own():
    """Protects a run from what the caller does with the arguments, and start from previous."""
    start, previous = np.array([1.5, 0.5]), np.array([1.0, 0.0])
    moving, rest = checked(start=start, previous=previous), checked(start=start)
    start[:], previous[:] = np.nan, np.nan
    assert moving.start.tolist() == rest.start.tolist() == rest.previous.tolist() == [1.5, 0.5]
    assert moving.previous.tolist() == [1.0, 0.0]
    assert not np.shares_memory(rest.start, rest.previous)
    assert moving.velocity.tolist() == [0.5, 0.5]
    assert rest.velocity.tolist() == [0.0, 0.0]


def test_a_drawn_start_is_the_losses():
    """Protects Initialization as a start: the weights that the loss draws, at rest, within the escape."""
    loss = ss.DiagonalNetwork([[1.0, 2.0]], [1.0])
    problem = checked(loss=loss, start=ss.Initialization(3, 0.2))
    assert problem.start.tolist() == problem.previous.tolist() == loss.initial_weights(3, 0.2).tolist()
    with pytest.raises(ValueError, match=r"start must lie within escape = 0\.1"):
        checked(loss=loss, start=ss.Initialization(3, 0.2), escape=0.1)


def test_the_ends_of_ranges():
    """Protects the door's bounds: the last that is taken, and the first that is not."""
    assert checked(escape=1.5).escape == 1.5
    assert checked(steps=MOST_STEPS).steps == MOST_STEPS
    assert float(MOST_STEPS) + 1.0 == float(MOST_STEPS)
    assert checked(seed=2**63).seed == 2**63
    for changes, match in (
        ({"escape": np.nextafter(1.5, 0.0)}, "start must lie within escape"),
        ({"steps": MOST_STEPS + 1}, "steps must be an integer >= 0 and <= 9007199254740992"),
        ({"seed": 2**63 + 1}, "seed must be an integer >= 0"),
    ):
        with pytest.raises(ValueError, match=match):
            checked(**changes)


class Until:
    """A schedule of one's own that has rates up to a step."""

    def __init__(self, last):
        self.last = last

    def values(self, first, last):
        return np.where(np.arange(first, last) <= self.last, 0.1, np.nan)


@pytest.mark.parametrize("rows", [1, 3, 11, 4096])
def test_every_step_needs_a_rate(monkeypatch, rows):
    """Protects runs from a schedule that ends before them: every step is looked at, the last one, too."""
    monkeypatch.setattr(module, "NOISE_ROWS", rows)
    checked().check_rates(ss.HeavyBall(Until(10)))
    for last in (9, 0, -1):
        with pytest.raises(ValueError, match="lr"):
            checked().check_rates(ss.HeavyBall(Until(last)))


def test_noise_is_the_seeds():
    """Protects resumed runs: any part of a run's noise is the level times the seeded numbers of these steps."""
    problem = checked(noise=0.25, seed=5)
    for repeat in (0, 2):
        expected = 0.25 * normal(5, repeat, 0, 10, 2)
        assert np.array_equal(problem.noise_at(0, 10, repeat), expected)
        assert np.array_equal(problem.noise_at(4, 7, repeat), expected[4:7])


@pytest.mark.parametrize(
    "optimizer", [ss.HeavyBall(0.1, 0.5), TwoMomenta(0.1), Moments(0.1), Aggregated(0.1, momenta=(0.5, 0.9))],
    ids=lambda optimizer: type(optimizer).__name__,
)  # fmt: skip
def test_what_is_carried_begins_with_the_displacement(optimizer):
    """Protects runs of every optimizer: one array a state, of the weights' shape and float64, w_0 − w_{−1} first."""
    problem = checked(optimizer=optimizer, previous=[1.0, 0.75])
    carried = problem.carried
    assert len(carried) == len(optimizer.carried)
    assert carried[0].tolist() == [0.5, -0.25]
    assert all(
        state.shape == (2,) and state.dtype == np.float64 and state.flags.writeable for state in carried
    )
