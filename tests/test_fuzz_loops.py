"""Malformed training loops of JAX and PyTorch: each record ends in one clean line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("library", "count"),
    [
        pytest.param("jax", 300, marks=pytest.mark.slow),
        pytest.param("torch", 1000, marks=pytest.mark.integrations),
    ],
)
def test_malformed_loops_end_in_one_clean_line(library, count):
    """Protects the doors of for_jax, for_torch, from_jax and from_torch: no raw error, no warning, no silence."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_loops", str(count), "1", library],
        capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert not result["wrong"], result["wrong"][:5]
    assert result["refused"] + result["accepted"] == count
    assert min(result["refused"], result["accepted"]) > 0.03 * count
