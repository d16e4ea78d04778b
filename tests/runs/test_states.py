"""A run step by step, by the rule and by the kernel: the loop by hand, its noise, its end, its parts."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.runs import states as module
from selfstab.runs.noise import normal
from selfstab.runs.problem import Problem
from selfstab.runs.states import Tracer, states

STEPS = 20


def problem_of(optimizer=None, **changes):
    arguments = {
        "start": [1.6, 0.9],
        "previous": [1.58, 0.91],
        "steps": STEPS,
        "escape": 1e6,
        "noise": 0.0,
        "seed": 3,
    }
    return Problem.checked(ss.Product(), optimizer or ss.HeavyBall(0.1, 0.8, 0.3), **(arguments | changes))


def by_hand(problem, repeat=0):
    """Return the weights of Nesterov's form on ½(uv − 1)², noise added to the gradient, up to the escape."""
    optimizer, w = problem.optimizer, problem.start
    v = problem.start - problem.previous
    noise = problem.noise * normal(problem.seed, repeat, 0, problem.steps, 2)
    path = [w]
    for t, lr in enumerate(optimizer.rates(0, problem.steps)):
        ahead = w + optimizer.lookahead * v
        v = optimizer.momentum * v - lr * ((ahead[0] * ahead[1] - 1.0) * ahead[::-1] + noise[t])
        w = w + v
        if np.abs(w).max() > problem.escape:
            break
        path.append(w)
    return np.array(path)


@pytest.mark.parametrize("rows", [1, 3, 20, 4096])
@pytest.mark.parametrize("repeat", [0, 4])
def test_states_are_the_loop_by_hand(monkeypatch, rows, repeat):
    """Protects runs without a kernel: rates and noise of each step, whatever the pieces they are drawn in."""
    monkeypatch.setattr(module, "NOISE_ROWS", rows)
    problem = problem_of(ss.HeavyBall(ss.LinearWarmup(0.0, 0.2, 9), 0.8, 0.3), noise=0.1)
    path = [*states(problem, repeat)]
    assert [state.step for state in path] == [*range(STEPS + 1)]
    weights = np.array([state.weights for state in path])
    assert weights == pytest.approx(by_hand(problem, repeat), rel=1e-12, abs=1e-14)
    velocities = np.array([state.velocity for state in path])
    assert velocities[0] == pytest.approx([0.02, -0.01])
    assert velocities[1:] == pytest.approx(np.diff(weights, axis=0), rel=1e-9, abs=1e-14)


def test_states_end_before_the_divergence():
    """Protects records: the last state is the last inside the escape, and what overflows gives no warning."""
    problem = problem_of(ss.HeavyBall(2.0), escape=50.0)
    path = by_hand(problem)
    assert 1 < len(path) < STEPS
    assert np.array([state.weights for state in states(problem)]) == pytest.approx(path, rel=1e-12)
    overflowing = [*states(problem_of(ss.HeavyBall(1e200), escape=1e300))]
    assert [state.step for state in overflowing] == [0, 1]


def test_other_rates_take_the_optimizers_place():
    """Protects runs whose rates are known: they are asked for by first and last step, and used."""
    asked = []

    def rates(first, last):
        asked.append((first, last))
        return np.full(last - first, 0.05)

    path = [state.weights for state in states(problem_of(), rates=rates)]
    assert asked == [(0, STEPS)]
    assert np.array(path) == pytest.approx(by_hand(problem_of(ss.HeavyBall(0.05, 0.8, 0.3))), rel=1e-12)


@pytest.mark.parametrize("cut", [0, 7, 20])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_traced_run_in_parts_is_the_whole(cut, noise):
    """Protects orbits: a run that is handed over has the states of the loop, its noise and its step of divergence."""
    problem = problem_of(noise=noise)
    tracer = Tracer(problem.loss.kernel, problem, STEPS)
    lr = np.full(STEPS, 0.1)
    first_part, second_part = np.empty((cut + 1, 4)), np.empty((STEPS - cut + 1, 4))
    assert tracer.run(problem, problem.carried, problem.start, 0, lr[:cut], 1, first_part) == -1
    last = first_part[-1]
    assert tracer.run(problem, (last[2:],), last[:2], cut, lr[cut:], 1, second_part) == -1
    whole = np.concatenate([first_part, second_part[1:]])[:, :2]
    assert whole == pytest.approx(by_hand(problem), rel=1e-12, abs=1e-14)


def test_a_divergence_counts_from_the_runs_beginning():
    """Protects the step of divergence of a later part."""
    problem = problem_of(ss.HeavyBall(2.0), escape=50.0)
    path = by_hand(problem)
    tracer = Tracer(problem.loss.kernel, problem, STEPS)
    records = np.full((STEPS + 1, 4), np.nan)
    assert tracer.run(problem, problem.carried, problem.start, 0, np.full(STEPS, 2.0), 1, records) == len(
        path
    )
    later = tracer.run(
        problem, (records[1, 2:],), records[1, :2], 1, np.full(STEPS - 1, 2.0), 1, np.empty((STEPS, 4))
    )
    assert later == len(path)
