"""Plans: cells in order, their starts and rates by brute force, coordinates, axes of a million values."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import selfstab as ss
from selfstab.sweeps.plan import plan as module
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


def plan_of(axes, optimizer=None, start=(0.1, 0.0), **changes):
    asked = {"steps": 3, "measure": ["final_loss"]} | changes
    return Plan.checked(
        Request(loss=CUBIC, optimizer=optimizer or ss.HeavyBall(0.1), axes=axes, start=start, **asked)
    )


AXES = {
    "momentum": [0.0, 0.5], "lr": [0.1, 0.2, 0.4], "curvature": [1.0, 2.0], "start.x": [0.1, 0.3], "noise": [0.0, 0.5],
}  # fmt: skip


@settings(max_examples=20)
@given(names=st.permutations([*AXES]))
def test_cells_are_the_product_of_the_axes(names):
    """Protects indices: the last axis is the fastest, and a cell's problem has the values that stand at its place."""
    axes = {name: AXES[name] for name in names}
    plan = plan_of(axes)
    assert plan.shape == tuple(map(len, axes.values()))
    assert plan.cells == math.prod(plan.shape)
    for index, chosen in enumerate(itertools.product(*axes.values())):
        problem, values = plan.cell(index)
        assert values == dict(zip(axes, chosen, strict=True))
        assert [problem.optimizer.momentum, problem.optimizer.lr, problem.noise] == [
            values["momentum"], values["lr"], values["noise"],
        ]  # fmt: skip
        assert problem.loss.parameters["curvature"] == values["curvature"]
        assert problem.start.tolist() == problem.previous.tolist() == [values["start.x"], 0.0]


def test_starts_of_many_cells_are_those_of_each():
    """Protects lanes, which get starts together: seeds and scales that come again, and weights set on top."""
    axes = {"start.seed": [3, 0, 3], "start.z": [0.2, -0.2], "start.scale": [0.1, 0.5]}
    plan = plan_of(axes, start=ss.Initialization(1, 0.3))
    columns = dict(zip(axes, np.array([*itertools.product(*axes.values())]).T, strict=True))
    expected = [plan.cell(k)[0].start for k in range(plan.cells)]
    assert np.array_equal(plan.starts(columns, plan.cells), expected)
    for k, (seed, z, scale) in enumerate(itertools.product(*axes.values())):
        assert expected[k].tolist() == [CUBIC.initial_weights(int(seed), scale)[0], z]


@pytest.mark.parametrize("rows", [1, 3, 2**16])
def test_every_start_of_an_excess_is_looked_at(monkeypatch, rows):
    """Protects lr = (1 + ε)·2/S from a sharpness of 0, in the last cell alone too, in pieces of any size."""
    monkeypatch.setattr(module, "_ROWS", rows)
    # S = 1 + z at x = 0 on the cubic model.
    axes = {"excess": [0.1, 0.2], "start.z": [0.5, 0.0, -0.5, -2.0], "start.x": [0.0]}
    plan = plan_of(axes, start=[0.0, 0.0])
    with pytest.raises(ValueError, match=r"sharpness is above 0, got 0 at start = \[0\.0, -2\.0\]"):
        plan.check_sharpness_at_start()
    plan.check_sharpness_at_start(np.array([0, 1, 2, 4, 5, 6]))
    with pytest.raises(ValueError, match="above 0"):
        plan.check_sharpness_at_start(np.array([0, 7]))


def test_axes_of_a_dataset_say_what_they_are():
    """Protects labels of figures: numbers of optimizer and schedule bring their own words, weights their name."""
    warmup = ss.HeavyBall(ss.LinearWarmup(0.1, 0.5, 9))
    names = ("momentum", "lr.end", "start.x", "noise")
    plan = plan_of({name: [0.1, 0.2] for name in names}, warmup, repeats=2)
    data = module.described(plan, {"final_loss": np.zeros((2, 2, 2, 2, 2))})
    assert data.final_loss.dims == (*names, "repeat")
    assert {name: (data[name].attrs["long_name"], data[name].attrs["units"]) for name in names} == {
        "momentum": ("momentum", "1"),
        "lr.end": ("learning rate after the warmup", "1/sharpness"),
        "start.x": ("start.x", "1"),
        "noise": ("standard deviation of the gradient noise", "loss per weight"),
    }
