"""Optimizers made from damaged equations, coefficients and matrices; ``tests.fuzz`` makes these calls among others."""

from __future__ import annotations

import contextlib
import math

import selfstab as ss

EQUATIONS = [
    "v = x*v + g; w = w - lr*v", "v = x*v - lr*g; w = w + v", "u = w; w = w + y*(w - v) - lr*g; v = u",
    "v = x*v + (1 - x)*g; w = w - lr*((1 - y)*g + y*v)", "w = w - lr*g/sqrt(1 + (g/y)**2); v = x*v",
]  # fmt: skip
PIECES = [
    "w", "g", "lr", "v", "t", ";", "=", "; w = w", "lr*lr", "g*g", "exp(lr)", "0.5", "\n", "x", "y", "(", ")", "**",
    "*", "+", "-", "/", ",", "1e999", "10**10", "__class__", "[0]", "exec('x')", "if", "==", "exp(exp(exp(9)))", "1/0",
    "log(0)", "sqrt(", "I", "oo", "nan", "2**99999", "9" * 400, "(" * 80, "x" * 3000, "é",
]  # fmt: skip
NUMBERS = [0, 1, -1, 2.5, -0.0, 1e308, -1e308, 5e-324, math.nan, math.inf, 10**30, 2**63, True]


def malformed_optimizer(rng):
    """Return an optimizer made from damaged equations, coefficients or matrices; one that is made takes two steps."""
    kind = rng.choice(["equations", "equations", "coefficients", "matrices"])
    if kind == "equations":
        text = rng.choice(EQUATIONS)
        for _ in range(rng.choice([1, 1, 2, 3, 8])):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(PIECES) + text[at + rng.choice([0, 0, 1, 2]) :]
        given = (text, rng.choice(["v", "v", "v", "", "v,z"]), {"x": rng.choice([0.5, *NUMBERS]), "y": 0.7})
        make = ss.SymbolicOptimizer
    else:
        size = rng.choice([1, 2, 3, 4, 40])
        numbers = [0.0, 1.0, -1.0, 0.5, -1.5, 0.9, 1e-300, 1e300, rng.gauss(0.0, 1.0), rng.choice(NUMBERS)]
        rows = [[rng.choice(numbers) for _ in range(size)] for _ in range(size)]
        given = (rows[0][1:], [1.0, *rows[-1]])
        make = ss.LinearOptimizer
        if kind == "matrices":
            given, make = (rows, rows[0], rows[-1]), ss.LinearOptimizer.from_matrices

    def call():
        optimizer = make(0.1, *given)
        ss.simulate(ss.Quadratic([1.0]), optimizer, [1.0], 2, previous=[0.5])
        with contextlib.suppress(NotImplementedError):
            optimizer.inertia(0.1)

    return "optimizer", call, given
