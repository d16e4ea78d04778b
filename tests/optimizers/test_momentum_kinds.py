"""Averaged, quasi-hyperbolic and aggregated momentum: thresholds, recurrences written out, special cases."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import selfstab as ss
from tests.optimizers.threshold import bisected_threshold

LOSS = ss.Product()
START, PREVIOUS = ss.flip_start(LOSS, LOSS.minimum(sharpness=4.0), size=1e-2)
MEASURES = ("final_loss", "max_sharpness", "min_sharpness", "diverged_at", "phase", "overshoot")
KINDS = [
    ss.AveragedHeavyBall(0.3, 0.8),
    ss.QuasiHyperbolic(0.3, 0.9, 0.7),
    ss.AggregatedMomentum(0.3, (0.0, 0.9)),
]


def named(value):
    return type(value).__name__


@settings(max_examples=25, deadline=None)
@given(
    momentum=st.floats(0.0, 0.98),
    nu=st.floats(0.0, 1.0),
    momenta=st.lists(st.floats(0.0, 0.98), min_size=1, max_size=3),
    lr=st.floats(1e-3, 10.0),
)
def test_thresholds_are_those_of_a_bisection(momentum, nu, momenta, lr):
    """Protects S* at any setting: the largest root of a step on ½hw² passes 1 there, and no other root before it."""
    for optimizer in (
        ss.AveragedHeavyBall(lr, momentum),
        ss.QuasiHyperbolic(lr, momentum, nu),
        ss.AggregatedMomentum(lr, tuple(momenta)),
    ):
        assert bisected_threshold(optimizer, lr) == pytest.approx(optimizer.max_stable_sharpness(), rel=1e-6)


def recurrence(optimizer, lr, steps, states):
    """Return the weights by the formulas of the docstrings, in plain NumPy."""
    w, weights = START, [START]
    states = [np.array(state) for state in states]
    for t in range(steps):
        g = LOSS.gradient(w)
        if isinstance(optimizer, ss.AggregatedMomentum):
            states = [beta * v + g for beta, v in zip(optimizer.momenta, states, strict=True)]
            w = w - lr[t] * np.mean(states, axis=0)
        else:
            beta, nu = optimizer.momentum, getattr(optimizer, "nu", 1.0)
            states = [beta * states[0] + (1 - beta) * g]
            w = w - lr[t] * ((1 - nu) * g + nu * states[0])
        weights.append(w)
    return np.array(weights)


@pytest.mark.parametrize("optimizer", KINDS, ids=named)
def test_runs_are_those_of_the_formulas(optimizer):
    """Protects simulate: a run from rest, along a warmup, is the recurrence of the docstring."""
    schedule = ss.LinearWarmup(0.0, 0.2, 30)
    own = type(optimizer)(schedule, **{n: getattr(optimizer, n) for n in optimizer.settings})
    run = ss.simulate(LOSS, own, START, 80, keep=["weights", "velocity"])
    expected = recurrence(own, schedule.values(0, 80), 80, [0.0 * START] * len(own.states))
    assert run.weights.values == pytest.approx(expected, rel=1e-10)
    assert run.max_stable_sharpness.values == pytest.approx(own.thresholds(0, 81))
    assert json.loads(run.attrs["optimizer"])["name"] == type(optimizer).__name__


@pytest.mark.parametrize("optimizer", KINDS, ids=named)
def test_a_flip_goes_on_at_the_threshold(optimizer):
    """Protects flip_start: the states of `begin` are those of a flip of constant size."""
    loss = ss.Quadratic([optimizer.max_stable_sharpness()])
    run = ss.simulate(loss, optimizer, [0.5], 60, previous=[-0.5], keep=["weights", "velocity"])
    assert run.weights.values[:, 0] == pytest.approx(0.5 * (-1.0) ** np.arange(61), rel=1e-9)
    assert run.velocity.values[:, 0] == pytest.approx((-1.0) ** np.arange(61), rel=1e-9)


@pytest.mark.parametrize("optimizer", KINDS, ids=named)
def test_states_begin_at_rest_where_a_warmup_begins_at_0(optimizer):
    """Protects runs from 0/0: at lr 0 a displacement says nothing of the states."""
    warmup = type(optimizer)(
        ss.LinearWarmup(0.0, 0.2, 10), **{n: getattr(optimizer, n) for n in optimizer.settings}
    )
    run = ss.simulate(LOSS, warmup, START, 3, previous=PREVIOUS, keep=["weights"])
    assert (run.weights.values[1] == START).all()
    assert np.isfinite(run.weights.values).all()


def swept(optimizer, axes, **changes):
    arguments = {"start": START, "previous": PREVIOUS, "steps": 300, "measure": MEASURES, "progress": False}
    return ss.sweep(LOSS, optimizer, axes, **(arguments | changes))


def weights_of(optimizer, steps=300):
    return ss.simulate(LOSS, optimizer, START, steps, previous=PREVIOUS, keep=["weights"]).weights.values


def test_quasi_hyperbolic_momentum_ends_in_two_others(same_cells):
    """Protects ν = 1, averaged momentum bit for bit, in runs and sweeps; and ν = 0, gradient descent."""
    for momentum in (0.0, 0.3, 0.9):
        one, two = ss.QuasiHyperbolic(0.7, momentum, 1.0), ss.AveragedHeavyBall(0.7, momentum)
        assert (weights_of(one) == weights_of(two)).all()
        assert one.threshold_fraction() == two.threshold_fraction()
    axes = {"momentum": [0.0, 0.5, 0.9], "excess": [-0.02, 0.02]}
    same_cells(swept(ss.QuasiHyperbolic(1.0, 0.5, 1.0), axes), swept(ss.AveragedHeavyBall(1.0, 0.5), axes))
    descent = weights_of(ss.QuasiHyperbolic(0.5, 0.9, 0.0), 60)
    assert descent == pytest.approx(weights_of(ss.HeavyBall(0.5), 60), rel=1e-9)


def test_heavy_balls_of_other_names():
    """Protects the relations of docstrings: one momentum aggregated, and averaging, are heavy balls."""
    ball = weights_of(ss.HeavyBall(0.48, 0.7), 200)
    assert weights_of(ss.AggregatedMomentum(0.48, (0.7,)), 200) == pytest.approx(ball, rel=1e-9)
    assert weights_of(ss.AveragedHeavyBall(0.48 / 0.3, 0.7), 200) == pytest.approx(ball, rel=1e-9)
    ratio = [
        optimizer.transfer_function()
        for optimizer in (ss.AggregatedMomentum(1.0, (0.7,)), ss.HeavyBall(1.0, 0.7))
    ]
    assert [p.tolist() for p in ratio[0]] == [p.tolist() for p in ratio[1]]


AXES = {
    "AveragedHeavyBall": {"momentum": [0.0, 0.9], "excess": [-0.05, 0.05]},
    "QuasiHyperbolic": {"nu": [0.0, 0.5, 1.0], "excess": [-0.05, 0.05]},
    "AggregatedMomentum": {"momenta.1": [0.0, 0.95], "start.u": [1.9, 1.95], "noise": [0.0, 1e-4]},
}


@pytest.mark.parametrize("optimizer", KINDS, ids=named)
def test_sweeps_have_the_bits_of_plain_cpython(optimizer, plain_engine, same_cells):
    """Protects compiled lanes: numbers of the optimizer as axes, an excess, noise."""
    axes = AXES[named(optimizer)]
    same_cells(swept(optimizer, axes, threads=2), plain_engine(swept, optimizer, axes, threads=1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ss.AveragedHeavyBall(0.1, 1.0), r"momentum must be in \[0, 1\), got 1.0"),
        (lambda: ss.AveragedHeavyBall(0.0, 0.5), r"lr must be in \(0, inf\), got 0.0"),
        (lambda: ss.QuasiHyperbolic(0.1, -0.1, 0.5), r"momentum must be in \[0, 1\), got -0.1"),
        (lambda: ss.QuasiHyperbolic(0.1, 0.5, 1.5), r"nu must be in \[0, 1\], got 1.5"),
        (lambda: ss.AggregatedMomentum(0.1, (0.0, 1.0)), r"momenta\[1\] must be in \[0, 1\), got 1.0"),
        (lambda: ss.AggregatedMomentum(0.1, ()), "momenta must hold at least one number, got none"),
        (lambda: ss.AggregatedMomentum(0.1, (0.0, np.nan)), "momenta must be finite"),
        (lambda: ss.AggregatedMomentum(0.1, (0.5,) * 300), "momenta must hold at most 32 numbers, got 300"),
        (
            lambda: ss.AggregatedMomentum(0.1, 0.9),
            r"momenta must be a tuple of numbers, such as \(0.9,\), got 0.9",
        ),
    ],
)
def test_numbers_out_of_range_are_refused(make, message):
    """Protects the door of each: one line that names the argument, its value and its range."""
    with pytest.raises((ValueError, TypeError), match=message) as raised:
        make()
    assert "\n" not in str(raised.value)
