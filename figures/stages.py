"""The four stages of a cycle of self-stabilization: gradient descent beside heavy ball.

The cubic model with progressive sharpening, from the same point at the same threshold; y = S − S*. Below S* the
sharpness rises (progressive sharpening). Above, the swing grows (blow-up). Once larger than δ it lowers the sharpness
(self-stabilization), and below S* it dies (return to stability). Gradient descent's cycle closes on a level line of H;
heavy ball's carries inertia, and its return is far deeper.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import methods, style
from selfstab.plotting.labels import label_of

from . import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "The four stages of a cycle of self-stabilization: gradient descent beside heavy ball"

SHARPENING = 1e-5
DEPTH = 3.0
"""The first y, in units of −√(2α)."""
MOMENTA = {"GD": 0.0, "PHB": 0.9}
STAGES = ("progressive sharpening", "blow-up", "self-stabilization", "return to stability")
SHADES = ("#f2f2f2", "#fbe3d6", "#f4c7ad", "#dbe9f6")


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    return {name: _run(beta) for name, beta in MOMENTA.items()}


def _run(momentum: float) -> xarray.Dataset:
    """Return y and |x| over √(2α) = δ, and the stage, over a cycle from the trough of the sharpness."""
    unit = float(theory.edge_displacement(SHARPENING))
    lr = 2.0 * (1.0 + momentum)
    start, previous = [unit, -DEPTH * unit], [-unit, -DEPTH * unit]
    # Far more than a cycle; cut where the sharpness has its next trough.
    steps = math.ceil(40.0 * (1.0 - momentum) / (lr * unit))
    run = ss.simulate(
        ss.CubicTaylor(1.0, SHARPENING),
        ss.HeavyBall(lr, momentum),
        start,
        steps,
        previous=previous,
        keep=["weights"],
    )
    x, z = run["weights"].values.T / unit
    swing = np.abs(x)
    above = int(np.argmax(z > 0.0))
    grown = above + int(np.argmax(swing[above:] > 1.0))
    below = grown + int(np.argmax(z[grown:] < 0.0))
    end = below + int(np.argmax(np.diff(z[below:]) > 0.0))
    stage = np.searchsorted([above, grown, below], np.arange(z.size), side="right")
    keep = slice(0, end + 1)
    out = xarray.Dataset(
        {
            "excess_sharpness": ("step", z[keep], {"long_name": "S - S* over sqrt(2 alpha)"}),
            "swing": ("step", swing[keep], {"long_name": "|x| over delta"}),
            "stage": (
                "step", stage[keep].astype(np.int8),
                {"flag_values": list(range(4)), "flag_meanings": " ".join(s.replace(" ", "_") for s in STAGES)},
            ),
        },
        {"step": run["step"].values[keep]},
    )  # fmt: skip
    out["time"] = ("step", out["step"].values * lr * unit / (1.0 - momentum), {"long_name": "effective time"})
    out["kappa"] = (
        (),
        theory.edge_inertia_number(lr, momentum, SHARPENING),
        {"long_name": "kappa of the edge"},
    )
    return out


def _shade(run: xarray.Dataset, ax: Axes) -> None:
    """Colour the stages behind the axes' lines."""
    time, stage = run["time"].values, run["stage"].values
    edges = [0, *(np.flatnonzero(np.diff(stage)) + 1), stage.size - 1]
    for first, last in pairwise(edges):
        ax.axvspan(time[first], time[last], color=SHADES[stage[first]], linewidth=0.0, zorder=0)
    ax.set_xlim(time[0], time[-1])


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 3.7)
    axes = figure.subplots(2, 3)
    for row, (name, run) in zip(axes, data.items(), strict=True):
        colour = methods.METHOD_COLOURS[name]
        time, y, swing = (run[v].values for v in ("time", "excess_sharpness", "swing"))
        row[0].plot(time, y, color=colour)
        axes[0, 0].plot([], [], color=colour, label=name)
        row[0].axhline(0.0, color=style.THEORY_COLOUR, linestyle="--", linewidth=0.8, label="threshold $S^*$")
        row[0].set_ylabel(label_of("excess_sharpness", r"$y/\sqrt{2\alpha}$"))
        row[0].set_title(rf"{name}, sharpness, $\kappa={float(run['kappa']):.2g}$")
        row[1].plot(time, swing, color=colour)
        row[1].axhline(1.0, color=style.THEORY_COLOUR, linestyle=":", linewidth=0.8, label=r"swing $\delta$")
        row[1].set(yscale="log", ylabel=label_of("swing", r"$|x|/\delta$"), title=f"{name}, swing")
        for ax in row[:2]:
            _shade(run, ax)
            ax.set(xlabel=label_of("effective_time", r"$\eta\delta t/(1-\beta)$"))
        reach = (1.1 * y.min(), 1.25 * y.max())
        across, up = np.meshgrid(
            np.linspace(*reach, 300), np.geomspace(0.5 * swing.min(), 2.0 * swing.max(), 300)
        )
        row[2].contour(across, up, _energy(across, up), levels=[_energy(y[0], swing[0])], colors=style.THEORY_COLOUR,
                       linewidths=0.8)  # fmt: skip
        row[2].plot([], [], color=style.THEORY_COLOUR, label="level line of $H$")
        row[2].plot(y, swing, color=colour)
        row[2].set(
            yscale="log",
            xlabel=label_of("excess_sharpness", r"$y/\sqrt{2\alpha}$"),
            ylabel=label_of("swing", r"$|x|/\delta$"),
        )
        row[2].set(xlim=reach, title=f"{name}, orbit")
    for word, shade in zip(STAGES, SHADES, strict=True):
        axes[0, 0].plot([], [], marker="s", linestyle="none", color=shade, markeredgecolor="#999999",
                        markeredgewidth=0.4, label=word)  # fmt: skip
    style.label_panels(list(axes.flat))
    style.shared_legend(figure, list(axes.flat), columns=5)
    return figure


