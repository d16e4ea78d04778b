"""Momentum's modes on quadratics.

The spectral radius ρ, the factor per step of the slower mode, λ² − (1 + β − ηS)λ + β = 0, over (ηS, β): it is √β
exactly in the oscillating region, and 1 at the threshold ηS = 2(1 + β).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray
from matplotlib.patheffects import withStroke

from selfstab import phases, theory
from selfstab.plotting import modes as modes_drawing
from selfstab.plotting import style

from . import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Momentum's modes on quadratics"


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    cells = 200 if quick else 600
    coords = {"momentum": np.linspace(0.0, 0.99, cells), "lr_times_sharpness": np.linspace(0.0, 4.2, cells)}
    radius = theory.spectral_radius(coords["lr_times_sharpness"], coords["momentum"][:, None])
    out = xarray.Dataset({"spectral_radius": (tuple(coords), radius)}, coords)
    out["spectral_radius"].attrs = {"long_name": "larger modulus of the two modes, per step", "units": "1"}
    out["region"] = (tuple(coords), theory.region(coords["lr_times_sharpness"], coords["momentum"][:, None]))
    out["region"].attrs = {
        "flag_values": list(theory.REGIONS),
        "flag_meanings": " ".join(theory.REGIONS.values()),
    }
    return {"modes": out}


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.SINGLE_COLUMN, 2.7)
    ax = figure.add_subplot()
    modes_drawing.draw_modes(data["modes"], ax)
    for text in ax.texts:
        around = "white" if text.get_color() == "black" else style.THEORY_COLOUR
        text.set_path_effects([withStroke(linewidth=1.2, foreground=around, alpha=0.7)])
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    modes = data["modes"]
    radius, region = modes["spectral_radius"].values, modes["region"].values
    require(np.isfinite(radius).all(), f"|λ| is not finite at {(~np.isfinite(radius)).sum()} cells")
    momentum = np.broadcast_to(modes["momentum"].values[:, None], radius.shape)
    # NumPy's eigenvalues of the companion matrix know nothing of the closed form.
    rows = np.random.default_rng(0).integers(0, radius.size, 400)
    scaled = np.broadcast_to(modes["lr_times_sharpness"].values, radius.shape).ravel()[rows]
    companion = np.zeros((rows.size, 2, 2))
    companion[:, 0, 0] = 1.0 + momentum.ravel()[rows] - scaled
    companion[:, 0, 1] = -momentum.ravel()[rows]
    companion[:, 1, 0] = 1.0
    direct = np.abs(np.linalg.eigvals(companion)).max(-1)
    # A double root is known to the square root of rounding only.
    error = np.abs(direct - radius.ravel()[rows]).max()
    require(error < 1e-7, f"|λ| differs from the companion matrix's by {error:.1e}")
    oscillating = region == phases.OSCILLATING
    plateau = np.abs(radius - np.sqrt(momentum))[oscillating].max()
    require(plateau < 1e-15, f"|λ| differs from √β by {plateau:.1e} where the modes are complex")
    require(
        ((radius > 1.0) == (region == phases.DIVERGED))[
            (radius < 1.0 - 1e-12) | (radius > 1.0 + 1e-12)
        ].all(),
        "the modes leave the unit circle elsewhere than at 2(1 + β)",
    )
    return [
        f"|λ| equals the companion matrix's spectral radius at {rows.size} sampled cells to {error:.0e}.",
        "Between (1 − √β)² and (1 + √β)², |λ| = √β "
        + (f"to {plateau:.0e}." if plateau else "to the last bit."),
        "|λ| passes 1 at ηS = 2(1 + β) at every momentum.",
    ]
