"""One overshoot law for six losses, and what each adds to it.

The drop of the sharpness from minimum to minimum, divided by 2y₀, is measured on four toys, a diagonal linear network
and a network on digits. All are on the one curve G(κ), and no constant is fitted. Below, the relative deviation from
the law (filled: less than G, open: more). Lines are what two numbers of each loss, σ and τ, and the map's finite steps
predict to first order in ε. Catapults start at minima: (2, ½) of Product and Minimalist, and (½, 1, 1, 2) of the chain
of depth 4. The networks have 200 weights, fitted to 40 samples of sparse regression, and 529, fitted to 20 digits.
Cells have ε <= 0.03; the networks' have κ >= 0.1 and at most 20,000 steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray
from matplotlib.legend import Legend

from selfstab import phases, theory
from selfstab.plotting import style
from selfstab.plotting import universality as drawing
from selfstab.verification import universality

from . import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Universality: one overshoot law for six losses"

MOMENTA = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)
KAPPA = (0.003, 0.006, 0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.3, 0.6, 1.0, 2.0, 3.0, 6.0, 10.0)
QUICK_KAPPA = (0.01, 1.0, 10.0)
LARGEST_EXCESS = 0.03
LEAST_NETWORK_KAPPA = 0.1
CAUSES = ("sigma", "tau", "map")

BEYOND = 0.01
"""A deviation has a reason to be told from here on."""
REMAINDER = 3.0
"""Bound on what first order leaves, over the squares of the relative drop and of first order's parts: 2.6 at most."""
FLIPS = 3.0
"""What the flip at the start adds to the deviation, over its square: 2.5 at most (Minimalist)."""


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    kappa, momentum = np.array(QUICK_KAPPA if quick else KAPPA), np.array(MOMENTA)
    excess = kappa / np.asarray(theory.inertia_number(1.0, momentum[:, None]))
    names = list(universality.STARTS)
    shape = (len(names), momentum.size, kappa.size)
    dims = ("loss", "momentum", "kappa")
    overshoot, steps = np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
    phase = np.full(shape, phases.UNDECIDED, dtype=np.int8)
    parts = np.full((*shape, len(CAUSES)), np.nan)
    numbers = {name: np.empty(len(names)) for name in (*_NUMBERS, "flip")}
    for i, name in enumerate(names):
        start = universality.STARTS[name]()
        for number, values in numbers.items():
            values[i] = getattr(start, number)
        within = (excess <= LARGEST_EXCESS) & (
            (kappa >= LEAST_NETWORK_KAPPA) | (name not in universality.NETWORKS)
        )
        for j, k in np.argwhere(within):
            drop = universality.catapult(start, float(momentum[j]), float(kappa[k]))
            overshoot[i, j, k], steps[i, j, k], phase[i, j, k] = drop.overshoot, drop.steps, drop.phase
        parts[i] = np.stack(np.broadcast_arrays(*universality.deviation_parts(start, excess, kappa)), axis=-1)
    cells = xarray.Dataset(
        coords={
            "loss": np.array(names, dtype=object),
            "momentum": ("momentum", momentum, {"long_name": "momentum", "units": "1"}),
            "kappa": ("kappa", kappa, {"long_name": "inertia number", "units": "1"}),
            "cause": np.array(CAUSES, dtype=object),
        }
    )
    cells["excess"] = (dims[1:], excess, {"long_name": "relative excess at the start, S/S* - 1"})
    cells["overshoot"] = (dims, overshoot, {"long_name": "drop from minimum to minimum / (2 y0)"})
    cells["steps"] = (dims, steps, {"long_name": "length of the run; 0 where none was made"})
    cells["phase"] = (dims, phase, {"long_name": "how the run ended"} | phases.flag_attributes())
    cells["first_order"] = (
        (*dims, "cause"), parts, {"long_name": "overshoot/G - 1 to first order in the excess, by cause"})  # fmt: skip
    for number, values in numbers.items():
        cells[number] = (
            "loss",
            values,
            {"long_name": (_NUMBERS | {"flip": "start flip / largest swing"})[number]},
        )
    return {"cells": cells, "table": _table(cells)}


