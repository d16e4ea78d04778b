"""Malformed calls and loss strings: the interpreter lives, and each ends in one clean line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("count", "seed"), [(300, 0), pytest.param(10_000, 1, marks=pytest.mark.slow)], ids=["a few", "in full"]
)
def test_malformed_calls_end_in_one_clean_line(count, seed):
    """Protects the doors of everything public: no crash, no hang, no other exception, no warning, no silence."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz.py")), str(count), str(seed)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])  # what a call prints stands before
    seconds, slowest = found["slowest"]
    print(f"slowest refusal: {seconds:.2f} s, {slowest}")
    assert not found["wrong"], found["wrong"][:5]
    assert found["refused"] + found["accepted"] == count
    assert found["refused"] > 0.8 * count


@pytest.mark.parametrize(
    "share", [0.005, pytest.param(1.0, marks=pytest.mark.slow)], ids=["a few", "in full"]
)
def test_every_wrong_argument_of_every_public_function_ends_in_one_clean_line(share):
    """Protects what is called by hand: another dataset, None, a list, an integer of 400 digits, a text of two lines."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_public", str(share), "0"],
        capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert not found["wrong"], found["wrong"][:5]
    assert found["refused"] > 2 * found["accepted"] > 0


@pytest.mark.parametrize(
    ("count", "seed"), [(40, 0), pytest.param(10_000, 1, marks=pytest.mark.slow)], ids=["a few", "in full"]
)
def test_hostile_files_are_read_mended_or_refused(count, seed):
    """Protects whoever opens a file or a store of somebody's: no crash, no hang, no other error, nothing changed."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz_files.py")), str(count), str(seed)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert not found["wrong"], found["wrong"][:5]
    assert found["refused"] + found["accepted"] >= count
    assert found["refused"] > 0.3 * count


@pytest.mark.parametrize(
    ("count", "seed"), [(200, 0), pytest.param(10_000, 1, marks=pytest.mark.slow)], ids=["a few", "in full"]
)
def test_transfer_functions_end_in_numbers_or_one_clean_line(count, seed):
    """Protects the theory of linear optimizers: no crash, no hang, no warning for any coefficients or numbers."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz_linear.py")), str(count), str(seed)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert not found["wrong"], found["wrong"][:5]
    assert found["refused"] > found["accepted"] > 0


@pytest.mark.parametrize(
    ("count", "seed"), [(60, 0), pytest.param(4000, 1, marks=pytest.mark.slow)], ids=["a few", "in full"]
)
def test_records_of_any_hessian_end(count, seed):
    """Protects loops from a record that hangs, fails or is wrong, and recorders from states that are none."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz_tracking.py")), str(count), str(seed)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert not found["wrong"], found["wrong"][:5]
    assert found["refused"] + found["accepted"] == count
    assert found["compared"] > 0.2 * count
    assert found["beyond"] <= 0.02 * found["compared"]


@pytest.mark.parametrize(
    "count", [120, pytest.param(10_000, marks=pytest.mark.slow)], ids=["a few", "in full"]
)
def test_malformed_optimizers_of_training_loops_end_in_one_clean_line(count):
    """Protects recorders and runs of other optimizers: settings, preconditioners and columns that are junk."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_training_optimizers", str(count), "0"],
        capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    ended = json.loads(done.stdout.splitlines()[-1])
    assert not ended["wrong"], ended["wrong"][:5]
    assert ended["refused"] > 0.3 * count
