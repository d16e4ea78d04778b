"""The studies whose results are stored: python -m figures.studies [NAME ...] [--seconds N] goes on with them.

They take minutes to hours. Each run is a piece, stored as soon as it is done, so that a study can be stopped at any
moment and called again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import selfstab as ss
from selfstab.experiments import PRESETS, Digits, Setting, SparseRegression
from selfstab.experiments.convolution import ConvolutionalNetwork
from selfstab.experiments.studies import Study, advance

RESULTS: Final = Path(__file__).parent / "results"

AT_09: Final = {
    "GD": ss.HeavyBall(1.0),
    "PHB .5": ss.HeavyBall(1.0, 0.5),
    "QHM .7 .9": ss.QuasiHyperbolic(1.0, 0.9, 0.7),
    "NAG .9": ss.HeavyBall(1.0, 0.9, 0.9),
    "AggMo 0 .9": ss.AggregatedMomentum(1.0, (0.0, 0.9)),
    "PHB .8": ss.HeavyBall(1.0, 0.8),
    "QHM .7 .99": ss.QuasiHyperbolic(1.0, 0.99, 0.7),
    "PHB .9": ss.HeavyBall(1.0, 0.9),
    "EMA .9": ss.AveragedHeavyBall(1.0, 0.9),
}
"""Where heavy ball at β = 0.9 does not diverge. QHM .7 .99 has the amplification of PHB .5, and inertia like PHB .8."""

AT_07: Final = {
    "GD": ss.HeavyBall(1.0),
    "NAG .7": ss.HeavyBall(1.0, 0.7, 0.7),
    "PHB .5": ss.HeavyBall(1.0, 0.5),
    "QHM .7 .9": ss.QuasiHyperbolic(1.0, 0.9, 0.7),
    "AggMo 0 .9": ss.AggregatedMomentum(1.0, (0.0, 0.9)),
    "NAG .9": ss.HeavyBall(1.0, 0.9, 0.9),
    "PHB .7": ss.HeavyBall(1.0, 0.7),
    "EMA .7": ss.AveragedHeavyBall(1.0, 0.7),
    "QHM .7 .99": ss.QuasiHyperbolic(1.0, 0.99, 0.7),
}

FEW: Final = {name: AT_07[name] for name in ("GD", "PHB .5", "QHM .7 .9", "NAG .9", "PHB .7")}
"""For a network of long steps."""

ADAMS: Final = {
    f"Adam {beta:g}": ss.Adam(1.0, beta, 1.0 - 0.001 * (1.0 + beta) / (1.0 - beta) / 19.0)
    for beta in (0.0, 0.5, 0.8, 0.9)
}
"""β₂ is 0.999 at β₁ = 0.9; elsewhere squares are forgotten in the same effective time."""

STUDIES: Final = {
    "diagonal": Study(
        SparseRegression(samples=40, features=100, nonzeros=5),
        replace(PRESETS["diagonal_network"].full, records=60, seeds=tuple(range(12))),
        AT_09,
    ),
    "digits": Study(Digits((32,), "parity"), replace(PRESETS["digits_network"].full, records=60), AT_07),
    "cross_entropy": Study(
        Digits((3,), "labels", samples=1000),
        Setting(threshold=1.0, momentum=0.7, warmup=100, steps=250, records=40),
        AT_07,
    ),
    "cross_entropy_wide": Study(
        Digits((32,), "labels"),
        Setting(threshold=0.3, momentum=0.7, warmup=100, steps=200, records=40),
        AT_07,
    ),
    "adam": Study(
        Digits((32,), "parity"),
        Setting(threshold=2000.0, momentum=0.9, warmup=150, steps=400, records=50),
        ADAMS,
    ),
    "convolution": Study(
        ConvolutionalNetwork(samples=4000, held_out=1000),
        Setting(threshold=20.0, momentum=0.7, warmup=150, steps=400, records=30, seeds=(0, 1)),
        FEW,
    ),
}
"""By the name of the file in `RESULTS`."""


def path(name: str) -> Path:
    """Return the file of a study's results."""
    return RESULTS / f"{name}.json"


def main() -> None:
    """Go on with the studies named, or with all."""
    import argparse

    parser = argparse.ArgumentParser(description="Go on with the studies whose results are stored.")
    parser.add_argument("names", nargs="*", help=f"from {', '.join(STUDIES)}; all by default")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no run begins after this time")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in STUDIES]
    if unknown:
        parser.error(f"names must be from {', '.join(STUDIES)}, got {unknown[0]}")
    for name in arguments.names or STUDIES:
        present, number = advance(STUDIES[name], path(name), arguments.seconds)
        print(f"{name}: {present} of {number} runs")


if __name__ == "__main__":
    main()
