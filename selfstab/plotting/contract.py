"""What drawings of runs ask of a dataset: its variables, said once, and checked before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from selfstab import validation

_SIMULATE: Final = "a run of simulate"
_SWING: Final = "a run of observables.swing"


@dataclass(frozen=True)
class Variable:
    """A variable of a run's dataset: its dimensions, what it holds, and what gives it."""

    along: tuple[str, ...]
    meaning: str
    given_by: str


RUN_VARIABLES: Final = {
    "step": Variable(("step",), "the steps recorded", _SIMULATE),
    "loss": Variable(("step",), "the loss L", _SIMULATE),
    "sharpness": Variable(("step",), "the largest eigenvalue S of the Hessian, 1/lr", _SIMULATE),
    "max_stable_sharpness": Variable(("step",), "the threshold S*, 1/lr", _SIMULATE),
    "diverged_at": Variable((), "the step of the divergence, -1 without one", _SIMULATE),
    "effective_time": Variable(
        ("step",),
        "the sum of lr/(1 - momentum) over the steps before, 1/sharpness",
        "a run with it assigned",
    ),
    "displacement": Variable(("step",), "x, from the minimum along the top eigenvector, weight", _SWING),
    "excess_sharpness": Variable(("step",), "y = S - S*, 1/lr", _SWING),
    "peak_excess_sharpness": Variable((), "y0, the excess sharpness at the minimum, 1/lr", _SWING),
    "stabilization": Variable((), "b^2 = |dS/dw|^2 along the minima", _SWING),
    "predicted_final_sharpness": Variable((), "S* - y0(2G(kappa) - 1) of the overshoot law, 1/lr", _SWING),
    "explicit_step": Variable(
        ("explicit",), "steps at which the whole Hessian was taken", "a run with it assigned"
    ),
    "explicit_sharpness": Variable(
        ("explicit",), "its largest eigenvalue there, 1/lr", "a run with it assigned"
    ),
    "window_mean": Variable(
        (), "the mean sharpness of the last quarter, 1/lr", "a run with how it ends assigned"
    ),
    "least_after_crossing": Variable(
        (), "the least sharpness after it passed S*, 1/lr", "a run with how it ends assigned"
    ),
    "end": Variable((), "the sharpness at the last step, 1/lr", "a run with how it ends assigned"),
}
"""Name to variable. A run's attribute ``optimizer`` (JSON: lr, momentum) says whose it is; ``flow`` names a flow."""


def require(
    name: str,
    data: Any,
    variables: Mapping[str, tuple[str, ...] | None],
    made_by: str,
    *,
    attrs: tuple[str, ...] = (),
) -> None:
    """Raise unless `data` is a dataset that holds what is to be drawn.

    Parameters
    ----------
    name
        The argument's name, for the message.
    data
        What was passed.
    variables
        Names of variables or coordinates, and the dimensions of each in any order (None: any dimensions).
    made_by
        What has them, for the message.
    attrs
        Names of attributes.

    Raises
    ------
    TypeError
        If it is no dataset.
    ValueError
        If something is missing.

    Examples
    --------
    >>> import xarray
    >>> data = xarray.Dataset({"phase": ("lr", [1, 2])})
    >>> require("data", data, {"overshoot": None}, "a sweep with measure 'overshoot'")
    Traceback (most recent call last):
    ...
    ValueError: data must have the variable overshoot (a sweep with measure 'overshoot'), got phase
    """
    import xarray

    if not isinstance(data, xarray.Dataset):
        raise TypeError(f"{name} must be a dataset ({made_by}), got {validation.shown(data)}")
    for kind, required, present in (
        ("variable", variables, data.variables),
        ("attribute", attrs, data.attrs),
    ):
        if missing := [word for word in required if word not in present]:
            what = f"the {kind}{'s' * (len(missing) > 1)} {', '.join(missing)}"
            raise ValueError(
                validation.one_line(
                    f"{name} must have {what} ({made_by}), got {', '.join(map(str, present)) or 'none'}"
                )
            )
    for word, dims in variables.items():
        if dims is not None and {*data[word].dims} != {*dims}:
            along = ", ".join(dims) or "no dimension"
            raise ValueError(
                f"{name} must have {word} along {along} ({made_by}), "
                f"got it along {', '.join(map(str, data[word].dims)) or 'no dimension'}"
            )


def require_run(run: Any, *names: str, name: str = "run", settings: bool = True) -> None:
    """Raise unless a run's dataset has these variables, along the dimensions of :data:`RUN_VARIABLES`.

    Parameters
    ----------
    run
        What was passed.
    *names
        Variables that are drawn.
    name
        The argument's name, for the message.
    settings
        Whether the run must carry its attribute ``optimizer``.

    Raises
    ------
    TypeError, ValueError
        If it is no dataset, or something is missing; the message says what gives it.

    Examples
    --------
    >>> import selfstab as ss
    >>> run = ss.simulate(ss.Quadratic([1.0]), ss.HeavyBall(0.1), [1.0], 3)
    >>> require_run(run, "step", "displacement")
    Traceback (most recent call last):
    ...
    ValueError: run must have the variable displacement (a run of observables.swing), got ...
    """
    variables = getattr(run, "variables", ())
    absent = [word for word in names if word not in variables]
    source = RUN_VARIABLES[absent[0]].given_by if absent else _SIMULATE
    require(
        name, run, {word: RUN_VARIABLES[word].along for word in names}, source,
        attrs=("optimizer",) if settings else (),
    )  # fmt: skip
