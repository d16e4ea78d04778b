"""A diagonal linear network on sparse regression.

u∘u − v∘v with 100 features learns 5 nonzero coefficients from 40 samples: where the claim comes from that momentum
with warmup ends flatter. Gradient descent and heavy ball (β = 0.9) run at the same threshold. Without warmup heavy
ball diverges in its first steps, far from any minimum. With warmup it ends flatter where it crosses the threshold late;
at lower thresholds the gain shrinks, and below those it diverges where gradient descent does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import selfstab as ss
from selfstab.plotting import style

from . import comparison

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

TITLE = "Diagonal linear network: final sharpness with and without momentum"


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    loss = ss.DiagonalNetwork(*ss.datasets.sparse_regression(samples=40, features=100, nonzeros=5, seed=0))
    setting = comparison.ComparedRuns(
        loss, loss.initial_weights(scale=0.1), steps=900 if quick else 2500, warmup=500 if quick else 1500,
        threshold=2.2 if quick else 1.8, scan=(1.4, 2.2) if quick else (1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4),
        records=100 if quick else 300, explicit=0,
    )  # fmt: skip
    return comparison.compute(setting)


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    return comparison.draw(data)


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    return comparison.check(data)
