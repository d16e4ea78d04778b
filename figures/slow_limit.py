"""The slow limit: momentum changes the speed of a catapult and not its size.

At κ = 0.002 the orbits of gradient descent and of heavy ball at β = 0.9 lie on the same level line of H = y²/2 − α ln
A + b²A²/4 (y = S − S*, A = |x|), without and with progressive sharpening. Away from the limit, drop and largest swing
depart in proportion to κ.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of

from . import momenta, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "The slow limit: momentum changes the speed of a catapult and not its size"

MOMENTA = (0.0, 0.9)
KAPPA = 0.002
SHARPENING = {"without": 0.0, "with": 0.1}
"""α over y₀², without and with progressive sharpening."""
ERROR_MOMENTUM = 0.5


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    out = {}
    for name, share in SHARPENING.items():
        for beta in MOMENTA:
            out[f"{name}_{beta:g}"] = _run(KAPPA, beta, share, start=0.02 if share == 0.0 else 0.3)
    kappa = np.geomspace(1e-3, 0.3, 5 if quick else 11)
    runs = [_run(k, ERROR_MOMENTUM, 0.0, start=1e-4) for k in kappa]
    drop = [0.5 * (1.0 - float(run["excess_sharpness"][-1])) for run in runs]
    swing = [float(run["swing"].max()) / math.sqrt(2.0) for run in runs]
    out["errors"] = xarray.Dataset(
        {
            "drop": ("kappa", np.array(drop), {"long_name": "drop over 2 y0"}),
            "swing": ("kappa", np.array(swing), {"long_name": "largest swing over the slow limit's"}),
        },
        {"kappa": kappa},
    )
    return out


def _run(kappa: float, momentum: float, share: float, start: float) -> xarray.Dataset:
    """Return y/y₀ and b|x|/y₀ of a run from `start` of the largest swing."""
    excess = kappa / theory.inertia_number(1.0, momentum)
    threshold = 1.0 / (1.0 + excess)
    y0, lr = 1.0 - threshold, 2.0 * (1.0 + momentum) / threshold
    swing = start * theory.max_displacement(y0)
    duration = 2.0 * math.log(2.0 / start) + (7.0 if share == 0.0 else 3.0)
    steps = math.ceil(duration * (1.0 - momentum) / (lr * y0))
    run = ss.simulate(
        ss.CubicTaylor(1.0, share * y0**2), ss.HeavyBall(lr, momentum), [swing, 0.0], steps,
        previous=[-swing, 0.0], keep=["weights"], every=max(1, steps // 4000),
    )  # fmt: skip
    x, z = run["weights"].values.T
    return xarray.Dataset(
        {
            "excess_sharpness": ("step", (z + y0) / y0, {"long_name": "S - S* over its first value"}),
            "swing": ("step", np.abs(x) / y0, {"long_name": "b|x|/y0"}),
        },
        {"step": run["step"].values, "sharpening": share},
    )


def _energy(run: xarray.Dataset) -> np.ndarray:
    return np.asarray(
        theory.slow_energy(run["excess_sharpness"].values, run["swing"].values, float(run["sharpening"]))
    )


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.6)
    axes = figure.subplots(1, 3)
    for ax, (name, share) in zip(axes, SHARPENING.items(), strict=False):
        swing, y = np.meshgrid(np.linspace(1e-3, 2.0, 300), np.linspace(-1.3, 1.3, 300))
        level = float(_energy(data[f"{name}_0"])[0])
        ax.contour(
            swing,
            y,
            theory.slow_energy(y, swing, share),
            levels=[level],
            colors=style.THEORY_COLOUR,
            linewidths=0.8,
        )
        for beta in MOMENTA:
            run = data[f"{name}_{beta:g}"]
            every = slice(40 if beta else 0, None, max(1, run.sizes["step"] // 45))
            ax.plot(
                run["swing"][every], run["excess_sharpness"][every], linestyle="none", marker=momenta.MARKERS[beta],
                markersize=2.6, color=momenta.COLOURS[beta], label=rf"$\beta={beta:g}$",
            )  # fmt: skip
        ax.set_title(r"orbit, $\alpha=0$" if share == 0.0 else rf"orbit, $\alpha={share:g}\,y_0^2$")
        ax.set(xlabel=label_of("swing", "$b\\,|x|/y_0$"), ylabel=label_of("excess_sharpness", "$y/y_0$"))
        ax.set_xlim(-0.1, 2.0)
    errors = data["errors"]
    kappa = errors["kappa"].values
    axes[2].plot(kappa, kappa, color=style.THEORY_COLOUR, label=r"theory: level line of $H$, and $\kappa$")
    colour = momenta.COLOURS[ERROR_MOMENTUM]
    for (name, marker), face in zip((("drop", "s"), ("swing", "^")), (colour, "none"), strict=True):
        axes[2].plot(
            kappa, errors[name] - 1.0, linestyle="none", marker=marker, color=colour, markerfacecolor=face,
            label=f"{'drop' if name == 'drop' else 'largest swing'}, $\\beta={ERROR_MOMENTUM:g}$",
        )  # fmt: skip
    axes[2].set(
        xscale="log",
        yscale="log",
        xlabel=label_of("inertia_number"),
        ylabel=label_of("deviation_from_slow_limit"),
        title="deviation from the slow limit",
    )
    style.label_panels(list(axes))
    style.shared_legend(figure, list(axes), columns=5)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    lines = []
    for name in SHARPENING:
        runs = [data[f"{name}_{b:g}"] for b in MOMENTA]
        require(
            all(np.isfinite(run["excess_sharpness"]).all() for run in runs),
            f"{name} sharpening a run is not finite",
        )
        strays = [float(np.abs(_energy(run) - _energy(run)[0]).max()) for run in runs]
        require(max(strays) < 5.0 * KAPPA, f"{name} sharpening H strays by {max(strays):.2g} y0²")
        lines.append(
            f"{name.capitalize()} progressive sharpening H strays by "
            + ", ".join(f"{s:.1e} y₀² (β = {b:g})" for s, b in zip(strays, MOMENTA, strict=True))
            + f" at κ = {KAPPA:g}."
        )
    errors = data["errors"]
    logs = np.log(errors["kappa"].values[:4])
    for name in ("drop", "swing"):
        order = float(np.polyfit(logs, np.log(errors[name].values[:4] - 1.0), 1)[0])
        require(0.9 < order < 1.1, f"the {name} departs from the slow limit as κ^{order:.2f}")
        lines.append(f"The {name} departs from the slow limit as κ^{order:.2f}.")
    return lines
