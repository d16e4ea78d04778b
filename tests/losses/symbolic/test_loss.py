"""Losses from one expression: their derivatives by other means, their names, their door."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import selfstab as ss
from tests.losses.jax_networks import CHEAP

x, y, z, c = sympy.symbols("x y z c")
WILD = (
    sympy.exp(-c * x * y) + sympy.tanh(x * z) * sympy.log(1 + y**2) + sympy.sqrt(1 + z**2) * sympy.cos(x)
    + (2 + sympy.sin(y)) ** sympy.Rational(5, 3) + sympy.atan(x + z) / (1 + x**2) + sympy.asinh(y * z)
    + 2**z * sympy.erf(x)
)  # fmt: skip


def wild(w, c):
    x, y, z = w
    return (
        jnp.exp(-c * x * y) + jnp.tanh(x * z) * jnp.log(1 + y**2) + jnp.sqrt(1 + z**2) * jnp.cos(x)
        + (2 + jnp.sin(y)) ** (5 / 3) + jnp.arctan(x + z) / (1 + x**2) + jnp.arcsinh(y * z)
        + 2**z * jax.scipy.special.erf(x)
    )  # fmt: skip


# Each loss beside its definition in JAX, a function of the weights and the parameters.
PAIRS = {
    "quadratic": (ss.Quadratic([2.0, -1.0, 0.5]), lambda w, *c: 0.5 * jnp.sum(jnp.array(c) * w**2)),
    "cubic": (
        ss.CubicTaylor(1.3, 0.2, 2.0),
        lambda w, c, a, b2: 0.5 * (c + jnp.sqrt(b2) * w[1]) * w[0] ** 2 - a / jnp.sqrt(b2) * w[1],
    ),
    "product": (ss.Product(), lambda w: 0.5 * (w[0] * w[1] - 1) ** 2),
    "double well": (ss.DoubleWell(), lambda w: 0.25 * (w[0] ** 2 - 1) ** 2),
    "minimalist": (ss.Minimalist(), lambda w: 0.5 * (w[0] ** 2 * w[1] ** 2 - 1) ** 2),
    "chain": (ss.Chain(4), lambda w: 0.5 * (jnp.prod(w) - 1) ** 2),
    "coupled": (
        ss.Coupled(0.7, 0.1),
        lambda w, zeta, eps: 0.5 * (w[1] + zeta * w[0]) * w[0] ** 2 - eps * (w[0] + w[1]),
    ),
    "wild": (ss.SymbolicLoss(WILD, [x, y, z], {c: 0.8}), wild),
}  # fmt: skip
every_loss = pytest.mark.parametrize("name", PAIRS)


def points(name, count=20):
    return np.random.default_rng(1).uniform(-1.5, 1.5, (count, 3, PAIRS[name][0].dimension))


@every_loss
def test_derivatives_are_those_of_jax(name):
    """Protects every derivative against automatic differentiation of the loss written anew, at random points."""
    loss, function = PAIRS[name]
    parameters = tuple(loss.parameters.values())
    forms = (function, jax.grad(function), jax.hessian(function), jax.jacfwd(jax.hessian(function)))
    compiled = jax.jit(lambda w, *c: [form(w, *c) for form in forms], compiler_options=CHEAP)
    for w, u, v in points(name):
        close = {"rtol": 1e-12, "atol": 1e-12}
        value, gradient, h, third = map(np.array, compiled(w, *parameters))
        assert np.allclose(loss.value(w), value, **close)
        assert np.allclose(loss.gradient(w), gradient, **close)
        assert np.allclose(loss.hessian(w), h, **close)
        assert np.array_equal(loss.hessian(w), loss.hessian(w).T)
        assert np.allclose(loss.hessian_vector(w, v), h @ v, **close)
        assert np.allclose(loss.third(w, u, v), np.einsum("ijk,i,j->k", third, u, v), **close)
        values, vectors = np.linalg.eigh(h)
        top, vector = loss.sharpness(w)
        assert top == pytest.approx(values[-1], rel=1e-12, abs=1e-12)
        assert np.linalg.norm(h @ vector - top * vector) < 1e-10
        if w.size == 1 or values[-1] - values[-2] > 0.1:
            slope = np.einsum("ijk,i,j->k", third, vectors[:, -1], vectors[:, -1])
            assert np.allclose(loss.sharpness_gradient(w), slope, rtol=1e-10, atol=1e-10)


@every_loss
def test_finite_differences_have_order_two(name):
    """Protects the chain value → gradient → Hessian → third → ∇S: central differences err by h²."""
    loss, _ = PAIRS[name]
    w, u, v = points(name)[3]
    steps = np.array([0.02, 0.01, 0.005])
    pairs = {
        "gradient": (loss.value, loss.gradient(w) @ u),
        "hessian": (loss.gradient, loss.hessian(w) @ u),
        "third": (lambda at: loss.hessian_vector(at, v), loss.third(w, u, v)),
        "fourth": (lambda at: loss.third(at, v, w), loss.fourth(w, u, v, w)),
        "sharpness": (lambda at: loss.sharpness(at)[0], loss.sharpness_gradient(w) @ u),
    }
    for word, (function, exact) in pairs.items():
        errors = [
            np.linalg.norm((function(w + h * u) - function(w - h * u)) / (2 * h) - exact)
            / max(np.linalg.norm(exact), 1)
            for h in steps
        ]
        # A polynomial of low degree has no error at all.
        if max(errors) > 1e-11:
            assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(2, abs=0.05), word


def test_value_to_the_last_digits():
    """Protects constants and functions as printed: 30 digits by mpmath, agreement to a few units in the last place."""
    loss, _ = PAIRS["wild"]
    with mpmath.workdps(30):
        exact = sympy.lambdify([x, y, z, c], WILD, "mpmath")
        for w, _, _ in points("wild"):
            reference = exact(*[mpmath.mpf(float(t)) for t in w], mpmath.mpf(0.8))
            assert loss.value(w) == pytest.approx(float(reference), rel=2e-15)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_the_kernels_eigenvalue_is_numpys(w):
    """Protects closed forms and Jacobi rotations: 1, 2 and 4 weights, degenerate Hessians included."""
    for name, n in (("double well", 1), ("product", 2), ("minimalist", 2), ("cubic", 2), ("chain", 4)):
        loss, _ = PAIRS[name]
        hessian = loss.hessian(w[:n])
        top = float(loss.kernel.evaluate(np.array([w[:n]]), sharpness=True)[1][0])
        assert top == pytest.approx(
            np.linalg.eigvalsh(hessian)[-1], rel=1e-13, abs=1e-14 * (1 + np.abs(hessian).max())
        )


def test_blocks_of_the_hessian():
    """Protects Hessians that fall apart: single weights, pairs and the rest, in any order of the variables."""
    a, b, d, e, f, g = sympy.symbols("a b d e f g")
    expression = a**4 + (b * d) ** 2 + e * f * g + (e + f + g) ** 4
    rng = np.random.default_rng(0)
    for order in ([a, b, d, e, f, g], [g, b, e, a, d, f], [e, b, f, d, g, a]):
        loss = ss.SymbolicLoss(expression, order)
        for w in rng.uniform(-1, 1, (5, 6)):
            top = float(loss.kernel.evaluate(w[None], sharpness=True)[1][0])
            assert top == pytest.approx(np.linalg.eigvalsh(loss.hessian(w))[-1], rel=1e-12)


def test_names_of_any_kind():
    """Protects kernels from clashes: weights and parameters named like the source's own names run like any others."""
    names = ["x", "x_next", "next_x", "ahead_x", "change_x", "lambda", "t", "out", "inf", "e0", "k0", "λ"]
    for one, two in pairwise(names):
        a, b = sympy.symbols(f"{one} {two}")
        odd = ss.SymbolicLoss((a * b - 1) ** 2 / 2, [a, b])
        plain = ss.Product()
        for optimizer in (ss.HeavyBall(0.1, 0.5), ss.HeavyBall(0.1, 0.5, 0.5)):
            runs = [
                ss.simulate(loss, optimizer, [1.5, 0.5], 10, keep=["weights"]).weights.values
                for loss in (odd, plain)
            ]
            assert np.array_equal(*runs), (one, two)
    loss = ss.SymbolicLoss(sympy.Symbol("x_next") * x**2, ["x"], {"x_next": 2.0})
    assert loss.gradient([3.0]).tolist() == [12.0]


