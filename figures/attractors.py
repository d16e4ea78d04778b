"""The threshold refined, period doubling, and hysteresis.

(a) Cells that are halved where runs on ½w² begin to diverge follow ηS = 2(1 + β) to 1/16384 of both axes; shown is the
part around β = ½. (b) The last states of gradient descent on w²/2 − w³/3, the logistic map with r = 1 + η. It shows
the flip at 2, the doubling at √6, chaos, and the window of period three at √8. (c) On 3 ln(1 + w²)/2 + 1/(1 + w²) the
flip is subcritical. Followed upwards in η, heavy ball stays at the minimum up to 2(1 + β). Followed downwards, it
stays on the two-cycle down to 16(1 + β)/9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

import selfstab as ss
from selfstab.plotting import refined as refined_drawing
from selfstab.plotting import style
from selfstab.plotting.labels import label_of

from . import require

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

TITLE = "The threshold refined, period doubling, and hysteresis"

MOMENTUM: Final = 0.5
STEPS: Final = 4000
ESCAPE: Final = 2.0


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    axes = {"momentum": (0.0, 0.9, 64), "lr": (1.5, 4.5, 64)}
    refined = ss.refine(
        ss.Quadratic([1.0]), ss.HeavyBall(1.0), axes, start=[1.0], previous=[-1.0], steps=STEPS, escape=ESCAPE,
        levels=5 if quick else 8, measure=["diverged_at"], jumps={"diverged_at": 1}, progress=False,
    )  # fmt: skip
    logistic = ss.SymbolicLoss("w**2/2 - w**3/3", "w")
    orbits = ss.orbits(
        logistic, ss.HeavyBall(1.0), {"lr": np.linspace(1.7, 2.95, 501 if quick else 2001)}, start=[0.1], steps=4000,
        last=96, progress=False,
    )  # fmt: skip
    subcritical = ss.SymbolicLoss("3*log(1 + w**2)/2 + 1/(1 + w**2)", "w")
    rates = (1.0 + MOMENTUM) * np.linspace(1.7, 2.1, 41)
    branches = ss.continuation(
        subcritical, ss.HeavyBall(1.0, MOMENTUM), {"lr": rates}, along="lr", start=[0.1], steps=2000, noise=1e-9,
        measure=["final_loss"], progress=False,
    )  # fmt: skip
    return {"refined": refined, "orbits": orbits, "branches": branches}


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.3)
    axes = [*figure.subplots(1, 3)]
    refined = data["refined"]
    near = (np.abs(refined["momentum"] - MOMENTUM) < 0.02) & (np.abs(refined["lr"] - 3.0) < 0.07)
    # How deep the cells are is the picture; the two phases are on its two sides.
    refined_drawing.draw_refined(
        refined.isel(cell=near.values), axes[0], measure="level", edges=True, sharpness=1.0
    )
    axes[0].set(xlim=(2.96, 3.04), ylim=(0.488, 0.512), title="refined threshold")
    figure.axes[-1].set_ylabel(label_of("halvings"))
    refined_drawing.draw_orbits(data["orbits"], axes[1], sharpness=1.0, cycle=(0.0, -2.0, 0.0))
    axes[1].set_title("period doubling")
    for line in axes[1].lines:
        if "eta S" in str(line.get_label()):
            line.set_label("_the line of (a)")
    both = ((1.0 + MOMENTUM) * 16.0 / 9.0, (1.0 + MOMENTUM) * 2.0)
    refined_drawing.draw_continuation(data["branches"], axes[2], bistable=both)
    axes[2].set(title=rf"hysteresis, $\beta={MOMENTUM:g}$", ylabel=label_of("final_loss"))
    for line in axes[2].lines:
        line.set_markevery(3)  # markers of all rates are one smear
    for ax in axes:
        if (key := ax.get_legend()) is not None:
            key.remove()
    style.label_panels(axes)
    style.shared_legend(figure, axes, columns=6)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    return [
        *_check_refined(data["refined"]),
        *_check_orbits(data["orbits"]),
        *_check_branches(data["branches"]),
    ]


def _check_refined(refined: xarray.Dataset) -> list[str]:
    require(refined.attrs["resolved"] == 1, f"refinement stopped: {refined.attrs['stopped']}")
    runs, full = int(refined.attrs["runs"]), int(refined.attrs["full_grid"])
    require(runs < 0.03 * full, f"{runs} runs are not under 3% of the full grid's {full}")
    parts = 64 * 2 ** int(refined.attrs["levels"])
    above = refined["lr"].values - 2.0 * (1.0 + refined["momentum"].values)
    # With |λ| = 1 + η(S − S*)/(1 − β) a run leaves within the steps once η(S − S*) > (1 − β) ln(escape)/steps.
    off = 3.0 / parts + 2.0 * 0.9 / parts + np.log(ESCAPE) / STEPS
    edge = refined["boundary"].values
    require(edge.any(), "no cell is on a boundary")
    worst = np.abs(above[edge]).max()
    require(worst < off, f"a cell of the boundary is {worst:.1e} from ηS = 2(1 + β), more than {off:.1e}")
    far = np.abs(above) > off
    wrong = ((refined["diverged_at"].values >= 0) != (above > 0.0))[far].sum()
    require(wrong == 0, f"{wrong} cells away from the boundary are on the wrong side of it")
    return [
        f"ηS = 2(1 + β) is resolved to 1/{parts} of both axes by {runs} runs, "
        f"{100.0 * runs / full:.2g}% of the full grid's.",
        f"All {edge.sum()} cells of the boundary lie within {worst:.1e} of it in η.",
    ]


def _check_orbits(orbits: xarray.Dataset) -> list[str]:
    lr = orbits["lr"].values
    states = [np.unique(row.round(5)).size for row in orbits["weights"].values[..., 0]]
    counts = np.array(states)
    for low, high, count in (
        (1.75, 1.99, 1),
        (2.01, 2.44, 2),
        (2.46, 2.54, 4),
        (2.547, 2.562, 8),
        (2.8300, 2.8415, 3),
    ):
        inside = (lr > low) & (lr < high)
        require(
            inside.any() and (counts[inside] == count).all(),
            f"not {count} states everywhere in ({low}, {high})",
        )
    return ["The states are 1, 2, 4, 8 up to lr 2, √6, 2.5441, 2.5644, and 3 in the window from √8 on."]


def _check_branches(branches: xarray.Dataset) -> list[str]:
    threshold = 2.0 * (1.0 + MOMENTUM) / branches["lr"].values  # S*
    u = (1.0 + np.sqrt(np.maximum(9.0 - 8.0 * threshold, 0.0))) / 4.0
    cycle = 1.5 * np.log(1.0 / (1.0 - u)) + (1.0 - u)  # the loss where w² = u/(1 − u) and 1 + u − 2u² = S*
    sure = (np.abs(threshold - 1.0) > 0.01) & (np.abs(threshold - 1.125) > 0.01)
    for direction, last in (("forward", 1.0), ("backward", 1.125)):
        expected = np.where(threshold < last, cycle, 1.0)
        worst = np.abs(branches["final_loss"].sel(direction=direction).values - expected)[sure].max()
        require(worst < 1e-6, f"the branch followed {direction} is {worst:.1e} from theory's in loss")
    return [
        "Between η = 16(1 + β)/9 and 2(1 + β) the minimum and the two-cycle are both followed, to 1e-6 in loss."
    ]
