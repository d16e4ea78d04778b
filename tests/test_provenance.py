"""What a result was computed with: what is recorded is what is installed, and what decides bits is in it."""

from __future__ import annotations

import json
import platform

import llvmlite
import numpy as np
import scipy
import sympy
import xarray

import selfstab as ss
from selfstab import provenance


def test_versions_are_those_of_the_libraries_themselves():
    """Protects datasets' attributes against a name that stands for another package."""
    expected = {module.__name__: module.__version__ for module in (np, llvmlite, scipy, sympy, xarray)}
    assert json.loads(provenance.versions()) == expected | {
        "selfstab": ss.__version__,
        "python": platform.python_version(),
    }


def test_the_version_of_selfstab_does_not_decide_bits(monkeypatch):
    """Protects stores across releases: only the version since which bits are unchanged is compared."""
    before = provenance.deciding_bits(False)
    monkeypatch.setattr(ss, "__version__", "9.9")
    assert provenance.deciding_bits(False) == before
    assert json.loads(provenance.versions())["selfstab"] == "9.9"
    monkeypatch.setattr(provenance, "BITS_SINCE", "9.9")
    assert provenance.deciding_bits(False) == before | {"bits_since": "9.9"}


def test_bits_have_not_been_unchanged_for_longer_than_the_version():
    """Protects against a constant that names a version to come."""
    since, today = (
        [int(part) for part in text.split(".")[:2]] for text in (provenance.BITS_SINCE, ss.__version__)
    )
    assert since <= today


def test_the_blas_counts_where_it_computes():
    """Protects networks from another BLAS, which picks its code by the processor; kernels do not use one."""
    assert "blas" not in provenance.deciding_bits(False)
    assert provenance.deciding_bits(True)["blas"]
