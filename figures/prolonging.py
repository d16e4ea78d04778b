"""Below the threshold: how long the oscillation lives, and what it still costs the sharpness.

At frozen sharpness the oscillation dies as |λ|^t. Momentum makes it live longer than gradient descent does, except just
below the threshold, where it shortens it. The swings that are left push the sharpness down by 1 + 4βe/(1 − β)² times as
much as gradient descent's. Hollow: a diagonal linear network of 200 weights, from small swings at its minimum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of
from selfstab.verification import universality

from . import momenta, require, thresholds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Below the threshold: lifetime of the oscillation, and prolonged stabilization"

MOMENTA = (0.0, 0.5, 0.9)
NETWORK_DEPTHS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75)
CATAPULT = 0.01
"""Relative excess at which the network's catapults start."""


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    momentum, depth = np.array(MOMENTA), np.linspace(0.02, 0.96, 8 if quick else 24)
    scaled = 2.0 * (1.0 + momentum[:, None]) * (1.0 - depth)  # ηS
    lifetime = -1.0 / thresholds.exponents(scaled, momentum[:, None])
    # Σx² from a swing at rest, until it has died at the slowest of these rates.
    current, previous, squares = np.ones(scaled.shape), -np.ones(scaled.shape), np.zeros(scaled.shape)
    for _ in range(4000):
        squares += current**2
        previous, current = current, current - scaled * current + momentum[:, None] * (current - previous)
    pushes = (1.0 + momentum)[:, None] / (1.0 - momentum)[:, None] * squares
    out = xarray.Dataset(coords={"momentum": momentum, "depth": depth})
    out["lifetime"] = (("momentum", "depth"), lifetime, {"long_name": "steps per e-fold"})
    out["factor"] = (
        ("momentum", "depth"),
        pushes / pushes[0],
        {"long_name": "remaining drop / gradient descent's"},
    )
    return {"prolonging": out, "network": _network(quick), "catapults": _catapults()}


def _network(quick: bool) -> xarray.Dataset:
    """Return the drops of a diagonal network's sharpness from small swings at rest, below the threshold."""
    start = universality.STARTS["DiagonalNetwork"]()
    momentum, depth = np.array(MOMENTA), np.array(NETWORK_DEPTHS[::3] if quick else NETWORK_DEPTHS)
    drop, predicted = np.empty((momentum.size, depth.size)), np.empty((momentum.size, depth.size))
    for (i, j), _ in np.ndenumerate(drop):
        beta, e = float(momentum[i]), float(depth[j])
        optimizer = ss.HeavyBall(ss.HeavyBall(1.0, beta).at_excess(start.sharpness, -e), beta)
        limit = optimizer.max_stable_sharpness()
        swing = 0.01 * limit * e * (1.0 - beta) / np.sqrt(start.slope2)
        first, previous = ss.flip_start(start.loss, start.weights, swing)
        steps = int(30.0 * max(theory.oscillation_lifetime(e, beta), 1.0 / (1.0 - beta))) + 20
        run = ss.simulate(start.loss, optimizer, first, steps, previous=previous, every=steps)
        drop[i, j] = (start.sharpness - float(run["sharpness"][-1])) / swing**2
        predicted[i, j] = theory.remaining_drop(swing, -swing, 0.0, limit, beta, e, start.slope2) / swing**2
    dims = ("momentum", "depth")
    return xarray.Dataset(
        {
            "drop": (dims, drop, {"long_name": "remaining drop / the swing's square"}),
            "predicted": (dims, predicted, {"long_name": "the same in closed form"}),
            "factor": (dims, drop / drop[0], {"long_name": "remaining drop / gradient descent's"}),
        },
        {"momentum": momentum, "depth": depth},
    )


