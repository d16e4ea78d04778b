"""Where momentum's catapults end flatter on a diagonal linear network, and what it costs.

Heavy ball and gradient descent at the same threshold after warmup, for equal effective time, on sparse regression with
several seeds of the data. (a) The mean sharpness at the end against the learning rate. Lines are means of the seeds,
points are seeds, and 2× means that two seeds diverged. (b) The relative difference against warmup and learning rate,
and (c) against momentum and initialization, with the share of seeds in which heavy ball diverged. A dot marks a
difference of more than two standard errors. (d) Test loss against sharpness, heavy ball's divided by gradient
descent's. Heavy ball at β = 0.9 ends flatter or diverges, at β = 0.5 it does not differ; and where it ends flatter its
test loss is larger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from selfstab import experiments
from selfstab.experiments.surveys import surveys
from selfstab.plotting import methods, style
from selfstab.plotting.labels import label_of

from . import require

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Flatter minima: heavy ball against gradient descent over lr, warmup, momentum and initialization"

BASE = experiments.Setting(
    threshold=2.2, momentum=0.9, warmup=500, steps=900, scale=0.1, records=40, seeds=(0, 1, 2, 3)
)
QUICK = experiments.Setting(
    threshold=2.2, momentum=0.9, warmup=300, steps=500, scale=0.1, records=40, seeds=(0, 2)
)
NUMBERS = ("mean_sharpness", "least_sharpness", "final_sharpness", "final_test_loss", "final_distance")
LOOKS = {"phb": ("PHB", "o"), "gd_time": ("GD", "s")}
REACH = 0.3
"""End of the colours, a relative difference."""


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    task, setting = experiments.PRESETS["diagonal_network"].task, QUICK if quick else BASE
    if quick:
        over_lr, over_start = (
            {"warmup": [300], "threshold": [1.8, 2.2, 2.4]},
            {"momentum": [0.5, 0.9], "scale": [0.1]},
        )
    else:
        over_lr = {"warmup": [125, 250, 500, 1000], "threshold": [1.8, 2.0, 2.2, 2.4]}
        over_start = {"momentum": [0.5, 0.7, 0.8, 0.9], "scale": [0.03, 0.1, 0.2, 0.4]}
    lr, start = surveys(task, setting, [over_lr, over_start])
    return {"lr": lr, "start": start}


def _compared(data: xarray.Dataset, number: str, against: str = "gd_time") -> xarray.Dataset:
    """Return the verdict along two axes, those of one value included."""
    verdict = experiments.verdict(data, number, against)
    return verdict.expand_dims([name for name in data["mean_sharpness"].dims[:2] if name not in verdict.dims])


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 4.6)
    (scan, lr), (start, cost) = figure.subplots(2, 2)
    _draw_scan(data["lr"].isel(warmup=-1), scan)
    draw_map(data["lr"], lr, "warmup", "threshold")
    image = draw_map(data["start"], start, "momentum", "scale")
    bar = figure.colorbar(
        image, ax=[lr, start], label=label_of("mean_sharpness", "PHB/GD $-$ 1"), extend="min", fraction=0.05
    )
    bar.ax.set_ylim(-REACH, 0.1)  # no cell is beyond
    draw_cost(data, cost)
    titles = {
        "longest warmup": scan,
        "warmup and threshold": lr,
        "momentum and start": start,
        "test loss": cost,
    }
    for title, ax in titles.items():
        ax.set_title(title)
    style.label_panels([scan, lr, start, cost])
    explain(scan)
    style.shared_legend(figure, [scan], columns=3)
    return figure


def _draw_scan(data: xarray.Dataset, ax: Axes) -> None:
    threshold = data["threshold"].values
    ax.plot(
        threshold,
        threshold,
        color=style.THEORY_COLOUR,
        linestyle="--",
        linewidth=0.8,
        label="threshold $S^*$",
    )
    for k, (name, (word, marker)) in enumerate(LOOKS.items()):
        at = data.sel(optimizer=name)
        colour = methods.METHOD_COLOURS[word]
        ended = at["mean_sharpness"]
        ax.plot(threshold, ended.mean("seed"), color=colour, linewidth=0.9)
        ax.plot(
            [],
            [],
            color=colour,
            linewidth=0.9,
            marker=marker,
            markersize=2.5,
            label=f"{word}: seeds and mean",
        )
        shift = (k - 0.5) * 0.02
        for seed in at["seed"].values:
            ax.plot(
                threshold + shift,
                ended.sel(seed=seed),
                color=colour,
                marker=marker,
                linestyle="none",
                markersize=2.5,
            )
        lost = np.isfinite(at["diverged_at"])
        for place, count in zip(threshold, lost.sum("seed").values, strict=True):
            if count:
                ax.text(
                    place + shift, 0.97 - 0.08 * k, f"{count} div.", color=colour, ha="center", va="top",
                    fontsize=6.0, transform=ax.get_xaxis_transform(),
                )  # fmt: skip
    ax.set(
        xlabel=label_of("max_stable_sharpness"),
        ylabel=label_of("mean_sharpness"),
    )
    ax.set_ylim(top=1.12 * float(threshold.max()))
    ax.margins(x=0.08)


def explain(ax: Axes) -> None:
    """Name the marks of the maps for a legend."""
    mark = {"linestyle": "none", "color": style.THEORY_COLOUR, "markeredgewidth": 0.0}
    ax.plot([], [], marker="$•$", markersize=2.5, label="difference above two standard errors", **mark)
    ax.plot([], [], marker="$\\mathrm{div.}$", markersize=9.0, label="seeds whose PHB run diverged", **mark)
    ax.plot([], [], marker="$–$", markersize=4.0, label="no two runs passed the threshold", **mark)


def draw_map(data: xarray.Dataset, ax: Axes, across: str, up: str) -> object:
    """Draw the relative difference in mean sharpness over two axes of a survey, and return the image."""
    verdict = _compared(data, "mean_sharpness")
    log = {"warmup": True, "scale": True, "threshold": False, "momentum": False}
    edges = [
        style.cell_edges(data[name].values, log=log[name])
        if data.sizes[name] > 1
        else _around(data[name].values[0])
        for name in (across, up)
    ]
    values = verdict["difference"].transpose(up, across).values
    ax.set_facecolor("#dddddd")
    image = ax.pcolormesh(*edges, np.ma.masked_invalid(values), cmap="PuOr_r", vmin=-REACH, vmax=REACH)
    for i, y in enumerate(data[up].values):
        for k, x in enumerate(data[across].values):
            cell = verdict.sel({across: x, up: y})
            percent = round(100.0 * values[i, k]) if np.isfinite(values[i, k]) else 0
            text = [
                (f"{percent:+d}%".replace("-", "−") if percent else "0%")
                if np.isfinite(values[i, k])
                else "–"
            ]
            text[0] += " •" if int(cell["sign"]) else ""
            if float(cell["diverged"]):
                text.append(f"div. {float(cell['diverged']):.0%}")
            ax.text(x, y, "\n".join(text), ha="center", va="center", fontsize=5.5,
                    color="white" if abs(percent) > 50.0 * REACH else style.THEORY_COLOUR)  # fmt: skip
    for name, axis in ((across, ax.xaxis), (up, ax.yaxis)):
        if log[name]:
            (ax.set_xscale if axis is ax.xaxis else ax.set_yscale)("log")
        axis.set_ticks(data[name].values, [f"{value:g}" for value in data[name].values])
        axis.set_ticks([], minor=True)
    names = {
        "warmup": label_of("warmup", "$W$ (PHB's steps)"), "threshold": label_of("max_stable_sharpness"),
        "momentum": label_of("momentum"), "scale": label_of("initialization"),
    }  # fmt: skip
    ax.set(xlabel=names[across], ylabel=names[up])
    return image


def _around(value: float) -> np.ndarray:
    return np.array([0.8 * value, 1.25 * value])


def points(data: dict[str, xarray.Dataset]) -> tuple[np.ndarray, np.ndarray]:
    """Return heavy ball's sharpness and test loss over gradient descent's, of all runs in which both crossed."""
    ratios = []
    for name in ("mean_sharpness", "final_test_loss"):
        parts = []
        for part in data.values():
            heavy, plain = (part.sel(optimizer=o) for o in ("phb", "gd_time"))
            both = np.isfinite(heavy["crossed_at"]) & np.isfinite(plain["crossed_at"])
            parts.append((heavy[name] / plain[name]).where(both).values.ravel())
        ratios.append(np.concatenate(parts))
    inside = np.isfinite(ratios[0]) & np.isfinite(ratios[1])
    return ratios[0][inside], ratios[1][inside]


def draw_cost(data: dict[str, xarray.Dataset], ax: Axes) -> None:
    """Draw test loss against mean sharpness, heavy ball's over gradient descent's, of each run."""
    sharpness, test = points(data)
    ax.axhline(1.0, color="#bbbbbb", linewidth=0.6)
    ax.axvline(1.0, color="#bbbbbb", linewidth=0.6)
    ax.plot(sharpness, test, linestyle="none", marker="o", markersize=2.5, color=methods.METHOD_COLOURS["PHB"],
            markerfacecolor="none")  # fmt: skip
    ax.set_yscale("log")
    ticks = np.array([0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0])
    low, high = ax.get_ylim()
    ax.set_yticks(ticks[(ticks >= low) & (ticks <= high)])
    ax.set_yticks([], minor=True)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set(xlabel=label_of("mean_sharpness", "PHB/GD"), ylabel=label_of("test_loss", "PHB/GD"))


def rows(data: dict[str, xarray.Dataset]) -> list[str]:
    """Return a line for each cell of the surveys "lr" and "start"."""
    lines = []
    for part, axes in (("lr", ("warmup", "threshold")), ("start", ("momentum", "scale"))):
        verdicts = {number: _compared(data[part], number) for number in NUMBERS if number in data[part]}
        steps = _compared(data[part], "mean_sharpness", "gd_steps")
        for x in data[part][axes[0]].values:
            for y in data[part][axes[1]].values:
                at = {number: row.sel({axes[0]: x, axes[1]: y}) for number, row in verdicts.items()}
                mean = at["mean_sharpness"]
                words = ", ".join(
                    f"{number.replace('_', ' ')} {_percentage(row)}" for number, row in at.items()
                )
                lines.append(
                    f"{axes[0]} {x:g}, {axes[1]} {y:g}: {words}; equal steps: mean sharpness "
                    f"{_percentage(steps.sel({axes[0]: x, axes[1]: y}))}; "
                    f"{int(mean['compared'])} of {data[part].sizes['seed']} "
                    f"seeds; diverged {float(mean['diverged']):.0%}, GD {float(mean['diverged_gd']):.0%}."
                )  # fmt: skip
    return lines


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    """Return the table; heavy ball of the largest momentum ends flatter in the mean, and of test loss no smaller."""
    lines = rows(data)
    gd = data["lr"].sel(optimizer="gd_time")
    crossed = np.isfinite(gd["crossed_at"]) & np.isfinite(gd["mean_sharpness"])
    off = np.abs((gd["mean_sharpness"] / gd["threshold"] - 1.0).where(crossed))
    share = float((off < 0.03).sum() / crossed.sum())
    require(share > 0.7, f"gradient descent ends within 3% of the threshold in only {share:.0%} of the runs")
    sharpness, test = points(data)
    require(len(sharpness) >= 6, f"only {len(sharpness)} runs can be compared")
    low = data["start"].sel(momentum=0.5)
    near = _compared_values(low)
    require((np.abs(near - 1.0) < 0.06).all(), f"at β = 0.5 a mean differs by {np.abs(near - 1.0).max():.2f}")
    high = _compared_values(data["lr"])
    require(
        high.mean() < 0.97, f"at β = 0.9 heavy ball ends at {high.mean():.3f} of gradient descent's sharpness"
    )
    flatter = sharpness < 0.95
    require(flatter.any(), "heavy ball is nowhere flatter by 5%")
    require((test[flatter] > 1.0).mean() > 0.75, "where heavy ball ends flatter its test loss is smaller")
    lines.append(
        f"β = 0.9: sharpness {high.mean():.3f} of gradient descent's in the mean, "
        f"{high.min():.3f} to {high.max():.3f}; "
        f"β = 0.5: {near.min():.3f} to {near.max():.3f}. Of {flatter.sum()} runs that end flatter by 5% or more, "
        f"{(test[flatter] > 1.0).sum()} have the larger test loss; median ratio {np.median(test[flatter]):.2f}."
    )
    return lines


def _compared_values(data: xarray.Dataset) -> np.ndarray:
    return points({"one": data})[0]


def _percentage(row: xarray.Dataset) -> str:
    if not np.isfinite(row["difference"]):
        return "not compared"
    spread = f" ± {100.0 * float(row['spread']):.1f}" if np.isfinite(row["spread"]) else ""
    return (
        f"{100.0 * float(row['difference']):+.1f}{spread}%"
        + {-1: " (below)", 0: "", 1: " (above)"}[int(row["sign"])]
    )