_NUMBERS = {
    "sharpness": "sharpness at the start",
    "second": "second eigenvalue of the Hessian there",
    "sigma": "sigma, by which the sharpness bends along the minima",
    "tau": "tau, the quartic part along the flip",
    "coupling": "what the curved modes other than the top one add to tau",
}


def _deviation(cells: xarray.Dataset) -> xarray.DataArray:
    return cells["overshoot"] / theory.overshoot(cells["kappa"].values) - 1.0


def _table(cells: xarray.Dataset) -> xarray.Dataset:
    """Return a row for each loss and momentum: cells, what diverged, the worst deviation and its reason."""
    deviation = _deviation(cells)
    rows: list[dict[str, object]] = []
    for loss in cells["loss"].values:
        for momentum in cells["momentum"].values:
            here = {"loss": loss, "momentum": momentum}
            ran = (cells["steps"].sel(here) > 0).values
            if not ran.any():
                continue
            ended = cells["phase"].sel(here).values[ran]
            row: dict[str, object] = here | {
                "cells": int(ran.sum()),
                "diverged": int((ended == phases.DIVERGED).sum()),
                "undecided": int((ended == phases.UNDECIDED).sum()),
                "worst": np.nan, "at_kappa": np.nan, "at_excess": np.nan, "relative_drop": np.nan,
                "first_order": np.nan, "beyond": 0, "reason": "no overshoot",
            }  # fmt: skip
            deviations = deviation.sel(here).values
            if np.isfinite(deviations).any():
                k = int(np.nanargmax(np.abs(deviations)))
                cell = cells.sel(here).isel(kappa=k)
                kappa, excess = float(cell["kappa"]), float(cell["excess"])
                row |= {
                    "worst": deviations[k], "at_kappa": kappa, "at_excess": excess,
                    "relative_drop": 2.0 * excess * theory.overshoot(kappa),
                    "first_order": float(cell["first_order"].sum()),
                    "beyond": int((np.abs(deviations) > BEYOND).sum()), "reason": _reason(cell, float(deviations[k])),
                }  # fmt: skip
            rows.append(row)
    out = xarray.Dataset()
    for name in rows[0]:
        values = [row[name] for row in rows]
        out[name] = ("row", np.array(values, dtype=object if isinstance(values[0], str) else None))
    return out


_WORDS = {
    "sigma": "the sharpness bends along the minima (σ)",
    "tau": "quartic along the flip (τ)",
    "map": "finite steps of the map",
}


