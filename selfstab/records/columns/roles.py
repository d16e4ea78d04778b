"""Roles of a recorded run's columns, and the names under which each is looked for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

ALIASES: Final = {
    "step": (
        "step", "steps", "global_step", "iteration", "iterations", "iter", "iters", "it", "itr", "n_iter", "update",
        "updates", "num_updates", "train_step", "t", "_step", "epoch", "epochs",
    ),
    "sharpness": (
        "sharpness", "lambda_max", "max_lambda", "lambda_1", "lambda1", "top_eigenvalue", "largest_eigenvalue",
        "max_eigenvalue", "hessian_top", "hessian_max", "top_hessian_eigenvalue", "hessian_top_eigenvalue", "lmax",
        "λ_max", "λmax", "λ_1", "λ1", "max_eig", "eig_max", "top_eig", "max_eigval", "top_eigval", "eigenvalue_max",
        "leading_eigenvalue", "hessian_eigenvalue", "hessian_eig", "sharpness_step", "hessian_spectral_norm", "lam_max",
        "sharp",
    ),
    "lr": ("lr", "learning_rate", "learningrate", "eta", "η", "step_size", "stepsize"),
    "momentum": ("momentum", "beta", "β", "mu", "beta1", "beta_1", "adam_beta1"),
    "loss": ("loss", "train_loss", "training_loss", "loss_train", "full_loss", "objective"),
    "second_sharpness": ("second_sharpness", "lambda_2", "lambda2", "second_eigenvalue", "λ_2", "λ2"),
    "max_stable_sharpness": ("max_stable_sharpness",),
    "preconditioned_sharpness": ("preconditioned_sharpness", "effective_sharpness"),
    "second_preconditioned_sharpness": ("second_preconditioned_sharpness",),
    "clipping_factor": ("clipping_factor",),
}  # fmt: skip
"""Names under which each column is looked for, whatever their case; ' ', '-', '/' and '.' count as '_'."""

_AROUND: Final = frozenset((
    "train", "training", "trainer", "tr", "full", "fullbatch", "metrics", "metric", "stats", "charts", "optim",
    "optimizer", "opt", "sgd", "model", "global", "current", "raw", "history", "log", "logs", "scalars", "summary",
))  # fmt: skip
"""Words around a name that leave its meaning as it is."""

_AROUND_ROLE: Final = {
    "step": frozenset(("num", "number", "count", "idx", "index", "id", "no", "n")),
    "sharpness": frozenset(("hessian", "hess", "curvature", "spectrum", "loss", "epoch")),
    "second_sharpness": frozenset(("hessian", "hess", "curvature", "spectrum", "loss", "epoch")),
    "lr": frozenset(("schedule", "scheduler", "scheduled", "group", "param", "groups", "pg", "epoch")),
    "momentum": frozenset(("lr", "group", "param", "groups", "pg", "epoch")),
    "loss": frozenset(("epoch", "step", "mse", "ce", "mean", "avg", "average", "total")),
}
"""Further ones, by role: "lr-SGD-momentum" is a momentum."""

_OTHER: Final = frozenset((
    "val", "valid", "validation", "test", "eval", "evaluation", "dev", "holdout", "batch", "minibatch", "mini",
    "ema", "smoothed", "preconditioned", "effective", "adaptive", "gn", "gauss", "fisher", "ntk", "min", "max",
    "std",
))  # fmt: skip
"""Words in front of a name by which it is another quantity."""

ADAPTIVE: Final = frozenset((
    "adam", "adamw", "adamax", "nadam", "radam", "amsgrad", "adagrad", "adadelta", "adafactor", "adabelief", "rmsprop",
    "lion", "lamb", "shampoo", "muon", "sophia", "lbfgs",
))  # fmt: skip
"""Optimizers of another threshold, as they stand in names of columns such as "lr-AdamW"."""

_LARGEST: Final = frozenset(("max", "maximum", "maximal", "top", "largest", "leading", "dominant", "biggest"))
_EIGENVALUE: Final = frozenset((
    "eigenvalue", "eigenvalues", "eigval", "eigvals", "eig", "eigs", "eigen", "ev", "evalue", "lambda", "lam", "λ",
    "curvature", "value",
))  # fmt: skip
_HESSIAN: Final = frozenset(("hessian", "hess", "h", "of", "the"))
"""Words that name the sharpness in any order: "max_hessian_eigenvalue"."""

_UNITS: Final = frozenset((
    "1", "lr", "eta", "η", "it", "its", "iter", "iters", "iteration", "iterations", "step", "steps", "update",
    "updates", "a", "u", "au", "arb", "unit", "units", "nats", "nat", "h", "hessian", "β", "beta", "λ", "λmax", "l",
    "s", "w", "weight", "2", "mse", "ce", "train", "training", "full", "gd", "sgd", "lambda", "max", "momentum",
    "float32", "float64",
))  # fmt: skip
"""Words that may stand in brackets behind a name, such as its unit or its symbol."""

_PART: Final = re.compile(r"(layer|block|conv|fc|linear|head|attn|embed)s?\d*")
"""Words that name a part of a network."""

_BRACKETS: Final = re.compile(r"(.*\S)\s*[\[(]([^\[\]()]*)[\])]\s*")

_PREFIX: Final = re.compile(r".*[/|:.](?=[^/|:.]+$)")

_GROUP: Final = re.compile(r"(pg|group)?\d+")

_LONGEST: Final = 200
"""Characters of a name beyond which only a known one is looked for."""


def key(name: Any) -> str:
    """Return a column's name as it is compared.

    >>> key("Train/Loss "), key("lambda-max"), key("# step")
    ('train_loss', 'lambda_max', 'step')
    """
    return re.sub(r"[\s\-/.]+", "_", str(name).strip().lstrip("#").strip()).lower()


def words(name: Any) -> list[str]:
    """Return the words of a name, in lower case.

    >>> words("lr-SGD/pg1"), words("trainLoss"), words("λ₁")
    (['lr', 'sgd', 'pg1'], ['train', 'loss'], ['λ1'])
    """
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", unicodedata.normalize("NFKC", str(name)))
    found = [word.lower() for word in re.split(r"[\W_]+", text) if word]
    joined = re.sub(r"\bfull batch\b", "fullbatch", " ".join(found))
    return joined.split()


@lru_cache(maxsize=4096)
def rank(role: str, name: str) -> float | None:
    """Return how surely a column has a role by its name, 0 the surest; None if it has not.

    Parameters
    ----------
    role
        A key of :data:`ALIASES`.
    name
        A column's name, such as "train/sharpness".

    Returns
    -------
    float or None
        0 for the role itself, 1 for an alias, 2 for one in other words. 3 for one among words that leave its meaning
        as it is, 4 for one behind a prefix that says nothing of it. A mean over an epoch counts half a rank less.

    Examples
    --------
    >>> [rank("sharpness", name) for name in ("sharpness", "Lambda-Max", "lambdaMax", "hessian/lambda_max", "my/lmax")]
    [0, 1, 2, 3, 4]
    >>> [rank("loss", name) for name in ("train_loss", "val_loss", "train/loss_step", "train/loss_epoch")]
    [1, None, 3, 3.5]
    >>> [rank("lr", name) for name in ("lr-SGD", "lr-SGD-momentum", "train/learning_rate", "Learning rate (η)")]
    [3, None, 3, 2]
    """
    aliases = ALIASES[role]
    if name == role:
        return 0
    if key(name) in aliases:
        return 1
    if len(name) > _LONGEST:
        return None
    if (match := _BRACKETS.fullmatch(name)) and _UNITS.issuperset(words(match[2])):
        bare = rank(role, match[1])
        return None if bare is None else max(bare, 2)
    known = _joined(role)
    here = words(name)
    if "".join(here) in known:
        return 2
    if role == "sharpness" and _is_eigenvalue(here):
        return 3
    around = _AROUND | _AROUND_ROLE.get(role, frozenset())
    if _within(here, known, around):
        return 3.5 if "epoch" in here else 3
    *path, last = [part for part in re.split(r"[/|:.]+", name) if words(part)] or [""]
    if path and not is_other(" ".join(path)) and _within(words(last), known, around):
        return 4
    return None


def is_other(text: str) -> bool:
    """Return whether a text has a word by which a name is another quantity.

    >>> is_other("test"), is_other("layer3"), is_other("INFO")
    (True, True, False)
    """
    return any(word in _OTHER or _PART.fullmatch(word) is not None for word in words(text))


def known(role: str, names: Iterable[str]) -> list[str]:
    """Return those of some names that have a role the most surely; several if they are equally sure.

    >>> known("loss", ["val_loss", "train/loss_epoch", "train/loss_step"])
    ['train/loss_step']
    """
    ranks = {name: place for name in names if (place := rank(role, name)) is not None}
    best = min(ranks.values(), default=None)
    return [name for name, place in ranks.items() if place == best]


def prefix(name: str) -> str:
    """Return what stands in front of the last part of a column's name, with its sign; empty if nothing does.

    >>> prefix("selfstab/sharpness"), prefix("sharpness")
    ('selfstab/', '')
    """
    match = _PREFIX.match(name)
    return match[0] if match else ""


def counts_epochs(name: str) -> bool:
    """Return whether a column of steps counts epochs, which may be many updates each.

    >>> counts_epochs("train/epoch"), counts_epochs("global_step")
    (True, False)
    """
    return not {"epoch", "epochs"}.isdisjoint(words(name))


def counts_of_steps(names: Iterable[str]) -> list[str]:
    """Return the columns that count steps, the likeliest first: W&B counts its own calls, an epoch is many updates.

    >>> counts_of_steps(["epoch", "_step", "loss", "trainer/global_step"])
    ['trainer/global_step', '_step', 'epoch']
    """
    aliases = ALIASES["step"]

    def place(name: str) -> tuple[bool, bool, float, int]:
        here = key(name)
        nth = aliases.index(here) if here in aliases else len(aliases)
        return counts_epochs(name), here == "_step", rank("step", name) or 0.0, nth

    return sorted((name for name in names if rank("step", name) is not None), key=place)


@lru_cache(maxsize=16)
def _joined(role: str) -> frozenset[str]:
    # "_step" is W&B's own count; in other words it would be any step.
    return frozenset("".join(words(alias)) for alias in ALIASES[role] if not alias.startswith("_"))


def _is_eigenvalue(here: list[str]) -> bool:
    """Return whether words are those of a largest eigenvalue, in any order."""
    largest, kind = _LARGEST.intersection(here), _EIGENVALUE.intersection(here)
    rest = set(here) - _LARGEST - _EIGENVALUE - _HESSIAN - _AROUND - _AROUND_ROLE["sharpness"]
    return bool(largest and kind and kind != {"value"} and not rest)


def _within(here: list[str], known: frozenset[str], around: frozenset[str]) -> bool:
    """Return whether words without those around them are a name; a lone number counts a group of parameters."""
    first, last = 0, len(here)
    for first in range(len(here)):
        for last in range(len(here), first, -1):
            rest = here[:first] + here[last:]
            if "".join(here[first:last]) in known and all(
                word in around or ("pg" in around and _GROUP.fullmatch(word)) for word in rest
            ):
                return True
    return False
