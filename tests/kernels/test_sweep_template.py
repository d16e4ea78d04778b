"""Sweeps' blocks of lanes against a closed form: gradient descent on ½w², w_t = (1 − η)^t w_0."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import selfstab as ss
from selfstab.kernels import modules
from selfstab.kernels.sweep_template import sweep_source
from selfstab.kernels.variants import Variant
from selfstab.kernels.writer import CHUNK, LANES
from selfstab.optimizers.text import rule_text

MEASURED = ("final_loss", "diverged_at")


def swept(rates, steps, escape):
    """Return final losses, steps of divergence and last weights of cells from w_0 = 1, by plain CPython."""
    formulas, update = ss.Quadratic([1.0]).kernel.formulas, rule_text(ss.HeavyBall(1.0), [])
    variant = Variant(MEASURED, update)
    given = {"lr": rates, "momentum": 0.0 * rates, formulas.parameters[0]: 0.0 * rates + 1.0}
    inputs = np.stack([given.get(name, np.ones(rates.size)) for name in variant.inputs(formulas)], axis=1)
    out, ends = np.empty((2, rates.size)), np.empty((rates.size, 2))
    run = modules.plain(sweep_source(formulas, variant, "Quadratic"))["run"]
    run(inputs, np.zeros(1), np.zeros((1, 1)), steps, escape, out, ends)
    return out[0], out[1], ends[:, 0]


@pytest.mark.parametrize("steps", [0, 1, 2, CHUNK, CHUNK + 1])
def test_cells_are_the_powers(steps):
    """Protects every cell of a block and of one that is not full, both sides of a chunk: powers of exact fractions."""
    rates = np.arange(1, LANES + 4) / 12.0
    escape = 1000.0
    final_loss, diverged_at, last = swept(rates, steps, escape)
    for k, lr in enumerate(rates):
        weights, factor = [Fraction(1)], 1 - Fraction(float(lr))
        while abs(weights[-1]) <= escape and len(weights) <= steps:
            weights.append(weights[-1] * factor)
        inside = [w for w in weights if abs(w) <= escape]
        assert diverged_at[k] == (-1 if len(inside) == len(weights) else len(inside))
        assert last[k] == pytest.approx(float(inside[-1]), rel=1e-11)
        assert final_loss[k] == pytest.approx(float(inside[-1] ** 2 / 2), rel=1e-11)


def test_a_block_that_repeats_itself_is_not_run_to_the_end():
    """Protects long sweeps: runs at rest, and one that flips for ever, end at once, where they would be at the end."""
    final_loss, diverged_at, last = swept(np.array([1.0, 0.5, 2.0, 1.5]), 10**12 + 1, 10.0)
    assert last == pytest.approx([0.0, 0.0, -1.0, 0.0], rel=1e-15, abs=1e-300)
    assert final_loss.tolist() == [0.0, 0.0, 0.5, 0.0]
    assert diverged_at.tolist() == [-1] * 4