def _reason(cell: xarray.Dataset, deviation: float) -> str:
    """Return why a cell deviates, from first order's parts and what they leave."""
    if abs(deviation) <= BEYOND:
        return "within 1%"
    parts = cell["first_order"].values
    end = float(cell["sharpness"]) * (1.0 - 2.0 * cell["excess"] / (1.0 + cell["excess"]) * cell["overshoot"])
    sizes = np.abs(parts)
    main = CAUSES[int(sizes.argmax())]
    words = f"finite ε: {_WORDS[main]}, {100.0 * sizes.max() / sizes.sum():.0f}% of first order"
    if main == "tau" and abs(float(cell["coupling"])) > 0.5 * abs(float(cell["tau"])):
        words += ", by the network's coupling"
    left = deviation - float(parts.sum())
    if abs(left) > 0.25 * abs(deviation):
        # Not small: second order is made of the squares that `check` bounds the remainder by.
        drop = 2.0 * float(cell["excess"]) * float(theory.overshoot(float(cell["kappa"])))
        squares = drop**2 + float(sizes.sum()) ** 2
        words += (
            f"; first order is not small, and higher orders leave {left:+.2g}, {abs(left) / squares:.2f} times the "
            f"squares of its parts ({float(sizes.sum()):.2g}) and of the relative drop ({drop:.2g})"
        )
    if end < float(cell["second"]):
        words += "; another eigenvalue ends on top"
    return words


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    cells = data["cells"]
    figure = style.new_figure(style.DOUBLE_COLUMN, 6.6)
    grid = figure.add_gridspec(3, 3, height_ratios=[1.25, 1.0, 1.0])
    law = figure.add_subplot(grid[0, :2])
    drawing.draw_universality(cells, law).set_title("all losses")
    key = figure.add_subplot(grid[0, 2])
    drawing.draw_universality_key(cells, key)
    keys = (child for child in key.artists if isinstance(child, Legend))
    for legend, panels_of in zip(keys, ("(a)", "all panels", "(b) to (g)"), strict=True):
        legend.set_title(f"in {panels_of}")
    panels = [law]
    for k, loss in enumerate(cells["loss"].values):
        ax = figure.add_subplot(grid[1 + k // 3, k % 3], sharex=panels[1] if k else None)
        drawing.draw_universality_deviation(cells.sel(loss=loss), ax)
        ax.label_outer()
        panels.append(ax)
    style.label_panels(panels)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    cells, table = data["cells"], data["table"]
    ran = cells["steps"] > 0
    within = cells["excess"] <= LARGEST_EXCESS
    within = within & ((cells["kappa"] >= LEAST_NETWORK_KAPPA) | ~cells["loss"].isin(universality.NETWORKS))
    require((ran == within).all(), "a cell within the bounds has no run, or one beyond them has")
    absent = ran & ~np.isfinite(cells["overshoot"])
    require(not absent.any(), f"{int(absent.sum())} of {int(ran.sum())} runs have no overshoot")
    deviation, first = _deviation(cells), cells["first_order"].sum("cause")
    relative_drop = 2.0 * cells["excess"] * theory.overshoot(cells["kappa"].values)
    squares = relative_drop**2 + np.abs(cells["first_order"]).sum("cause") ** 2
    bound = REMAINDER * squares + FLIPS * cells["flip"] ** 2
    missed = ran & ~(np.abs(deviation - first) <= bound)
    require(
        not missed.any(),
        f"{int(missed.sum())} of {int(ran.sum())} deviations are not those of first order within its square",
    )
    lines = [
        f"All {int(ran.sum())} cells end at another minimum; overshoot/G(κ) − 1 is first order's σ, τ and map parts "
        f"within {REMAINDER:g} times their square and the relative drop's."
    ]
    for loss in cells["loss"].values:
        one = cells.sel(loss=loss)
        order = _order(relative_drop, np.abs(deviation.sel(loss=loss)))
        require(0.9 < order < 1.1, f"{loss}: at κ = 1 the deviation falls as (2εG)^{order:.2f}")
        lines.append(
            f"{loss}: S = {float(one['sharpness']):.3g}, σ = {float(one['sigma']):.3g}, τ = {float(one['tau']):.3g}; "
            f"the deviation at κ = 1 falls as (2εG)^{order:.2f} from β = {MOMENTA[-2]} to {MOMENTA[-1]}."
        )
    worst = np.abs(deviation.where(ran)).max("kappa").stack(row=("loss", "momentum")).dropna("row")
    require(
        table["worst"].size == worst.size and (np.abs(table["worst"].values) == worst.values).all(),
        "the table's worst deviations are not those of the cells",
    )
    for k in range(table.sizes["row"]):
        row = {name: table[name].values[k] for name in table.data_vars}
        lines.append(
            f"{row['loss']}, β = {row['momentum']:g}: {row['cells']} cells, {row['diverged']} diverged, "
            f"{row['undecided']} undecided, {row['beyond']} beyond 1%; worst {row['worst']:+.2g} at κ = "
            f"{row['at_kappa']:g} (2εG = {row['relative_drop']:.2g}, first order {row['first_order']:+.2g}): "
            f"{row['reason']}."
        )
    return lines


def _order(small: xarray.DataArray, size: xarray.DataArray) -> float:
    """Return the power of `small` in `size` at κ = 1 between the two largest momenta."""
    at = {"kappa": 1.0, "momentum": list(MOMENTA[-2:])}
    slope = np.log(size.sel(at)).diff("momentum") / np.log(small.sel(at)).diff("momentum")
    return float(slope.values.item())
