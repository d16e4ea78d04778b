"""Surveys: how matched runs end over a grid of settings, and whether heavy ball ends flatter beyond the spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import former_names, validation
from selfstab.experiments.comparison import (
    Job,
    assign_numbers,
    checked,
    described_by,
    run_all,
)
from selfstab.experiments.setting import Setting
from selfstab.experiments.tasks import Task, as_task
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

AXES: Final = ("threshold", "momentum", "warmup", "scale")
"""What a survey varies."""


def survey(
    task: Task | Loss,
    setting: Setting,
    axes: Mapping[str, Sequence[float]],
    *,
    optimizers: Mapping[str, Optimizer] | None = None,
    threads: int | None = None,
) -> xarray.Dataset:
    """Run every combination of the axes' values by heavy ball and by matched gradient descent, and keep how they end.

    Parameters
    ----------
    task, setting
        As for :func:`compare`.
    axes
        Values by name, ascending: threshold, momentum, warmup, scale. With `warmup`, the steps grow in proportion; with
        `momentum`, steps and warmup change so that effective time does not.
    optimizers
        As for :func:`compare`; with them `momentum` is no axis.
    threads
        As for :func:`compare`.

    Returns
    -------
    xarray.Dataset
        Dimensions: the axes' names in order, then optimizer and seed. Variables: the numbers of a run as in
        :func:`compare`. If threshold or momentum is an axis and no optimizers are given, there is a coordinate ``lr``
        of heavy ball along them.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range; nothing has run then.

    Examples
    --------
    >>> from selfstab.experiments import Setting, SparseRegression
    >>> task = SparseRegression(samples=6, features=8, nonzeros=2, held_out=20)
    >>> setting = Setting(threshold=3.0, momentum=0.5, warmup=20, steps=40, scale=0.3, records=8, seeds=(0,))
    >>> data = survey(task, setting, {"threshold": [3.0, 4.0]}, threads=1)
    >>> data.mean_sharpness.dims
    ('threshold', 'optimizer', 'seed')
    """
    return surveys(task, setting, [axes], optimizers=optimizers, threads=threads)[0]


def surveys(
    task: Task | Loss,
    setting: Setting,
    grids: Sequence[Mapping[str, Sequence[float]]],
    *,
    optimizers: Mapping[str, Optimizer] | None = None,
    threads: int | None = None,
) -> list[xarray.Dataset]:
    """Return the survey of each grid; what occurs in several grids is run once.

    Parameters
    ----------
    task, setting, optimizers, threads
        As for :func:`survey`.
    grids
        Axes of each survey.

    Returns
    -------
    list of xarray.Dataset
        As :func:`survey` returns.

    Raises
    ------
    TypeError, ValueError
        As for :func:`survey`.

    Examples
    --------
    >>> from selfstab.experiments import Setting, SparseRegression
    >>> task = SparseRegression(samples=6, features=8, nonzeros=2, held_out=20)
    >>> setting = Setting(threshold=3.0, momentum=0.5, warmup=20, steps=40, scale=0.3, records=8, seeds=(0,))
    >>> grids = [{"threshold": [3.0, 4.0]}, {"momentum": [0.3, 0.5]}]
    >>> [dict(data.sizes)["optimizer"] for data in surveys(task, setting, grids, threads=1)]
    [3, 3]
    """
    task = as_task(task)
    methods = checked(task, setting, optimizers)
    columns = [_checked_axes(axes) for axes in grids]
    if optimizers is not None and any("momentum" in values for values in columns):
        raise ValueError(
            "axes must not hold momentum where optimizers are given, which have their own: "
            "give optimizers of several momenta"
        )
    jobs = [
        [
            Job(task, at, name, seed, optimizer)
            for at in (varied(setting, point) for point in _points(values))
            for name, optimizer in methods.items()
            for seed in setting.seeds
        ]
        for values in columns
    ]
    results = iter(run_all([job for grid in jobs for job in grid], threads))
    return [
        _dataset(setting, values, grid, [next(results) for _ in grid])
        for values, grid in zip(columns, jobs, strict=True)
    ]


def _checked_axes(axes: Any) -> dict[str, Array]:
    """Return the axes' values by name, or raise."""
    if not isinstance(axes, Mapping):
        raise TypeError(f"axes must map names to values, got {validation.shown(axes)}")
    names = validation.some_of("axes", tuple(axes), AXES)
    if not names:
        raise ValueError("axes must hold at least one name, got none")
    values = {name: validation.floats(f"axes[{name!r}]", list(axes[name]), shape=(None,)) for name in names}
    for name, column in values.items():
        if column.size == 0 or (np.diff(column) <= 0.0).any():
            raise ValueError(f"axes[{name!r}] must be ascending, got {validation.shown(axes[name])}")
    return values