def test_symbols_are_known_by_name():
    """Protects users' assumptions: positive, real or bare symbols of one name are one weight; text is as good."""
    bare, positive = sympy.Symbol("q"), sympy.Symbol("q", positive=True)
    for variable in (bare, positive, "q"):
        for expression in (bare**2, positive**2, "q**2", "q * q"):
            assert ss.SymbolicLoss(expression, variable).value([3.0]) == 9.0
    assert ss.SymbolicLoss(sympy.sqrt(positive**2), [bare]).value([3.0]) == 3.0


def test_exponents_written_as_decimals_are_exact():
    """Protects bit equality: x**2.0 and x**0.5 print as products and roots, which no compiler changes."""
    for decimal, exact in (
        ("x**2.0", "x**2"),
        ("x**0.5", "sqrt(x)"),
        ("x**-1.0", "1/x"),
        ("x**2.5", "x**(5/2)"),
    ):
        text = [ss.SymbolicLoss(e, ["x"]).formulas.expression for e in (decimal, exact)]
        assert text[0] == text[1]


def test_parameters():
    """Protects replace: new values in a new loss, the old one and its kernels untouched; division by one is IEEE's."""
    loss = ss.SymbolicLoss("a*x**2 + 1/b", ["x"], {"a": 1.0, "b": 2.0})
    other = loss.replace(a=3.0)
    assert (loss.value([1.0]), other.value([1.0])) == (1.5, 3.5)
    assert dict(other.parameters) == {"a": 3.0, "b": 2.0}
    assert other.source() == loss.source()
    assert loss.replace(b=0.0).value([1.0]) == np.inf
    with pytest.raises(TypeError):
        loss.parameters["a"] = 2.0


