"""What a loss adds to the overshoot law, to first order in the excess.

The overshoot is G(κ) + ε(σP + τQ + R). P, Q and R are the same for every loss. Two numbers of the loss decide: σ, how
the sharpness bends along the minima, and τ, the quartic part along the swing. At κ = 1 and growing ε, three toys leave
the law along the lines that their own σ and τ predict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray

from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of
from selfstab.verification import universality

from . import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "What a loss adds to the overshoot law"

LOSSES = {"CubicTaylor": ("o", "#4477aa"), "Product": ("s", "#117733"), "Chain": ("^", "#882255")}
PARTS = {"P": ("#222222", "-"), "Q": ("#222222", "--"), "R": ("#222222", ":")}
KAPPA = 1.0
MOMENTA = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    momentum = np.array(MOMENTA[::3] if quick else MOMENTA)
    excess = KAPPA / np.asarray(theory.inertia_number(1.0, momentum))
    out = xarray.Dataset(coords={"momentum": momentum, "loss": np.array(list(LOSSES), dtype=object)})
    out["excess"] = ("momentum", excess, {"long_name": "S/S* - 1"})
    starts = [universality.STARTS[name]() for name in LOSSES]
    measured = [
        [universality.catapult(start, float(b), KAPPA).overshoot for b in momentum] for start in starts
    ]
    out["overshoot"] = (("loss", "momentum"), np.array(measured), {"long_name": "drop / (2 y0)"})
    out["sigma"] = ("loss", np.array([start.sigma for start in starts]), {"long_name": "sigma"})
    out["tau"] = ("loss", np.array([start.tau for start in starts]), {"long_name": "tau"})
    return {"deviation": out}


def _predicted(row: xarray.Dataset, excess: np.ndarray) -> np.ndarray:
    """Return the deviation relative to G that first order predicts."""
    first = theory.overshoot_deviation(KAPPA, float(row["sigma"]), float(row["tau"]))
    return excess * first / theory.overshoot(KAPPA)


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.5)
    left, right = figure.subplots(1, 2)
    kappa = np.geomspace(1e-2, 100.0, 200)
    law = theory.overshoot(kappa)
    unit = {"P": (1.0, 0.0), "Q": (0.0, 1.0)}
    of_map = theory.overshoot_deviation(kappa)
    for name, (colour, line) in PARTS.items():
        part = of_map if name == "R" else theory.overshoot_deviation(kappa, *unit[name]) - of_map
        left.plot(kappa, part / law, color=colour, linestyle=line, label=f"${name}/G$")
    left.axhline(0.0, color="#bbbbbb", linewidth=0.5, zorder=0)
    left.set_xscale("log")
    left.set_yscale("asinh", linear_width=1.0)
    left.set_yticks([-100.0, -10.0, -1.0, 0.0, 1.0, 10.0], ["−100", "−10", "−1", "0", "1", "10"])
    left.set_yticks([], minor=True)
    left.set(xlabel=label_of("inertia_number"), ylabel=label_of("universal_functions"))
    left.set_title("universal functions")
    left.legend()
    table = data["deviation"]
    excess = table["excess"].values
    fine = np.geomspace(excess.min(), excess.max(), 50)
    for name, (marker, colour) in LOSSES.items():
        row = table.sel(loss=name)
        deviation = np.abs(row["overshoot"].values / theory.overshoot(KAPPA) - 1.0)
        right.plot(fine, np.abs(_predicted(row, fine)), color=colour)
        sigma, tau = float(row["sigma"]), float(row["tau"])
        right.plot(
            excess, deviation, linestyle="none", marker=marker, color=colour, markersize=3.2,
            label=rf"{name}: $\sigma={sigma:.3g}$, $\tau={tau:.3g}$",
        )  # fmt: skip
    right.set(xscale="log", yscale="log", xlabel=label_of("excess"))
    right.set(ylabel=label_of("size_of_deviation"))
    right.plot([], [], color=style.THEORY_COLOUR, label="theory, first order")
    right.set_ylim(bottom=1e-6)  # room for the key below the points
    right.set_title(rf"deviation from the law, $\kappa={KAPPA:g}$")
    right.legend(loc="lower right")
    style.label_panels([left, right])
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    table = data["deviation"]
    excess = table["excess"].values
    small = excess < 0.01
    lines = []
    for name in LOSSES:
        row = table.sel(loss=name)
        deviation = row["overshoot"].values / theory.overshoot(KAPPA) - 1.0
        left = np.abs(deviation / _predicted(row, excess) - 1.0)[small]
        require(
            left.size and (left < 0.3).all(), f"{name}: first order leaves {left.max():.2g} of the deviation"
        )
        lines.append(
            f"{name}: deviation {deviation[small].min():+.1e} to {deviation[small].max():+.1e} for ε < 0.01, "
            f"of which first order leaves at most {left.max():.1%}."
        )
    return lines
