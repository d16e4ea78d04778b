"""Cycles at the edge of stability, and how fast they grow.

Where progressive sharpening and self-stabilization balance, the sharpness cycles about the threshold, y = S − S*.
Small cycles have the period 2π(1 − β)/√(2a). They grow from one to the next by exp(2πκ), with the inertia number κ of
the edge. The growth is slow without momentum and fast with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of
from selfstab.verification import fits

from . import momenta, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Cycles at the edge of stability: period and growth"

SHOWN = (0.0, 0.5)
SHARPENING = 1e-5
MOMENTA = (0.0, 0.5, 0.9)


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    out = {}
    for beta in SHOWN:
        period = theory.cycle_period(2.0 * (1.0 + beta), beta, SHARPENING)
        y = _run(beta, SHARPENING, 0.1, int(6.0 * period))
        out[f"run_{beta:g}"] = xarray.Dataset(
            {"y": ("cycle", y / np.sqrt(2.0 * SHARPENING), {"long_name": "S - S* over sqrt(2 alpha)"})},
            {"cycle": np.arange(y.size) / period},
        )
    kappa, momentum = np.geomspace(0.003, 0.5, 5 if quick else 10), np.array(MOMENTA)
    growth, period = np.empty((2, momentum.size, kappa.size))
    for i, j in np.ndindex(growth.shape):
        beta = float(momentum[i])
        alpha = _alpha(float(kappa[j]), beta)
        # Samples an eighth of a cycle apart, once the fast modes, about β^t, have died.
        apart = max(1, int(theory.cycle_period(2.0 * (1.0 + beta), beta, alpha) / 8.0))
        died = int(30.0 / (1.0 - beta))
        root = fits.recurrence_roots(_run(beta, alpha, 1e-7, died + 8 * apart)[died::apart])[0]
        exponent = np.log(root) / apart
        period[i, j] = 2.0 * np.pi / abs(exponent.imag)
        growth[i, j] = exponent.real * period[i, j]
    small = xarray.Dataset(coords={"momentum": momentum, "kappa": kappa})
    small["growth"] = (("momentum", "kappa"), growth, {"long_name": "ln of the growth a cycle"})
    small["period"] = (("momentum", "kappa"), period, {"long_name": "steps a cycle"})
    return out | {"small": small}


def _alpha(kappa: float, momentum: float) -> float:
    """Return the α whose cycles have this κ, at S* = 1."""
    return float((kappa / theory.edge_inertia_number(2.0 * (1.0 + momentum), momentum, 1.0)) ** 2)


def _run(momentum: float, alpha: float, away: float, steps: int) -> np.ndarray:
    """Return S − S* along a run of the cubic model from a flip `away` from the balance."""
    x0 = (1.0 + away) * theory.edge_displacement(alpha)
    optimizer = ss.HeavyBall(2.0 * (1.0 + momentum), momentum)
    run = ss.simulate(
        ss.CubicTaylor(1.0, alpha), optimizer, [x0, 0.0], steps, previous=[-x0, 0.0], keep=["weights"]
    )
    return run["weights"].values[:, 1]


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.4)
    axes = figure.subplots(1, 3)
    for beta in SHOWN:
        run = data[f"run_{beta:g}"]
        axes[0].plot(
            run["cycle"],
            run["y"],
            color=momenta.COLOURS[beta],
            linestyle="-" if beta else "--",
            label=rf"run, $\beta={beta:g}$",
        )
    axes[0].set(xlabel=label_of("time_in_cycles"), ylabel=label_of("excess_sharpness", r"$y/\sqrt{2\alpha}$"))
    small = data["small"]
    kappa = small["kappa"].values
    fine = np.geomspace(kappa[0], kappa[-1], 100)
    axes[1].plot(fine, 2.0 * np.pi * fine, color=style.THEORY_COLOUR, label=r"theory, leading order")
    axes[2].axhline(1.0, color=style.THEORY_COLOUR)
    for beta in small["momentum"].values:
        row = small.sel(momentum=beta)
        points = momenta.open_points(beta)
        axes[1].plot(kappa, row["growth"], label=rf"$\beta={beta:g}$", **points)
        axes[2].plot(kappa, row["period"] / _leading_period(kappa, beta), **points)
    axes[1].set(
        xscale="log",
        yscale="log",
        xlabel=label_of("edge_inertia_number"),
        ylabel=label_of("growth_per_cycle"),
    )
    axes[2].set(xscale="log", xlabel=label_of("edge_inertia_number"), ylabel=label_of("period"))
    for ax, title in zip(axes, ("two runs", "growth", "period"), strict=True):
        ax.set_title(title)
    style.label_panels(list(axes))
    style.shared_legend(figure, list(axes), columns=6)
    return figure


def _leading_period(kappa: np.ndarray, momentum: float) -> np.ndarray:
    alpha = np.array([_alpha(float(k), momentum) for k in kappa])
    return np.asarray(theory.cycle_period(2.0 * (1.0 + momentum), momentum, alpha))


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    small = data["small"]
    kappa, lines = small["kappa"].values, []
    for beta in small["momentum"].values:
        row = small.sel(momentum=beta)
        growth = np.abs(row["growth"].values / (2.0 * np.pi * kappa) - 1.0)
        period = np.abs(row["period"].values / _leading_period(kappa, float(beta)) - 1.0)
        few = kappa < 0.03
        require(
            few.any() and (growth[few] < 0.01).all(),
            f"β = {beta:g}: growth is off by {growth[few].max():.1e}",
        )
        require((period[few] < 0.01).all(), f"β = {beta:g}: the period is off by {period[few].max():.1e}")
        lines.append(
            f"β = {beta:g}: for κ < 0.03 growth within {growth[few].max():.1e} and period within "
            f"{period[few].max():.1e} of leading order, at κ = {kappa[-1]:.2g} "
            f"off by {growth[-1]:.2g} and {period[-1]:.2g}."
        )
    return lines
