"""Every public function with one argument at a time of every wrong kind; another dataset is one, too.

    python -m tests.fuzz_public [SHARE SEED]

Prints as JSON, in its last line, how many calls were refused and accepted, and those that ended in any other way than a
ValueError or TypeError of one line. SHARE is the share of the calls that are made, 1 by default.
"""

from __future__ import annotations

import faulthandler
import inspect
import json
import os
import random
import sys
import tempfile
from functools import partial
from types import SimpleNamespace

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import selfstab as ss
from selfstab import experiments, plotting, theory, verification
from selfstab.kernels import modules
from tests.fuzz import CALLS, CUBIC, HANGS, JUNK, LOSS, SETTING, TASK, ending

LINES = xr.DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("row", "column"), name="several lines")


class Multiline:
    """An object that shows itself in several lines."""

    def __repr__(self):
        return "first\nsecond\x1b[31m\rthird"


class Broken:
    """An object that cannot show itself."""

    def __repr__(self):
        raise RuntimeError("no text\nat all")


WRONG = [
    *JUNK, Multiline(), Broken(), LINES, xr.Dataset(), xr.Dataset({"loss": ("step", [1.0, 2.0])}), 10**400, -(10**400),
    10**6000, [10**400], {"a": Multiline()}, [[1, 2], [3]], np.zeros((0, 3)), np.zeros((2, 2, 2)), {"lr": 10**400},
    {"momentum": {"lr": LINES}}, {"GD": {}}, {"GD": xr.Dataset()}, np.array("2020-01-01", dtype="datetime64"),
]  # fmt: skip


def _gap():
    """Return calls about noise at the edge: batch sharpness, the loss of some rows, the swing's variance."""
    network = ss.MLP((1, 1), [[1.0], [2.0], [3.0]], [0.0, 1.0, 1.0])
    risk = ss.EmpiricalRisk("(w*x - y)**2/2", ["w"], {"x": [1.0, 2.0], "y": [0.0, 1.0]})
    settings = {"loss": network, "weights": [0.1, 0.2], "size": 2, "batches": 3, "seed": 0}
    return {
        "observables.batch_sharpness": (ss.observables.batch_sharpness, settings),
        "stationary_variance": (
            theory.stationary_variance,
            {"numerator": [1.0, 0.0], "denominator": [1.0, -1.5, 0.5], "sharpness": 2.0},
        ),
        "MLP.of_samples": (network.of_samples, {"rows": [0, 2]}),
        "EmpiricalRisk.of_samples": (risk.of_samples, {"rows": [1]}),
    }


def datasets():
    """Return one dataset of every kind that the package makes, by name."""
    run = {"loss": CUBIC, "optimizer": ss.HeavyBall(2.0, 0.5), "start": [0.1, 0.0], "steps": 40}
    axes = {"lr": [1.9, 2.1], "momentum": [0.0, 0.5]}
    fast = {"progress": False, "threads": 1}
    square = {"loss": LOSS, "optimizer": ss.HeavyBall(0.5), "start": [1.0, 0.1], "steps": 4}
    made = {
        "run": ss.simulate(**run, keep=("loss", "sharpness", "weights")),
        "bare run": ss.simulate(**run, keep=("loss",)),
        "sweep": ss.sweep(**{**run, "optimizer": ss.HeavyBall(2.0)}, axes=axes, measure=["phase", "overshoot"], **fast),
        "line": ss.sweep(**square, axes={"lr": [0.1, 0.2]}, measure=["final_sharpness"], repeats=2, **fast),
        "refined": ss.refine(**square, axes={"lr": (0.1, 5.0, 3)}, levels=1, **fast),
        "orbits": ss.orbits(**square, axes={"lr": [0.1, 0.2]}, last=2, **fast),
        "continuation": ss.continuation(
            **square, axes={"lr": [0.1, 0.2]}, along="lr", direction="both", measure=["final_loss"], **fast),
        "predicted": ss.predicted_dynamics(**run), "constrained": ss.constrained_trajectory(**run),
        "averaged": ss.averaged_flow(**run), "rod": ss.rod_flow(**run),
        "edge": ss.edge_flow(**run),
        "spectrum": ss.hessian_spectrum(LOSS, [[0.0, 0.0], [1.0, 1.0]], largest=1),
        "catapults": ss.catapults([1.0, 2.0, 1.0, 1.0], 1.5),
        "comparison": experiments.compare(TASK, SETTING, threads=1),
        "verify": ss.verify(["A1 unrolled update"]),
    }  # fmt: skip
    made["rasterized"] = ss.rasterize(made["refined"], n=4)
    return made


FIRST = {
    "draw_catapults": "run", "draw_comparison": "comparison", "draw_continuation": "continuation", "draw_loss": "run",
    "draw_orbits": "orbits", "draw_phases": "sweep", "draw_overshoot": "sweep", "draw_prediction": "predicted",
    "draw_refined": "refined", "draw_sharpness": "run", "draw_spectrum": "spectrum",
}  # fmt: skip


