"""Malformed calls and loss strings: each is refused by one clean line, or is none after all.

    python tests/fuzz.py COUNT SEED

Prints as JSON, in its last line, how many calls were refused and accepted, the slowest refusal, and those that ended
in any other way: another exception, a warning, a message of several lines.

Kernels are run by plain CPython: no call compiles.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import math
import os
import random
import sys
import tempfile
import time
import warnings
from functools import cache
from types import SimpleNamespace

import numpy as np
from click.testing import CliRunner

import selfstab as ss
from selfstab import experiments
from selfstab.cli.program import main as selfstab_command
from selfstab.eigen import pairs
from selfstab.kernels import modules

HANGS = 30
"""Seconds after which a call hangs, on the slowest machine."""

LOSS = ss.Quadratic([1.0, 0.5])
CUBIC = ss.CubicTaylor(1.0)
RUN = {"loss": LOSS, "optimizer": ss.HeavyBall(0.5), "start": [1.0, 0.0], "steps": 2}
AT_THE_EDGE = {"loss": CUBIC, "optimizer": ss.HeavyBall(2.0), "start": [0.1, 0.0], "steps": 2}
TASK = experiments.SparseRegression(samples=4, features=5, nonzeros=1, held_out=5)
SETTING = experiments.Setting(3.0, 0.5, 3, 8, scale=0.3, records=4, seeds=(0,))
SWEEP = {**RUN, "axes": {"lr": [0.1, 0.2]}, "progress": False, "measure": ["final_loss"], "threads": 1}


def family(width):
    """Return a loss of this many weights."""
    return ss.Chain(width)


@cache
def refined():
    """Return a refined diagram."""
    return ss.refine(**RUN, axes={"lr": (0.1, 5.0, 3)}, levels=1, progress=False, threads=1)


@cache
def predicted():
    """Return predicted dynamics."""
    return ss.predicted_dynamics(**AT_THE_EDGE)


@cache
def compared():
    """Return a comparison."""
    return experiments.compare(TASK, SETTING, threads=1)


CALLS = {
    "HeavyBall": (ss.HeavyBall, {"lr": 0.1, "momentum": 0.9, "lookahead": 0.0}),
    "AveragedHeavyBall": (ss.AveragedHeavyBall, {"lr": 0.1, "momentum": 0.9}),
    "QuasiHyperbolic": (ss.QuasiHyperbolic, {"lr": 0.1, "momentum": 0.9, "nu": 0.7}),
    "AggregatedMomentum": (ss.AggregatedMomentum, {"lr": 0.1, "momenta": (0.0, 0.9)}),
    "LinearOptimizer": (ss.LinearOptimizer, {"lr": 0.1, "numerator": [1.0, 0.0], "denominator": [1.0, -1.5, 0.5]}),
    "from_matrices": (ss.LinearOptimizer.from_matrices, {
        "lr": 0.1, "matrix": [[1.0, 0.5], [0.0, 0.5]], "inputs": [1.0, 1.0], "outputs": [1.0, 0.0]}),
    "SymbolicOptimizer": (ss.SymbolicOptimizer, {
        "lr": 0.1, "equations": "v = beta*v - lr*g; w = w + v", "state_names": "v", "parameters": {"beta": 0.9},
        "point": "w + beta*v"}),
    "inertia": (ss.AveragedHeavyBall(0.1, 0.9).inertia, {"excess": 0.01}),
    "LinearWarmup": (ss.LinearWarmup, {"start": 0.0, "end": 1.0, "steps": 5}),
    "Quadratic": (ss.Quadratic, {"curvatures": [1.0]}),
    "CubicTaylor": (ss.CubicTaylor, {"curvature": 1.0, "progressive_sharpening": 0.0, "stabilization": 1.0}),
    "Chain": (ss.Chain, {"depth": 3}),
    "EmpiricalRisk": (
        ss.EmpiricalRisk,
        {"expression": "(a*w*x - 1)**2", "weights": "w", "data": {"x": [1.0, 2.0]}, "parameters": {"a": 1.0}},
    ),
    "SymbolicLoss": (ss.SymbolicLoss, {"expression": "a*x**2", "variables": ["x"], "parameters": {"a": 1.0}}),
    "DiagonalNetwork": (ss.DiagonalNetwork, {"inputs": [[1.0, 2.0]], "targets": [1.0]}),
    "MLP": (ss.MLP, {"widths": [2, 2, 1], "inputs": [[1.0, 2.0]], "targets": [[1.0]], "activation": "tanh"}),
    "FunctionLoss": (ss.FunctionLoss, {
        "value": lambda w: 0.5 * float(w @ w), "gradient": lambda w: w, "dimension": 2,
        "hessian_vector": lambda w, v: v, "third": lambda w, u, v: 0 * v, "difference_step": 1e-5, "at": [0.1, 0.2],
        "name": "square"}),
    "hessian_spectrum": (ss.hessian_spectrum, {
        "loss": LOSS, "weights": [[0.0, 0.0]], "largest": 1, "smallest": 1, "full": False, "vectors": True,
        "tolerance": 1e-8}),
    "Recorder": (ss.Recorder, {
        "lr": 0.1, "momentum": 0.9, "lookahead": 0.0, "every": 2, "tolerance": 1e-8,
        "writer": lambda name, value, step: None}),
    "log": (lambda **given: ss.Recorder().log(**given), {
        "step": 0, "parameters": None, "data": None, "loss": 1.0, "hessian_vector": lambda v: v, "dimension": 2,
        "lr": 0.1, "momentum": 0.9, "lookahead": 0.0}),
    "value": (CUBIC.value, {"w": [0.0, 0.0]}),
    "third": (CUBIC.third, {"w": [0.0, 0.0], "u": [0.0, 1.0], "v": [0.0, 1.0]}),
    "minimum": (LOSS.minimum, {"start": [0.1, 0.0]}),
    "replace": (CUBIC.replace, {"curvature": 1.0}),
    "flip_start": (ss.flip_start, {"loss": LOSS, "weights": [0.0, 0.0], "size": 1e-3}),
    "simulate": (ss.simulate, {
        **RUN, "previous": [0.0, 0.0], "every": 1, "keep": ["loss"], "escape": 10.0, "noise": 0.0, "seed": 0}),
    "sweep": (ss.sweep, {
        **SWEEP, "previous": [0.0, 0.0], "escape": 10.0, "noise": 0.0, "seed": 0, "repeats": 1, "store": None,
        "client": None}),
    "catapults": (ss.catapults, {
        "sharpness": [1.0, 2.0, 1.0], "threshold": 1.5, "loss": [1.0, 1.0, 1.0], "step": [0, 1, 2]}),
    "digits": (ss.datasets.digits, {"samples": 5, "target": "onehot"}),
    "sparse_regression": (ss.datasets.sparse_regression, {"samples": 4, "features": 5, "nonzeros": 2, "seed": 0}),
    "max_stable_sharpness": (ss.theory.max_stable_sharpness, {"lr": 0.1, "momentum": 0.9, "lookahead": 0.0}),
    "overshoot": (ss.theory.overshoot, {"kappa": 1.0}),
    "final_sharpness": (ss.theory.final_sharpness, {"threshold": 2.0, "y0": 0.1, "kappa": 1.0}),
    # None stands for all predictions: half a minute's work, and no error.
    "verify": (lambda names=(): ss.verify(() if names is None else names), {"names": ["no such prediction"]}),
    "refine": (ss.refine, {
        **RUN, "axes": {"lr": (0.1, 5.0, 3)}, "levels": 1, "progress": False, "threads": 1}),
    "orbits": (ss.orbits, {
        **RUN, "axes": {"lr": [0.1, 0.2]}, "last": 2, "progress": False, "threads": 1}),
    "continuation": (ss.continuation, {
        **RUN, "axes": {"lr": [0.1, 0.2]}, "along": "lr", "direction": "forward", "measure": ["final_loss"],
        "progress": False, "threads": 1}),
    "resume": (ss.resume, {"store": "base.zarr", "threads": 1, "client": None, "progress": False}),
    "rasterize": (lambda data=None, **rest: ss.rasterize(refined() if data is None else data, **rest), {"n": 4}),
    "LossFamily": (
        lambda make=family, **rest: ss.LossFamily(make, **rest), {"make": family, "width": 2}),
    "Initialization": (ss.Initialization, {"seed": 0, "scale": 1.0}),
    "constrained_trajectory": (ss.constrained_trajectory, {**AT_THE_EDGE, "keep": ["weights"]}),
    "predicted_dynamics": (ss.predicted_dynamics, {
        **AT_THE_EDGE, "previous": [0.0, 0.0], "form": "basic", "beside": ["run"]}),
    "averaged_flow": (ss.averaged_flow, {
        **AT_THE_EDGE, "directions": 1, "substeps": 1, "every": 1, "keep": ["weights"], "escape": 10.0}),
    "edge_flow": (ss.edge_flow, {
        **AT_THE_EDGE, "previous": [0.0, 0.0], "order": 2, "substeps": 1, "every": 1, "keep": ["weights"],
        "escape": 10.0}),
    "rod_flow": (ss.rod_flow, {
        **AT_THE_EDGE, "previous": [0.0, 0.0], "substeps": 1, "every": 1, "keep": ["weights"], "escape": 10.0}),
    "top_eigenpair": (pairs.top_eigenpair, {
        "matrix": np.eye(3), "dimension": 3, "guess": [1.0, 0.0, 0.0], "tolerance": 1e-8, "mix": 0.1}),
    "top_eigenpairs": (pairs.top_eigenpairs, {
        "matrix": np.eye(3), "count": 2, "dimension": 3, "smallest": 1, "guess": [[1.0, 0.0, 0.0]], "tolerance": 1e-8}),
    "Setting": (experiments.Setting, {
        "threshold": 3.0, "momentum": 0.5, "warmup": 3, "steps": 8, "scale": 0.3, "records": 4, "noise": 0.0,
        "seeds": (0,)}),
    "compare": (experiments.compare, {"task": TASK, "setting": SETTING, "threads": 1}),
    "survey": (experiments.survey, {"task": TASK, "setting": SETTING, "axes": {"threshold": [3.0]}, "threads": 1}),
    "verdict": (lambda data=None, **rest: experiments.verdict(compared() if data is None else data, **rest), {
        "number": "mean_sharpness", "against": "gd_time"}),
    "Digits": (experiments.Digits, {"hidden": (2,), "target": "parity", "samples": 5, "held_out": 5}),
    "draw_prediction": (
        lambda data=None, **rest: ss.plotting.draw_prediction(predicted() if data is None else data, **rest),
        {"ax": None, "of": "sharpness", "flow": True}),
    "draw_comparison": (
        lambda data=None, **rest: ss.plotting.draw_comparison(compared() if data is None else data, **rest),
        {"ax": None, "of": "loss", "against": "step"}),
}  # fmt: skip

NUMBERS = [
    0, 1, -1, 2.5, -0.0, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf, 10**30, -(10**30), 2**63, True,
    1j,
]  # fmt: skip
JUNK = [
    None, *NUMBERS, "", "x", "nan", "lr", "\n", "\x00", "é" * 3, "x" * 5000, b"x", [], [[]], [None], [1.0],
    [[1.0]], ["a"], [1.0, math.nan], [1.0, [2.0]], {}, {"x": 1}, {1: 2}, {"lr": None}, {"lr": []},
    {"lr": [0.1], "excess": [0.1]}, {"momentum": [1.0]}, {"start.w0": [math.inf]}, {"": [1.0]}, (), (1,), set(),
    object(), lambda *a: a, int, print, ..., np.array([]), np.array(1.0), np.zeros((3, 3)),
    np.array([object()]), np.array(["a"]), np.ma.masked, np.float32(0.1),
    np.array([1.0, 2.0], dtype="complex128"), np.array([1, 2], dtype="int8"), np.datetime64("2000-01-01"),
    float, SimpleNamespace(), ss.HeavyBall(0.1), LOSS, CUBIC, ss.LinearWarmup(0, 1, 5), range(3), iter([1.0]),
    memoryview(b"ab"), ValueError("x"), np.random.default_rng(0), "/proc/self", "\udcff",
]  # fmt: skip

FORMULAS = [
    "x**2 + y**2", "(x*y - 1)**2/2", "sin(x)*exp(-y**2)", "sqrt(1 + x**2) + abs(y)",
    "x**4/4 - x**2/2 + tanh(y)", "x**0.5",
]  # fmt: skip
PIECES = [
    "x", "y", "z", "(", ")", "**", "*", "+", "-", "/", "//", "%", ",", ".", "..", "1e999", "10**10", "**x",
    "0x", "1_", "'", '"', "__", "__class__", ".__class__", "[0]", "{", "lambda: 0", "import os", "os",
    "exec('x')", "open", "if", "else", "and", "not", "==", "<", "<<", "@", ":=", "\n", "\t", "\\", "#", ";",
    "\x00", "é", "∂", "🙂", "f''", "sin", "sin(", "sin()", "exp(exp(", "exp(exp(9))", "exp(exp(exp(9)))",
    "sin(exp(exp(30)))", "exp(690)", "exp(exp(exp(-9)))", "Abs", "Max", "log(0)", "1/0", "0/0", "I",
    "oo", "nan", "zoo", "E", "pi", "gamma(x)", "diff", "integrate(x)", "factorial(9)", "2**99999", "9" * 400,
    "(" * 80, "-" * 200, "x" * 3000, "None", "True", "Symbol('x')", "x y", "x**-1", "**" * 3,
]  # fmt: skip


REFUSED_AS_THEY_ARE = ("verify",)
"""Calls that would take long if they were accepted."""


def check_calls():
    """Make every call as it is, unspoilt: what fuzzing refuses must be what it spoilt."""
    ss.sweep(**SWEEP, store="base.zarr")
    for name, (function, arguments) in CALLS.items():
        try:
            function(**arguments)
        except Exception as error:
            if name not in REFUSED_AS_THEY_ARE or not isinstance(error, ValueError):
                raise AssertionError(f"{name} does not work: {error!r}") from error


def malformed_call(rng, calls=None):
    """Return a public function and arguments of which one to three are junk, missing or unknown."""
    calls = CALLS if calls is None else calls
    name = rng.choice([*calls])
    function, arguments = calls[name]
    arguments = dict(arguments)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        how = rng.random()
        key = rng.choice([*arguments]) if arguments else "nothing"
        if how < 0.06:
            arguments.pop(key, None)
        elif how < 0.1:
            arguments[rng.choice(["learning_rate", "beta", "steps_", "self"])] = rng.choice(JUNK)
        elif how < 0.3:
            arguments[key] = [rng.choice(NUMBERS) for _ in range(rng.choice([1, 2, 3]))]
        else:
            arguments[key] = rng.choice(JUNK)
    return name, lambda: function(**arguments), arguments


def malformed_formula(rng):
    """Return a loss made from a damaged formula."""
    text = rng.choice(FORMULAS)
    for _ in range(rng.choice([1, 1, 2, 3, 8])):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(PIECES) + text[at + rng.choice([0, 0, 1, 2]) :]
    return "formula", lambda: ss.SymbolicLoss(text, ["x", "y"]), text


def malformed_optimizer(rng):
    """Return an optimizer made from damaged equations, coefficients or matrices."""
    # As a script, this file's folder is where modules are found.
    module = importlib.import_module(f"{__package__}.fuzz_optimizers" if __package__ else "fuzz_optimizers")
    return module.malformed_optimizer(rng)


LARGE = {
    "simulate": ["steps"], "sweep": ["steps", "repeats"], "refine": ["steps", "axes", "levels"],
    "orbits": ["steps", "last"], "continuation": ["steps"], "rasterize": ["n"], "averaged_flow": ["steps"],
    "rod_flow": ["steps"], "edge_flow": ["steps"], "constrained_trajectory": ["steps"], "predicted_dynamics": ["steps"],
    "sparse_regression": ["samples", "features"], "MLP": ["widths"],
}  # fmt: skip
"""Arguments that may be as large as memory does not allow, by call."""


def call_beyond_memory(rng):
    """Return a call whose arrays would fit in no memory."""
    name = rng.choice([*LARGE])
    function, arguments = CALLS[name]
    key = rng.choice(LARGE[name])
    size = rng.choice([10**12, 10**13 + 1, 10**15, 2**53])
    arguments = dict(arguments)
    if key == "steps" and name in ("sweep", "refine", "continuation"):
        arguments["noise"] = rng.choice([1e-3, 1.0])  # else memory does not grow with the steps
    if name == "orbits":
        arguments |= {"steps": size, "last": size // 10}
    elif name == "rasterize":
        arguments["n"] = size
    elif name == "MLP":
        arguments["widths"] = [size, 2, 1]
    elif key == "axes":
        arguments |= {"axes": {"lr": (0.1, 5.0, size)}, "max_cells": 2 * size}
    else:
        arguments[key] = size
    if key == "repeats":
        arguments["store"] = rng.choice([None, "large.zarr"])
    return name, lambda: function(**arguments), arguments


RISKS = [
    "log(1 + exp(-y*dot(w, x))) + c*dot(w, w)/2", "(dot(w, x) + b - y)**2/2", "(b*tanh(w[0]*x[0] + w_1) - y)**2/2",
    "exp(-(w0*x0 + w1*x1)**2)*y + c*abs(b)",
]  # fmt: skip
NAMES = [
    "w",
    "b",
    "x",
    "y",
    "c",
    "w[0]",
    "x[1]",
    "x[2]",
    "x[-1]",
    "w_1",
    "x0",
    "dot(w, x)",
    "dot(w, y)",
    "dot(",
    "[",
    "]",
]
SHAPES = [(3, 2), (3, 2), (3,), (3,), (2,), (0,), (3, 0), (3, 1), (1, 3, 2), ()]


def malformed_risk(rng):
    """Return an empirical risk of a damaged formula, of arrays and names that do not fit, or of junk."""
    text = rng.choice(RISKS)
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice([*NAMES, *PIECES]) + text[at + rng.choice([0, 0, 1, 2]) :]
    weights = rng.choice(
        [{"w": 2, "b": 1}, {"w": 2, "b": 1}, {"w": rng.choice([0, 1, 3, 40, -1])}, ["w", "b"], "w, x"]
    )
    data = {"x": np.ones((3, 2)), "y": np.ones(3)}
    parameters = {"c": 0.5}
    for chosen in rng.choices([data, parameters, None], k=rng.choice([0, 1, 2])):
        if chosen is not None:
            name = rng.choice(["x", "y", "c", "x_0", "lr", "w", "1"])
            chosen[name] = rng.choice(
                [np.full(rng.choice(SHAPES), rng.choice([1.0, np.nan])), rng.choice(JUNK)]
            )
    arguments = [text, weights, data, parameters]
    if rng.random() < 0.1:
        arguments[rng.randrange(4)] = rng.choice(JUNK)
    return "risk", lambda: ss.EmpiricalRisk(*arguments).gradient([0.1, 0.2, 0.3]), arguments


CONSTANTS = [
    "2", "10**9", "-10**9", "1e300", "1e-300", "-1e-300", "10**16", "1/3", "pi", "E", "-1", "1e-16", "30", "-700",
    "0.5", "10**60/7", "2**(1/2)", "exp(-600)", "exp(600)", "exp(-10**9)", "1e-320",
]  # fmt: skip
FUNCTIONS = [
    "sqrt", "exp", "log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh",
    "atanh", "erf", "abs",
]  # fmt: skip
WITH_CONSTANT = ["{c}*sqrt(x)", "sqrt({c}*x)", "{c}*x", "x**2+{c}", "abs({c}*x)+{d}", "({c}-{d})*x**0.5"]


def formula_of_constants(rng):
    """Return a loss of constants that overflow, underflow, cancel, or are not real."""

    def constant(depth):
        how = rng.random()
        if depth == 0 or how < 0.2:
            return rng.choice(CONSTANTS)
        if how < 0.7:
            return f"{rng.choice(FUNCTIONS)}({constant(depth - 1)})"
        return f"({constant(depth - 1)}{rng.choice('+-*/')}{constant(depth - 1)})"

    c, d = constant(rng.choice([1, 2, 3])), constant(rng.choice([0, 1, 2]))
    inner = rng.choice(WITH_CONSTANT).format(c=c, d=d)
    outer = rng.choice(["{f}({i})", "({i})**2", "{f}({i})**2/({c}+x)", "{f}({g}({i}))"])
    text = outer.format(f=rng.choice(FUNCTIONS), g=rng.choice(FUNCTIONS), i=inner, c=c)
    return "constants", lambda: ss.SymbolicLoss(text, ["x"]), text


OPTIONS = [
    "--lr", "--momentum", "--start", "--steps", "-p", "--variables", "-a", "--axis", "--measure", "--seed",
    "--noise", "--repeats", "--every", "--output", "--threads", "--resume", "--nonsense", "-z",
]  # fmt: skip
VALUES = [
    "", "x", "1", "-1", "nan", "inf", "1e999", "0.1", "1,2", "a=1", "curvature=", "=1", "momentum=0:1:3",
    "lr=0:1", "lr=a:b:c", "x,x", "0:1:0", "lr=0.1:0.2:99999999999999999999", "final_loss", "..",
    "/proc/no/such", "\x00", "é", "--", "9" * 50, "start.x=1,2",
]  # fmt: skip


def malformed_command(rng):
    """Return a command line with junk."""
    command = rng.choice(["simulate", "sweep", "verify", "figure", "derive", "simulate", "sweep"])
    words = [command]
    if rng.random() < 0.8:
        words.append(
            rng.choice(["CubicTaylor", "Product", "No", "x**2", "x**", "", "MLP", "-", "Quadratic", *PIECES])
        )
    for _ in range(rng.randrange(4)):
        words += [rng.choice(OPTIONS), rng.choice(VALUES)]
    words += ["--nonsense"]  # no command line of these is a whole one
    runner = CliRunner()

    def call():
        done = runner.invoke(selfstab_command, words, catch_exceptions=True)
        if done.exit_code == 0:
            raise AssertionError("exit code 0 in spite of an unknown option")
        if done.exit_code != 2:
            raise done.exception
        text = done.stderr.strip()
        raise ValueError(text)

    return "command", call, words


def adaptive_run():
    """Return a run that kept what its preconditioned spectrum needs."""
    return ss.simulate(LOSS, ss.Adam(0.1), [1.0, 0.0], 2, keep=["weights", "preconditioner"])


ADAPTIVE = {
    "Adam": (ss.Adam, {
        "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "bias_correction": True, "frozen_after": 3,
        "second_moment": 0.0}),
    "RMSProp": (ss.RMSProp, {
        "lr": 0.1, "beta2": 0.99, "eps": 1e-8, "momentum": 0.9, "bias_correction": False, "frozen_after": None,
        "second_moment": 1.0}),
    "simulate by Adam": (ss.simulate, {
        **RUN, "optimizer": ss.Adam(0.1), "previous": [0.0, 0.0], "keep": ["preconditioned_sharpness"], "noise": 0.0}),
    "sweep by Adam": (ss.sweep, {
        **SWEEP, "optimizer": ss.Adam(0.1, frozen_after=1), "axes": {"beta2": [0.0, 0.9]}, "measure": ["phase"]}),
    "spectrum": (
        lambda weights=None, **rest: ss.hessian_spectrum(LOSS, adaptive_run() if weights is None else weights, **rest),
        {"preconditioned": True, "full": True}),
    "fading_rate": (ss.theory.fading_rate, {"beta2": 0.99, "steps": 5.0}),
    "preconditioner_share": (ss.theory.preconditioner_share, {
        "beta2": 0.99, "momentum": 0.9, "threshold": 2.0, "stabilization": 1.0, "second_moment": 1.0}),
    "adaptive_inertia_number": (ss.theory.adaptive_inertia_number, {"excess": 0.1, "momentum": 0.9, "share": 1.0}),
}  # fmt: skip


def malformed_adaptive(rng):
    """Return a call of what has a preconditioner, with one to three junk arguments."""
    return malformed_call(rng, ADAPTIVE)


def compared_optimizers():
    """Return a comparison of two optimizers."""
    return experiments.compare(
        TASK, SETTING, optimizers={"a": ss.HeavyBall(1.0), "b": ss.RMSProp(1.0)}, threads=1
    )


STUDY = {"task": TASK, "setting": SETTING, "optimizers": {"a": ss.QuasiHyperbolic(1.0, 0.9, 0.5)}}

COMPARED = {
    "compare optimizers": (experiments.compare, {**STUDY, "threads": 1}),
    "survey of optimizers": (experiments.survey, {**STUDY, "axes": {"threshold": [3.0]}, "threads": 1}),
    "verdict of optimizers": (
        lambda data=None, **rest: experiments.verdict(compared_optimizers() if data is None else data, **rest),
        {"number": "least_sharpness", "against": "a", "of": "b"}),
    "plan": (lambda **rest: SETTING.plan(**rest), {"method": ss.HeavyBall(1.0, 0.9)}),
    "Study": (experiments.Study, STUDY),
    "piece": (lambda **rest: experiments.Study(**STUDY).run(**rest), {"name": "a", "seed": 0}),
    "ConvolutionalNetwork": (experiments.ConvolutionalNetwork, {"channels": (2, 3), "samples": 12, "held_out": 8}),
}  # fmt: skip


def malformed_comparison(rng):
    """Return a call that compares optimizers, with one to three junk arguments."""
    return malformed_call(rng, COMPARED)


KINDS = [
    malformed_call,
    malformed_formula,
    formula_of_constants,
    malformed_command,
    malformed_risk,
    malformed_optimizer,
    call_beyond_memory,
    malformed_adaptive,
    malformed_comparison,
]


def ending(call):
    """Return how a call ends: refused, accepted, or what is wrong with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            call()
        except (ValueError, TypeError, MemoryError, ImportError) as error:
            text = str(error)
            if not text.strip() or len(text.strip().splitlines()) > 1:
                return f"message {text!r}"
            return "refused"
        except OSError as error:  # a path that is none
            return "refused" if str(error).strip() and "\n" not in str(error) else f"{error!r}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return "accepted"


def main(count: int, seed: int) -> None:
    """Make `count` calls and print what became of them."""
    faulthandler.enable()
    modules.compiled = lambda source: SimpleNamespace(**modules.plain(source))
    rng = random.Random(seed)
    counts, wrong, slowest = {"refused": 0, "accepted": 0}, [], (0.0, "")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        check_calls()
        for _ in range(count):
            make = rng.choices(KINDS, [50, 30, 10, 10, 20, 20, 5, 10, 10])[0]
            name, call, shown = make(rng)
            # The last line before a crash or a hang says which call it was.
            print(name, ascii(shown)[:300], file=sys.stderr, flush=True)
            faulthandler.dump_traceback_later(HANGS, exit=True)
            began = time.perf_counter()
            how = ending(call)
            seconds = time.perf_counter() - began
            faulthandler.cancel_dump_traceback_later()
            if how in counts:
                counts[how] += 1
            else:
                wrong.append(f"{name} {ascii(shown)[:300]}: {how[:300]}")
            if how == "refused":
                slowest = max(slowest, (seconds, f"{name} {ascii(shown)[:200]}"))
    print(json.dumps({**counts, "slowest": slowest, "wrong": wrong}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