def _energy(y: np.ndarray, swing: np.ndarray) -> np.ndarray:
    """Return H over 2α, with y and the swing in units of √(2α)."""
    return np.asarray(theory.slow_energy(y, swing, 0.5))


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    lines = []
    for name, run in data.items():
        stage, swing = run["stage"].values, run["swing"].values
        require(set(stage.tolist()) == {0, 1, 2, 3}, f"{name}: not every stage is there")
        y = run["excess_sharpness"].values
        rising, falling = np.diff(y)[stage[:-1] <= 1], np.diff(y)[stage[:-1] == 3]
        require(
            (rising > 0.0).mean() > 0.95, f"{name}: the sharpness does not rise before self-stabilization"
        )
        require((falling < 0.0).mean() > 0.95, f"{name}: the sharpness does not fall on the return")
        require(swing.max() > 1.0, f"{name}: the swing never exceeds δ")
        lines.append(
            f"{name}: stages of "
            + ", ".join(str(int((stage == k).sum())) for k in range(4))
            + " steps; the trough goes "
            f"from {run['excess_sharpness'].values[0]:.3g} to {run['excess_sharpness'].values[-1]:.3g} √(2α)."
        )
    plain, heavy = data["GD"], data["PHB"]
    stray = float(
        np.abs(_energy(plain["excess_sharpness"].values, plain["swing"].values) - _energy(-DEPTH, 1.0)).max()
    )
    require(stray < 0.1 * DEPTH**2, f"gradient descent's H strays by {stray:.2g}")
    lines.append(f"Gradient descent's H/(2α) strays by {stray:.2g} from {float(_energy(-DEPTH, 1.0)):.3g}.")
    closed = float(plain["excess_sharpness"].values[-1]) / -DEPTH
    require(abs(closed - 1.0) < 0.1, f"gradient descent's cycle does not close: {closed:.3g}")
    deeper = float(heavy["excess_sharpness"].values[-1] / plain["excess_sharpness"].values[-1])
    require(deeper > 1.5, f"heavy ball's return is not deeper: {deeper:.3g} times gradient descent's")
    lines.append(f"Heavy ball's trough is {deeper:.3g} times as deep as gradient descent's.")
    return lines
