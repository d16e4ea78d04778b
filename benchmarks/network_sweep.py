"""Sweeps of a network, a cell at a time: two processes against one, and one against a loop by hand in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import selfstab as ss

from .harness import Case, Disagreement, Row, Target, interleaved, judged, seconds
from .job import Array, BaselineMissing, cores

PAIRS = 5
MOMENTUM = 0.9
SCALE = 0.3


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Return this file's lines, measured, as records: name, unit, ours, baseline, ratio, note and more."""
    return [asdict(case.row()) for case in cases(quick)]


def cases(quick: bool) -> list[Case]:
    """Return the lines on sweeps of a diagonal network of 200 weights, their sharpness taken at each step."""
    # So much that one process takes longer than what a sweep starts others for.
    cells, steps = (4, 5) if quick else (16, 600)

    def processes(case: Case) -> Row:
        return _processes(case, cells, steps, not quick)

    def by_hand(case: Case) -> Row:
        return _by_hand(case, 4, 1 if quick else 40, not quick)

    return [
        Case("network sweep, 2 processes / 1", "k cell-steps/s", Target(1.5), processes),
        Case("network sweep, 1 process / NumPy loop with eigvalsh", "k cell-steps/s", Target(0.8), by_hand),
    ]


def _loss() -> ss.DiagonalNetwork:
    return ss.DiagonalNetwork(*ss.datasets.sparse_regression())


def _rates(cells: int) -> Array:
    return np.geomspace(0.005, 0.02, cells)


def _sweep(cells: int, steps: int, processes: int) -> Any:
    return ss.sweep(
        _loss(), ss.HeavyBall(0.01, MOMENTUM), {"lr": _rates(cells)}, start=ss.Initialization(scale=SCALE),
        steps=steps, measure=("final_loss", "min_sharpness", "max_sharpness"), threads=processes, progress=False,
    )  # fmt: skip


def _rate(run: Callable[[], object], cells: int, steps: int) -> float:
    return cells * steps / seconds(run) / 1e3


def _processes(case: Case, cells: int, steps: int, judge: bool) -> Row:
    if cores() < 2:
        raise BaselineMissing("this machine has one core only")
    if not _sweep(cells, steps, 2).equals(_sweep(cells, steps, 1)):
        raise Disagreement("two processes do not give the bits of one")
    pairs = interleaved(
        lambda: _rate(lambda: _sweep(cells, steps, 2), cells, steps),
        lambda: _rate(lambda: _sweep(cells, steps, 1), cells, steps),
        3,
    )
    note = f"{cells} cells, {steps} steps, the start of the processes included; the same bits"
    return judged(case.name, case.unit, pairs, case.target, judge=judge, note=note)


def _by_hand(case: Case, cells: int, steps: int, judge: bool) -> Row:
    """Compare with a loop that forms the Hessian and takes its eigenvalues, as ours does: what a sweep costs beside."""
    ours, theirs = _sweep(cells, steps, 1), _loop(cells, steps)
    difference = float(np.abs(ours.max_sharpness.values / theirs - 1.0).max())
    if not difference <= 1e-8:
        raise Disagreement(f"the largest sharpnesses differ by {difference:.1e}, relative")
    pairs = interleaved(
        lambda: _rate(lambda: _sweep(cells, steps, 1), cells, steps),
        lambda: _rate(lambda: _loop(cells, steps), cells, steps),
        PAIRS,
    )
    note = f"{cells} cells, {steps} steps; the sharpnesses differ by {difference:.1e}"
    return judged(case.name, case.unit, pairs, case.target, judge=judge, note=note)


def _loop(cells: int, steps: int) -> Array:
    """Return the largest sharpness of each cell."""
    inputs, targets = ss.datasets.sparse_regression()
    samples, features = inputs.shape
    curvature = np.tile(inputs.T @ inputs, (2, 2)) * (2.0 / samples)
    out = np.empty(cells)
    with threadpool_limits(1, user_api="blas"):
        for k, lr in enumerate(_rates(cells)):
            w, v, top = np.full(2 * features, SCALE), np.zeros(2 * features), -np.inf
            for step in range(steps + 1):
                u, minus = w[:features], w[features:]
                slope = (inputs @ (u * u - minus * minus) - targets) @ inputs / samples
                signed, both = np.concatenate([u, -minus]), np.concatenate([slope, -slope])
                hessian = curvature * np.outer(signed, signed) + np.diag(both)
                top = max(top, float(np.linalg.eigvalsh(hessian)[-1]))
                if step < steps:
                    v = MOMENTUM * v - lr * both * w
                    w = w + v
            out[k] = top
    return out
