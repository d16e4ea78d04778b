"""The overshoot's deviation against the derivation, its differential equations, hand calculation and iterated maps."""

import itertools

import numpy as np
import pytest
import sympy as sp
from scipy.integrate import solve_ivp

from selfstab import theory
from selfstab.theory import deviation
from selfstab.theory.deviation_table import TABLE


def derivatives(loss, weights, point):
    """Return Hessian, third and fourth derivatives of an expression at a point."""
    arrays, entries = [], [loss]
    for order in range(1, 5):
        entries = [sp.diff(entry, w) for entry in entries for w in weights]
        values = [float(entry.subs(dict(zip(weights, point, strict=True)))) for entry in entries]
        arrays.append(np.array(values).reshape((len(weights),) * order))
    return arrays[1:]


def test_coefficients_follow_the_derivation(at_50_digits):
    """Protects σ and τ: random derivatives of a loss with a line of minima, in rotated weights."""
    from derivations import a5_deviation

    rng = np.random.default_rng(0)
    for _ in range(20):
        top, other = 2.0 + rng.uniform(), rng.uniform(0.2, 1.5)
        named = {"S": top, "h_q": other, "L_zzz": 0.0}
        third, fourth = np.zeros((3,) * 3), np.zeros((3,) * 4)
        for tensor in (third, fourth):
            for indices in itertools.product(range(3), repeat=tensor.ndim):
                name = "L_" + "".join(sorted("xzq"[i] for i in indices))
                tensor[indices] = named.setdefault(name, rng.normal())
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        rotated = []
        for tensor in (np.diag([top, 0.0, other]), third, fourth):
            for axis in range(tensor.ndim):
                tensor = np.moveaxis(np.tensordot(rotation, tensor, (1, axis)), 0, axis)
            rotated.append(tensor)
        found = theory.deviation_coefficients(*rotated)
        # the derivation's names have their letters in the order x, z, q
        values = {"".join(sorted(key[2:])): value for key, value in named.items() if key.startswith("L_")}
        scale = top / named["L_xxz"] ** 2
        for got, expression in zip(found, ("sharpness_curvature", "quartic"), strict=True):
            formula = a5_deviation.RESULTS[expression]
            known = {
                str(s): values["".join(sorted(str(s)[2:]))] if str(s).startswith("L_") else named[str(s)]
                for s in formula.free_symbols
            }
            expected = scale * float(at_50_digits(formula, **known))
            size = scale * max(1.0, *(abs(v) for v in known.values())) ** 2 / other
            assert got == pytest.approx(expected, abs=1e-12 * size)


@pytest.mark.parametrize("sharpness", [2.5, 4.0, 10.0])
def test_product_by_hand(sharpness):
    """Protects signs and factors: on ½(uv − 1)² arc length and Taylor series give σ and τ in closed form."""
    u, v = sp.symbols("u v")
    large = (np.sqrt(sharpness + 2.0) + np.sqrt(sharpness - 2.0)) / 2.0
    found = theory.deviation_coefficients(*derivatives((u * v - 1) ** 2 / 2, (u, v), (large, 1.0 / large)))
    squared = sharpness**2
    assert found == pytest.approx(((squared + 4) / (2 * (squared - 4)), -4 / (squared - 4)), rel=1e-12)


def test_series_are_the_derived_ones(at_50_digits):
    """Protects the coefficients below the table, and the join with it."""
    from derivations import a5_deviation

    for kappa in (0.0, 1e-3, 0.019):
        for which, weights in (("P", (1.0, 0.0)), ("Q", (0.0, 1.0))):
            expected = at_50_digits(
                a5_deviation.RESULTS[f"{which}_series"] + a5_deviation.RESULTS["R_series"], kappa=kappa
            )
            assert theory.overshoot_deviation(kappa, *weights) == pytest.approx(float(expected), rel=1e-12)
    below, above = TABLE[0] * (1.0 - 1e-12), TABLE[0]
    for weights in ((1e6, 0.0), (0.0, 1e6)):
        assert theory.overshoot_deviation(below, *weights) == pytest.approx(
            theory.overshoot_deviation(above, *weights), rel=1e-8
        )
    assert theory.overshoot_deviation(below) == pytest.approx(theory.overshoot_deviation(above), rel=1e-6)


