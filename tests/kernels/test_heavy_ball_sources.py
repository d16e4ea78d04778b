"""The heavy ball's kernels have the text of version 0.1.0, byte for byte: stores hold its hash."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import pytest

import selfstab as ss
from selfstab.kernels import rates
from selfstab.kernels.writer import Variant
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


@pytest.mark.parametrize("name", LOSSES)
def test_sources_of_sweeps_are_those_of_0_1_0(name):
    """Protects stores, which refuse another text, and the speed of kernels: 128 variants of each loss."""
    flags = (False, True)
    for measured, rate, ahead, noise, resumes in itertools.product(MEASURED, RATES, flags, flags, flags):
        update = rule_text(ss.HeavyBall(1.0), ["lookahead"] if ahead else [])
        variant = Variant(MEASURED[measured], update, RATES[rate], noise, resumes)
        key = f"sweep {name} {measured} {rate} {ahead:d}{noise:d}{resumes:d}"
        assert digest(LOSSES[name].sweep_source(variant)) == HASHES[key], key


@pytest.mark.parametrize("name", LOSSES)
def test_sources_of_single_runs_are_those_of_0_1_0(name):
    """Protects simulate and orbits: the compiled run keeps its text."""
    assert digest(LOSSES[name].kernel.run_source(ss.HeavyBall(0.1, 0.5))) == HASHES[f"run {name}"]
