"""Presets have the numbers that their docstrings tell."""

from __future__ import annotations

from functools import cache

import pytest

from selfstab import experiments
from selfstab.experiments import PRESETS


def ratio(data, number="mean_sharpness"):
    heavy, plain = (data[number].sel(optimizer=name).values for name in ("phb", "gd_time"))
    return heavy / plain - 1.0


@cache
def quick(name):
    return getattr(experiments, name)(quick=True, threads=1)


# Chaotic runs differ from machine to machine; the bounds are the docstrings', which three or more seeds keep.
QUICK = {
    "diagonal_network": (-0.40, -0.02),
    "digits_network": (-0.45, -0.15),
    "onehot_network": (-0.05, 0.05),
    "deep_network": (-0.20, -0.03),
    "mnist_network": (-0.25, -0.05),
}
FULL = {
    "diagonal_network": (-0.40, 0.01),
    "digits_network": (-0.40, -0.10),
    "onehot_network": (-0.02, 0.02),
    "deep_network": (-0.35, -0.02),
    "mnist_network": (-0.30, -0.08),
}


@pytest.mark.parametrize(
    "name", ["diagonal_network", *(pytest.param(name, marks=pytest.mark.slow) for name in [*QUICK][1:])]
)
def test_a_quick_preset_has_its_numbers(name):
    """Protects the docstrings' numbers: heavy ball's mean sharpness over gradient descent's."""
    data = quick(name)
    low, high = QUICK[name]
    assert (low < ratio(data)).all()
    assert (ratio(data) < high).all()


def test_the_quick_diagonal_network_generalizes_worse():
    """Protects the docstring's other number: heavy ball's test loss is larger, though it ends flatter."""
    assert (ratio(quick("diagonal_network"), "final_test_loss") > 0.05).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_a_preset_has_its_numbers(name):
    """Protects the same of the presets in full."""
    data = getattr(experiments, name)()
    low, high = FULL[name]
    assert (low < ratio(data)).all()
    assert (ratio(data) < high).all()
    assert PRESETS[name].full.seeds == tuple(data["seed"].values)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("quick", [1, "yes", None])
def test_quick_must_be_a_boolean(name, quick):
    """Protects against a long run that was asked for by a value that only looks like a boolean."""
    with pytest.raises(TypeError, match="quick must be True or False"):
        getattr(experiments, name)(quick=quick)
