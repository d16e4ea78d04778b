"""Catapult or divergence: where runs on the product loss start, and how they end.

Each point is a start at rest of a run on ½(uv − 1)², at the threshold S* = 3. Minima are the curve uv = 1, of sharpness
u² + v²: those within the circle u² + v² = S* are stable. What starts near the others is thrown to the stable ones, or
escapes. At rest, far from the minima, momentum gathers speed: its basin is small, and ragged at every scale shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import selfstab as ss
from selfstab import phases
from selfstab.plotting import phase_diagrams, style
from selfstab.plotting.labels import label_of

from . import outcomes, require

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Catapult or divergence: the basins of the product loss"

THRESHOLD = 3.0
MOMENTA = {"GD": 0.0, "PHB": 0.9}
REACH = 2.6
ZOOMS = {"GD": {"u": (1.0, 1.7), "v": (1.9, 2.6)}, "PHB": {"u": (0.25, 0.95), "v": (0.85, 1.55)}}
STEPS = 4000


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    cells = 160 if quick else 640
    half = (np.arange(cells // 2) + 0.5) * (2.0 * REACH / cells)
    plane = np.concatenate([-half[::-1], half])  # symmetric to the last bit
    out = {}
    for name, beta in MOMENTA.items():
        out[name] = _ends(beta, {"start.v": plane, "start.u": plane})
        out[f"{name}_zoom"] = _ends(
            beta, {f"start.{w}": np.linspace(*ZOOMS[name][w], cells) for w in ("v", "u")}
        )
    return out


def _ends(momentum: float, axes: dict[str, np.ndarray]) -> xarray.Dataset:
    optimizer = ss.HeavyBall(2.0 * (1.0 + momentum) / THRESHOLD, momentum)
    return ss.sweep(
        ss.Product(),
        optimizer,
        axes,
        start=[1.0, 1.0],
        steps=STEPS,
        measure=["phase", "final_sharpness"],
        progress=False,
    )


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 6.2)
    axes = figure.subplots(2, 2)
    for column, (name, beta) in enumerate(MOMENTA.items()):
        whole, zoom = axes[0, column], axes[1, column]
        for ax, sweep in ((whole, data[name]), (zoom, data[f"{name}_zoom"])):
            phase_diagrams.draw_phases(sweep, ax)
            outcomes.leave_out_rare(ax, sweep)
            limits = ax.get_xlim(), ax.get_ylim()
            _minima(ax)
            ax.set(
                xlabel=label_of("start", "$u$"),
                ylabel=label_of("start", "$v$"),
                xlim=limits[0],
                ylim=limits[1],
                aspect="equal",
            )
        whole.set_title(rf"{name}, $\beta={beta:g}$")
        zoom.set_title(f"detail of ({'ab'[column]})")
        (u0, u1), (v0, v1) = ZOOMS[name]["u"], ZOOMS[name]["v"]
        whole.plot([u0, u1, u1, u0, u0], [v0, v0, v1, v1, v0], color="white", linewidth=1.6)
        whole.plot([u0, u1, u1, u0, u0], [v0, v0, v1, v1, v0], color=style.THEORY_COLOUR, linewidth=0.7)
    style.label_panels(list(axes.flat))
    style.shared_legend(figure, list(axes.flat), columns=4)
    return figure


def _minima(ax: Axes) -> None:
    """Draw the minima, and the circle within which they are stable; white below the lines, to show on dark cells."""
    u = np.geomspace(0.2, 2.0 * REACH, 400)
    around = np.linspace(0.0, 2.0 * np.pi, 400)
    circle = np.sqrt(THRESHOLD) * np.stack([np.cos(around), np.sin(around)])
    for colour, more in (("white", 1.0), (style.THEORY_COLOUR, 0.0)):
        named = colour != "white"
        for sign in (1.0, -1.0):
            ax.plot(sign * u, sign / u, color=colour, linewidth=0.8 + more,
                    label="minima, $uv=1$" if named and sign > 0 else None)  # fmt: skip
        ax.plot(*circle, color=colour, linestyle="--", linewidth=0.8 + more,
                label="theory: stable within $u^2+v^2=S^*$" if named else None)  # fmt: skip


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    lines = []
    for name in MOMENTA:
        phase, final = (
            data[name][v].transpose("start.v", "start.u").values for v in ("phase", "final_sharpness")
        )
        # (u, v) ↦ (−u, −v) changes no product and no sum but in sign.
        require((phase == phase[::-1, ::-1]).all(), f"{name}: opposite starts end differently")
        settled = np.isin(phase, (phases.MONOTONE, phases.OSCILLATING, phases.CATAPULT))
        require(settled.sum() > 500, f"{name}: only {settled.sum()} runs settle")
        sharpest = float(final[settled].max())
        require(
            sharpest <= THRESHOLD * (1.0 + 1e-6), f"{name}: a settled run is sharper than S*: {sharpest:.6g}"
        )
        diverged = phase == phases.DIVERGED
        require(diverged.any(), f"{name}: no run diverged")
        lines.append(
            f"{name}: {settled.mean():.1%} settle, none sharper than {sharpest:.6g} (S* = {THRESHOLD:g}); "
            f"{(phase == phases.CATAPULT).mean():.1%} catapults, {diverged.mean():.1%} diverge."
        )
    return lines
