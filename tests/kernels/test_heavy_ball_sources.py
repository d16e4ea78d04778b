"""The heavy ball's kernels have the recorded text, byte for byte: stores hold its hash.

A text that changes on purpose is recorded anew, ``python -m tests.kernels.test_heavy_ball_sources``, with another
``provenance.KERNELS``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import pytest

import selfstab as ss
from selfstab import provenance
from selfstab.kernels import rates
from selfstab.kernels.variants import Variant
from selfstab.optimizers.text import rule_text

HASHES = json.loads(Path(__file__).with_name("heavy_ball_sources.json").read_text())

LOSSES = {
    "Product": ss.Product(),
    "CubicTaylor": ss.CubicTaylor(1.0, 0.1),
    "Quadratic": ss.Quadratic([1.0, 2.0]),
    "DoubleWell": ss.DoubleWell(),
    "formula": ss.SymbolicLoss(
        "exp(-a*u*v) + log(2 + v**2) + (u - b)**2/2 + tanh(v)*w**3", ["u", "v", "w"], {"a": 1.0, "b": 0.5}
    ),
}
MEASURED = {
    "final": ("final_loss",),
    "usual": ("final_loss", "final_sharpness", "min_sharpness", "diverged_at", "phase"),
    "all": (
        "final_loss",
        "max_loss",
        "final_sharpness",
        "min_sharpness",
        "max_sharpness",
        "peak_excess_sharpness",
        "drop",
        "overshoot",
        "diverged_at",
        "phase",
    ),
    "overshoot": ("overshoot",),
}
RATES = {
    "constant": rates.CONSTANT,
    "excess": rates.EXCESS,
    "ramp": ss.LinearWarmup.rate,
    "table": rates.TABLE,
}


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sweeps(name):
    """Yield the keys and texts of a loss's sweeps."""
    flags = (False, True)
    for measured, rate, ahead, noise, resumes in itertools.product(MEASURED, RATES, flags, flags, flags):
        update = rule_text(ss.HeavyBall(1.0), ["lookahead"] if ahead else [])
        variant = Variant(MEASURED[measured], update, RATES[rate], noise, resumes)
        key = f"sweep {name} {measured} {rate} {ahead:d}{noise:d}{resumes:d}"
        yield key, LOSSES[name].sweep_source(variant)


def run(name):
    """Return the key and the text of a loss's single runs."""
    return f"run {name}", LOSSES[name].kernel.run_source(ss.HeavyBall(0.1, 0.5))


@pytest.mark.parametrize("name", LOSSES)
def test_sources_of_sweeps_are_those_recorded(name):
    """Protects stores, which refuse another text, and the speed of kernels: 128 variants of each loss."""
    for key, text in sweeps(name):
        assert digest(text) == HASHES[key], key


@pytest.mark.parametrize("name", LOSSES)
def test_sources_of_single_runs_are_those_recorded(name):
    """Protects simulate and orbits: the compiled run keeps its text."""
    key, text = run(name)
    assert digest(text) == HASHES[key]


def test_the_record_is_of_this_number():
    """Protects stores from a text that is recorded anew under the number of another."""
    assert HASHES["kernels"] == provenance.KERNELS


if __name__ == "__main__":
    pairs = [pair for name in LOSSES for pair in (*sweeps(name), run(name))]
    record = {"kernels": provenance.KERNELS} | {key: digest(text) for key, text in pairs}
    Path(__file__).with_name("heavy_ball_sources.json").write_text(json.dumps(record, indent=0) + "\n")
