"""Gradient descent and heavy ball at the same threshold on one network: what the figures of networks share.

Equal steps are not equal time, since at the same threshold heavy ball moves (1 + β)/(1 − β) times as far in a step. So
it is compared with gradient descent twice: at as many steps, and at as much effective time Σ η_t/(1 − β), with a
warmup longer by the same factor. Every step's gradient carries seeded noise of 1e-7. Without noise, a run can converge
before the warmup brings the threshold down to its sharpness. Then no oscillation is left that could grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab.eigen import pairs
from selfstab.experiments.comparison import Ending
from selfstab.experiments.setting import effective_times
from selfstab.plotting import methods, runs, style
from selfstab.runs.together import simulate_together

from . import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from selfstab.losses.base.loss import Loss

MOMENTUM = 0.9
STRETCH = 19
"""(1 + β)/(1 − β), steps of gradient descent in the effective time of one of heavy ball."""
NOISE = 1e-7
METHODS = {"phb": (MOMENTUM, 1), "gd_steps": (0.0, 1), "gd": (0.0, STRETCH)}
"""Momentum, and steps as a multiple of heavy ball's."""
KINDS = {"constant": "Constant lr", "warmup": "Warmup"}
WORDS = {"phb": "PHB", "gd_steps": "GD, equal steps", "gd": "GD, equal time"}
LOOKS = {
    "phb": {"color": methods.METHOD_COLOURS["PHB"]},
    "gd_steps": {"color": methods.METHOD_COLOURS["GD"], "markerfacecolor": "none", "linestyle": "--"},
    "gd": {"color": methods.METHOD_COLOURS["GD"]},
}


@dataclass(frozen=True)
class ComparedRuns:
    """A comparison: the loss and its start, heavy ball's steps and warmup, and the thresholds S* at the end."""

    loss: Loss
    start: np.ndarray
    steps: int
    warmup: int
    threshold: float
    scan: tuple[float, ...]
    records: int
    explicit: int


def compute(setting: ComparedRuns) -> dict[str, xarray.Dataset]:
    """Return the runs by name (constant_phb, ..., warmup_gd) and the final sharpness over a range of thresholds."""
    from threadpoolctl import threadpool_limits

    # Job: threshold, kind and method. The scan's runs at the threshold shown are the runs shown.
    jobs = [(setting.threshold, kind, name) for kind in KINDS for name in METHODS]
    jobs += [(at, "warmup", name) for at in setting.scan for name in METHODS if at != setting.threshold]
    # Runs of one momentum advance together; the longest begin first, beside the others.
    groups = [
        [job for job in jobs if job[2] == name] for name in sorted(METHODS, key=lambda m: -METHODS[m][1])
    ]
    # One BLAS thread each, so that the bits do not depend on who runs beside.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(2) as pool:
        runs = {
            job: run
            for group, results in zip(
                groups, pool.map(lambda group: _runs(setting, group), groups), strict=True
            )
            for job, run in zip(group, results, strict=True)
        }
    out = {f"{kind}_{name}": runs[setting.threshold, kind, name] for kind in KINDS for name in METHODS}
    scan = xarray.Dataset(coords={"threshold": ("threshold", np.array(setting.scan), {
        "long_name": "threshold S* after the warmup", "units": "1/lr"})})  # fmt: skip
    for name in METHODS:
        values = [float(runs[at, "warmup", name]["window_mean"]) for at in setting.scan]
        scan[name] = ("threshold", np.array(values), {
            "long_name": f"{WORDS[name]}: last quarter's mean sharpness (NaN: diverged)", "units": "1/lr"})  # fmt: skip
        crossed = [bool(np.isfinite(runs[at, "warmup", name]["least_after_crossing"])) for at in setting.scan]
        scan.coords[f"{name}_crossed"] = (
            "threshold",
            crossed,
            {"long_name": "whether the sharpness passed S* at a record"},
        )
    return out | {"scan": scan}


def _runs(setting: ComparedRuns, jobs: list[tuple[float, str, str]]) -> list[xarray.Dataset]:
    """Return the runs of one method."""
    optimizers, lengths, strides = zip(*(_plan(setting, *job) for job in jobs), strict=True)
    runs = simulate_together(
        setting.loss, optimizers, [setting.start] * len(jobs), lengths, every=strides,
        keep=("loss", "sharpness", "weights"), noise=NOISE,
    )  # fmt: skip
    return [
        _measured(setting, threshold == setting.threshold, optimizer, steps, run)
        for (threshold, *_), optimizer, steps, run in zip(jobs, optimizers, lengths, runs, strict=True)
    ]


