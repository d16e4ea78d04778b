"""The inertia number decides how large a catapult is.

The overshoot minus 1, its value in the slow limit, on the cubic model. Against the excess each momentum has a
curve of its own. Against κ = ε((1 + β)/(1 − β))² they fall together on G(κ) − 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of

from . import momenta, overshoot_law, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "The inertia number: overshoots of five momenta on one curve"

MOMENTA = (0.0, 0.5, 0.8, 0.9, 0.95)
LEAST_EXCESS = 2e-4
LARGEST_EXCESS = 0.05


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    momentum = np.array(MOMENTA)
    kappa = np.geomspace(0.01, 10.0, 4 if quick else 10)
    excess = kappa / np.asarray(theory.inertia_number(1.0, momentum[:, None]))
    excess = np.where((excess >= LEAST_EXCESS) & (excess <= LARGEST_EXCESS), excess, 0.0)
    loss = ss.CubicTaylor(curvature=1.0)
    measured = np.stack([overshoot_law.overshoots(loss, b, e) for b, e in zip(MOMENTA, excess, strict=True)])
    out = xarray.Dataset(coords={"momentum": momentum, "kappa": kappa})
    out["excess"] = (("momentum", "kappa"), np.where(excess > 0.0, excess, np.nan), {"long_name": "S/S* - 1"})
    out["overshoot"] = (("momentum", "kappa"), measured, {"long_name": "drop / (2 y0)"})
    return {"inertia": out}


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.6)
    left, right = figure.subplots(1, 2, sharey=True)
    law = data["inertia"]
    fine = np.geomspace(0.008, 12.0, 200)
    curve = theory.overshoot(fine) - 1.0
    for beta in law["momentum"].values:
        row = law.sel(momentum=beta)
        points = momenta.open_points(beta)
        left.plot(
            fine / theory.inertia_number(1.0, beta), curve, color=style.THEORY_COLOUR, linewidth=0.6, zorder=1
        )
        left.plot(row["excess"], row["overshoot"] - 1.0, label=rf"$\beta={beta:g}$", **points)
        right.plot(row["kappa"], row["overshoot"] - 1.0, **points)
    right.plot(fine, curve, color=style.THEORY_COLOUR, zorder=1, label=r"theory, $G(\kappa)-1$")
    left.set(
        xscale="log",
        yscale="log",
        xlabel=label_of("excess"),
        ylabel=label_of("overshoot", "drop/(2$y_0$) $-$ 1"),
    )
    left.set_title("against the excess")
    right.set_title("against the inertia number")
    left.set_xlim(LEAST_EXCESS / 2.0, 1.0)
    right.set(xscale="log", xlabel=label_of("inertia_number", r"$\kappa=\varepsilon((1+\beta)/(1-\beta))^2$"))
    style.label_panels([left, right])
    style.shared_legend(figure, [left, right], columns=6)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    law = data["inertia"]
    deviation = law["overshoot"].values / theory.overshoot(law["kappa"].values) - 1.0
    excess = law["excess"].values
    ran = np.isfinite(excess)
    require(
        np.isfinite(deviation[ran]).all(), f"{(~np.isfinite(deviation[ran])).sum()} runs have no overshoot"
    )
    relative_drop = 2.0 * excess * theory.overshoot(law["kappa"].values)
    bound = overshoot_law.RELATIVE_DEVIATION * relative_drop + overshoot_law.START_SHARE
    require(
        (np.abs(deviation) < bound)[ran].all(),
        "an overshoot is off G(κ) by more than the relative drop's share",
    )
    spread = np.nanmax(law["overshoot"].values, axis=0) / np.nanmin(law["overshoot"].values, axis=0) - 1.0
    apart = spread[law["kappa"].values <= 0.05]
    require(apart.size and (apart < 1e-3).all(), f"at small κ the momenta differ by {apart.max():.1e}")
    return [
        f"{ran.sum()} overshoots of {len(MOMENTA)} momenta within {np.abs(deviation[ran]).max():.1e} of G(κ), each "
        f"within {overshoot_law.RELATIVE_DEVIATION}·2εG; for κ <= 0.05 "
        f"they differ among themselves by {apart.max():.0e}."
    ]
