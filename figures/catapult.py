"""One catapult: gradient descent beside heavy ball.

The cubic Taylor model from the same excess ε above the same threshold; y = S − S*, and y₀ is its largest. Gradient
descent has κ = ε ≪ 1: its orbit keeps the slow limit's H, and the sharpness falls by 2y₀. Heavy ball at β = 0.9 has κ
= 361 ε: its orbit leaves the level line outwards, and the sharpness falls to S* − y₀(2G(κ) − 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import selfstab as ss
from selfstab import theory
from selfstab.plotting import methods, runs, style

from . import require

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

TITLE = "One catapult: gradient descent beside heavy ball at the same threshold and excess"

EXCESS = 0.005
STEPS = {0.0: 2200, 0.9: 320}


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    return {"gd": _run(0.0), "phb": _run(0.9)}


def _run(momentum: float) -> xarray.Dataset:
    loss = ss.CubicTaylor(curvature=1.0)
    threshold = 1.0 / (1.0 + EXCESS)
    y0 = 1.0 - threshold
    start, previous = ss.flip_start(loss, loss.minimum(), size=1e-4 * theory.max_displacement(y0))
    optimizer = ss.HeavyBall(2.0 * (1.0 + momentum) / threshold, momentum)
    run = ss.simulate(
        loss,
        optimizer,
        start,
        STEPS[momentum],
        previous=previous,
        keep=("loss", "sharpness", "weights", "velocity"),
    )
    kappa = theory.inertia_number(EXCESS, momentum)
    measured = ss.observables.measure(run, ["overshoot", "peak_excess_sharpness"])
    run["displacement"] = run["weights"][:, 0].drop_vars("weight")
    run["excess_sharpness"] = 1.0 + run["weights"][:, 1].drop_vars("weight") - threshold
    scalars = {
        "peak_excess_sharpness": (y0, "y0 = S - S* at the start", "1/lr"),
        "stabilization": (1.0, "b^2, squared gradient of the sharpness", "1/(lr^2 weight^2)"),
        "inertia_number": (kappa, "kappa", "1"),
        "overshoot": (measured["overshoot"], "drop / (2 y0)", "1"),
        "predicted_overshoot": (theory.overshoot(kappa), "G(kappa)", "1"),
        "predicted_final_sharpness": (
            theory.final_sharpness(threshold, y0, kappa), "S* - y0 (2 G(kappa) - 1)", "1/lr"),
    }  # fmt: skip
    for name, (value, long_name, units) in scalars.items():
        run[name] = ((), value, {"long_name": long_name, "units": units})
    return run.drop_vars(["weights", "velocity", "weight"])


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 3.6)
    axes = figure.subplots(2, 4)
    for column in range(3):
        axes[1, column].sharey(axes[0, column])  # how much larger momentum's catapult is
    for row, run in zip(axes, data.values(), strict=True):
        runs.draw_displacement(run, row[0])
        runs.draw_sharpness(run, row[1])
        runs.draw_loss(run, row[2])
        runs.draw_orbit(run, row[3])
        kappa = float(run["inertia_number"])
        titles = ("displacement", "sharpness", "loss", rf"$\kappa = {kappa:.3g}$")
        for ax, title in zip(row, titles, strict=True):
            ax.set_title(f"{methods.method(run)}, {title}")
    axes[0, 3].plot([], [], color="#aaaaaa", linewidth=0.4, label="level lines of $H$")
    style.label_panels(list(axes.flat))
    style.shared_legend(figure, [axes[0, 0], axes[1, 0], *axes.flat], columns=6)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    lines = []
    for name, tolerance in (("gd", 1e-4), ("phb", 0.015)):
        run = data[name]
        kappa, measured, law = (float(run[v]) for v in ("inertia_number", "overshoot", "predicted_overshoot"))
        require(
            abs(measured / law - 1.0) < tolerance, f"{name}: overshoot {measured:.5f}, the law says {law:.5f}"
        )
        threshold = float(run["max_stable_sharpness"][0])
        end, predicted = float(run["sharpness"][-1]), float(run["predicted_final_sharpness"])
        lines.append(
            f"{methods.method(run)}: κ = {kappa:.4g}; overshoot {measured:.4f}, the law's G(κ) = {law:.4f}; "
            f"final sharpness {end:.5f}, predicted {predicted:.5f} (threshold {threshold:.5f})."
        )
    y0 = float(data["gd"]["peak_excess_sharpness"])
    for name, run in data.items():
        energy = theory.slow_energy(
            run["excess_sharpness"].values, np.abs(run["displacement"].values)
        ) / theory.slow_energy(y0, 0.0)
        swing = float(np.abs(energy - 1.0).max())
        require(swing < 0.03 if name == "gd" else swing > 1.0, f"{name}: H changes by {swing:.3g}")
        lines.append(
            f"{methods.method(run)}: H departs from its first value by at most {swing:.2g} times that value."
        )
    return lines