def _plan(setting: ComparedRuns, threshold: float, kind: str, name: str) -> tuple[ss.HeavyBall, int, int]:
    """Return a run's optimizer, its steps, and the steps between its records."""
    momentum, stretch = METHODS[name]
    lr = 2.0 * (1.0 + momentum) / threshold
    steps = setting.steps * stretch
    optimizer = ss.HeavyBall(
        ss.LinearWarmup(0.02 * lr, lr, setting.warmup * stretch) if kind == "warmup" else lr, momentum
    )
    # Odd: at an even distance all records could lie on the same side of an oscillation of period two.
    every = (steps // (setting.records if threshold == setting.threshold else 40)) | 1
    return optimizer, steps, every


def _measured(
    setting: ComparedRuns, drawn: bool, optimizer: ss.HeavyBall, steps: int, run: xarray.Dataset
) -> xarray.Dataset:
    """Return a run with the numbers of its end; one that is drawn with sharpnesses of the explicit Hessian."""
    run["effective_time"] = (
        "step",
        effective_times(optimizer, steps)[run["step"].values],
        {"long_name": "sum of lr/(1 - momentum)", "units": "1/sharpness"},
    )
    if drawn and setting.explicit:
        at = np.unique(np.linspace(0, run.sizes["step"] - 1, setting.explicit).astype(int))
        run["explicit_step"] = ("explicit", run["step"].values[at])
        run["explicit_sharpness"] = ("explicit", _explicit(setting.loss, run["weights"].values[at]))
        run["explicit_sharpness"].attrs = {
            "long_name": "top eigenvalue of the explicit Hessian",
            "units": "1/lr",
        }
    sharpness, limit = run["sharpness"].values, run["max_stable_sharpness"].values
    ending = Ending.of(run["step"].values, sharpness, limit, steps)
    ended = int(run["diverged_at"]) < 0
    least = np.nan if not ended or ending.least is None else sharpness[ending.least]
    numbers = {
        "window_mean": (ending.mean if ended else np.nan, "mean sharpness over the last quarter"),
        "least_after_crossing": (least, "least sharpness after it passed S*"),
        "end": (ending.final if ended else np.nan, "sharpness at the last step"),
    }  # fmt: skip
    for key, (value, long_name) in numbers.items():
        run[key] = ((), value, {"long_name": long_name, "units": "1/lr"})
    return run.drop_vars(["weights", "weight"])


def _explicit(loss: Loss, weights: np.ndarray) -> list[float]:
    values, guess = [], None
    for w in weights:
        pair = pairs.top_eigenpair(loss.hessian(w), guess=guess)
        guess = pair.vector
        values.append(pair.value)
    return values


def draw(data: Mapping[str, xarray.Dataset]) -> Figure:
    """Return the figure: loss and sharpness without and with warmup, how runs end, and a range of thresholds."""
    figure = style.new_figure(style.DOUBLE_COLUMN, 3.9)
    axes = figure.subplots(2, 3, width_ratios=[1, 1, 0.9])
    for column, (kind, title) in enumerate(KINDS.items()):
        loss, sharpness = axes[:, column]
        for name in ("gd", "gd_steps", "phb"):
            run = data[f"{kind}_{name}"]
            look = {"label": WORDS[name], "linestyle": "--" if name == "gd_steps" else "-", "linewidth": 0.8}
            runs.draw_loss(run, loss, against="effective_time", **look)
            runs.draw_sharpness(run, sharpness, against="effective_time", threshold=name == "gd", **look)
        limit = float(data[f"{kind}_gd"]["max_stable_sharpness"][-1])
        sharpness.set_ylim(0.0, 1.6 * limit)
        loss.set_ylim(top=3.0 * float(data[f"{kind}_gd"]["loss"].max()))
        for run in (data[f"{kind}_{name}"] for name in METHODS):
            if int(run["diverged_at"]) >= 0:
                runs.mark_divergence(run, loss, "loss", against="effective_time")
                runs.mark_divergence(run, sharpness, "sharpness", against="effective_time")
        if kind == "constant":  # all happens in the first steps
            first = float(data["constant_gd"]["effective_time"][1])
        else:  # in equal steps gradient descent covers a small part of heavy ball's time
            first = 0.2 * float(data["warmup_gd_steps"]["effective_time"][-1])
        for ax in (loss, sharpness):
            ax.set_xscale("symlog", linthresh=first)
            ax.set_xlim(left=-0.05 * first)
        loss.set_xlabel("")
        loss.set_title(title.lower())
        sharpness.set_title(title.lower())
    groups = {
        title.lower(): {name: data[f"{kind}_{name}"] for name in METHODS} for kind, title in KINDS.items()
    }
    runs.draw_final_sharpness(groups, axes[0, 2], hollow=("gd_steps",))
    axes[0, 2].set_title("at the end")
    runs.draw_threshold_scan(data["scan"], axes[1, 2], words=WORDS, looks=LOOKS)
    axes[1, 2].set_title("warmup, range of lr")
    style.label_panels(list(axes.flat))
    style.shared_legend(figure, [axes[1, 2], axes[0, 2]], columns=8)
    return figure


def check(data: Mapping[str, xarray.Dataset]) -> list[str]:
    """Return the numbers shown; gradient descent must stay at the threshold, and heavy ball end flatter."""
    lines = []
    for kind, words in KINDS.items():
        for name, word in WORDS.items():
            run = data[f"{kind}_{name}"]
            limit = float(run["max_stable_sharpness"][-1])
            end = f"{words}, {word}: "
            if int(run["diverged_at"]) >= 0:
                require(name != "gd", f"{kind} {name}: gradient descent diverges at S* = {limit:g}")
                lines.append(end + f"diverged at step {int(run['diverged_at'])} (threshold {limit:g}).")
                continue
            mean, least, last = (float(run[v]) for v in ("window_mean", "least_after_crossing", "end"))
            lines.append(
                end + f"sharpness {mean:.3f} in the mean over the last quarter, "
                + (f"{least:.3f} at least after crossing, " if np.isfinite(least) else "no record above threshold, ")
                + f"{last:.3f} at the end (threshold {limit:g}); loss {float(run['loss'][-1]):.2g}."
            )  # fmt: skip
            if name == "gd":
                require(
                    abs(mean / limit - 1.0) < 0.03,
                    f"{kind} {name}: gradient descent stays at {mean:.3f}, not at S* = {limit:g}",
                )
        for name in METHODS:
            run = data[f"{kind}_{name}"]
            if "explicit_sharpness" in run:
                error = _disagreement(run)
                require(
                    error < 1e-8, f"{kind} {name}: Lanczos and the explicit Hessian differ by {error:.1e}"
                )
    phb, gd = data["warmup_phb"], data["warmup_gd"]
    require((phb["sharpness"] > phb["max_stable_sharpness"]).any(), "heavy ball does not cross the threshold")
    require(
        float(phb["window_mean"]) < float(gd["window_mean"]), "heavy ball does not end flatter at equal time"
    )
    if "explicit_sharpness" in phb:
        worst = max(_disagreement(data[f"{kind}_{name}"]) for kind in KINDS for name in METHODS)
        lines.append(
            f"Sharpness by Lanczos equals the explicit Hessian's at the points drawn to {worst:.0e}."
        )
    scan = data["scan"]
    for row, at in enumerate(scan["threshold"].values):
        phb, gd, steps = (_ended(scan.isel(threshold=row), name) for name in ("phb", "gd", "gd_steps"))
        ratio = float(scan["phb"][row] / scan["gd"][row])
        verdict = f"; PHB over GD at equal time {ratio:.3f}" if np.isfinite(ratio) else ""
        lines.append(
            f"Warmup to S* = {at:g}: PHB {phb}, GD {gd} at equal time and {steps} at equal steps{verdict}."
        )
    return lines


def _ended(at: xarray.Dataset, name: str) -> str:
    if not np.isfinite(at[name]):
        return "diverged"
    return f"{float(at[name]):.3f}" + ("" if at[f"{name}_crossed"] else " (above S* at no record)")


def _disagreement(run: xarray.Dataset) -> float:
    explicit = run["explicit_sharpness"].values
    return float(np.abs(run["sharpness"].sel(step=run["explicit_step"].values).values / explicit - 1.0).max())
