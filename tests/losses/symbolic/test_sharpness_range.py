"""The sharpness at the edges of float64: Hessians that hold NaN or infinity, and those whose squares are no numbers."""

from __future__ import annotations

import itertools
import json

import mpmath
import numpy as np
import pytest

import selfstab as ss
from selfstab.eigen.pairs import top_eigenpair, top_eigenpairs

NOT_FINITE = {
    "one block each": ("z**2/2 + abs(x)**1.5", {"z": 1.0, "x": 0.0}),
    "one matrix": ("z**2/2 + sqrt(abs(x))*z**2 + y**2*(1 + z*x)", {"z": 1.0, "x": 0.0, "y": 1.0}),
    "a pair and a single": ("(z*y - 1)**2 + abs(x)**1.5", {"z": 1.0, "y": 2.0, "x": 0.0}),
    "infinity in one weight": ("exp(800*x)", {"x": 1.0}),
    "minus infinity beside a number": ("z**2 - exp(800*x)", {"z": 1.0, "x": 1.0}),
}


@pytest.mark.parametrize("name", NOT_FINITE)
def test_a_hessian_that_is_not_finite_has_the_sharpness_nan(name, plain_engine):
    """Protects sharpness from the order of variables: NaN in runs, sweeps and spectra, and a clear refusal."""
    expression, point = NOT_FINITE[name]
    measures = ["final_sharpness", "min_sharpness", "max_sharpness"]
    for order in itertools.permutations(point):
        loss, w = ss.SymbolicLoss(expression, list(order)), [point[name] for name in order]
        assert np.isnan(ss.simulate(loss, ss.HeavyBall(0.1), w, 0).sharpness[0])
        assert np.isnan(ss.hessian_spectrum(loss, w, largest=1).eigenvalue).all()
        with pytest.raises(ValueError, match="w must lie where the Hessian is finite"):
            loss.sharpness(w)
        sweep = {"start": w, "steps": 0, "measure": measures, "progress": False}
        data = plain_engine(ss.sweep, loss, ss.HeavyBall(0.1), {"lr": [0.1]}, **sweep)
        assert all(np.isnan(data[name][0]) for name in measures)


def test_a_nan_on_the_way_stays_in_the_extremes(plain_engine, same_bits):
    """Protects min and max of a run that passes a kink: NaN at one step of many, compiled and not, in a run, too."""
    loss = ss.SymbolicLoss("z**2/2 + abs(x)**1.5 + x", "z, x")
    # x goes from 1 to 0 in one step, and on.
    start, steps, measures = (
        [1.0, 1.0],
        300,
        ["min_sharpness", "max_sharpness", "max_loss", "final_sharpness"],
    )
    arguments = {"start": start, "steps": steps, "measure": measures, "progress": False, "threads": 1}
    axes = {"lr": [0.4, 0.3]}
    compiled = ss.sweep(loss, ss.HeavyBall(0.1), axes, **arguments)
    plain = plain_engine(ss.sweep, loss, ss.HeavyBall(0.1), axes, **arguments)
    run = ss.simulate(
        loss, ss.HeavyBall(0.4), start, steps, keep=["loss", "sharpness", "weights", "velocity"]
    )
    assert np.isnan(run.sharpness[1])
    recorded = ss.observables.measure(run, measures)
    for name in measures:
        assert same_bits(compiled[name], plain[name])
        assert same_bits(compiled[name][:1], np.array([recorded[name]]))
    assert np.isnan(compiled.min_sharpness.values).tolist() == [True, False]
    assert np.isnan(compiled.max_sharpness.values).tolist() == [True, False]
    assert np.isfinite(compiled.final_sharpness).all()


def exact(hessian):
    """Return the largest eigenvalue of a matrix of floats, by mpmath with 400 digits."""
    with mpmath.workdps(400):
        return max(mpmath.eigsy(mpmath.matrix(hessian.tolist()), eigvals_only=True))


