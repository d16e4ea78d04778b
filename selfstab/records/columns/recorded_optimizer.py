"""The optimizer that a recorded run is of, where it is no heavy ball."""

from __future__ import annotations

from collections.abc import Mapping

from selfstab.optimizers.adam import Adam
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.rms_prop import RMSProp
from selfstab.records.columns import settings
from selfstab.records.columns.assignment import listed, missing
from selfstab.records.columns.other_optimizers import adaptive_sign
from selfstab.records.comparison.laws import optimizer_of
from selfstab.records.formats.base import Table


def rule_of(table: Table, names: Mapping[str, str], optimizer: Optimizer | None = None) -> Optimizer | None:
    """Return the optimizer of a run, if it is no heavy ball.

    Parameters
    ----------
    table, names
        The run, and its columns by role.
    optimizer
        What the user gives.

    Raises
    ------
    ValueError
        If its threshold is of the preconditioned sharpness, and the run has none; or if it has one, and nothing says
        what the optimizer is.
    """
    own = optimizer if optimizer is not None else optimizer_of(settings.own_settings(table))
    preconditioned = "preconditioned_sharpness" in names
    if own is not None and own.preconditions and not preconditioned:
        raise ValueError(
            f"run must have the column preconditioned_sharpness, which the threshold of {own.known_as} is of, got "
            f"{listed(table)}; Recorder records it, and simulate with keep=['preconditioned_sharpness']"
        )
    if own is None and preconditioned and "max_stable_sharpness" not in names:
        sign = adaptive_sign(table, names)
        if not sign:
            raise ValueError(
                "run must say whose preconditioned_sharpness it has: give optimizer=Adam(lr) or another of selfstab's"
            )
        momentum = "rmsprop" in sign.lower()
        own = RMSProp(1.0) if momentum else Adam(1.0)
        if "momentum" not in names and momentum:
            raise missing("momentum", table, "optimizer")
    return None if isinstance(own, HeavyBall) else own
