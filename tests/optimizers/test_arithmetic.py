"""Functions of rules: one formula, read as arrays, as a kernel's text and as algebra, has one value."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import selfstab.optimizers
from selfstab.kernels.arithmetic import plain_namespace
from selfstab.kernels.terms import named, term, written
from selfstab.optimizers import arithmetic
from selfstab.optimizers.arithmetic import exp, log, sqrt, where


def formula(x, y):
    """Return a formula of every function."""
    return where(x > y, sqrt(1.0 + x * x) - log(2.0 + y * y), exp(-x) / (1.0 + sqrt(exp(y))))


@given(x=st.floats(-5, 5), y=st.floats(-5, 5))
def test_three_readings_have_one_value(x, y):
    """Protects rules of one's own: the run, the kernel and the derivation mean the same by each function."""
    root, share = math.sqrt(1.0 + x * x) - math.log(2.0 + y * y), math.exp(-x) / (1.0 + math.exp(y / 2.0))
    expected = root if x > y else share
    names = plain_namespace() | {"x": x, "y": y}
    symbols = sympy.symbols("x y", real=True)
    readings = [
        float(formula(np.float64(x), np.float64(y))),
        float(eval(written(term(formula(named("x"), named("y")))), names)),
        float(sympy.lambdify(symbols, formula(*symbols), "math")(x, y)),
    ]
    assert readings == pytest.approx([expected] * 3, rel=1e-13, abs=1e-13)


def test_arrays_are_taken_whole():
    """Protects runs of several weights: each function works element by element, with broadcasting."""
    x = np.array([[0.5], [2.0]])
    y = np.array([1.0, 3.0, 0.1])
    got = formula(x, y)
    assert got.shape == (2, 3)
    assert got == pytest.approx(np.array([[float(formula(a, b)) for b in y] for a in x[:, 0]]), rel=1e-15)


def test_all_of_them_are_public():
    """Protects `from selfstab.optimizers import sqrt`, which the contract of optimizers names."""
    for name in arithmetic.__all__:
        assert getattr(selfstab.optimizers, name) is getattr(arithmetic, name)
        assert name in selfstab.optimizers.__all__
        assert name in selfstab.optimizers.Optimizer.__doc__
