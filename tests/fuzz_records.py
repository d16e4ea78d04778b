"""Fuzz of recorded runs: records of any shape through catapults, analyze and the report, and datasets that are none.

Each call must return, or end in one clean line. What it returns must be consistent. Run it as
``python -m tests.fuzz_records COUNT SEED``.
"""

from __future__ import annotations

import json
import random
import sys

import numpy as np
import xarray

import selfstab as ss
from selfstab.records.comparison.cautions import cautions_of, measured_by
from selfstab.reports import analysis
from tests.fuzz import ending

ENDS = (0.0, -1.0, 1e-300, 5e-324, 1e154, 2e307, 1e308, float("nan"), float("inf"), -float("inf"))
JUNK = (
    None,
    "x",
    "{",
    '{"momentum": "x"}',
    '{"momentum": 2}',
    "[1]",
    b"x",
    1,
    -1.5,
    [],
    {},
    float("nan"),
    True,
)


def record(rng):
    """Return columns of a record that goes up and down about a threshold, with a loss that may do anything."""
    draw = np.random.default_rng(rng.randrange(2**32))
    size = rng.choice([1, 3, 4, 9, 21, 60, 300])
    t = np.arange(size)
    level = rng.choice([1.0, 1.0, 1e-3, 40.0])
    waves = 1.0 + rng.choice([0.0, 0.01, 0.3]) * np.cos(t / rng.choice([0.3, 2.0, 9.0]) + rng.random())
    sharpness = level * waves * (1.0 + rng.choice([0.0, 1e-3, 0.1]) * draw.standard_normal(size))
    sharpness = sharpness + rng.choice([0.0, level / size, -level / size]) * t
    loss = np.exp(-t / rng.choice([3.0, 90.0])) + rng.choice([0.0, 1e-3, 2.0]) * np.abs(
        draw.standard_normal(size)
    )
    if rng.random() < 0.3:
        loss = loss + np.exp(np.minimum(rng.choice([0.01, 0.5, 40.0]) * (t - size / 2), 600.0))
    for column in (sharpness, loss):
        while rng.random() < 0.25:
            column[rng.randrange(size) :: rng.choice([1, 7, 10**6])] = rng.choice(ENDS)
    step = np.cumsum(draw.integers(1, rng.choice([2, 3, 40]), size))
    return {"step": step, "sharpness": sharpness, "loss": loss}


def analyzed(rng):
    """Return a call of analyze and the report on a record, whose result is checked."""
    columns = record(rng)
    if rng.random() < 0.2:
        columns.pop("loss")
    momentum = rng.choice([0.0, 0.5, 0.99])
    known = np.sort(np.abs(columns["sharpness"][np.isfinite(columns["sharpness"])]))
    level = float(known[known.size // 2]) if known.size else 1.0
    lr = rng.choice([1.0, 1.0, 1.0, 0.3, 3.0]) * 2.0 * (1.0 + momentum) / max(level, 1e-300)
    lookahead = rng.choice([None, 0.0, momentum])
    if rng.random() < 0.2:
        columns["lr"], lr = np.geomspace(1e-3, 1.0, columns["step"].size) * lr, None

    def call():
        data = ss.analyze(columns, lr=lr, momentum=momentum, lookahead=lookahead)
        check(data)
        analysis.table(data)
        json.loads(analysis.as_json(data))

    return "analyze", call, {"lr": lr, "momentum": momentum, **columns}


def check(data):
    """Raise AssertionError unless an analysis is consistent."""
    for k in range(data.sizes["catapult"]):
        for name in cautions_of(data, k):
            assert name == "no_loss" or measured_by(data, k, name) or not np.isfinite(data["drop"][k]), name
    assert (data["drop"] > 0).all()
    assert (data["crossing"] > data["onset"]).all()
    onsets = np.concatenate([data["onset"].values, data["edge_cycle_onset"].values])
    assert np.unique(onsets).size == onsets.size
    if int(data["open_since"]) >= 0:
        assert int(data["open_since"]) not in onsets.tolist()


def detected(rng):
    """Return a call of catapults on a dataset that may be no run."""
    columns = record(rng)
    run = xarray.Dataset(
        {name: ("step", columns[name]) for name in ("sharpness", "loss")}, {"step": columns["step"]}
    )
    run["max_stable_sharpness"] = (
        "step",
        np.full(run.sizes["step"], rng.choice([1.0, 1e-300, 40.0, np.inf])),
    )
    if rng.random() < 0.5:
        run["diverged_at"] = rng.choice([-1, 5])
    how = rng.random()
    if how < 0.3:
        run.attrs[rng.choice(["optimizer", "lookahead"])] = rng.choice(JUNK)
    elif how < 0.5:
        run = run.drop_vars(rng.choice(list(map(str, run.variables))))
    elif how < 0.7:
        run[rng.choice(["sharpness", "loss", "max_stable_sharpness", "momentum", "diverged_at"])] = (
            rng.choice([0.5, ("step", np.full(run.sizes["step"], "x")), ("other", [1.0, 2.0]), float("nan")])
        )
    return "catapults", lambda: ss.catapults(run), run.to_dict()


def main(count: int, seed: int) -> None:
    """Make `count` calls and print what became of them."""
    rng = random.Random(seed)
    counts, wrong = {"refused": 0, "accepted": 0}, []
    for _ in range(count):
        name, call, shown = rng.choice([analyzed, detected])(rng)
        how = ending(call)
        if how in counts:
            counts[how] += 1
        else:
            wrong.append(f"{name} {ascii(shown)[:600]}: {how[:300]}")
    print(json.dumps({**counts, "wrong": wrong[:20], "wrongs": len(wrong)}, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
