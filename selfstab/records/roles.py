"""Roles of a recorded run's columns, and the names under which each is looked for."""

from __future__ import annotations

import re
from typing import Any, Final

ALIASES: Final = {
    "step": (
        "step", "steps", "global_step", "iteration", "iterations", "iter", "it", "update", "t", "epoch", "epochs",
    ),
    "sharpness": (
        "sharpness", "lambda_max", "max_lambda", "lambda_1", "lambda1", "top_eigenvalue", "largest_eigenvalue",
        "max_eigenvalue", "hessian_top", "hessian_max", "top_hessian_eigenvalue", "hessian_top_eigenvalue",
    ),
    "lr": ("lr", "learning_rate", "learningrate", "eta", "η", "step_size", "stepsize"),
    "momentum": ("momentum", "beta", "β", "mu", "beta1", "beta_1", "adam_beta1"),
    "loss": ("loss", "train_loss", "training_loss", "loss_train", "full_loss", "objective"),
    "second_sharpness": ("second_sharpness", "lambda_2", "lambda2", "second_eigenvalue"),
    "max_stable_sharpness": ("max_stable_sharpness",),
    "preconditioned_sharpness": ("preconditioned_sharpness", "effective_sharpness"),
    "second_preconditioned_sharpness": ("second_preconditioned_sharpness",),
    "clipping_factor": ("clipping_factor",),
}  # fmt: skip
"""Names under which each column is looked for, whatever their case; ' ', '-', '/' and '.' count as '_'."""


def key(name: Any) -> str:
    """Return a column's name as it is compared.

    >>> key("Train/Loss "), key("lambda-max")
    ('train_loss', 'lambda_max')
    """
    return re.sub(r"[\s\-/.]+", "_", str(name).strip()).lower()
