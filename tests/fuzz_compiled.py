"""Random formulas: the compiled sweep has the bits of its source run by plain CPython, or the formula is refused.

    python tests/fuzz_compiled.py COUNT SEED

Prints as JSON, in its last line, how many formulas were refused and compared, and what fell.
"""

from __future__ import annotations

import json
import random
import sys
import warnings

import numpy as np

import selfstab as ss
from selfstab.kernels import modules
from selfstab.kernels.representation import NotInLanguage
from selfstab.kernels.variants import Variant
from selfstab.optimizers.text import rule_text
from tests.fuzz_formulas import random_formula

MEASURES = [("min_sharpness", "max_sharpness"), ("final_loss", "phase"), ("max_loss", "overshoot")]


def fallen(formula: str, rng: random.Random) -> str | None:
    """Return what differs between both ways to run a loss; None where nothing does. Raises ValueError if refused."""
    loss = ss.SymbolicLoss(formula, ["x", "y"], {"a": 0.7})
    optimizer = rng.choice([ss.HeavyBall(1.0), ss.HeavyBall(1.0, 0.5, lookahead=0.5)])
    variant = Variant(rng.choice(MEASURES), rule_text(optimizer))
    source = loss.sweep_source(variant)
    columns = len(variant.inputs(loss.kernel.formulas))
    inputs = np.random.default_rng(rng.randrange(2**32)).uniform(0.01, 1.2, (3, columns))
    ends = []
    for run in (modules.compiled(source).run, modules.plain(source)["run"]):
        out, last = np.full((2, 3), 7.0), np.full((3, 4), 7.0)
        run(inputs, np.zeros(1), np.zeros((1, 1)), steps_of(formula), 1e3, out, last)
        ends.append(np.concatenate([out.ravel(), last.ravel()]))
    return None if np.array_equal(*ends, equal_nan=True) else f"{formula}: {ends[0]} and {ends[1]}"


def steps_of(formula: str) -> int:
    """Return a number of steps, odd and even ones, that follows from the formula."""
    return 3 + len(formula) % 6


def check(count: int, seed: int) -> dict[str, object]:
    """Compare the sweeps of so many formulas."""
    rng, refused, compared, fell = random.Random(seed), 0, 0, []
    for _ in range(count):
        formula = random_formula(rng, rng.choice([1, 2, 3]))
        try:
            difference = fallen(formula, rng)
        except NotInLanguage as error:
            fell.append(f"{formula}: {error}")
            continue
        except ValueError:
            refused += 1
            continue
        compared += 1
        fell += [] if difference is None else [difference]
    return {"refused": refused, "compared": compared, "fell": fell}


if __name__ == "__main__":
    warnings.simplefilter("error")
    print(json.dumps(check(int(sys.argv[1]), int(sys.argv[2]))))
