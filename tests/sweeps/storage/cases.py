"""Losses, axes and plans whose stores are tested, and any JSON."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import selfstab as ss
from selfstab.sweeps.plan.plan import Plan
from selfstab.sweeps.plan.request import Request

CUBIC = ss.CubicTaylor(1.0, 0.01)
LR = ss.HeavyBall(0.5)
AXES = {"momentum": np.linspace(0.0, 0.9, 5), "lr": np.linspace(0.1, 2.5, 7)}
START = {"start": [0.1, 0.0], "steps": 12}
RNG = np.random.default_rng(3)
NET = ss.MLP((2, 3, 1), RNG.standard_normal((40, 2)), RNG.standard_normal(40))
DIAGONAL = ss.DiagonalNetwork(RNG.standard_normal((6, 3)), RNG.standard_normal(6))

EVIL = st.sampled_from(
    [
        "__import__('os').system('touch evil')", "u.__class__", "(lambda: u)()", "u**u**u", "9**9**9", "((((u))))" * 99,
        "open('evil', 'w')", "sympy.sympify('evil')", "exec", "../../etc", "MLP", "Chain", "Quadratic", "LinearWarmup",
    ]
)  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=9) | EVIL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def plan_for(loss=CUBIC, optimizer=LR, axes=AXES, **changes):
    settings = {"measure": ("final_loss", "phase")} | START | changes
    return Plan.checked(Request(loss=loss, optimizer=optimizer, axes=axes, **settings))
