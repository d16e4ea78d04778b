"""A small network on real data: scikit-learn's digits.

An MLP 64-32-1 (tanh, 2113 parameters) learns the parity of 500 digits by full-batch gradient descent and heavy ball
(β = 0.9) at the same threshold. Lines are sharpnesses by Lanczos on exact Hessian-vector products, points the explicit
Hessian's. At equal effective time heavy ball ends flatter where it catapults once and then sharpens again slowly. At
equal steps gradient descent has hardly begun, and is often the flatter one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import selfstab as ss
from selfstab.plotting import style

from . import comparison

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

TITLE = "Digits: an MLP at the edge of stability, with and without momentum"


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    loss = ss.MLP([64, 32, 1], *ss.datasets.digits(500, "parity"))
    setting = comparison.ComparedRuns(
        loss, loss.initial_weights(seed=0), steps=350 if quick else 500, warmup=100 if quick else 200, threshold=6.0,
        scan=(6.0,) if quick else (5.0, 6.0, 7.0, 8.0), records=40 if quick else 200, explicit=3 if quick else 12,
    )  # fmt: skip
    return comparison.compute(setting)


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    return comparison.draw(data)


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    return comparison.check(data)
