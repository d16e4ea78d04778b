"""The packages beside this one: figures, benchmarks, derivations."""

from __future__ import annotations

import pytest

from selfstab.reports.companions import companion
from selfstab.reports.figures import titles


@pytest.mark.parametrize("name", ["figures", "benchmarks", "derivations"])
def test_each_companion_is_one_module(name):
    """Protects their state: the same name is the same module, in a clone and in an installed wheel."""
    assert companion(name) is companion(name)
    assert companion(name).__name__ == f"selfstab._{name}"


def test_a_module_of_a_companion_is_there():
    """Protects the titles of figures, which are those of the figures' own modules."""
    assert titles()["modes"] == companion("figures.modes").TITLE


def test_an_absent_companion_is_named():
    """Protects whoever installed a wheel without them."""
    with pytest.raises(ImportError, match="nonsense must be installed with selfstab or be beside it"):
        companion("nonsense")