def _points(values: Mapping[str, Array]) -> list[dict[str, float]]:
    return [
        dict(zip(values, point, strict=True))
        for point in product(*(column.tolist() for column in values.values()))
    ]


def _dataset(
    setting: Setting, values: Mapping[str, Array], jobs: Sequence[Job], results: list[dict[str, Any]]
) -> xarray.Dataset:
    import xarray

    names = tuple(values)
    methods = list({job.method: job for job in jobs}.values())
    optimizers = np.array([job.method for job in methods], dtype=object)
    data = xarray.Dataset(coords={**values, "optimizer": optimizers, "seed": list(setting.seeds)})
    dims = (*names, "optimizer", "seed")
    assign_numbers(data, dims, results, tuple(data.sizes[name] for name in dims))
    along = tuple(name for name in names if name in ("threshold", "momentum"))
    if along and methods[0].optimizer is None:
        beta = data["momentum"] if "momentum" in along else xarray.DataArray(setting.momentum)
        threshold = data["threshold"] if "threshold" in along else setting.threshold
        lr = xarray.apply_ufunc(_lr_at, beta, threshold, vectorize=True).transpose(*along)
        data = data.assign_coords(
            lr=(along, lr.values, {"long_name": "heavy ball's learning rate", "units": "1/sharpness"})
        )
    units = {"threshold": "1/lr", "momentum": "1", "warmup": "step", "scale": "1"}
    words = {
        "threshold": "threshold S* after the warmup", "momentum": "heavy ball's momentum",
        "warmup": "heavy ball's steps of warmup", "scale": "factor of the initial weights",
    }  # fmt: skip
    for name in names:
        data[name].attrs = {"long_name": words[name], "units": units[name]}
    data.attrs.update(described_by(jobs[0].task, setting, methods), versions=results[0]["versions"])
    return former_names.with_old_names(data, former_names.COMPARISON)


def varied(setting: Setting, values: Mapping[str, float]) -> Setting:
    """Return the setting at a point of a survey: as many steps to a step of warmup, and as much effective time."""
    new: dict[str, Any] = dict(values)
    longer = 1.0
    if "warmup" in new:
        new["warmup"] = validation.whole("warmup", new["warmup"], at_least=1)
        if setting.warmup == 0:
            raise ValueError("setting must have a warmup where it is an axis, got 0")
        longer = new["warmup"] / setting.warmup
    if "momentum" in new:
        slower = setting.stretch / replace(setting, momentum=new["momentum"]).stretch
        new["warmup"] = round(slower * new.get("warmup", setting.warmup))
        longer *= slower
    return replace(setting, **new, steps=max(1, round(longer * setting.steps)))


