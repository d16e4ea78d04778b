"""Axes of a million values."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.sweeps.plan.plan import Plan
from selfstab.sweeps.plan.request import Request

CUBIC = ss.CubicTaylor(1.0)


def test_a_parameters_values_are_checked_together(monkeypatch):
    """Protects axes of millions of values: no loss is made for each."""
    monkeypatch.setattr(ss.CubicTaylor, "replace", None)
    values = np.linspace(0.5, 1.0, 10**6)
    for axes in ({"stabilization": values}, {"curvature": values}):
        plan = Plan.checked(
            Request(
                loss=CUBIC, optimizer=ss.HeavyBall(0.1), axes=axes, start=[0.1, 0.0], steps=1, measure=["final_loss"],
                escape=10.0,
            )
        )  # fmt: skip
        assert plan.cells == 10**6
    with pytest.raises(
        ValueError, match=r"axes\['stabilization'\]: stabilization must be in \(0, inf\), got -1.0"
    ):
        ss.sweep(
            CUBIC,
            ss.HeavyBall(0.1),
            {"stabilization": [*values, -1.0]},
            start=[0.1, 0.0],
            steps=1,
            progress=False,
        )