def test_large_kappa_counts_by_the_relative_drop():
    """Protects P → −pG²: p from the averaged equation, linearized in ν; and Q/G bounded."""

    def slope(s, w):
        depth, speed, bend, bend_speed = w
        push = 4.0 / 9.0 * np.exp(-s) / np.sqrt(depth)
        return [speed, push - speed, bend_speed, -push * (0.5 * bend / depth + 0.75 * depth) - bend_speed]

    s, c, d = 1e-4, -8.0 / 15.0, -1.0 / 14.0  # Z = s^{4/3}(1 + cs), its part in ν ds^{8/3}
    start = [
        s ** (4 / 3) * (1 + c * s),
        4 / 3 * s ** (1 / 3) + c * 7 / 3 * s ** (4 / 3),
        d * s ** (8 / 3),
        d * 8 / 3 * s ** (5 / 3),
    ]
    depth, _, bend, _ = solve_ivp(slope, (s, 60.0), start, method="DOP853", rtol=1e-11, atol=1e-15).y[:, -1]
    limit = (bend - 0.5 * depth**2) / 2.0 / (depth / 2.0) ** 2
    assert limit == pytest.approx(-1.23516, abs=1e-5)
    kappa = np.array([10.0, 30.0, 100.0])
    law, of_map = theory.overshoot(kappa), theory.overshoot_deviation(kappa)
    gaps = np.abs((theory.overshoot_deviation(kappa, 1.0) - of_map) / law**2 - limit)
    assert np.all(np.diff(gaps) < 0.0)
    assert gaps[-1] < 2e-3
    quartic = (theory.overshoot_deviation(kappa, 0.0, 1.0) - of_map) / law
    assert np.all((quartic > 4.0) & (quartic < 6.5))


