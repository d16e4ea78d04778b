"""The derivations run, export expressions, fail when a step is wrong, and do not import the library."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sympy as sp

import derivations
from derivations.__main__ import scripts
from derivations.proof import Proof

HOME = Path(derivations.__file__).parent


@pytest.mark.parametrize(
    "names", [["q1_modes", "a2_envelope"], pytest.param([], id="all", marks=pytest.mark.slow)]
)
def test_scripts_run(names):
    """Protects `python -m derivations`: scripts are printed, every step holds, exit 0; all are imported below."""
    run = subprocess.run(
        [sys.executable, "-m", "derivations", *names],
        cwd=HOME.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    count = len(names or scripts())
    assert re.search(rf"^{count} derivations, \d+ steps: each holds\.$", run.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", scripts())
def test_script(name):
    """Protects the form: statement, assumptions and steps, at least three asserted, named expressions."""
    script = importlib.import_module(f"derivations.{name}")
    assert all(word in script.__doc__ for word in ("Statement.", "Assumptions.", "Steps."))
    assert len(script.PROOF.steps) >= 3
    assert script.RESULTS
    assert all(isinstance(value, sp.Expr) for value in script.RESULTS.values())


def test_wrong_steps_fail():
    """Protects the proofs: a false identity or fact is an error."""
    x = sp.symbols("x", positive=True)
    proof = Proof("test")
    with pytest.raises(AssertionError, match=r"false: left − right is 1, not 0"):
        proof.equal("false", (x + 1) ** 2, x**2 + 2 * x)
    with pytest.raises(AssertionError, match="sign"):
        proof.true("sign", x < 0)
    proof.true("sign", x > 0)
    proof.equal("true", sp.sin(x) ** 2, 1 - sp.cos(x) ** 2)
    assert len(proof.steps) == 2


def test_names_are_printed_and_what_they_stand_for_is_asserted():
    """Protects the reader of a proof and the proof: SymPy would evaluate both sides of such a step to the same."""
    x, speed = sp.symbols("x v", positive=True)
    height = sp.Function("h")(x)
    proof = Proof("test")
    proof.equal("slope", sp.Derivative(height, x), speed, where={height: x**2, speed: 2 * x})
    with pytest.raises(AssertionError, match=r"slope: left − right is -x, not 0"):
        proof.equal("slope", sp.Derivative(height, x), speed, where={height: x**2, speed: 3 * x})
    proof.equal("rest", height, 0, where={height: sp.sin(x) ** 2 + sp.cos(x) ** 2 - 1})
    proof.equal("number", sp.Integral(x, (x, 0, 1)), sp.Rational(1, 2))
    slope, rest, number = (formula for _, formula in proof.shown())
    assert (slope.lhs, slope.rhs) == (sp.Derivative(height, x), speed)
    assert (rest.lhs, rest.rhs) == (height, 0)
    assert (number.lhs, number.rhs) == (sp.Integral(x, (x, 0, 1)), sp.Rational(1, 2))


@pytest.mark.parametrize("name", ["a4_inertia", "a7_edge", "a8_warmup"])
def test_each_step_is_an_equation_that_fits_a_line(name):
    """Protects readers of a proof from steps without a formula, from bare expressions, and from long ones."""
    script = importlib.import_module(f"derivations.{name}")
    for claim, formula in script.PROOF.shown():
        assert isinstance(formula, sp.Equality), claim
        assert formula.lhs != formula.rhs, claim
        assert sum(1 for _ in sp.preorder_traversal(formula)) < 60, claim


def test_independent_of_the_library():
    """Protects the proofs' independence: no file imports selfstab."""
    for path in HOME.glob("*.py"):
        assert not re.search(r"^\s*(import|from) selfstab", path.read_text(encoding="utf-8"), re.MULTILINE), (
            path
        )
