"""Momentum at large learning rates: self-stabilization, catapults and the edge of stability.

The public names, by topic; ``help(selfstab.sweep)`` and the help of each other name give the rest:

- optimizers: HeavyBall, AveragedHeavyBall, QuasiHyperbolic, AggregatedMomentum, LinearOptimizer (any linear
  one), Adam, RMSProp, SymbolicOptimizer (any equations); Optimizer (one of your own)
- learning rates: Constant, LinearWarmup
- losses: SymbolicLoss (any formula), EmpiricalRisk (a formula's mean over data), Quadratic, CubicTaylor, Product,
  DoubleWell, Minimalist, Chain, Coupled, DiagonalNetwork, MLP, FunctionLoss (any model), LossFamily (losses a function
  makes), Loss (the base of your own kind), check_loss; derive_within; datasets
- starts: Initialization, flip_start
- in place of a run: averaged_flow, edge_flow, rod_flow
- one run: simulate, hessian_spectrum, catapults; observables
- a training loop of one's own: Recorder, analyze
- beside a run: constrained_trajectory, predicted_dynamics
- many runs: sweep, resume, refine, rasterize, continuation, orbits; phase_names
- theory and its tests: theory, verify
- real models, with and without momentum: experiments
- pictures: plotting

They are loaded on first use, so that ``import selfstab`` costs little more than NumPy.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import selfstab.forks  # noqa: F401  # a fork must wait for the first use of a name, too
from selfstab.former_names import MovedModules

__version__ = "0.2.0"

_HOMES = {
    "HeavyBall": "optimizers.heavy_ball",
    "AveragedHeavyBall": "optimizers.averaged",
    "QuasiHyperbolic": "optimizers.quasi_hyperbolic",
    "AggregatedMomentum": "optimizers.aggregated",
    "LinearOptimizer": "optimizers.linear",
    "SymbolicOptimizer": "optimizers.symbolic",
    "Adam": "optimizers.adam",
    "RMSProp": "optimizers.rms_prop",
    "Optimizer": "optimizers.base",
    "Constant": "optimizers.schedules",
    "LinearWarmup": "optimizers.schedules",
    "Initialization": "losses.base.starts",
    "Loss": "losses.base.loss",
    "check_loss": "losses.base.check",
    "FunctionLoss": "losses.functions.function",
    "LossFamily": "losses.family",
    "SymbolicLoss": "losses.symbolic.loss",
    "EmpiricalRisk": "losses.symbolic.risk",
    "derive_within": "formulas.deadline",
    "Quadratic": "losses.toys",
    "CubicTaylor": "losses.toys",
    "Product": "losses.toys",
    "DoubleWell": "losses.toys",
    "Minimalist": "losses.toys",
    "Chain": "losses.toys",
    "Coupled": "losses.toys",
    "DiagonalNetwork": "losses.networks.diagonal",
    "MLP": "losses.networks.mlp",
    "flip_start": "losses.base.starts",
    "simulate": "runs.simulate",
    "averaged_flow": "flows.averaged",
    "edge_flow": "flows.edge",
    "rod_flow": "flows.rod",
    "constrained_trajectory": "flows.constrained",
    "predicted_dynamics": "flows.predicted",
    "sweep": "sweeps.sweep",
    "resume": "sweeps.sweep",
    "continuation": "sweeps.continuation",
    "orbits": "sweeps.orbits",
    "refine": "sweeps.refinement",
    "rasterize": "sweeps.refinement",
    "catapults": "observables.detection",
    "phase_names": "phases",
    "hessian_spectrum": "runs.spectrum",
    "Recorder": "records.recording.recorder",
    "analyze": "records.comparison.analyze",
    "verify": "verification",
}
_OTHER_WORDS = {
    "SGD": "HeavyBall(lr, momentum)",
    "GD": "HeavyBall(lr)",
    "GradientDescent": "HeavyBall(lr)",
    "Momentum": "HeavyBall(lr, momentum)",
    "Polyak": "HeavyBall(lr, momentum)",
    "PHB": "HeavyBall(lr, momentum)",
    "Nesterov": "HeavyBall(lr, momentum, lookahead=momentum)",
    "NAG": "HeavyBall(lr, momentum, lookahead=momentum)",
    "AdamW": "Adam, and the weight decay in the loss",
    "overshoot": "theory.overshoot",
    "sharpness": "the method sharpness of a loss, or observables",
    "plot": "plotting",
}
_ROOMS = ("datasets", "experiments", "observables", "plotting", "theory")

__all__ = sorted([*_HOMES, *_ROOMS, "__version__"])


sys.meta_path.append(MovedModules())


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"selfstab.{_HOMES[name]}"), name)
    elif name in _ROOMS:
        value = importlib.import_module(f"selfstab.{name}")
    else:
        raise AttributeError(f"module 'selfstab' has no attribute {name!r}; {_advice(name)}")
    globals()[name] = value
    return value


def _advice(name: str) -> str:
    """Return what to use in place of a name that there is not."""
    if name in _OTHER_WORDS:
        return f"use {_OTHER_WORDS[name]}"
    if name.startswith("_"):
        return "dir(selfstab) lists the public names"
    like = importlib.import_module("selfstab.validation").like
    return like(name, __all__).removeprefix("; ") or "dir(selfstab) lists the public names"


def __dir__() -> list[str]:
    return __all__
