"""Tables on the screen: a store larger than memory is read a part at a time."""

from __future__ import annotations

import numpy as np
import xarray

from selfstab.cli import tables


def test_a_table_of_parts_is_the_table_of_the_whole(monkeypatch):
    """Protects large stores: least, largest, counts and what is not defined are the same read in parts."""
    rng = np.random.default_rng(0)
    loss = rng.normal(size=(7, 5))
    loss[2, 3] = np.nan
    data = xarray.Dataset(
        {
            "final_loss": (("a", "b"), loss),
            "phase": (("a", "b"), rng.integers(-1, 5, (7, 5)).astype(np.int8)),
        },
        attrs={"seconds": 1.0, "compile_seconds": 0.0},
    )
    whole = tables.sweep_table(data)
    assert whole.splitlines()[1].split() == ["measure", "least", "median", "largest", "remark"]
    assert whole.splitlines()[-1].startswith("phases: ")
    assert "1 of 35 not defined" in whole
    largest = []
    monkeypatch.setattr(tables, "_PART", 11)
    parts = tables._parts
    monkeypatch.setattr(tables, "_parts", lambda v: (largest.append(p.size) or p for p in parts(v)))
    in_parts = tables.sweep_table(data)
    assert max(largest) <= 11
    middle = f"{np.nanmedian(loss):.6g}"
    assert middle in whole
    assert in_parts.replace(" ", "") == whole.replace(middle, "").replace(" ", "")


def test_compiling_is_told_apart() -> None:
    """Protects the summary's seconds: of running, and of compiling where there was some."""
    data = xarray.Dataset(
        {"drop": (("a", "b"), np.zeros((2, 3)))}, attrs={"seconds": 29.4, "compile_seconds": 28.2}
    )
    assert tables.sweep_table(data).splitlines()[0] == "a 2 × b 3: 1.2 s, and 28.2 s to compile"
    assert tables.sweep_table(data.assign_attrs(compile_seconds=0.0)).splitlines()[0] == "a 2 × b 3: 29.4 s"


def test_runs_that_never_diverge_have_no_step_of_divergence() -> None:
    """Protects the reading of −1: steps are of the runs that diverged, and the others are counted."""
    data = xarray.Dataset(
        {"diverged_at": ("a", np.array([-1, 7, 3, -1, 5]))}, attrs={"seconds": 1.0, "compile_seconds": 0.0}
    )
    row = tables.sweep_table(data).splitlines()[-1]
    assert row.split() == ["diverged_at", "3", "5", "7", "2", "of", "5", "did", "not", "diverge"]