def calls(of):
    """Return every public function with arguments that it takes, by name."""
    every = {f"fuzz {name}": call for name, call in CALLS.items()}
    for name in theory.__all__:
        function = getattr(theory, name)
        if callable(function) and not inspect.isclass(function):
            parameters = inspect.signature(function).parameters
            own = {"optimizer": ss.HeavyBall(0.3, 0.5)} if "optimizer" in parameters else {}
            every[f"theory.{name}"] = (function, {**dict.fromkeys(parameters, 0.3), **own})
    for name in plotting.__all__:
        function = getattr(plotting, name)
        if name.startswith("draw_"):
            first, *rest = inspect.signature(function).parameters
            options = {key: 1.0 for key in rest if key not in ("ax", "line")}
            given = {first: of[FIRST[name]]} if name in FIRST else {first: of["run"]}
            every[f"plotting.{name}"] = (function, {**given, "ax": None, **dict.fromkeys(options, ...)})
    every["plotting.legend"] = (plotting.legend, {"ax": plt.figure().subplots()})
    every["plotting.save"] = (plotting.save, {"figure": plt.figure(), "folder": ".", "name": "x"})
    every["plotting.animate_catapult"] = (plotting.animate_catapult, {
        "runs": of["run"], "path": "x.gif", "frames": 3, "trail": 2, "frames_per_second": 2})  # fmt: skip
    every["observables.measure"] = (ss.observables.measure, {"run": of["run"], "measures": ["phase"]})
    every["observables.swing"] = (
        ss.observables.swing,
        {"run": of["run"], "loss": CUBIC, "minimum": [0.0, 0.0]},
    )
    every |= _gap()
    every["catapults of a run"] = (ss.catapults, {"sharpness": of["run"]["sharpness"], "threshold": 1.0})
    every["analyze"] = (
        ss.analyze,
        {"run": of["run"], "lr": 0.1, "momentum": 0.0, "lookahead": 0.0, "columns": None},
    )
    every["Initialization"] = (ss.Initialization, {"seed": 0, "scale": 1.0})
    every["check_loss"] = (ss.check_loss, {"loss": LOSS, "at": [1.0, 0.1]})
    every["Constant"] = (ss.Constant, {"lr": 0.1})
    every["derive_within"] = (lambda seconds: ss.derive_within(seconds).__enter__(), {"seconds": 10.0})
    every["table"] = (verification.table, {"dataset": of["verify"]})
    every["exit_code"] = (verification.exit_code, {"dataset": of["verify"]})
    every["Trial"] = (
        experiments.Trial,
        {"loss": LOSS, "held_out": LOSS, "start": [1.0, 0.1], "sparse": None},
    )
    every["mnist"] = (ss.datasets.mnist, {"samples": 5, "target": "onehot", "pool": 2})
    every["Chain.minimum"] = (ss.Chain(3).minimum, {"start": None, "sharpness": 6.0})
    every["Product.minimum"] = (ss.Product().minimum, {"start": None, "sharpness": 6.0})
    one, two = [0.1, 0.2], [1.0, 0.0]
    for owner, instance in (("CubicTaylor", CUBIC), ("MLP", ss.MLP([1, 1], [[1.0]], [[1.0]]))):
        every |= {
            f"{owner}.{name}": (getattr(instance, name), arguments)
            for name, arguments in {
                "gradient": {"w": one}, "hessian": {"w": one}, "hessian_vector": {"w": one, "v": two},
                "fourth": {"w": one, "u": two, "v": two, "z": two}, "sharpness": {"w": one},
                "sharpness_gradient": {"w": one}, "initial_weights": {"seed": 0, "scale": 1.0},
            }.items()
        }  # fmt: skip
    for optimizer in (ss.HeavyBall(0.1, 0.9), ss.HeavyBall(ss.LinearWarmup(0.0, 1.0, 5), 0.9)):
        for name, arguments in {
            "max_stable_sharpness": {"step": 0}, "thresholds": {"first": 0, "last": 3},
            "rates": {"first": 0, "last": 3}, "matched": {"momentum": 0.5},
            "at_excess": {"sharpness": 1.0, "excess": 0.1}, "amplification": {"excess": 0.1},
            "update": {"w": np.array(one), "v": np.array(two), "gradient": np.array(one)},
        }.items():  # fmt: skip
            method = getattr(optimizer, name)
            names = [*inspect.signature(method).parameters]
            every[f"{type(optimizer.lr).__name__} {name}"] = (
                method,
                dict(zip(names, arguments.values(), strict=False)),
            )
    return every


def spoilt(every, of):
    """Return each call with one argument replaced by everything wrong, and by every dataset."""
    for name, (function, arguments) in every.items():
        arguments = {key: value for key, value in arguments.items() if value is not ...}
        extra = [k for k, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY]
        for key in dict.fromkeys([*arguments, *extra]):
            for value in [*WRONG, *of.values()]:
                yield name, function, {**arguments, key: value}, key, value


def text_of(value):
    """Return a value as text, its type where it has none."""
    try:
        return ascii(value)[:80]
    except Exception:
        return type(value).__name__


def main(share: float = 1.0, seed: int = 0) -> None:
    """Make the calls and print what became of them."""
    faulthandler.enable()
    modules.compiled = lambda source: SimpleNamespace(**modules.plain(source))
    rng = random.Random(seed)
    counts, wrong = {"refused": 0, "accepted": 0}, []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        ss.sweep(**CALLS["sweep"][1] | {"store": "base.zarr"})
        of = datasets()
        for name, function, arguments, key, value in spoilt(calls(of), of):
            if rng.random() >= share:
                continue
            text = f"{name}({key}={text_of(value)})"
            faulthandler.dump_traceback_later(HANGS, exit=True)
            print(text, file=sys.stderr, flush=True)
            how = ending(partial(function, **arguments))
            faulthandler.cancel_dump_traceback_later()
            plt.close("all")
            if how in counts:
                counts[how] += 1
            else:
                wrong.append(f"{text}: {how[:200]}")
    print(json.dumps({**counts, "wrong": wrong}))


if __name__ == "__main__":
    main(*(float(word) for word in sys.argv[1:2]), *(int(word) for word in sys.argv[2:3]))
