"""Single runs: the traced steps by hand, values along them by NumPy, measures read off in parts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import selfstab as ss
from selfstab.kernels import modules
from selfstab.kernels.measures import MEASURES
from selfstab.kernels.run_template import observe_source, run_source, state_names
from selfstab.optimizers.text import rule_text

OPTIMIZER = ss.HeavyBall(0.1, 0.8, 0.3)
NO_PARAMETERS = np.empty(0)


def product_module():
    """Return the functions of single runs on ½(uv − 1)², by plain CPython."""
    return modules.plain(run_source(ss.Product().kernel.formulas, rule_text(OPTIMIZER), "Product"))


def by_hand(start, velocity, lr, noise):
    """Return weights and velocities of each step on ½(uv − 1)², whose gradient is (uv − 1)(v, u)."""
    w, v = np.array(start), np.array(velocity)
    rows = [[*w, *v]]
    for rate, push in zip(lr, noise, strict=True):
        ahead = w + 0.3 * v
        v = 0.8 * v - rate * ((ahead[0] * ahead[1] - 1.0) * ahead[::-1] + push)
        w = w + v
        rows.append([*w, *v])
    return np.array(rows)


@settings(max_examples=30)
@given(steps=st.integers(0, 25), every=st.integers(1, 30), noisy=st.booleans())
def test_a_trace_is_the_loop_by_hand(steps, every, noisy):
    """Protects order, noise and records of a run: rows 0, every, 2·every, ... and the last of a loop in NumPy."""
    rng = np.random.default_rng(steps)
    start, velocity = np.array([1.6, 0.9]), np.array([0.02, -0.01])
    lr, noise = rng.uniform(0.01, 0.1, steps), rng.standard_normal((steps, 2))
    rows = by_hand(start, velocity, lr, noise if noisy else 0.0 * noise)[
        sorted({*range(0, steps, every), steps})
    ]
    records = np.full(rows.shape, np.nan)
    ended = product_module()["trace"](
        start, velocity, lr, 0.8, 0.3, NO_PARAMETERS, noise if noisy else np.zeros((1, 2)), noisy, every, 1e6, records
    )  # fmt: skip
    assert ended == -1
    assert records == pytest.approx(rows, rel=1e-12, abs=1e-15)


def test_a_trace_ends_where_the_loop_leaves_the_escape():
    """Protects the step of divergence, by hand, and records before it only."""
    lr = np.full(60, 0.9)
    with np.errstate(all="ignore"):
        rows = by_hand([3.0, 2.0], [0.0, 0.0], lr, np.zeros((60, 2)))
    first = int(np.argmax(~(np.abs(rows[:, :2]).max(axis=1) <= 50.0)))
    records = np.full((61, 4), np.nan)
    ended = product_module()["trace"](
        np.array([3.0, 2.0]), np.zeros(2), lr, 0.8, 0.3, NO_PARAMETERS, np.zeros((1, 2)), False, 1, 50.0, records
    )  # fmt: skip
    assert ended == first > 0
    assert records[:first] == pytest.approx(rows[:first], rel=1e-12)
    assert np.isnan(records[first:]).all()


def test_values_along_a_run():
    """Protects evaluate: ½(uv − 1)² and the largest eigenvalue of its Hessian by NumPy; what is not asked stays."""
    points = np.random.default_rng(1).standard_normal((20, 2))
    u, v = points.T
    hessians = np.array([[v * v, 2.0 * u * v - 1.0], [2.0 * u * v - 1.0, u * u]]).transpose(2, 0, 1)
    losses, sharpnesses = np.empty(20), np.empty(20)
    evaluate = product_module()["evaluate"]
    evaluate(points, NO_PARAMETERS, losses, np.empty(0))
    evaluate(points, NO_PARAMETERS, np.empty(0), sharpnesses)
    assert losses == pytest.approx(0.5 * (u * v - 1.0) ** 2, rel=1e-12)
    assert sharpnesses == pytest.approx(np.linalg.eigvalsh(hessians)[:, -1], rel=1e-12, abs=1e-12)


MEASURED = ("final_loss", "max_loss", "final_sharpness", "min_sharpness", "max_sharpness", "diverged_at")


@settings(max_examples=40)
@given(steps=st.integers(0, 40), cuts=st.sets(st.integers(1, 39)), seed=st.integers(0, 99))
def test_measures_do_not_depend_on_the_parts(steps, cuts, seed):
    """Protects long runs, which are read part by part: any cut gives the bits of none, and extremes are NumPy's."""
    rng = np.random.default_rng(seed)
    sharpness, loss = 9.0 + rng.standard_normal(steps + 1), rng.uniform(size=steps + 1)
    threshold = np.full(steps + 1, 9.0)
    moves = rng.standard_normal((3, steps))

    def observed(measures, edges):
        observe = modules.plain(observe_source(measures))["observe"]
        state, out = np.empty(len(state_names(measures))), np.full(len(measures), np.nan)
        for first, last in pairwise(edges):
            end = last == steps
            states = slice(first, last + 1 if end else last)
            observe(
                sharpness[states], loss[states], threshold[states], *(np.abs(m[first:last]) for m in moves[:2]),
                moves[2, first:last], first, steps, -1, state, out if end else np.empty(0),
            )  # fmt: skip
        return dict(zip(measures, out.tolist(), strict=True))

    edges = [0, *sorted(cut for cut in cuts if cut < steps), steps]
    everything = tuple(MEASURES)
    np.testing.assert_equal(observed(everything, edges), observed(everything, [0, steps]))
    assert observed(("final_loss",), edges) == {"final_loss": loss[-1]}  # it carries nothing
    assert observed(MEASURED, edges) == {
        "final_loss": loss[-1], "max_loss": loss.max(), "final_sharpness": sharpness[-1],
        "min_sharpness": sharpness.min(), "max_sharpness": sharpness.max(), "diverged_at": -1,
    }  # fmt: skip