# -- iterated maps -----------------------------------------------------------------------------------------------
WEIGHTS = sp.symbols("u v w")
ONE, TWO, THREE = WEIGHTS
LOSSES = {
    "product": ((ONE * TWO - 1) ** 2 / 2, WEIGHTS[:2], (np.sqrt(2.0 + np.sqrt(3.0)), np.sqrt(2.0 - np.sqrt(3.0)))),
    "two residuals": (
        (ONE + ONE**2 / 2 - ONE * TWO / 2 + TWO**2 / 5 + ONE * THREE / 5) ** 2 / 2
        + (THREE / 2 + ONE**2 / 3 - TWO**2 / 4 + TWO * THREE / 7) ** 2 / 2,
        WEIGHTS,
        (0.0, 0.0, 0.0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_maps_follow_to_second_order(name):
    """Protects the whole formula: drops of heavy ball itself differ from it by O(ε²), at fixed β."""
    loss, weights, minimum = LOSSES[name]
    gradient = sp.lambdify(weights, [sp.diff(loss, w) for w in weights], "math")
    hessian = sp.lambdify(weights, sp.hessian(loss, weights), "numpy")
    curvatures, modes = np.linalg.eigh(np.array(hessian(*minimum), dtype=float))
    momentum, errors = 0.5, []
    sigma, tau = theory.deviation_coefficients(*derivatives(loss, weights, minimum))
    excesses = np.array([2e-4, 4e-4])
    for excess in excesses:
        threshold = curvatures[-1] / (1.0 + excess)
        lr = 2.0 * (1.0 + momentum) / threshold
        flip = 1e-6 * excess * modes[:, -1]
        point, old = list(minimum + flip), list(minimum - flip)
        for _ in range(int(20.0 / (3.0 * excess))):
            new = [
                w + momentum * (w - o) - lr * g for w, o, g in zip(point, old, gradient(*point), strict=True)
            ]
            point, old = new, point
        final = np.linalg.eigvalsh(np.array(hessian(*point), dtype=float))[-1]
        y0 = curvatures[-1] - threshold
        measured = (curvatures[-1] - final) / (2.0 * y0)
        predicted = theory.overshoot_on_loss(excess, momentum, sigma, tau)
        assert abs(measured - theory.overshoot(theory.inertia_number(excess, momentum))) > 10 * abs(
            measured - predicted
        )
        errors.append(abs(measured - predicted))
    assert np.log2(errors[1] / errors[0]) == pytest.approx(2.0, abs=0.1)


BAD = [
    (np.diag([1.0, -0.1]), r"^hessian must be a minimum's, got eigenvalues -0.1 to 1$"),
    (np.diag([0.0, 0.0]), r"^hessian must be a minimum's"),
    (np.diag([1.0, 0.5]), r"^hessian must have a flat direction, got the least eigenvalue 0.5$"),
    (np.diag([1.0, 1.0, 0.0]), r"^hessian must have a simple largest eigenvalue, got 1 twice$"),
    (np.diag([1.0, 0.0]), r"^sharpness must grow along the minima, got the rate 0$"),
    (np.zeros((2, 3)), r"^hessian must have shape \(2, 2\), got shape \(2, 3\)$"),
]


@pytest.mark.parametrize(("hessian", "message"), BAD)
def test_refusals_of_coefficients(hessian, message):
    """Protects the door: what is no minimum with a growing sharpness is refused in one line."""
    n = len(hessian)
    with pytest.raises(ValueError, match=message):
        theory.deviation_coefficients(hessian, np.zeros((n,) * 3), np.zeros((n,) * 4))


def test_beyond_the_table_is_refused():
    """Protects against extrapolation."""
    with pytest.raises(ValueError, match=r"^kappa must be .*, got 101\.0$"):
        theory.overshoot_deviation(101.0)
    assert deviation.TABLE[1] == 100.0


@pytest.mark.parametrize(("which", "name"), list(enumerate(["P_series", "Q_series", "R_series"])))
def test_every_coefficient_is_the_derived_one(which, name):
    """Protects the literals of the series, to the last: those of high order hardly show in a value."""
    from derivations import a5_deviation

    kappa = sp.symbols("kappa", positive=True)
    derived = sp.Poly(a5_deviation.RESULTS[name], kappa).all_coeffs()[::-1]
    assert deviation.SERIES[which] == tuple(float(c) for c in derived)


def cubic_tensors(n):
    """Return L₃ and L₄ of ½(1 + z)x² with z the second weight, in n weights."""
    third = np.zeros((n,) * 3)
    third[0, 0, 1] = third[0, 1, 0] = third[1, 0, 0] = 1.0
    return third, np.zeros((n,) * 4)


def test_levels_of_the_hessian():
    """Protects what counts as flat, as a minimum and as simple: up to and including the stated share of S."""
    assert theory.deviation_coefficients(np.diag([1.0, 1e-8]), *cubic_tensors(2)) == (0.0, 0.0)
    assert theory.deviation_coefficients(np.diag([1.0, -1e-8]), *cubic_tensors(2)) == (0.0, 0.0)
    with pytest.raises(ValueError, match="flat direction"):
        theory.deviation_coefficients(np.diag([1.0, 1.5e-8]), *cubic_tensors(2))
    with pytest.raises(ValueError, match="simple largest"):
        theory.deviation_coefficients(np.diag([1.0, 0.0, 0.75]), *cubic_tensors(3), flat=0.25)
    assert np.isfinite(
        theory.deviation_coefficients(np.diag([1.0, 0.0, 0.7]), *cubic_tensors(3), flat=0.25)
    ).all()


def test_a_rate_at_the_level_is_none():
    """Protects the share of ∇S that must lie along the minima: more than the stated one of its length."""
    third, fourth = cubic_tensors(2)
    third[0, 0, 0] = 0.75  # ∇S = (0.75, 1), of length 1.25: a share of 0.8
    with pytest.raises(ValueError, match="sharpness must grow along the minima, got the rate 1"):
        theory.deviation_coefficients(np.diag([1.0, 0.0]), third, fourth, flat=0.8)
