"""Malformed optimizers of training loops and of recorded runs: each call ends in one clean line, or in a record.

python -m tests.fuzz_training_optimizers COUNT SEED [torch]
"""

from __future__ import annotations

import json
import math
import random
import sys
import warnings

import numpy as np

import selfstab as ss
from selfstab.records.comparison.laws import laws_of, optimizer_of
from tests.fuzz import JUNK, ending

NUMBERS = [0, 1, -1, 0.5, 2.5, -0.0, 1e308, -1e308, 5e-324, math.nan, math.inf, 10**400, True, "0.5", None]
OPTIMIZERS = [
    ss.HeavyBall(0.1, 0.5), ss.Adam(0.1), ss.RMSProp(0.1, momentum=0.5), ss.AveragedHeavyBall(0.1, 0.5),
    ss.AggregatedMomentum(0.1, (0.0, 0.9)), ss.QuasiHyperbolic(0.1, 0.9, 0.5), ss.HeavyBall(ss.LinearWarmup(0, 1, 3)),
]  # fmt: skip


def any_of(rng, values):
    """Return one of the values, or junk."""
    return rng.choice([rng.choice(values), rng.choice(values), rng.choice(JUNK), rng.choice(NUMBERS)])


def recording(rng):
    """Return a recorder of an optimizer, and what it logs, of which some is junk."""
    settings = {"optimizer": any_of(rng, OPTIMIZERS)}
    if rng.random() < 0.3:
        settings[rng.choice(["clipping", "lr", "momentum", "second", "every"])] = any_of(rng, [0.5, 1])
    given = {"loss": 1.0, "hessian_vector": lambda v: 3.0 * v, "dimension": 2}
    for name in ("preconditioner", "state", "lr", "momentum", "lookahead", "dimension", "loss"):
        if rng.random() < 0.3:
            given[name] = any_of(
                rng, [[1.0, 2.0], [1.0, 0.0], np.ones((2, 2)), np.ones(3, int), 0.5, [[1], [2, 3]]]
            )

    def call():
        recorder = ss.Recorder(**settings)
        recorder.log(0, **given)
        recorder.dataset()

    return call, (settings, given)


def analysis(rng):
    """Return an analysis of a run with settings of an optimizer that are junk."""
    steps = rng.choice([0, 1, 5, 40])
    run = {"preconditioned_sharpness": np.linspace(1.0, 3.0, steps), "lr": np.full(steps, 1.0)}
    for name in (
        "sharpness",
        "momentum",
        "beta2",
        "max_stable_sharpness",
        "optimizer",
        "clipping_factor",
        "loss",
    ):
        if rng.random() < 0.4:
            column = np.empty(steps, dtype=object)
            column[:] = [any_of(rng, [0.5, 2.0, "Adam", "Lion"])] * steps
            run[name] = column
    if rng.random() < 0.5:
        run["optimizer"] = json.dumps(settings_of(rng), default=str)
    given = {"optimizer": any_of(rng, OPTIMIZERS)} if rng.random() < 0.5 else {}
    if rng.random() < 0.3:
        given[rng.choice(["lr", "momentum", "lookahead"])] = any_of(rng, [0.5])
    return lambda: ss.analyze(run, **given), (run, given)


def settings_of(rng):
    """Return settings of an optimizer as a run's attribute has them, damaged."""
    names = [
        "Adam",
        "RMSProp",
        "HeavyBall",
        "AggregatedMomentum",
        "LinearOptimizer",
        "SymbolicOptimizer",
        "Own",
        3,
    ]
    settings = {"name": rng.choice(names), "lr": 1.0}
    keys = [
        "beta1",
        "momentum",
        "momenta.0",
        "momenta.x",
        "numerator",
        "denominator",
        "",
        ".",
        "eps",
        "equations",
        "lr",
    ]
    texts = ["(1.0, 0.0)", "(1.0, -1.5, 0.5)", "(" * 300, "None", "__import__('os')", "{1: 2}", "w - lr*g"]
    for _ in range(rng.choice([0, 1, 2, 4])):
        settings[rng.choice(keys)] = any_of(rng, [0.5, 0.9, *texts])
    return settings


def settings(rng):
    """Return the reading of damaged settings, and the laws of what comes of it."""
    given = settings_of(rng)
    return lambda: laws_of(optimizer_of(given)), given


def groups(rng):
    """Return a record of a PyTorch optimizer with settings of its groups and states that are junk."""
    import torch

    weights = [
        torch.ones(2, dtype=torch.float64, requires_grad=True),
        torch.ones(3, requires_grad=True).double(),
    ]
    weights[1] = weights[1].detach().requires_grad_()
    kind = rng.choice(
        [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adagrad]
    )
    optimizer = kind([{"params": weights[:1]}, {"params": weights[1:]}], lr=0.1)

    def loss():
        return sum((w**4).sum() for w in weights)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss().backward()
        optimizer.step()
    shown = [kind.__name__]
    for _ in range(rng.choice([0, 1, 1, 2])):
        group = rng.choice(optimizer.param_groups)
        name = rng.choice([key for key in group if key != "params"])
        group[name] = any_of(rng, [0.0, 0.5, (0.5, 0.9)])
        shown.append((name, group[name]))
    return lambda: ss.Recorder.for_torch(weights, loss, optimizer).log(0), shown


def main(count: int, seed: int, with_torch: bool) -> None:
    """Make `count` calls and print what became of them."""
    rng = random.Random(seed)
    kinds = [recording, analysis, settings, *([groups] * with_torch)]
    counts, wrong = {"refused": 0, "accepted": 0}, []
    for _ in range(count):
        make = rng.choice(kinds)
        call, shown = make(rng)
        how = ending(call)
        if how in counts:
            counts[how] += 1
        else:
            wrong.append(f"{make.__name__} {ascii(shown)[:300]}: {how[:300]}")
    print(json.dumps({**counts, "wrong": wrong}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), "torch" in sys.argv[3:])
