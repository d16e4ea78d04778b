"""Noise of the gradient keeps the mean sharpness below the threshold, and momentum widens the gap.

(a) The cubic model at the edge, the same noise on both weights, at matched thresholds. The gap ΔS = S* − E S grows as
the noise's variance and as (1 + β)/(1 − β). A third of it comes from noise along the swing (dotted), two thirds from
noise along the gradient of the sharpness; cycles add the rest (dashed). (b) What a run has beyond noise's gap. Cycles
add to it by their inertia κ_e, for heavy ball, quasi-hyperbolic and aggregated momentum alike.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of

from . import families, momenta, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Noise lowers the edge: the sharpness gap"

THRESHOLD = 2.0
SHARPENING = {0.9: 1e-7}
"""Of heavy ball by its momentum, so that κ_e of cycles stays below 0.06; of others 1e-5."""
MOMENTA = (0.0, 0.5, 0.9)
OTHERS = {
    "QHM (0.7, 0.5)": ss.QuasiHyperbolic(1.0, 0.5, 0.7),
    "QHM (0.7, 0.9)": ss.QuasiHyperbolic(1.0, 0.9, 0.7),
    "AggMo (0, 0.9)": ss.AggregatedMomentum(1.0, (0.0, 0.9)),
}


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    strengths = (10.0, 40.0) if quick else (8.0, 16.0, 32.0, 64.0)
    cases = [
        (f"heavy ball, {beta:g}", ss.HeavyBall(1.0, beta), SHARPENING.get(beta, 1e-5)) for beta in MOMENTA
    ]
    cases += [(name, optimizer, 1e-5) for name, optimizer in OTHERS.items()]
    rows = np.array(
        [[_measured(optimizer, s, alpha, quick) for s in strengths] for _, optimizer, alpha in cases]
    )
    out = xarray.Dataset(coords={"optimizer": [name for name, *_ in cases], "strength": np.array(strengths)})
    out["progressive_sharpening"] = ("optimizer", [alpha for *_, alpha in cases])
    for k, (name, long_name) in enumerate({
        "gap": "S* - E S over the run",
        "noise_gap": "gap of noise alone, closed form",
        "along_gap": "gap of noise along the swing alone, closed form",
        "cycle_gap": "what cycles add, closed form",
    }.items()):  # fmt: skip
        out[name] = (("optimizer", "strength"), rows[..., k], {"long_name": long_name, "units": "1/lr"})
    return {"gap": out}


def _measured(
    optimizer: ss.Optimizer, strength: float, alpha: float, quick: bool
) -> tuple[float, float, float, float]:
    """Return the gap of a run and three closed forms, at noise of bσ = strength·α, b = 1."""
    at = optimizer.transfer_coefficients()
    optimizer = dataclasses.replace(optimizer, lr=at.threshold / THRESHOLD)
    c0, noise = at.c0 * optimizer.lr, strength * alpha
    along = float(theory.linear_sharpness_gap(THRESHOLD, at.sigma, c0, alpha, noise))
    gap = float(theory.linear_sharpness_gap(THRESHOLD, at.sigma, c0, alpha, noise, 1.0, noise))
    x0 = float(theory.edge_displacement(alpha))
    steps = int(
        max(1e6 if quick else 6e6, (800 if quick else 4000) * strength**2)
    )  # y forgets within about 2·strength² steps
    run = ss.simulate(
        ss.CubicTaylor(THRESHOLD, alpha), optimizer, [x0, -gap], steps, previous=[-x0, -gap], every=20,
        noise=noise, keep=["weights"],
    )  # fmt: skip
    x, y = run["weights"].values[run.sizes["step"] // 10 :].T
    spread = float(np.mean((1.0 - (x / x0) ** 2) ** 2))
    cycles = float(theory.cycle_gap(at.sigma, c0, optimizer.inertia(1.0).effective, alpha, spread))
    return -float(y.mean()), gap, along, cycles


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.6)
    left, right = figure.subplots(1, 2)
    gap = data["gap"]
    strength = gap["strength"].values
    for beta in MOMENTA:
        own, colour = gap.sel(optimizer=f"heavy ball, {beta:g}"), momenta.COLOURS[beta]
        scale = float(own["progressive_sharpening"]) / THRESHOLD
        left.plot(strength, own["noise_gap"] / scale, color=colour)
        left.plot(strength, own["along_gap"] / scale, color=colour, linestyle=":", linewidth=0.8)
        left.plot(
            strength,
            (own["noise_gap"] + own["cycle_gap"]) / scale,
            color=colour,
            linestyle="--",
            linewidth=0.8,
        )
        left.plot(
            strength, own["gap"] / scale, linestyle="none", marker=momenta.MARKERS[beta], color=colour,
            label=rf"$\beta={beta:g}$",
        )  # fmt: skip
    left.plot([], [], color=style.THEORY_COLOUR, label="theory, noise")
    left.plot([], [], color=style.THEORY_COLOUR, linestyle="--", label="theory, noise and cycles")
    left.plot([], [], color=style.THEORY_COLOUR, linestyle=":", label="theory, noise along the swing")
    left.set(
        xscale="log",
        yscale="log",
        xlabel=label_of("noise", r"$b\sigma/\alpha$"),
        ylabel=label_of("sharpness_gap", r"$\Delta S\,S^*/\alpha$"),
        title="gap by noise",
    )
    left.set_xticks(strength, labels=[f"{value:g}" for value in strength])
    left.set_xticks([], minor=True)
    lowest, highest = left.get_ylim()
    left.set_ylim(lowest, 30.0 * highest)  # room for the legend above the lines
    left.legend(loc="upper left", ncols=2)
    markers = [momenta.MARKERS[beta] for beta in MOMENTA] + ["v", "<", "P"]
    colours = [momenta.COLOURS[beta] for beta in MOMENTA]
    colours += [families.colour(str(name)) for name in gap["optimizer"].values[len(MOMENTA) :]]
    for name, marker, colour in zip(gap["optimizer"].values, markers, colours, strict=True):
        own = gap.sel(optimizer=name)
        right.plot(
            1.0 + own["cycle_gap"] / own["noise_gap"], own["gap"] / own["noise_gap"], linestyle="none",
            marker=marker, markerfacecolor="none", color=colour, label=_word(str(name)),
        )  # fmt: skip
    most = 1.0 + float((gap["cycle_gap"] / gap["noise_gap"]).max())
    right.plot([1.0, most], [1.0, most], color=style.THEORY_COLOUR, zorder=0, label="theory")
    right.set(xlabel=label_of("gap_with_cycles"), ylabel=label_of("gap_of_runs"), title="gap by cycles")
    right.legend()
    style.label_panels([left, right])
    return figure


def _word(name: str) -> str:
    """Return an optimizer's name as in other figures' keys."""
    family, _, setting = name.partition(", ")
    if family == "heavy ball":
        return rf"$\beta={float(setting):g}$"
    return name.replace("QHM", "quasi-hyperbolic").replace("AggMo", "aggregated")


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    gap = data["gap"]
    share = gap["cycle_gap"] / gap["noise_gap"]
    error = gap["gap"] / (gap["noise_gap"] + gap["cycle_gap"]) - 1.0
    small = share < 0.3
    worst = float(np.abs(error.where(small)).max())
    require(worst < 0.08, f"the gap is off by {worst:.3f} where cycles add less than 0.3")
    return [
        f"Sharpness gap of {int(small.sum())} runs within {100.0 * worst:.1f}% of noise's and cycles' share, where "
        f"cycles add less than 30%.",
        f"Where cycles add more ({int((~small).sum())} runs), theory with cycles is off by up to "
        f"{100.0 * float(np.abs(error).max()):.0f}%.",
    ]