def _catapults() -> xarray.Dataset:
    """Return how catapults of one excess end on the diagonal network: when, and what falls after the peak."""
    start = universality.STARTS["DiagonalNetwork"]()
    rows = []
    for beta in MOMENTA:
        optimizer = ss.HeavyBall(ss.HeavyBall(1.0, beta).at_excess(start.sharpness, CATAPULT), beta)
        y0 = start.sharpness - optimizer.max_stable_sharpness()
        swing = 1e-3 * float(theory.max_displacement(y0, start.slope2))
        first, previous = ss.flip_start(start.loss, start.weights, swing)
        run = ss.simulate(
            start.loss, optimizer, first, 1500, previous=previous, keep=("loss", "weights")
        )  # fmt: skip
        size, weights = np.sqrt(run["loss"].values), run["weights"].values
        peak = int(size.argmax())
        fallen = [int(np.argmax(size[peak:] < share * size[peak])) for share in (np.exp(-1.0), 0.01)]
        begun, top, end = (start.loss.sharpness(weights[k])[0] for k in (0, peak, -1))
        faster = (1.0 + beta) / (1.0 - beta)
        rows.append(
            [fallen[0] * faster, fallen[1] * faster, (top - end) / (begun - end), (begun - end) / (2.0 * y0)]
        )
    names = {
        "to_e": "effective time from the peak until the swing is 1/e of it, in steps of gradient descent",
        "to_percent": "the same until it is 1% of it",
        "after_peak": "share of the drop that comes after the peak",
        "overshoot": "drop / (2 y0)",
    }
    columns = np.array(rows).T
    return xarray.Dataset(
        {
            name: ("momentum", column, {"long_name": words})
            for (name, words), column in zip(names.items(), columns, strict=True)
        },
        {"momentum": np.array(MOMENTA)},
    )


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.5)
    left, right = figure.subplots(1, 2)
    table = data["prolonging"]
    fine = np.linspace(0.001, 0.98, 1500)
    for beta in table["momentum"].values:
        colour = momenta.COLOURS[beta]
        points = {"linestyle": "none", "marker": momenta.MARKERS[beta], "color": colour, "markersize": 3.0}
        left.plot(fine, theory.oscillation_lifetime(fine, beta), color=colour)
        left.plot(table["depth"], table["lifetime"].sel(momentum=beta), label=rf"$\beta={beta:g}$", **points)
        right.plot(fine, theory.prolonging_factor(fine, beta), color=colour)
        right.plot(table["depth"], table["factor"].sel(momentum=beta), **points)
        network = data["network"]
        hollow = points | {"markersize": 5.5, "markerfacecolor": "none"}
        right.plot(network["depth"], network["factor"].sel(momentum=beta), **hollow)
    left.plot([], [], color=style.THEORY_COLOUR, label="theory")
    left.plot([], [], linestyle="none", marker="o", markersize=5.5, markerfacecolor="none", color=style.THEORY_COLOUR,
              label="network")  # fmt: skip
    left.set(
        yscale="log",
        ylim=(0.3, 300.0),
        xlabel=label_of("depth"),
        ylabel=label_of("lifetime"),
        title="lifetime of the oscillation",
    )
    right.set(yscale="log", xlabel=label_of("depth"), ylabel=label_of("remaining_drop"))
    right.set_title("drop that remains")
    left.legend()
    style.label_panels([left, right])
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    table = data["prolonging"]
    beta, depth = table["momentum"].values[:, None], table["depth"].values
    lifetime = np.abs(table["lifetime"].values / theory.oscillation_lifetime(depth, beta) - 1.0)
    factor = np.abs(table["factor"].values / theory.prolonging_factor(depth, beta) - 1.0)
    require((lifetime < 1e-3).all(), f"a lifetime is off by {lifetime.max():.1e}")
    require((factor < 1e-9).all(), f"a remaining drop is off by {factor.max():.1e}")
    network, ends = data["network"], data["catapults"]
    off = np.abs(network["drop"].values / network["predicted"].values - 1.0)
    require((off < 1e-3).all(), f"a remaining drop of the network is off by {off.max():.1e}")
    ratio = network["factor"].values / theory.prolonging_factor(network["depth"].values, beta) - 1.0
    require((np.abs(ratio) < 1e-3).all(), f"a factor of the network is off by {np.abs(ratio).max():.1e}")
    plain, heavy = ends.sel(momentum=0.0), ends.sel(momentum=0.9)
    require(heavy["to_percent"] > 2.0 * plain["to_percent"], "momentum does not prolong the swing's end")
    require(heavy["after_peak"] > 0.7, "little of momentum's drop comes after the peak")
    require(abs(plain["after_peak"] - 0.5) < 0.02, "not half of gradient descent's drop comes after the peak")
    return [
        *(
            f"Catapults on the network at β = {float(at['momentum']):g} from excess {CATAPULT:g}: the swing falls "
            f"to 1/e in {float(at['to_e']):.0f} and to 1% in {float(at['to_percent']):.0f} steps of gradient descent; "
            f"{float(at['after_peak']):.0%} of the drop comes after the peak; drop/(2y₀) {float(at['overshoot']):.2f}."
            for at in (ends.isel(momentum=k) for k in range(len(MOMENTA)))
        ),
        f"Remaining drops of {off.size} runs on the network within {off.max():.0e} of the closed form.",
        f"Lifetimes of {lifetime.size} runs on ½w² within {lifetime.max():.0e} of the closed form.",
        f"Remaining drops from a swing at rest within {factor.max():.0e} of 1 + 4βe/(1 − β)² times gradient descent's.",
    ]
