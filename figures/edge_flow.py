"""The edge flow beside runs through large catapults, and beside the other flows.

(a) Drop of sharpness/(2y₀) of catapults on the product loss against the inertia number κ, at one momentum: runs and
flows. (b, c) Sharpness on the digits network at midpoints of consecutive iterates and on the flows, at κ near 1 and 11.
The edge flow, which has heavy ball's inertia, follows; without the inertia it falls by 2y₀ only, and the averaged flow
stays at the edge. The rod flow swings with a rate of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray
from matplotlib.ticker import NullFormatter

import selfstab as ss
from selfstab import theory
from selfstab.plotting import methods, style
from selfstab.plotting.labels import label_of
from selfstab.verification import edge_flow, predicted

from . import momenta, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "The edge flow follows catapults of large inertia numbers"

MOMENTUM = 0.9
KAPPA = (0.3, 1.0, 3.0, 10.0)
DIGITS = {0.7: 60, 0.9: 45}
"""Steps on the digits, by momentum."""
FLOWS = {
    "edge": ("edge flow", {"color": style.THEORY_COLOUR}),
    "first": ("without inertia", {"color": style.THEORY_COLOUR, "ls": ":"}),
    "rod": ("rod flow", {"color": methods.METHOD_COLOURS["rod flow"], "ls": "--", "lw": 0.9}),
    "averaged": ("averaged flow", {"color": methods.METHOD_COLOURS["averaged flow"], "ls": "-.", "lw": 0.9}),
}


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    kappa = np.array(KAPPA[1::2] if quick else KAPPA)
    drops = np.array([_drops(k) for k in kappa]).T
    names = ("run", "edge", "first", "rod")
    out = {
        "drops": xarray.Dataset(
            {name: ("kappa", values) for name, values in zip(names, drops, strict=True)},
            {"kappa": ("kappa", kappa, {"long_name": "inertia number"})},
        )
    }
    for momentum, steps in DIGITS.items():
        if not quick or momentum == MOMENTUM:
            out[f"digits_{momentum:g}"] = _digits(momentum, steps)
    return out


def _drops(kappa: float) -> list[float]:
    """Return drop/(2y₀) of the sharpness of the run, of the edge flow, without inertia, and of the rod flow."""
    loss, excess = ss.Product(), kappa / float(theory.inertia_number(1.0, MOMENTUM))
    optimizer = ss.HeavyBall(0.5 * (1.0 + MOMENTUM) * (1.0 + excess), MOMENTUM)
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-3 * excess)
    steps = int(20.0 * (1.0 - MOMENTUM) / (2.0 * (1.0 + MOMENTUM) * excess) * (1.0 + 2.0 * np.sqrt(kappa)))
    last = {"every": steps, "previous": previous}
    runs = (
        ss.simulate(loss, optimizer, start, steps, keep=["sharpness"], **last),
        ss.edge_flow(loss, optimizer, start, steps, **last),
        ss.edge_flow(loss, optimizer, start, steps, order=1, **last),
        ss.rod_flow(loss, optimizer, start, steps, **last),
    )
    y0 = 4.0 - 4.0 / (1.0 + excess)
    return [(4.0 - float(run["sharpness"][-1])) / (2.0 * y0) for run in runs]


def _digits(momentum: float, steps: int) -> xarray.Dataset:
    """Return the sharpness of a run's midpoints and of the flows."""
    loss, optimizer, start = predicted.network(), predicted.optimizer(momentum), edge_flow.digits_start()
    flows = {
        "edge": edge_flow.digits_flow(momentum, steps),
        "first": edge_flow.digits_flow(momentum, steps, 1),
        "rod": ss.rod_flow(loss, optimizer, start, steps),
        "averaged": ss.averaged_flow(loss, optimizer, start, steps, directions=1),
    }
    run = edge_flow.digits_run(momentum, steps)
    sharpness = {"run": run["sharpness"].values} | {
        name: flow["sharpness"].values for name, flow in flows.items()
    }
    return xarray.Dataset(
        {name: ("step", values) for name, values in sharpness.items()}, {"step": np.arange(steps + 1)}
    )


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.4)
    axes = figure.subplots(1, 3)
    drops = data["drops"]
    for name, (_, line) in FLOWS.items():
        if name in drops:
            axes[0].plot(drops["kappa"], drops[name], **line)
    points = {"linestyle": "none", "markersize": 2.8}
    of_drops = points | {"marker": momenta.MARKERS[MOMENTUM], "color": momenta.COLOURS[MOMENTUM]}
    axes[0].plot(drops["kappa"], drops["run"], **of_drops)
    axes[0].set_title(rf"overshoot, $\beta={MOMENTUM:g}$")
    axes[0].set(xscale="log", yscale="log", xlabel=label_of("inertia_number"), ylabel=label_of("overshoot"))
    shown = [momentum for momentum in DIGITS if f"digits_{momentum:g}" in data]
    axes[0].set_yticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axes[0].yaxis.set_minor_formatter(NullFormatter())
    for ax, momentum in zip(axes[-len(shown) :], shown, strict=True):
        part = data[f"digits_{momentum:g}"]
        for name, (label, line) in FLOWS.items():
            ax.plot(part["step"], part[name], label=label, **line)
        look = points | {"marker": momenta.MARKERS[momentum], "color": momenta.COLOURS[momentum]}
        ax.plot(part["step"], part["run"], label=rf"run, $\beta={momentum:g}$", markevery=3, **look)
        ax.axhline(
            predicted.THRESHOLD, color=style.THEORY_COLOUR, lw=0.8, ls="--", zorder=0, label="threshold $S^*$"
        )
        ax.set(xlabel=label_of("step"), ylabel=label_of("sharpness"), ylim=(2.7, 5.8))
        ax.set_title(rf"digits network, $\beta={momentum:g}$")
    style.label_panels(list(axes))
    style.shared_legend(figure, list(axes[1:]), columns=7)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    drops, lines = data["drops"], []
    off = {name: drops[name].values / drops["run"].values - 1.0 for name in ("edge", "first", "rod")}
    require(np.abs(off["edge"]).max() < 0.03, f"the edge flow's drop is {np.abs(off['edge']).max():.2g} off")
    require(
        np.abs(drops["first"].values - 1.0).max() < 0.05,
        f"without inertia the drops are {drops['first'].values} times 2y0, not 1",
    )
    for k, kappa in enumerate(drops["kappa"].values):
        lines.append(
            f"κ = {kappa:g}: the run's drop is {float(drops['run'][k]):.3f} times 2y₀; off by {off['edge'][k]:+.2%} "
            f"(edge flow), {off['first'][k]:+.1%} (without inertia), {off['rod'][k]:+.1%} (rod flow)."
        )
    for momentum in DIGITS:
        if f"digits_{momentum:g}" not in data:
            continue
        part = data[f"digits_{momentum:g}"]
        run = part["run"].values
        errors = {
            name: float(np.sqrt(np.mean((part[name].values - run) ** 2)) / np.ptp(run)) for name in FLOWS
        }
        require(
            errors["edge"] < 0.04, f"β = {momentum:g}: the edge flow is {errors['edge']:.2g} of the range off"
        )
        require(
            min(errors[name] for name in ("first", "rod", "averaged")) > 0.2,
            f"β = {momentum:g}: another flow follows, too: {errors}",
        )
        lines.append(
            f"Digits, β = {momentum:g}: rms errors of sharpness divided by its range are "
            + ", ".join(f"{errors[name]:.1%} ({label})" for name, (label, _) in FLOWS.items())
            + f"; the least sharpness is {run.min():.3f}, the edge flow's {float(part['edge'].min()):.3f}."
        )
    return lines