def test_kinks():
    """Protects losses that are smooth almost everywhere: slopes on either side, curvature zero between."""
    loss = ss.SymbolicLoss(sympy.Abs(x) + sympy.Max(y, 2 * y) + sympy.Min(x, y) ** 2, [x, y])
    assert loss.gradient([2.0, -1.0]).tolist() == [1.0, 1.0 - 2.0]
    assert loss.gradient([-2.0, 1.0]).tolist() == [-1.0 - 4.0, 2.0]
    assert loss.hessian([2.0, -1.0]).tolist() == [[0.0, 0.0], [0.0, 2.0]]


def test_beyond_the_range_of_float64():
    """Protects against warnings: values that overflow are infinite or not a number."""
    loss = ss.Product()
    far = [1e200, 1e200]
    assert loss.value(far) == np.inf
    assert not np.isfinite(loss.gradient(far)).any()
    assert not np.isfinite(loss.hessian_vector(far, [1.0, -1.0])).all()
    assert not np.isfinite(loss.third(far, [1e200, 1.0], [1e200, 1.0])).all()


MANY = 10**400


@pytest.mark.parametrize("text", ["u,v", " u, v "])
def test_variables_in_one_text(text):
    """Protects formulas copied from a command line."""
    assert ss.SymbolicLoss("u*v**2", text).weight_names == ("u", "v")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((x * y, ["x"]), r"expression must use declared symbols only \(x\), got y"),
        ((x * y, ["x"], {"z": 1.0}), "got y"),
        ((z, ["x"], {"z": 1.0}), "expression must use at least one of the variables x, got z"),
        ((sympy.Integer(3), ["x"]), "expression must use at least one of the variables"),
        (("3", ["x"]), "expression must use at least one of the variables"),
        ((None, ["x"]), "expression must be a SymPy expression or text"),
        ((5, ["x"]), "expression must be a SymPy expression or text"),
        ((sympy.Matrix([x]), ["x"]), "expression must be a SymPy expression or text"),
        ((sympy.Eq(x, 1), ["x"]), "expression must be a SymPy expression or text"),
        ((sympy.I * x, ["x"]), "expression must be real and finite"),
        ((x + sympy.oo, ["x"]), "expression must be real and finite"),
        ((sympy.nan, ["x"]), "expression must be real and finite"),
        ((x * sympy.asin(2), ["x"]), "expression must be real and finite"),
        ((MANY * x, ["x"]), "numbers .* at most 1e300"),
        ((x / MANY, ["x"]), "numbers .* at most 1e300"),
        ((sympy.Float("1e400") * x, ["x"]), "numbers .* at most 1e300"),
        ((x**65, ["x"]), "powers of magnitude at most 64"),
        ((sympy.Integral(x * y, (y, 0, 1)), ["x"]), "built of .* got Integral"),
        ((sympy.Sum(x**z, (z, 0, 3)), ["x"]), "built of .* got Sum"),
        ((sympy.Derivative(x**3, x), ["x"]), "built of .* got Derivative"),
        (
            (sympy.Piecewise((x, sympy.Eq(x, 1)), (0, True)), ["x"]),
            "conditions of <, <=, > and >=, got Equality",
        ),
        ((sympy.Piecewise((x, x > 0)), ["x"]), "a last piece with the condition True"),
        ((sympy.Function("softplus")(x, x), ["x"]), "must give softplus one argument, got 2"),
        ((x * sympy.DiracDelta(x), ["x"]), "built of .* got DiracDelta"),
        ((sympy.atan2(x, 1 + x), ["x"]), "built of .* got atan2"),
        ((sympy.gamma(x), ["x"]), "built of .* got gamma"),
        ((sympy.floor(x), ["x"]), "built of .* got floor"),
        ((sympy.Function("exp")(x), ["x"]), "built of .* got exp"),
        ((sympy.Mod(x, 2), ["x"]), "built of .* got Mod"),
        (("u*v", "u,,v"), "variables must have names that are Python identifiers in normal form, got ''"),
        ((x, []), "variables must name at least one weight"),
        ((x, None), "variables must be symbols or names"),
        ((x, 3), "variables must be symbols or names"),
        ((x, ["x", "x"]), "variables must not repeat a name"),
        ((x, ["x y"]), "variables must have names that are Python identifiers"),
        ((x, ["1"]), "variables must have names that are Python identifiers"),
        ((x, ["x", "µ"]), "normal form, got 'µ'"),
        ((x, ["x"], {"x": 1.0}), "parameters must not repeat a name"),
        ((x * z, ["x"], {z: 1.0, "z": 2.0}), "parameters must not repeat a name, got x, z, z"),
        ((x * z, ["x"], [("z", 1.0)]), "parameters must map names to values"),
        ((x * z, ["x"], "z"), "parameters must map names to values"),
        ((x * z, ["x"], {"z": np.nan}), "z must be a finite number"),
        ((x * z, ["x"], {"z": None}), "z must be real numbers"),
        ((x * z, ["x"], {"z": [1.0]}), "z must be a single number"),
        ((x * z, ["x"], {"z": "1"}), "z must be a single number"),
        *(
            ((x, ["x"], {word: 1.0}), "parameters must not be named like a sweep's axes")
            for word in ("lr", "excess", "momentum", "lookahead", "repeat", "phase", "diverged_at")
        ),
    ],
)
def test_bad_input_is_named(arguments, match):
    """Protects the door."""
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        ss.SymbolicLoss(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda loss: loss.value([1.0]), r"w must have shape \(2,\)"),
        (lambda loss: loss.gradient([1.0, np.nan]), "w must be finite"),
        (lambda loss: loss.hessian("ab"), "w must be real numbers"),
        (lambda loss: loss.hessian_vector([1.0, 1.0], [1.0]), "v must have shape"),
        (lambda loss: loss.third([1.0, 1.0], [1.0], [1.0, 1.0]), "u must have shape"),
        (lambda loss: loss.sharpness(None), "w must be real numbers"),
        (lambda loss: loss.sharpness_gradient([1j, 0]), "w must be real numbers"),
        (lambda loss: loss.initial_weights(seed=-1), "seed must be an integer >= 0"),
        (lambda loss: loss.initial_weights(scale=-1), "scale must be"),
        (lambda loss: loss.minimum([1.0]), "start must have shape"),
        (lambda loss: loss.replace(nope=1.0), "parameters must be left out, for this has none, got 'nope'"),
        (lambda loss: loss.source(["nope"]), "measure must be one of final_loss"),
    ],
)
def test_bad_arguments_of_methods_are_named(call, match):
    """Protects the doors inside."""
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        call(ss.Product())
    assert "\n" not in str(caught.value)


def test_a_notebook_shows_the_formula():
    """Protects what a cell ends with: the formula in LaTeX, and the text where the formula would fill the page."""
    assert ss.Product()._repr_latex_() == r"$\displaystyle L(u, v) = \frac{\left(u v - 1\right)^{2}}{2}$"
    long = ss.SymbolicLoss(
        " + ".join(f"(w{k} - {k})**2*w{k + 1}**2" for k in range(40)), [f"w{k}" for k in range(41)]
    )
    assert long._repr_latex_() is None
