"""What a cell-step of Adam takes, in heavy ball's: the same sweep of the cubic model by both."""

from __future__ import annotations

import numpy as np

import selfstab as ss

from .harness import PAIRS, Case, Row, Target, cpu_seconds, interleaved, judged

MOMENTUM = 0.9
BETA2 = 0.9999
"""At 0.999 the preconditioner fades so far that runs leave the part of the cubic model in which the loss is bounded."""


def cases(quick: bool) -> list[Case]:
    """Return the line; a quick one runs a small grid and is not judged."""
    side, steps = (32, 200) if quick else (256, 1000)
    name = "sweep by Adam / by heavy ball, cubic model, default measures, one thread"
    return [Case(name, "M cell-steps/CPU s", Target(1 / 3), lambda case: _measured(case, side, steps, quick))]


def speed(optimizer: ss.Optimizer, side: int, steps: int) -> float:
    """Return the speed of a sweep over learning rates below the threshold, at P = 1, and sizes of the start."""
    fall = np.linspace(0.8, 1.0, side)
    axes = {
        "lr": fall * optimizer.at_excess(sharpness=1.0, excess=0.0),
        "start.x": np.geomspace(1e-4, 1e-2, side),
    }
    loss = ss.CubicTaylor(1.0)

    def run() -> None:
        ss.sweep(loss, optimizer, axes, start=[0.0, 0.0], steps=steps, threads=1, progress=False)

    return side * side * steps / cpu_seconds(run) / 1e6


def _measured(case: Case, side: int, steps: int, quick: bool) -> Row:
    ours, theirs = ss.Adam(1.0, MOMENTUM, BETA2, second_moment=1.0), ss.HeavyBall(1.0, MOMENTUM)
    for optimizer in (ours, theirs):
        speed(optimizer, 32, 1)  # compiles the kernel
    pairs = interleaved(lambda: speed(ours, side, steps), lambda: speed(theirs, side, steps), PAIRS)
    note = f"{side * side} cells, {steps} steps; roots and quotients are what Adam's step is made of"
    return judged(case.name, case.unit, pairs, case.target, judge=not quick, note=note)
