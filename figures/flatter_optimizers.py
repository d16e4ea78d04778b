"""Which optimizers end flatter: drops and final sharpness against the effective inertia number.

All at one threshold. (a) One catapult on a diagonal linear network, from a minimum at the excess 0.01: the
drop/(2y₀) against κ_e/ε = (κ_x + 2κ_y)/(3ε), with heavy ball's G(κ) (line) and 1 + κ_e + 2κ_e² (dashed). (b) The same
network trained with warmup for equal effective time, with several seeds of the data: mean sharpness at the end. Small
marks are seeds, bars are standard errors, squares are the least after the threshold was passed, and 2× means that two
seeds diverged. (c) A network on digits, (d) another with the cross-entropy, (e) a convolutional network on MNIST. (f)
Adam on the network of (c): preconditioned sharpness, and κ_e at a preconditioner that stands still. (b) to (f) are
stored results. κ_e orders one catapult, and the ends on (b) and (f); on (c) the amplification c₀S*/2 orders the ends
better. QHM .7 .99 falls below heavy ball's line: its overshoot is bounded by 1/(1 − ν).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.experiments.setting import at_rest
from selfstab.experiments.studies import stored
from selfstab.plotting import style
from selfstab.plotting.labels import label_of
from selfstab.verification import universality

from . import families, require, studies

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Flatter minima by other optimizers: drop and final sharpness against the effective inertia number"

EXCESS = 0.01
STEPS = 6000
PANELS = {
    "diagonal": "diagonal network",
    "digits": "64-32-1, digits",
    "cross_entropy": "64-3-10, digits, cross-entropy",
    "convolution": "convolutional, MNIST",
    "adam": "Adam, 64-32-1: preconditioned",
}
AGAIN = ("diagonal", "PHB .9", 0)
"""The piece that is run again: one of the quickest."""


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    out = {"catapults": _catapults(quick)}
    for name, study in studies.STUDIES.items():
        if not studies.path(name).exists():
            continue
        out[name] = stored(study, studies.path(name))
        inertia = [at_rest(optimizer).inertia(1.0).effective for optimizer in study.optimizers.values()]
        out[name]["inertia"] = ("optimizer", np.array(inertia), {"long_name": "kappa_e / excess"})
        amplification = [at_rest(optimizer).amplification() for optimizer in study.optimizers.values()]
        out[name]["amplification"] = ("optimizer", np.array(amplification), {"long_name": "c0 S*/2"})
        out[name].attrs["threshold"] = study.setting.threshold
    name, optimizer, seed = AGAIN
    piece = studies.STUDIES[name].run(optimizer, seed)
    out["again"] = xarray.Dataset({"sharpness": ("record", np.array(piece["sharpness"], dtype=float))})
    return out


def _catapults(quick: bool) -> xarray.Dataset:
    """Return the drops of catapults at one relative excess on the diagonal network, from minimum to minimum."""
    start = universality.STARTS["DiagonalNetwork"]()
    optimizers = dict(list(studies.AT_09.items())[:6]) if quick else studies.AT_09
    names = [name for name in optimizers if name != "EMA .9"]  # at a constant lr it is PHB .9
    overshoot, quiet = np.empty(len(names)), np.empty(len(names))
    for k, name in enumerate(names):
        optimizer = optimizers[name].with_numbers({"lr": optimizers[name].at_excess(start.sharpness, EXCESS)})
        y0 = start.sharpness - optimizer.max_stable_sharpness()
        swing = float(theory.max_displacement(y0, start.slope2))
        first, previous = ss.flip_start(start.loss, start.weights, 1e-3 * swing)
        run = ss.simulate(start.loss, optimizer, first, STEPS, previous=previous, every=STEPS)
        overshoot[k] = (start.sharpness - float(run["sharpness"][-1])) / (2.0 * y0)
        quiet[k] = float(run["loss"][-1] / run["loss"][0])
    inertia = [optimizers[name].inertia(1.0).effective for name in names]
    return xarray.Dataset(
        {
            "overshoot": ("optimizer", overshoot, {"long_name": "drop / (2 y0)"}),
            "loss_left": ("optimizer", quiet, {"long_name": "loss at the end / at the start"}),
            "inertia": ("optimizer", np.array(inertia), {"long_name": "kappa_e / excess"}),
        },
        {"optimizer": np.array(names, dtype=object)},
    )


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    shown = [name for name in PANELS if name in data]
    figure = style.new_figure(style.SINGLE_COLUMN, 1.25 * (1 + len(shown)) + 0.6)
    axes = np.atleast_1d(figure.subplots(1 + len(shown), 1, sharex=True))
    _draw_catapults(data["catapults"], axes[0])
    for ax, name in zip(axes[1:], shown, strict=True):
        _draw_ends(data[name], name, ax)
        ax.set_title(PANELS[name])
    axes[0].set_title(f"one catapult, excess {EXCESS:g}")
    axes[-1].set(
        xlabel=label_of("effective_inertia_number", r"$\kappa_e/\varepsilon$"),
        xscale="log",
        xlim=(0.7, 1500.0),
    )
    _explain(axes[0])
    style.label_panels(list(axes))
    style.shared_legend(figure, [axes[0]], columns=2)
    return figure


def _explain(ax: Axes) -> None:
    """Name the marks for a legend."""
    grey: dict[str, Any] = {"color": "#777777", "linestyle": "none"}
    ax.plot([], [], marker="o", markersize=3.5, label="mean of seeds", **grey)
    ax.plot([], [], marker="o", markersize=1.5, alpha=0.5, label="each seed", **grey)
    ax.plot([], [], marker="s", markersize=3.0, markerfacecolor="none", label="least, mean of seeds", **grey)
    ax.plot([], [], marker="$1×$", markersize=5.0, label="seeds that diverged", **grey)
    ax.plot([], [], color=style.THEORY_COLOUR, linestyle="--", linewidth=0.6, label="threshold $S^*$")


def _draw_catapults(data: xarray.Dataset, ax: Axes) -> None:
    per_excess = np.geomspace(0.8, 500.0, 100)
    kappa = EXCESS * per_excess
    ax.plot(
        per_excess,
        theory.overshoot(kappa),
        color=style.THEORY_COLOUR,
        linewidth=0.8,
        label=r"heavy ball, $G(\kappa)$",
    )
    small = kappa < 0.6
    ax.plot(per_excess[small], (1.0 + kappa + 2.0 * kappa**2)[small], color=style.THEORY_COLOUR, linewidth=0.8,
            linestyle=":", label=r"theory, small $\kappa_e$")  # fmt: skip
    for name, x, y in zip(
        data["optimizer"].values, data["inertia"].values, data["overshoot"].values, strict=True
    ):
        ax.plot(x, y, marker="o", markersize=3.0, linestyle="none", color=_colour(name))
        _name(ax, "catapult", name, x, y)
    ax.set(ylabel=label_of("overshoot"), yscale="log")
    ax.set_yticks([1, 2, 3, 5], ["1", "2", "3", "5"])
    ax.set_yticks([], minor=True)


def _draw_ends(data: xarray.Dataset, panel: str, ax: Axes) -> None:
    ended = data["mean_sharpness"] / data.attrs["threshold"]
    ax.axhline(1.0, color=style.THEORY_COLOUR, linestyle="--", linewidth=0.6)
    for name in data["optimizer"].values:
        at, x = ended.sel(optimizer=name), float(data["inertia"].sel(optimizer=name))
        x *= 1.12 if name.startswith("EMA") else 1.0  # beside heavy ball, whose number it has
        colour = _colour(name)
        ax.plot([x] * at.size, at, marker="o", markersize=1.5, linestyle="none", color=colour, alpha=0.5)
        mean, error, number = _mean(at.values)
        ax.errorbar(
            x, mean, error if number > 1 else None, marker="o", markersize=3.5, color=colour, linewidth=0.8
        )
        least, *_ = _mean((data["least_sharpness"].sel(optimizer=name) / data.attrs["threshold"]).values)
        ax.plot(x, least, marker="s", markersize=3.0, markerfacecolor="none", linestyle="none", color=colour)
        lost = int(np.isfinite(data["diverged_at"].sel(optimizer=name)).sum())
        _name(ax, panel, name, x, mean, lost)
    ax.set_ylabel(label_of("sharpness", "$S/S^*$"))


def _mean(values: np.ndarray) -> tuple[float, float, int]:
    """Return mean, standard error and number of what is finite."""
    values = values[np.isfinite(values)]
    if values.size == 0:
        return np.nan, np.nan, 0
    error = float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else np.nan
    return float(values.mean()), error, values.size


def _colour(name: str) -> str:
    return families.colour(name)


_LEFT, _RIGHT, _BELOW = (-4, 3, "right"), (4, 2, "left"), (-4, -8, "right")
_ASIDE = {
    "catapult": {
        "PHB .5": (-4, 2, "right"), "QHM .7 .9": (-1, 9, "right"), "NAG .9": (2, 15, "right"),
        "AggMo 0 .9": (4, -6, "left"),
        "PHB .8": _LEFT, "QHM .7 .99": (4, -4, "left"), "PHB .9": _LEFT,
    },
    "diagonal": {
        "PHB .5": _BELOW, "QHM .7 .9": (0, 5, "left"), "NAG .9": (-4, -10, "right"), "AggMo 0 .9": (2, -12, "left"),
        "PHB .8": (-4, -8, "right"), "QHM .7 .99": (4, -14, "left"), "PHB .9": (-4, -10, "right"),
        "EMA .9": (4, -8, "left"),
    },
    "digits": {
        "NAG .7": _BELOW, "PHB .5": (-2, 5, "right"), "QHM .7 .9": (2, 5, "left"), "NAG .9": (5, -9, "left"),
        "AggMo 0 .9": (-4, 4, "right"), "PHB .7": (0, 14, "center"), "EMA .7": _RIGHT,
    },
    "cross_entropy": {
        "NAG .7": _BELOW, "PHB .5": (-4, 3, "right"), "QHM .7 .9": (0, 5, "left"), "NAG .9": (-2, -9, "right"),
        "AggMo 0 .9": (0, 9, "left"), "PHB .7": (4, -11, "left"), "EMA .7": _RIGHT,
    },
    "convolution": {"PHB .5": _BELOW, "QHM .7 .9": (-3, 3, "right"), "NAG .9": (4, -7, "left")},
    "adam": {},
}  # fmt: skip
"""Where a name stands beside its mark, in points, by panel; to the right by default."""


def _name(ax: Axes, panel: str, name: str, x: float, y: float, lost: int = 0) -> None:
    from matplotlib.patheffects import withStroke

    if np.isfinite(y):
        *aside, side = _ASIDE[panel].get(name, _RIGHT)
        text = name + (f" ({lost}×)" if lost else "")
        ax.annotate(
            text,
            (x, y),
            aside,
            textcoords="offset points",
            ha=side,
            fontsize=5.0,
            color=_colour(name),
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
        )


def ranks(data: xarray.Dataset, by: str, number: str = "mean_sharpness") -> float:
    """Return Spearman's rank correlation of a number of the optimizers with one of how they end, over seeds."""
    from scipy.stats import spearmanr

    mean = data[number].mean("seed").values
    inside = np.isfinite(mean)
    return float(spearmanr(data[by].values[inside], mean[inside]).statistic)


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    """Return the numbers; the stored piece that is run again must be the stored one until its catapult."""
    lines = []
    part = data["catapults"]
    require((part["loss_left"] < 1e-2).all(), "a catapult's swing has not died at its end")
    for name in part["optimizer"].values:
        at = part.sel(optimizer=name)
        kappa, measured = EXCESS * float(at["inertia"]), float(at["overshoot"])
        lines.append(
            f"{name}: κ_e {kappa:.3f} at excess {EXCESS:g}, drop/(2y₀) {measured:.3f}, 1 + κ_e + 2κ_e² "
            f"{1.0 + kappa + 2.0 * kappa**2:.3f}, heavy ball's G(κ_e) {float(theory.overshoot(kappa)):.3f}."
        )
        if kappa < 0.2:
            # The relative drop 2εG, of 0.02, is the size of what the law leaves out.
            require(
                abs(measured / (1.0 + kappa + 2.0 * kappa**2) - 1.0) < 0.03,
                f"{name}: the overshoot is {measured:.3f}, not the law's",
            )
    for name in studies.STUDIES:
        lines += _ended(name, data[name]) if name in data else [f"{name}: nothing is stored."]
    lines.append(_reproduced(data))
    return lines


