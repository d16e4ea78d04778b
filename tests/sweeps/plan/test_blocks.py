"""Blocks of cells and the memory they may fill: what is too large is refused before anything runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import selfstab as ss
from selfstab.cli.program import main
from selfstab.kernels.writer import LANES
from selfstab.sweeps.plan.blocks import BLOCK_WORK, CELL_WORK, LARGEST_BLOCK, block_size, cut

LOSS, OPTIMIZER = ss.CubicTaylor(1.0), ss.HeavyBall(0.1)
MANY = np.linspace(0.1, 0.2, 1_000_000)


def swept(axes, **changes):
    return ss.sweep(
        LOSS, OPTIMIZER, axes, **({"start": [0.1, 0.0], "steps": 10, "progress": False} | changes)
    )


@given(st.integers(1, 10**12), st.integers(0, 10**9), st.integers(1, 256), st.booleans())
def test_blocks_are_whole_lanes_and_soon_done(cells, steps, threads, kernel):
    """Protects progress and interrupts: no block is larger than the least where it would take longer."""
    size = block_size(cells, steps, threads, kernel=kernel)
    lanes, work = (LANES, BLOCK_WORK) if kernel else (1, CELL_WORK)
    assert size % lanes == 0
    assert size <= LARGEST_BLOCK
    assert size == lanes or size * steps <= work + lanes * steps
    assert size == lanes or size <= cells // (8 * threads) + lanes


@given(st.integers(1, 3000), st.integers(1, 3), st.integers(1, 200))
def test_blocks_are_numbered_and_cover_all(cells, repeats, size):
    """Protects the numbers by which blocks are known: each cell of each repeat in one block."""
    made = [*cut(cells, repeats, size)]
    assert [b.number for b in made] == [*range(repeats * math.ceil(cells / size))]
    runs = [(b.repeat, b.first + k) for b in made for k in range(len(b))]
    assert runs == [(repeat, cell) for repeat in range(repeats) for cell in range(cells)]


@pytest.mark.parametrize(
    "axes",
    [
        {"momentum": MANY, "lr": MANY},
        {"momentum": MANY, "excess": MANY},
        {"start.x": MANY, "start.z": MANY, "excess": [0.1]},
        {
            "curvature": MANY[:10_000],
            "stabilization": MANY[:10_000],
            "start.x": MANY[:10_000],
            "excess": [0.1],
        },
    ],
    ids=lambda axes: "-".join(axes),
)
def test_a_million_million_cells_are_refused_at_once(axes):
    """Protects the user's time, too: no start is looked at, nothing is allocated."""
    with pytest.raises(
        MemoryError, match=r"the results of \d+ cells .* take 1e\+03 GB, more than half .* a store"
    ) as caught:
        swept(axes, measure=["phase"])
    assert "\n" not in str(caught.value)


def test_the_command_refuses_them_in_one_line():
    """Protects the command line: exit code 2, one line, no traceback."""
    words = ["sweep", "CubicTaylor", "-p", "curvature=1", "--start", "0.1,0", "--steps", "10"]
    words += ["-a", "momentum=lin:0:0.9:1000000", "-a", "lr=lin:0.1:1:1000000", "-m", "phase"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "Error: the results of 1000000000000 cells with repeats = 1 take 1e+03 GB"
    )
    assert "store" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    ("axes", "repeats"),
    [
        ({"momentum": MANY, "excess": MANY, "start.x": MANY, "start.z": MANY}, 10**6),
        ({"lr": [0.1]}, 10**30),
        ({"lr": [0.1]}, 10**400),
        ({"lr": [0.1]}, 10**5000),
        ({"lr": [0.1, 0.2]}, 2**63),
    ],
    ids=["axes", "1e30", "1e400", "1e5000", "2**64"],
)
def test_cells_beyond_the_integers_are_refused(axes, repeats, stored, tmp_path):
    """Protects the arithmetic of indices; a store does not help, and none is begun."""
    path = tmp_path / "sweep.zarr"
    with pytest.raises(ValueError, match=r"axes and repeats must make at most 2\*\*60 cells, got") as caught:
        swept(axes, repeats=repeats, store=path if stored else None)
    assert "\n" not in str(caught.value)
    assert not path.exists()
