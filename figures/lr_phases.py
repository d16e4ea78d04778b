"""Phase diagrams over the learning rate: momentum, warmup, and the start.

The cubic Taylor model and the product loss. Left: from a minimum of sharpness S with a small swing, over momentum.
Middle: β = 0.9 from the minimum with a linear warmup from 0 to η in W steps, then constant, with a gradient noise of
1e-7. Where a short warmup ends in divergence, a long one ends in a catapult, which comes as soon as η has passed the
threshold. Right: η = 1.8/S, starts at rest off the minimum; beyond the dashed line the sharpness at the start exceeds
S*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import selfstab as ss
from selfstab import phases, theory
from selfstab.plotting import phase_diagrams, style
from selfstab.plotting.labels import label_of

from . import outcomes, require

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Phase diagrams over the learning rate: momentum, warmup, and the start"

SHARPNESS = {"cubic_taylor": 1.0, "product": 4.0}
LOSSES = {"cubic_taylor": "CubicTaylor", "product": "Product"}
SWING = 1e-6
BETA = 0.9
NOISE = 1e-7
FIXED = 1.8
"""ηS where the start varies."""
STEPS = 6000
NEAR = 1.2
"""Up to here above the threshold, as a multiple of it, every run must leave its minimum; far beyond, some that are
thrown at once count as oscillating."""
WARMUPS = (10, 5000)
WARMUP_STEPS = 8000


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    cells, noisy = (
        (96, 28) if quick else (320, 64)
    )  # each step's noise costs as much as twenty of its updates
    out = {}
    for name, sharpness in SHARPNESS.items():
        loss = ss.CubicTaylor(sharpness) if name == "cubic_taylor" else ss.Product()
        minimum = loss.minimum() if name == "cubic_taylor" else loss.minimum(sharpness=sharpness)
        start, previous = ss.flip_start(loss, minimum, size=SWING)
        settings = {"measure": ["phase", "overshoot"], "progress": False}
        lr = np.linspace(0.2, 2.2 * 2.0, cells) / sharpness
        momentum = np.linspace(0.0, 0.98, cells)
        out[f"{name}_momentum"] = ss.sweep(
            loss,
            ss.HeavyBall(1.0),
            {"momentum": momentum, "lr": lr},
            start=start,
            previous=previous,
            steps=STEPS,
            **settings,
        )
        edge = _edge(sharpness)
        ends = edge * (1.0 + np.linspace(-0.02, 0.2, noisy))
        warmups = np.unique(np.geomspace(*WARMUPS, noisy).round())
        out[f"{name}_warmup"] = ss.sweep(
            loss, ss.HeavyBall(ss.LinearWarmup(0.0, edge, 100), BETA), {"lr.end": ends, "lr.steps": warmups},
            start=minimum, steps=WARMUP_STEPS, noise=NOISE, **settings,
        )  # fmt: skip
        weight = "x" if name == "cubic_taylor" else "u"
        places = minimum[0] + np.linspace(-1.0, 1.0, cells)
        sweep = ss.sweep(
            loss, ss.HeavyBall(FIXED / sharpness), {f"start.{weight}": places, "momentum": momentum},
            start=minimum, steps=STEPS, **settings,
        )  # fmt: skip
        sweep["start_sharpness"] = (
            f"start.{weight}",
            [loss.sharpness([place, minimum[1]])[0] for place in places],
        )
        out[f"{name}_start"] = sweep
    return out


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 4.4)
    axes = figure.subplots(2, 3)
    for row, (name, sharpness) in zip(axes, SHARPNESS.items(), strict=True):
        by_momentum, by_warmup, by_start = (
            data[f"{name}_{kind}"] for kind in ("momentum", "warmup", "start")
        )
        phase_diagrams.draw_phases(by_momentum, row[0], x="lr", y="momentum")
        beta = by_momentum["momentum"].values
        _line(row[0], theory.max_stable_sharpness(sharpness, beta), beta)  # η = 2(1 + β)/S
        row[0].set(xlabel=label_of("lr"), ylabel=label_of("momentum"))
        row[0].set_title(rf"{LOSSES[name]}, $S={sharpness:g}$")
        phase_diagrams.draw_phases(by_warmup, row[1])
        _line(row[1], by_warmup["lr.steps"].values[[0, -1]], [_edge(sharpness)] * 2)
        row[1].set(xscale="log", xlabel=label_of("warmup"), ylabel=label_of("lr"))
        row[1].set_title(rf"{LOSSES[name]}, warmup, $\beta={BETA:g}$")
        place = next(str(dim) for dim in by_start.dims if dim != "momentum")
        phase_diagrams.draw_phases(by_start, row[2], x="momentum", y=place)
        difference = by_start["start_sharpness"].values[:, None] - _threshold(sharpness, beta)
        row[2].contour(beta, by_start[place], difference, [0.0], colors="white", linewidths=1.8)
        row[2].contour(beta, by_start[place], difference, [0.0], colors=style.THEORY_COLOUR, linestyles="--",
                       linewidths=0.8)  # fmt: skip
        row[2].set(xlabel=label_of("momentum"), ylabel=label_of("start", f"${place.removeprefix('start.')}$"))
        row[2].set_title(rf"{LOSSES[name]}, start, $\eta S={FIXED:g}$")
        for ax, sweep in zip(row, (by_momentum, by_warmup, by_start), strict=True):
            outcomes.leave_out_rare(ax, sweep)
    style.label_panels(list(axes.flat))
    style.shared_legend(figure, list(axes.flat), columns=6)
    return figure


def _line(ax: Axes, across: Any, up: Any) -> None:
    ax.plot(across, up, color="white", linewidth=1.8)
    ax.plot(across, up, color=style.THEORY_COLOUR, linestyle="--", linewidth=0.8, label="theory, $S=S^*$")


def _edge(sharpness: float) -> float:
    return 2.0 * (1.0 + BETA) / sharpness


def _threshold(sharpness: float, momentum: np.ndarray) -> np.ndarray:
    """Return S* where the start varies, by momentum."""
    return np.asarray(theory.max_stable_sharpness(FIXED / sharpness, momentum))


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    lines = []
    for name, sharpness in SHARPNESS.items():
        sweep = data[f"{name}_momentum"]
        lr, phase = sweep["lr"].values, sweep["phase"].transpose("momentum", "lr").values
        edge = np.asarray(theory.max_stable_sharpness(sharpness, sweep["momentum"].values))[:, None]
        width = lr[1] - lr[0]
        calm = np.isin(phase, (phases.MONOTONE, phases.OSCILLATING))
        below, above = lr < edge - width, (lr > edge + width) & (lr < NEAR * edge)
        require(
            calm[np.broadcast_to(below, calm.shape)].all(),
            f"{name}: a run below the threshold does not settle there",
        )
        require(
            not calm[np.broadcast_to(above, calm.shape)].any(), f"{name}: a run above the threshold stays"
        )
        lines.append(
            f"{LOSSES[name]}: over (β, η) the threshold is η = 2(1 + β)/S to a cell, {phase.size} runs."
        )
        sweep = data[f"{name}_warmup"]
        phase = sweep["phase"].transpose("lr.end", "lr.steps").values
        beyond = sweep["lr.end"].values > 1.01 * _edge(sharpness)
        lost = (phase[beyond] == phases.DIVERGED).mean(axis=0)
        require(
            lost[:5].mean() > lost[-3:].mean() + 0.2, f"{name}: long warmups diverge as often as short ones"
        )
        lines.append(
            f"{LOSSES[name]}: beyond the threshold {lost[:5].mean():.0%} of the shortest warmups diverge, "
            f"of the longest {lost[-3:].mean():.0%}."
        )
    return lines
