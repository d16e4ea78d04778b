"""Minima by damped Newton steps: against closed forms, on manifolds, and where there is none."""

import numpy as np
import pytest
from scipy.optimize import minimize

import selfstab as ss
from selfstab.losses.base.newton import damped_newton


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_quadratic_in_any_units(scale):
    """Protects the damping, which scales with the Hessian: in any units the gradient falls below what is promised."""
    curvatures = np.array([3.0 * scale, 1e-3 * scale])
    w = damped_newton(ss.Quadratic(curvatures), np.array([5.0, -7.0]))
    assert np.linalg.norm(curvatures * w) <= 1e-13 * max(1.0, 3.0 * scale)


def test_the_minimum_that_scipy_finds():
    """Protects a search from afar: the minimum of Rosenbrock's valley, by another method."""
    loss = ss.SymbolicLoss("(1 - x)**2 + 100*(y - x**2)**2", "x,y")
    start = np.array([-1.2, 1.0])
    expected = minimize(loss.value, start, jac=loss.gradient, method="BFGS", options={"gtol": 1e-10}).x
    assert damped_newton(loss, start) == pytest.approx(expected, abs=1e-7)
    assert damped_newton(loss, start) == pytest.approx(np.ones(2), abs=1e-9)


def test_a_manifold_of_minima():
    """Protects overparametrized networks, whose Hessian is singular where the search ends: uv = 1 to rounding."""
    w = damped_newton(ss.Product(), np.array([2.0, 0.1]))
    assert w[0] * w[1] == pytest.approx(1.0, abs=1e-13)


@pytest.mark.parametrize(
    ("loss", "start", "reason"),
    [
        (ss.SymbolicLoss("x**2 - y**2 + y**4/4", "x,y"), [1.0, 0.0], "a saddle"),
        (ss.SymbolicLoss("y**2 - x", "x,y"), [0.0, 1.0], "is still"),
        (ss.SymbolicLoss("Abs(x) + x**2", "x"), [0.3], "is still"),
    ],
)
def test_what_is_no_minimum_is_refused(loss, start, reason):
    """Protects starts of runs: a saddle, an endless slope and a kink are said, not returned."""
    with pytest.raises(ValueError, match=f"start must lie near a minimum, got .*: .*{reason}"):
        loss.minimum(start)


ENDLESS = ["log(1 + exp(-w))", "exp(-w)", "atan(w)", "1/(1 + w**2)", "exp(-exp(w))", "tanh(w)", "w"]


@pytest.mark.parametrize("expression", ENDLESS)
@pytest.mark.parametrize("beside", ["", " + z**2/2", " + 1000*(z - 2)**2"])
def test_no_point_on_the_way_to_infinity(expression, beside):
    """Protects the promise of a minimum: a slope without an end is said, alone and beside directions that curve."""
    loss = ss.SymbolicLoss(expression + beside, "w, z")
    for start in ([0.7, 0.3], [3.0, 1.0]):
        with pytest.raises(ValueError, match="start must lie near a minimum"):
            loss.minimum(start)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("abs(w)**1.5", "a kink|not finite"),
        ("abs(w)**1.9", "a kink|not finite"),
        ("abs(w)**1.1", "a kink|not finite"),
        ("abs(w - 1)**1.3", "a kink|not finite"),
        ("abs(w)", "a kink|is still"),
        ("w**3", "the loss falls"),
        ("1 + 0*w + w**5", "the loss falls"),
        ("-w**4", "the loss falls|is still|saddle"),
        ("exp(-w**2)", "without an end|saddle|is still"),
    ],
)
@pytest.mark.parametrize("start", [0.0, 1.0])
def test_no_kink_and_no_inflection(expression, reason, start):
    """Protects the promise of a minimum: a loss has two derivatives there, and falls to no side."""
    with pytest.raises(ValueError, match=reason):
        ss.SymbolicLoss(expression, "w").minimum([start])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("w**4", 0.0), ("w**6", 0.0), ("w**8", 0.0), ("log(cosh(w))", 0.0), ("1e-200*(w - 2)**2", 2.0),
        ("1e200*(w - 2)**2", 2.0), ("1e-20*(w - 1)**2", 1.0), ("(w - 1e5)**2", 1e5), ("(3*w - 1e5)**2", 1e5 / 3),
        ("1e10*(1e-5*w - 1)**2", 1e5), ("-exp(-w**2)", 0.0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("start", [0.0, 0.4])
def test_flat_and_scaled_minima(expression, expected, start):
    """Protects minima that are there: of any order, and of a loss in any units."""
    w = ss.SymbolicLoss(expression, "w").minimum([start])
    assert w == pytest.approx([expected], abs=1e-12 * max(1.0, expected))


@pytest.mark.parametrize(
    "expression", ["sqrt(x**2 + y**2)", "(x**2 + y**2)**0.75", "sqrt(x**2 + y**2) + x**2"]
)
@pytest.mark.parametrize("start", [[1.0, 1.0], [0.3, -2.0], [1.0, 0.0]])
def test_the_tip_of_a_cone_is_no_minimum(expression, start):
    """Protects the promise of a minimum where the Hessian grows without an end on the way to a kink."""
    with pytest.raises(ValueError, match="the search ends at a kink"):
        ss.SymbolicLoss(expression, "x, y").minimum(start)
