"""Results in memory: blocks in any order, and what is too large for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import selfstab as ss
from selfstab import machine
from selfstab.sweeps import sweep as sweep_module
from selfstab.sweeps.storage import memory
from tests.sweeps.storage.cases import plan_for


def swept(axes, **changes):
    arguments = {"start": [0.1, 0.0], "steps": 10, "progress": False} | changes
    return ss.sweep(ss.CubicTaylor(1.0), ss.HeavyBall(0.1), axes, **arguments)


def test_results_beyond_half_of_the_memory_need_a_store(monkeypatch, tmp_path):
    """Protects the machine: 100 cells of final_loss and phase are 900 bytes, which fit if 1800 are free."""
    axes = {"lr": np.linspace(0.1, 0.2, 100)}
    asked = {"measure": ["final_loss", "phase"], "steps": 0}
    monkeypatch.setattr(machine, "SMALL", 0)
    monkeypatch.setattr(machine, "free_memory", lambda: 1799)
    with pytest.raises(
        MemoryError, match=r"100 cells .* take 9e-07 GB, more than half of the 1.8e-06 GB .*a store"
    ):
        swept(axes, **asked)
    monkeypatch.setattr(sweep_module, "_run", lambda *_: "swept")
    monkeypatch.setattr(sweep_module, "_stored", lambda *_: "swept")
    assert swept(axes, store=tmp_path / "large.zarr", **asked) == "swept"
    monkeypatch.setattr(machine, "free_memory", lambda: 1800)
    assert swept(axes, **asked) == "swept"


class Numbers:
    """A runner whose cells have known results: thousands by measure, hundreds by repeat, ones by cell."""

    compile_seconds = 0.25
    source = "none"

    def __init__(self, size):
        self.size = size

    def block_size(self, cells, steps, threads):
        return self.size

    def run(self, cells, repeat=0):
        return np.array([1000.0 * k + 100.0 * repeat + cells for k in range(2)])


@settings(max_examples=30)
@given(size=st.integers(1, 13), repeats=st.integers(1, 3), order=st.randoms(use_true_random=False))
def test_blocks_stand_in_their_place_in_any_order(size, repeats, order):
    """Protects every value: measure, repeat and cell tell its place, whichever thread is done first."""
    axes = {"momentum": [0.0, 0.3, 0.6], "lr": [0.1, 0.2, 0.3, 0.4]}
    plan, runner = plan_for(axes=axes, measure=("final_loss", "max_loss"), repeats=repeats), Numbers(size)
    with memory.Memory(plan, 1, runner, 0.0) as results:
        blocks = [*results.missing()]
        order.shuffle(blocks)
        for block in blocks:
            results.accept(block, runner.run(np.arange(block.first, block.first + block.count), block.repeat))
    data = results.dataset()
    cells = np.arange(12.0).reshape(3, 4)
    expected = (cells[..., None] + 100.0 * np.arange(repeats)).reshape(data.final_loss.shape)
    assert np.array_equal(data.final_loss.values, expected)
    assert np.array_equal(data.max_loss.values, 1000.0 + expected)
    assert data.lr.values.tolist() == axes["lr"]
    assert (data.attrs["compile_seconds"], data.attrs["repeats"], results.done) == (0.25, repeats, 0)
