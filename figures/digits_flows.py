"""Three flows beside runs on the digits: averaged, edge and rod flow, with and without momentum.

The runs of `selfstab verify "M2 averaged digits" "M2 rod digits"`: the 64-32-1 network from just below the edge, at one
threshold, displaced along the top eigenvector. Shown are midpoints of consecutive iterates, in which the swing's change
of sign cancels. The averaged flow stays at the edge and gives the mean loss. Edge flow and rod flow rise above the
edge and fall back, the edge flow as far as the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray

from selfstab.plotting import methods, style
from selfstab.plotting.labels import label_of
from selfstab.verification import flows

from . import momenta, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Digits: averaged flow, edge flow and rod flow beside runs"

MOMENTA = (0.0, 0.5)
SHOWN = ("sharpness", "averaged_loss", "distance")


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    _, start = flows.digits_edge()
    averaged, out = flows.digits_averaged(), {}
    for beta in MOMENTA:
        run, rod, edge = flows.digits_run(beta), flows.digits_rod(beta), flows.digits_edge_flow(beta)
        near = averaged.interp(time=run["time"])
        out[f"run_{beta:g}"] = run[["sharpness", "averaged_loss"]].assign(
            moved=_distance(run["weights"], start)
        )
        out[f"averaged_{beta:g}"] = near[["sharpness", "averaged_loss"]].assign(
            distance=_distance(near["weights"], run["weights"]),
            mean_distance=_distance(near["weights"].mean("time"), run["weights"].mean("time")),
            mean_moved=_distance(near["weights"].mean("time"), start),
        )
        for name, flow in (("edge", edge), ("rod", rod)):
            out[f"{name}_{beta:g}"] = flow[["sharpness", "averaged_loss"]].assign(
                distance=_distance(flow["weights"], run["weights"])
            )
    # Their attributes hold the seconds they took.
    return {name: part.drop_attrs().reset_coords(drop=True) for name, part in out.items()}


def _distance(
    weights: xarray.DataArray, others: xarray.DataArray | np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    apart = np.linalg.norm(weights.values - np.asarray(others), axis=-1)
    return weights.dims[:-1], apart


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 3.6)
    axes = figure.subplots(2, 3, sharex=True)
    for row, beta in zip(axes, MOMENTA, strict=True):
        run, averaged, edge, rod = (data[f"{name}_{beta:g}"] for name in ("run", "averaged", "edge", "rod"))
        time, every = run["time"].values, max(1, round(4.0 / float(np.diff(run["time"].values[:2])[0])))
        points = {
            "linestyle": "none", "marker": momenta.MARKERS[beta], "color": momenta.COLOURS[beta], "markersize": 2.2,
        }  # fmt: skip
        for ax, name in zip(row, SHOWN, strict=True):
            if name == "distance":
                ax.plot(
                    time,
                    run["moved"],
                    color="0.5",
                    lw=0.8,
                    ls=":",
                    label="distance of the run from its start",
                )
            else:
                ax.plot(time[::every], run[name][::every], label=rf"run, $\beta={beta:g}$", **points)
            ax.plot(
                time,
                averaged[name],
                color=methods.METHOD_COLOURS["averaged flow"],
                ls="-.",
                lw=0.9,
                label="averaged flow",
            )
            ax.plot(time, edge[name], color=style.THEORY_COLOUR, label="edge flow")
            ax.plot(
                time, rod[name], color=methods.METHOD_COLOURS["rod flow"], ls="--", lw=0.9, label="rod flow"
            )
        row[0].axhline(
            flows.DIGITS_THRESHOLD,
            color=style.THEORY_COLOUR,
            lw=0.8,
            ls="--",
            zorder=0,
            label="threshold $S^*$",
        )
        row[0].set(ylabel=label_of("sharpness"), title=rf"sharpness, $\beta={beta:g}$")
        row[1].set(ylabel=label_of("mean_loss"), title=rf"loss, $\beta={beta:g}$")
        row[2].set(ylabel=label_of("distance_to_run"), yscale="log", ylim=(1e-3, 4.0))
        row[2].set_title(rf"distance to the run, $\beta={beta:g}$")
    for ax in axes[1]:
        ax.set_xlabel(label_of("effective_time", r"$t\,(1+\beta)/(1-\beta)$"))
    style.label_panels(list(axes.ravel()))
    style.shared_legend(figure, [axes[0, 0], axes[1, 0], axes[0, 2]], columns=4)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    lines = []
    for beta in MOMENTA:
        run, averaged, edge, rod = (data[f"{name}_{beta:g}"] for name in ("run", "averaged", "edge", "rod"))
        loss = float(averaged["averaged_loss"].mean() / run["averaged_loss"].mean() - 1.0)
        apart = float(averaged["mean_distance"] / averaged["mean_moved"])
        first = run["time"].values <= 37.0
        excess = run["sharpness"].values - flows.DIGITS_THRESHOLD
        error, of_edge = (
            float(
                np.abs(part["sharpness"].values - run["sharpness"].values)[first].max()
                / np.abs(excess[first]).max()
            )
            for part in (rod, edge)
        )
        ends = [float(part["distance"][-1] / run["moved"][-1]) for part in (averaged, edge, rod)]
        drift = float(np.abs(averaged["sharpness"].values[10:] / flows.DIGITS_THRESHOLD - 1.0).max())
        require(abs(loss) < 0.02, f"β = {beta:g}: the averaged flow's mean loss is {loss:.2g} off")
        require(apart < 0.1, f"β = {beta:g}: the mean path is {apart:.2g} of its way off")
        require(drift < 2e-3, f"β = {beta:g}: the averaged flow leaves the edge by {drift:.2g}")
        require(error < 0.2, f"β = {beta:g}: the rod flow's first rise is {error:.2g} off")
        require(of_edge < 0.1, f"β = {beta:g}: the edge flow's first rise is {of_edge:.2g} off")
        require(max(ends) < 0.15, f"β = {beta:g}: at the end the flows are {max(ends):.2g} of the way off")
        lines.append(
            f"β = {beta:g}: mean loss {-100.0 * loss:+.1f}% beside the averaged flow's, mean path {100.0 * apart:.1f}% "
            f"of its way off; first rise and turn within {100.0 * of_edge:.1f}% (edge flow), {100.0 * error:.0f}% (rod "
            f"flow); at the end the averaged flow is {100.0 * ends[0]:.1f}% of the run's way off, the edge flow "
            f"{100.0 * ends[1]:.1f}%, the rod flow {100.0 * ends[2]:.1f}%."
        )
    return lines
