"""A spike of the loss whose sharpness is below the threshold is told, with what it may come from."""

from __future__ import annotations

import json

import numpy as np
import pytest

import selfstab as ss
from selfstab.records.comparison.stable_rises import _maxima, stable_rise_of

LR, MOMENTUM = 3.8 * 1.004, 0.9


@pytest.fixture(scope="module")
def run():
    """Return a catapult, whose loss rises by seven orders of magnitude."""
    loss = ss.CubicTaylor(curvature=1.0, stabilization=2.0)
    start, previous = ss.flip_start(loss, loss.minimum(), size=1e-6)
    return ss.simulate(loss, ss.HeavyBall(LR, MOMENTUM), start, 600, previous=previous)


@pytest.mark.parametrize(
    ("factor", "cause"),
    [
        (0.5, "The trained loss lacks the factor 1/2 of the Hessian's (ratio 0.5)."),
        (1 / 2.8, "The momentum is Nesterov's, and its lookahead is missing (ratio 0.357)."),
        (0.97, "Minibatches are noisy, weight decay is not counted, or lr is larger than recorded."),
    ],
)
def test_a_spike_below_the_threshold_is_told_with_its_likely_cause(run, factor, cause):
    """Such a record says "0 catapults", and cannot be."""
    columns = {"sharpness": factor * run.sharpness.values, "loss": run.loss.values}
    notes = json.loads(ss.analyze(columns, lr=LR, momentum=MOMENTUM).attrs["notes"])
    at = next(k for k, note in enumerate(notes) if "-fold from step" in note)
    assert "to 114" in notes[at]
    assert notes[at].endswith("With full batches this cannot be.")
    assert notes[at + 2] == f"- {cause}"


def test_a_catapult_of_the_right_scale_has_no_such_note(run):
    """The loss of a catapult rises where the sharpness is above the threshold."""
    assert "-fold" not in ss.analyze(run).attrs["notes"]


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
def test_a_stable_quadratic_is_never_told(momentum):
    """Its loss rises from each zero of an oscillation, but no further than the crest before."""
    rng = np.random.default_rng(3)
    steps = np.arange(600)
    for _ in range(25):
        curvature = np.append(1.0, np.exp(rng.uniform(-8.0, 0.0, 2)))
        lr = 2.0 * (1.0 + momentum) * rng.uniform(0.01, 0.999)
        w, v = (rng.normal(size=3) * np.exp(rng.uniform(-5.0, 5.0, 3)) for _ in range(2))
        losses = np.empty(steps.size)
        for k in steps:
            losses[k] = 0.5 * float((curvature * w * w).sum()) + 1e-30
            v = momentum * v - lr * curvature * w
            w = w + v
        ratios, beta = np.full(steps.size, 0.99), np.full(steps.size, momentum)
        assert stable_rise_of(steps, ratios, beta, 0.0, steps, losses) is None


def test_largest_values_of_windows_are_numpys():
    """Of windows of any length, one place and the whole included."""
    rng = np.random.default_rng(5)
    for size in (1, 2, 7, 64, 65):
        values = rng.normal(size=size)
        first, stop = (grid.ravel() for grid in np.mgrid[:size, 1 : size + 1])
        first, stop = first[first < stop], stop[first < stop]
        expected = [values[a:b].max() for a, b in zip(first, stop, strict=True)]
        np.testing.assert_array_equal(_maxima(values, first, stop), expected)
