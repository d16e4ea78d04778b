"""Sharpnesses of a few variables, one at each step of a sweep, against NumPy's eigvalsh of as many matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

import selfstab as ss

from .harness import PAIRS, Case, Disagreement, Row, Target, cpu_seconds, interleaved, judged

UNIT = "M sharpnesses/s"
VARIABLES = (4, 8)
LR = (1e-4, 2e-4)


def cases(quick: bool) -> list[Case]:
    """Return the lines, a number of variables each; quick ones take few cells and are not judged."""

    def line(n: int) -> Case:
        return Case(
            f"sharpnesses of a sweep / NumPy's eigvalsh, {n} variables",
            UNIT,
            Target(3),
            lambda case: _sharpnesses(case, n, quick),
        )

    return [line(n) for n in VARIABLES]


def loss_of(n: int) -> Any:
    """Return ½(x₀x₁... − 1)² + Σ xₖ⁴/(k + 5): its Hessian has no entry that is 0."""
    names = [f"x{k}" for k in range(n)]
    quartic = " + ".join(f"{name}**4/{k + 5}" for k, name in enumerate(names))
    return ss.SymbolicLoss(f"({'*'.join(names)} - 1)**2/2 + {quartic}", names)


def _sharpnesses(case: Case, n: int, quick: bool) -> Row:
    """Compare a whole sweep, gradients and updates too, with the eigenvalues alone: one thread each."""
    from threadpoolctl import threadpool_limits

    loss, start = loss_of(n), 1.1 + 0.05 * np.arange(n)
    cells, steps = (64, 20) if quick else (3200, 300)
    lr = np.linspace(*LR, cells)

    def ours() -> Any:
        return ss.sweep(
            loss, ss.HeavyBall(1.0), {"lr": lr}, start=start, steps=steps, threads=1, progress=False,
            measure=("max_sharpness", "final_sharpness"),
        )  # fmt: skip

    run = ss.simulate(loss, ss.HeavyBall(lr[-1]), start, steps, keep=["weights"])
    matrices = np.stack([loss.hessian(w) for w in run.weights.values])
    with threadpool_limits(1):
        expected = np.linalg.eigvalsh(matrices)[:, -1]
        data = ours()
        for name, value in (("max_sharpness", expected.max()), ("final_sharpness", expected[-1])):
            difference = abs(float(data[name][-1]) / value - 1)
            if not difference <= 1e-13:
                raise Disagreement(f"{name} differs by {difference:.1e}, relative")
        pairs = interleaved(
            lambda: cells * (steps + 1) / cpu_seconds(ours) / 1e6,
            lambda: (
                len(matrices)
                * 20
                / cpu_seconds(lambda: [np.linalg.eigvalsh(matrices) for _ in range(20)])
                / 1e6
            ),
            PAIRS,
        )
    note = f"{cells} cells, {steps} steps, one thread, processor time; ours with gradients and updates"
    return judged(case.name, case.unit, pairs, case.target, judge=not quick, note=note)