def verdict(
    data: xarray.Dataset, number: str = "mean_sharpness", against: str = "gd_time", of: str = "phb"
) -> xarray.Dataset:
    """Return whether heavy ball's number is below gradient descent's, beyond the spread of the seeds.

    Or one optimizer's below another's.

    Parameters
    ----------
    data
        What :func:`survey` or :func:`compare` returns.
    number
        One of the runs' numbers, such as mean_sharpness or final_test_loss.
    against
        Which gradient descent: gd_time or gd_steps; or another optimizer of `data`.
    of
        The optimizer that is compared with it.

    Returns
    -------
    xarray.Dataset
        Variables along the survey's axes:

        - ``difference``: heavy ball's number, divided by gradient descent's, minus 1; the mean of the seeds;
        - ``spread``: its standard error;
        - ``sign``: the sign of the difference if it is more than two standard errors and two seeds are compared, else
          0;
        - ``compared``: the number of seeds compared, in which both crossed the threshold and neither diverged;
        - ``crossed``, ``crossed_gd``: the share of seeds in which heavy ball, or gradient descent, crossed it;
        - ``diverged``, ``diverged_gd``: the share in which it diverged.

    Raises
    ------
    TypeError, ValueError
        If data lacks what is needed, or an argument is not known.

    Examples
    --------
    >>> from selfstab.experiments import Setting, SparseRegression
    >>> task = SparseRegression(samples=6, features=8, nonzeros=2, held_out=20)
    >>> setting = Setting(threshold=3.0, momentum=0.5, warmup=20, steps=40, scale=0.3, records=8, seeds=(0,))
    >>> int(verdict(survey(task, setting, {"threshold": [3.0]}, threads=1)).sign)
    0
    """
    import xarray

    if not isinstance(data, xarray.Dataset) or not {"optimizer", "seed"} <= {*data.dims}:
        raise TypeError(f"data must be what survey or compare returns, got {validation.shown(data)}")
    numbers = [
        str(name)
        for name in data.data_vars
        if {"optimizer", "seed"} <= {*data[name].dims} and "record" not in data[name].dims
    ]
    validation.one_of("number", number, numbers)
    optimizers = [str(name) for name in data["optimizer"].values]
    validation.one_of("of", of, optimizers)
    validation.one_of("against", against, [name for name in optimizers if name != of])
    heavy, plain = (data.sel(optimizer=name, drop=True) for name in (of, against))
    both = heavy["crossed_at"].notnull() & plain["crossed_at"].notnull()
    ratio = (heavy[number] / plain[number] - 1.0).where(both)
    count = ratio.count("seed")
    mean = ratio.mean("seed")
    # Not by std: older xarray warns where a single seed has no spread.
    variance = ((ratio - mean) ** 2).sum("seed") / (count - 1).where(count > 1)
    error = np.sqrt(variance) / np.sqrt(count)
    beyond = (count >= 2) & (abs(mean) > 2.0 * error)
    sign = (1 - 2 * (mean < 0.0).astype(np.int8)).where(beyond, 0).astype(np.int8)
    out = xarray.Dataset({"difference": mean, "spread": error, "sign": sign, "compared": count})
    out["crossed"] = heavy["crossed_at"].notnull().mean("seed")
    out["crossed_gd"] = plain["crossed_at"].notnull().mean("seed")
    out["diverged"] = heavy["diverged_at"].notnull().mean("seed")
    out["diverged_gd"] = plain["diverged_at"].notnull().mean("seed")
    described = {
        "difference": f"{number}: heavy ball's over gradient descent's - 1",
        "spread": "standard error over seeds",
        "sign": "sign of the difference beyond two standard errors, else 0",
        "compared": "seeds compared",
        "crossed": "share of seeds in which heavy ball's sharpness passed S* at a record",
        "crossed_gd": "share of seeds in which gradient descent's did",
        "diverged": "share of seeds in which heavy ball diverged",
        "diverged_gd": "share of seeds in which gradient descent diverged",
    }
    for name, long_name in described.items():
        out[name].attrs = {"long_name": long_name, "units": "1"}
    return out.squeeze()


def _lr_at(momentum: float, threshold: float) -> float:
    return float(HeavyBall(1.0, momentum).at_excess(threshold))