def _ended(name: str, data: xarray.Dataset) -> list[str]:
    """Return a study's means; each must be that of the stored records."""
    setting = studies.STUDIES[name].setting
    lines = []
    for optimizer in data["optimizer"].values:
        at = data.sel(optimizer=optimizer)
        _, steps, every = setting.plan(studies.STUDIES[name].optimizers[optimizer])
        step = np.arange(data.sizes["record"]) * every
        window = (step >= 0.75 * steps) & (step <= steps)
        own = at["sharpness"].values[:, window].mean(axis=1)
        finite = np.isfinite(at["mean_sharpness"].values)
        differing = np.abs(own[finite] / at["mean_sharpness"].values[finite] - 1.0)
        require(finite.any() or not at["present"].any() or np.isfinite(at["diverged_at"]).any(),
                f"{name}, {optimizer}: no number of the end is stored")  # fmt: skip
        require((differing < 1e-6).all(), f"{name}, {optimizer}: stored means are not those of the records")
        mean, error, number = _mean(at["mean_sharpness"].values / setting.threshold)
        least, *_ = _mean(at["least_sharpness"].values / setting.threshold)
        spread = f" ± {error:.3f}" if number > 1 else ""
        lost = int(np.isfinite(at["diverged_at"]).sum())
        lines.append(
            f"{name}, {optimizer}: κ_e/ε {float(at['inertia']):.1f}, amplification {float(at['amplification']):.2f}, "
            f"mean sharpness/S* {mean:.3f}{spread}, "
            + (f"least {least:.3f}" if np.isfinite(least) else "no record above S*")
            + f", test loss "
            f"{_mean(at['final_test_loss'].values)[0]:.3g}; {number} runs, {lost} diverged."
        )
    if not np.isfinite(data["least_sharpness"]).any():
        return lines
    lines.append(
        f"{name}: rank correlation with κ_e of the mean sharpness {ranks(data, 'inertia'):.2f}, of the least "
        f"{ranks(data, 'inertia', 'least_sharpness'):.2f}; with the amplification "
        f"{ranks(data, 'amplification'):.2f} and {ranks(data, 'amplification', 'least_sharpness'):.2f}."
    )
    return lines


def _reproduced(data: dict[str, xarray.Dataset]) -> str:
    name, optimizer, seed = AGAIN
    before = data[name].sel(optimizer=optimizer, seed=seed)
    _, _, every = studies.STUDIES[name].setting.plan(studies.STUDIES[name].optimizers[optimizer])
    until = int(before["crossed_at"]) // every + 1
    again = data["again"]["sharpness"].values[:until]
    off = float(np.abs(again / before["sharpness"].values[:until] - 1.0).max())
    require(
        off < 1e-6,
        f"{name}, {optimizer}, seed {seed}: the stored sharpness differs by {off:.1e} before its catapult",
    )
    return f"Of {name}, {optimizer}, seed {seed}, {until} records until the catapult are the stored ones to {off:.0e}."
