"""Random formulas: each is a loss with consistent derivatives, or is refused by one clean line.

    python tests/fuzz_formulas.py COUNT SEED

Prints as JSON, in its last line, how many were refused and accepted, how many derivatives were compared, and what fell.
"""

from __future__ import annotations

import json
import random
import sys
import warnings

import numpy as np

import selfstab as ss
from selfstab.formulas.vocabulary import COUNTS, FUNCTIONS

ONE = [name for name in FUNCTIONS if COUNTS.get(name, (1, 1))[0] == 1]
PATTERNS = [
    "log(1+exp({0}))", "log(exp({0})+exp({1}))", "1/(1+exp(-({0})))", "exp({0})/(1+exp({0}))", "log(cosh({0}))",
    "exp({0})/(exp({0})+exp({1}))", "1/cosh({0})", "exp({0})-1", "log(1+({0}))", "log(sigmoid({0}))",
    "log(exp({0})+exp({1})+exp({2}))", "(exp({0})-exp(-({0})))/(exp({0})+exp(-({0})))", "sqrt(1+({0})**2)-1",
    "(1+exp({0}))**(-2)", "log(1-sigmoid({0}))", "exp({0})/(exp({0})+exp({1})+exp({2}))", "log(2+3*exp({0}))",
    "sinh({0})/cosh({0})", "exp({0})*exp({1})/(exp({0})+exp({1}))**2", "1-tanh({0})**2", "1-erf({0})",
    "log(1+tanh({0}))", "log(exp({0})-1)", "logaddexp({0},{1})", "logsumexp({0},{1},{2})", "({0})**({1})",
    "2**({0})", "({0})**a", "({0})**(1/3)", "({0})**1.5", "(({0})**2)**1.5", "Max({0},{1})", "min({0},{1},{2})",
    "where({0}<{1},{2},{0})", "Piecewise(({0},{1}>0),({2},({0}<1) and not {1}<=a),(1,True))", "sqrt(({0})**2)",
    "(exp({0})+exp({1}))**0.5", "sigmoid({0})*exp(-({0}))", "log(({0})**2*sigmoid({1}))", "pow({0},{1})",
    "0**({0})", "(-2)**({0})", "where({0},{1},{2})", "log({0},{1})",
]  # fmt: skip
LEAVES = ["x", "y", "x", "y", "a", "1", "2", "0.5", "x*y", "-x", "3", "pi", "0", "-1"]


def random_formula(rng: random.Random, depth: int) -> str:
    """Return a formula in x, y and a of the functions that formulas may use and of what people type."""
    if depth == 0 or rng.random() < 0.12:
        return rng.choice(LEAVES)
    parts = [random_formula(rng, depth - 1) for _ in range(3)]
    kind = rng.random()
    if kind < 0.3:
        return f"({parts[0]}){rng.choice('+-*/')}({parts[1]})"
    if kind < 0.36:
        return f"({parts[0]})**{rng.choice(['2', '3', '-1', '-2', '0.5', '1.5'])}"
    if kind < 0.62:
        return f"{rng.choice(ONE)}({parts[0]})"
    return rng.choice(PATTERNS).format(*parts)


def differences(function, w, u) -> tuple[np.ndarray, np.ndarray]:
    """Return the slope of a function along u by differences, and about how far it is off."""
    wide, narrow = ((function(w + h * u) - function(w - h * u)) / (2 * h) for h in (2e-5, 1e-5))
    return narrow, abs(wide - narrow)


def fallen(loss, w) -> tuple[int, str]:
    """Return how many derivatives were compared with differences, and the first that is wrong."""
    u, v = np.array([0.6, 0.8]), np.array([-0.8, 0.6])
    compared = 0
    for name, function, slope in (
        ("gradient", loss.value, loss.gradient(w) @ u),
        ("hessian", lambda at: loss.gradient(at) @ v, v @ loss.hessian(w) @ u),
        ("third", lambda at: v @ loss.hessian(at) @ v, loss.third(w, v, v) @ u),
    ):
        size = max(abs(function(w)), abs(slope), 1e-3)
        expected, error = differences(function, w, u)
        # Beside a kink, a jump or an overflow the differences do not settle.
        if np.isfinite(expected) and size < 1e12 and error < 1e-7 * size:
            compared += 1
            if not abs(expected - slope) <= 1e-5 * size:
                return compared, f"{name} {slope} where differences give {expected}"
    return compared, ""


def check(count: int, seed: int) -> dict[str, object]:
    """Make `count` losses, and say what became of them."""
    rng = random.Random(seed)
    out = {"refused": 0, "accepted": 0, "compared": 0}
    wrong: list[str] = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        for _ in range(count):
            text = random_formula(rng, rng.choice([1, 2, 2, 2, 3]))
            w = np.array([rng.uniform(-2, 2), rng.uniform(-2, 2)])
            try:
                loss = ss.SymbolicLoss(text, ["x", "y"], {"a": 1.7})
                compared, what = fallen(loss, w)
                stored = loss.state()["expression"]
                if ss.SymbolicLoss(stored, ["x", "y"], {"a": 1.7}).expression != loss.expression:
                    what = f"goes into a store as {stored}"
            except ValueError as error:
                out["refused"] += 1
                if "\n" in str(error):
                    wrong.append(f"{text}: message {str(error)!r}")
                continue
            except Exception as error:
                wrong.append(f"{text}: {type(error).__name__} {str(error)[:200]}")
                continue
            out["accepted"] += 1
            out["compared"] += compared
            if what:
                wrong.append(f"{text} at {w.tolist()}: {what}")
    return {**out, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(check(int(sys.argv[1]), int(sys.argv[2]))))