FORMULAS = {
    "one weight": ("c*(x**2 + x**3)", "x", [0.3]),
    "a pair": ("c*((x*y - 1)**2/2 + x**4)", "x, y", [0.3, 0.7]),
    "singles": ("c*(x**4 + 3*y**2)", "x, y", [0.3, 0.7]),
    "a pair and a single": ("c*((x*y - 1)**2/2 + z**2)", "x, y, z", [0.3, 0.7, 0.1]),
    "one matrix": ("c*((x*y*z - 1)**2/2 + x**4)", "x, y, z", [0.3, 0.7, 1.1]),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_sharpness_of_any_magnitude(name):
    """Protects Hessians whose squares leave float64's range: against mpmath, and the loss of usual magnitude."""
    expression, weights, w = FORMULAS[name]
    loss = ss.SymbolicLoss(expression, weights, {"c": 1.0})
    usual = loss.sharpness(w)[0]
    for power in (-1040, -1000, -560, -500, 300, 505, 530, 1010):
        scaled = loss.replace(c=2.0**power)
        sharpness, vector = scaled.sharpness(w)
        expected = exact(scaled.hessian(w))
        # Of an entry below the least normal number a bit is 5e-324.
        assert abs(sharpness - expected) <= 4e-15 * abs(expected) + 2e-323
        assert sharpness == pytest.approx(usual * 2.0**power, rel=1e-14 if power > -1020 else 1e-4)
        assert vector == pytest.approx(loss.sharpness(w)[1], abs=1e-9 if power > -1020 else 1e-3)


@pytest.mark.parametrize("power", [-900, -560, 520, 1000])
def test_a_sweep_of_any_magnitude(power, plain_engine, same_bits):
    """Protects lanes: a run in units of 2^power is the same run, its sharpness and threshold times that power."""
    loss = ss.SymbolicLoss("c*((x*y - 1)**2/2 + x**4)", "x, y", {"c": 1.0})
    measures = ["final_sharpness", "min_sharpness", "max_sharpness", "diverged_at", "phase"]
    arguments = {"start": [0.3, 0.7], "steps": 290, "measure": measures, "progress": False, "threads": 1}
    data = [
        plain_engine(ss.sweep, loss.replace(c=c), ss.HeavyBall(1.0), {"lr": [0.3 / c, 5.0 / c]}, **arguments)
        for c in (1.0, 2.0**power)
    ]
    for name in measures[:3]:
        assert data[1][name].values * 2.0**-power == pytest.approx(data[0][name].values, rel=1e-13)
    for name in measures[3:]:
        assert data[1][name].values.tolist() == data[0][name].values.tolist()


@pytest.mark.parametrize("size", [2, 40, 90])
@pytest.mark.parametrize("power", [-1000, -560, 560, 1000])
def test_eigenpairs_of_any_magnitude(size, power):
    """Protects solvers and iterations: a matrix times a power of two has the same vectors, and residuals to match."""
    matrix = np.random.default_rng(size).normal(size=(size, size))
    matrix = matrix + matrix.T
    scaled = matrix * 2.0**power
    for of, by in ((matrix, scaled), (matrix.__matmul__, scaled.__matmul__)):
        usual, other = top_eigenpair(of, size), top_eigenpair(by, size)
        assert other.value == pytest.approx(usual.value * 2.0**power, rel=1e-13)
        assert other.vector == pytest.approx(usual.vector, abs=1e-9)
        assert other.residual <= 1e-9 * other.value
        many, others = top_eigenpairs(of, 2, size, smallest=0), top_eigenpairs(by, 2, size, smallest=0)
        assert others.values == pytest.approx(many.values * 2.0**power, rel=1e-12)
        assert others.converged


def test_the_top_of_two_refuses_nothing_it_can_do():
    """Protects the closed form by itself: it is called with numbers of any magnitude, and with NaN."""
    from selfstab.kernels import modules
    from selfstab.kernels.top_of_two import TOP_OF_TWO

    top_of_two = modules.plain("inf = np.inf\nnan = np.nan\n" + TOP_OF_TWO)["top_of_two"]
    for power in (-1000, -700, 700, 1020):
        assert top_of_two(2.0**power, 3 * 2.0**power, 2.0**power) == 2.0**power * (2 + np.sqrt(2))
    for value in (np.nan, np.inf, -np.inf):
        assert np.isnan(top_of_two(1.0, value, 0.0))
    assert json.dumps(float(top_of_two(0.0, 0.0, 0.0))) == "0.0"
