"""One script per figure: each computes its data, draws it, and checks the numbers it shows.

A figure's module exports ``TITLE``; ``compute(quick) -> {name: xarray.Dataset}``; ``draw(data) -> Figure``; and
``check(data) -> list of lines``, which raises AssertionError where the numbers are not what theory says.
"""

from typing import Final

NAMES: Final = (
    "modes",
    "thresholds",
    "catapult",
    "stages",
    "unrolled",
    "envelope",
    "slow_limit",
    "inertia",
    "overshoot_law",
    "universality",
    "deviation",
    "lookahead",
    "linear",
    "memory",
    "prolonging",
    "edge_cycles",
    "edge_drift",
    "warmup_delay",
    "two_cycles",
    "noise_boundary",
    "plateaus",
    "sharpness_gap",
    "minibatch_gap",
    "adam",
    "constrained",
    "predicted",
    "flows",
    "phase_diagrams",
    "lr_phases",
    "basin",
    "attractors",
    "digits",
    "digits_flows",
    "edge_flow",
    "spectrum",
    "diagonal_network",
    "networks",
    "flatter",
    "flatter_networks",
    "flatter_optimizers",
)
"""The figures, in the order of a report."""


def require(holds: object, message: str) -> None:
    """Raise AssertionError with the message unless the claim holds; unlike ``assert``, also under ``python -O``."""
    if not holds:
        raise AssertionError(message)
