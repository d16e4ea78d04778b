"""Formulas as kernels take them: pieces against SymPy, the split of the Hessian, constants out of the loop."""

import numpy as np
import pytest
import sympy

from selfstab.kernels.arithmetic import plain_namespace
from selfstab.losses.symbolic.formulas import Blocks, Formulas, shared_exponentials

X, Y, Z, C = sympy.symbols("x y z c", real=True)
PIECES = ("value", "gradient", "sharpness")


def evaluated(formulas, point, parameters, pieces=PIECES, prefix=""):
    """Return the pieces by plain CPython, constants and lines in the order a kernel has them."""
    lines, results = formulas.code(pieces, prefix)
    namespace = plain_namespace() | {"compiled": lambda function: function, "matrix": np.empty((12, 18, 32))}
    namespace |= {f"{prefix}{name}": np.float64(v) for name, v in zip(formulas.weights, point, strict=True)}
    namespace |= {name: np.float64(v) for name, v in zip(formulas.parameters, parameters, strict=True)}
    code = [formulas.functions, *(f"{name} = {text}" for name, text in formulas.constants), *lines]
    with np.errstate(all="ignore"):  # as generated source runs
        exec("\n".join(code), namespace)
    return {piece: [float(eval(text, namespace)) for text in texts] for piece, texts in results.items()}


LOSSES = [
    ((X * Y - C) ** 2 / 2, (X, Y), (C,)),
    (sympy.exp(C * X) * Y**2 + sympy.exp(3 * C * X) / 2 + Z**2, (X, Y, Z), (C,)),
    (X**2 + 2 * Y**2 + 3 * Z**2, (X, Y, Z), ()),
    ((X * Y * Z - 1) ** 2 / 2, (X, Y, Z), ()),
    (sympy.sqrt(C) * X**2 / 2 + C**2 * sympy.cos(X), (X,), (C,)),
]


@pytest.mark.parametrize("prefix", ["", "other_"])
@pytest.mark.parametrize(("expression", "weights", "parameters"), LOSSES, ids=str)
def test_pieces_against_sympy(expression, weights, parameters, prefix):
    """Protects value, gradient and sharpness of every kernel: SymPy's derivatives and NumPy's eigenvalues."""
    point, numbers = [0.7, -1.2, 0.4][: len(weights)], [1.7][: len(parameters)]
    pieces = evaluated(Formulas(expression, weights, parameters), point, numbers, prefix=prefix)
    at = dict(zip([*weights, *parameters], [*point, *numbers], strict=True))
    gradient = [float(sympy.diff(expression, w).subs(at)) for w in weights]
    hessian = np.array(sympy.hessian(expression, weights).subs(at).evalf(), dtype=float)
    assert pieces["value"] == pytest.approx([float(expression.subs(at))], rel=1e-13)
    assert pieces["gradient"] == pytest.approx(gradient, rel=1e-12)
    assert pieces["sharpness"] == pytest.approx([np.linalg.eigvalsh(hessian)[-1]], rel=1e-12)


@pytest.mark.parametrize(("expression", "weights", "parameters"), LOSSES, ids=str)
def test_a_piece_alone_has_the_bits_it_has_among_others(expression, weights, parameters):
    """Protects bit equality: a formula is computed the same way wherever it is."""
    formulas = Formulas(expression, weights, parameters)
    point, numbers = [0.7, -1.2, 0.4][: len(weights)], [1.7][: len(parameters)]
    together = evaluated(formulas, point, numbers)
    for piece in PIECES:
        assert evaluated(formulas, point, numbers, [piece])[piece] == together[piece]


def test_constants_depend_on_parameters_only_and_lines_on_no_more_than_they_need():
    """Protects speed: what does not move is computed once a run, and a gradient computes no value."""
    formulas = Formulas(sympy.sqrt(C) * X**2 / 2 + C**2 * sympy.cos(X), (X,), (C,))
    names = {name for name, _ in formulas.constants}
    assert len(names) > 0
    assert not any("w_x" in text for _, text in formulas.constants)
    lines, results = formulas.code(["gradient"])
    assert "cos(" not in " ".join([*lines, *results["gradient"]])


def test_the_split_of_a_hessian():
    """Protects the short ways to a top eigenvalue: single weights, pairs, and whatever is left."""
    a, b, c, d = sympy.symbols("a b c d")
    matrix = sympy.Matrix([[a, 0, b, 0], [0, c, 0, 0], [b, 0, d, 0], [0, 0, 0, 1]])
    blocks = Blocks.of(matrix)
    assert blocks.single == [c, 1]
    assert blocks.pairs == [(a + d, (a - d) ** 2 + 4 * b**2)]
    assert blocks.rest is None
    assert Blocks.of(sympy.ones(3, 3)).rest == sympy.ones(3, 3)


def test_exponentials_of_multiples_are_powers_of_one():
    """Protects speed and meaning: e^{2a} is (e^a)², and the expressions stay what they were."""
    expressions = [sympy.exp(X) + sympy.exp(2 * X), Y * sympy.exp(3 * X), sympy.exp(Y)]
    shared, short = shared_exponentials(expressions)
    assert [*shared.values()] == [sympy.exp(X)]
    assert [e.xreplace(shared) for e in short] == expressions
