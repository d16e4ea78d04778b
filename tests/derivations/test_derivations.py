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


def test_independent_of_the_library():
    """Protects the proofs' independence: no file imports selfstab."""
    for path in HOME.glob("*.py"):
        assert not re.search(r"^\s*(import|from) selfstab", path.read_text(encoding="utf-8"), re.MULTILINE), (
            path
        )
