"""Flows that follow heavy ball on average: the averaged flow at the edge, and the rod flow.

At the edge, runs with and without momentum at one threshold follow the same averaged flow, momentum (1 + β)/(1 − β)
times as fast. The loss is that of the constrained trajectory's figure. On a double well beyond the threshold the rod
flow, an ordinary differential equation for midpoint and spread, starts to swing and settles at the two-cycle's
variance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab.plotting import style
from selfstab.plotting.labels import label_of
from selfstab.verification import flows

from . import momenta, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "The averaged flow at the edge, and the rod flow"

MOMENTA = (0.0, 0.5)
SCALE = 0.5
ROD_MOMENTUM, ROD_EXCESS, ROD_STEPS, ROD_START = 0.5, 0.03, 150, 1e-3


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    out = {f"run_{beta:g}": _edge(beta) for beta in MOMENTA}
    return out | {"averaged": _averaged(), "rod": _rod()}


def _edge(momentum: float) -> xarray.Dataset:
    """Return the slow weights of a run at the edge, from the balance."""
    time, weights = flows.edge_run(momentum, SCALE, 400)
    _, y, q = weights.T
    return xarray.Dataset(
        {"y": ("time", y, {"long_name": "weight y"}), "q": ("time", q, {"long_name": "weight q"})},
        {"time": time},
    )


def _averaged() -> xarray.Dataset:
    time = np.linspace(0.0, flows.SPAN, 200)
    y, q = flows.averaged_flow()(time)
    return xarray.Dataset({"y": ("time", y), "q": ("time", q)}, {"time": time})


def _rod() -> xarray.Dataset:
    """Return the variance of the swing on the double well: of a run, and of the rod flow from the same start."""
    from scipy.integrate import solve_ivp

    loss, beta = ss.DoubleWell(), ROD_MOMENTUM
    lr = (1.0 + beta) * (1.0 + ROD_EXCESS)
    run = ss.simulate(
        loss, ss.HeavyBall(lr, beta), [1.0 + ROD_START], ROD_STEPS + 1, previous=[1.0 - ROD_START], keep=["weights"]
    )["weights"].values[:, 0]  # fmt: skip

    z = np.array([[run[0], run[0] - (1.0 - ROD_START)], [run[1], run[1] - run[0]]])
    d = 0.5 * (z[0] - z[1])
    time = np.arange(ROD_STEPS + 1.0)
    flow = solve_ivp(
        lambda _, state: flows.rod_velocity(loss, lr, beta, state), (0.0, float(ROD_STEPS)),
        np.concatenate([z.mean(axis=0), np.outer(d, d).ravel()]), t_eval=time,
        rtol=1e-8, atol=1e-14,
    ).y  # fmt: skip
    half = 0.5 * np.diff(run)
    return xarray.Dataset(
        {
            "run": ("time", half**2, {"long_name": "squared half-difference of consecutive weights"}),
            "flow": ("time", flow[2], {"long_name": "the rod flow's variance of the weight"}),
        },
        {"time": time},
    )


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.3)
    axes = figure.subplots(1, 3)
    flow, rod = data["averaged"], data["rod"]
    axes[0].plot(flow["q"], flow["y"], color=style.THEORY_COLOUR)
    axes[1].plot(flow["time"], flow["q"], color=style.THEORY_COLOUR, label="flow")
    for k, beta in enumerate(MOMENTA):
        run = data[f"run_{beta:g}"]
        few = slice(12 * k, None, 24)
        points = {
            "linestyle": "none",
            "marker": momenta.MARKERS[beta],
            "color": momenta.COLOURS[beta],
            "markersize": 2.8,
        }
        axes[0].plot(run["q"][few], run["y"][few], label=rf"run, $\beta={beta:g}$", **points)
        axes[1].plot(run["time"][few], run["q"][few], **points)
    axes[0].set(xlabel=label_of("weight", "$q$"), ylabel=label_of("weight", "$y$"), title="path at the edge")
    axes[1].set(
        xlabel=label_of("effective_time", r"$\eta t/(1-\beta)$ (1/sharpness)"),
        ylabel=label_of("weight", "$q$"),
        title="speed at the edge",
    )
    axes[2].plot(rod["time"], rod["flow"], color=style.THEORY_COLOUR)
    axes[2].plot(
        rod["time"][::5], rod["run"][::5], linestyle="none", marker=momenta.MARKERS[ROD_MOMENTUM], markersize=2.8,
        color=momenta.COLOURS[ROD_MOMENTUM],
    )  # fmt: skip
    axes[2].set(
        yscale="log",
        xlabel=label_of("step"),
        ylabel=label_of("swing_variance"),
        title="rod flow, double well",
    )
    style.label_panels(list(axes))
    style.shared_legend(figure, list(axes), columns=3)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    flow, lines = data["averaged"], []
    for beta in MOMENTA:
        run = data[f"run_{beta:g}"]
        q = np.interp(run["time"].values, flow["time"].values, flow["q"].values)
        off = float(np.abs(run["q"].values - q).max() / q[0])
        # On the edge, y + q²/2 = 0.
        away = float(np.abs(run["y"].values + 0.5 * run["q"].values ** 2).max() / abs(flow["y"].values[0]))
        require(off < 0.01, f"β = {beta:g}: q leaves the averaged flow by {off:.2g}")
        require(away < 0.2, f"β = {beta:g}: the run leaves the edge by {away:.2g} of y's change")
        lines.append(
            f"β = {beta:g}: q is within {off:.1e} of the averaged flow's, y within {away:.1e} of the edge."
        )
    rod = data["rod"]
    end = float(rod["flow"][-1] / rod["run"][-1] - 1.0)
    rates = [
        float(np.polyfit(rod["time"].values[5:25], np.log(rod[name].values[5:25]), 1)[0])
        for name in ("run", "flow")
    ]
    require(abs(end) < 1e-3, f"the rod flow's variance settles {end:.1e} off the two-cycle's")
    require(
        0.8 < rates[1] / rates[0] < 1.3,
        f"the rod flow grows at {rates[1]:.3g} a step, the run at {rates[0]:.3g}",
    )
    return [
        *lines,
        f"The rod flow settles within {abs(end):.0e} of the two-cycle's variance, growing at {rates[1]:.4f} a step "
        f"beside the run's {rates[0]:.4f}.",
    ]
