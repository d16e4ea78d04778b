"""Hostile messages to a running explorer."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("bokeh", reason="not run: Bokeh (extra 'explore') is missing")


@pytest.mark.parametrize(
    ("count", "seed"), [(250, 0), pytest.param(10_000, 1, marks=pytest.mark.slow)], ids=["a few", "in full"]
)
def test_hostile_messages_end_in_silence(count, seed, tmp_path):
    """Protects the user who serves: no crash, no hang, no traceback, and no file of theirs is read or sent."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.explorer.fuzz", str(count), str(seed), str(tmp_path)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert not found["wrong"], found["wrong"][:5]
    assert found["sent"] == count
    assert found["closed"] > 0
