"""Adam's catapults: a preconditioner that moves fades before them and stabilizes within them.

On the cubic model the share R of the preconditioner in the stabilization takes inertia away (a), and its fading raises
the excess while the swing grows (b). On a network of the digits (c) both are at work. Between two catapults the
preconditioner fades, with the Hessian's sharpness all but constant, and each catapult raises it again.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of
from selfstab.verification.adam import catapult

from . import momenta, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Adam's catapults: the preconditioner fades before them and stabilizes within them"

MOMENTA = (0.0, 0.5, 0.9)
KAPPA = 0.01
SIZE = 1e-4
"""Of the flip at the start, divided by the largest swing."""
STEPS, FROZEN_AFTER, EVERY = 1200, 500, 5
LR = 0.01


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    share = np.geomspace(0.1, 10.0, 4 if quick else 9)
    ratio = np.empty((len(MOMENTA), share.size))
    for (i, beta), (j, own) in product(enumerate(MOMENTA), enumerate(share)):
        ratio[i, j] = (catapult(KAPPA / theory.inertia_number(1.0, beta), beta, own)[0] - 1.0) / KAPPA
    faded = np.geomspace(0.02, 5.0, 4 if quick else 9)
    momentum = np.array(MOMENTA[1:])
    drops = np.array([[_fall(beta, x) for x in faded] for beta in momentum])
    inputs, targets = ss.datasets.digits(200, "parity")
    loss = ss.MLP([64, 16, 1], inputs, targets)
    runs = {
        name: ss.simulate(
            loss, ss.Adam(LR, frozen_after=frozen), loss.initial_weights(seed=0), STEPS, every=EVERY,
            keep=("loss", "sharpness", "preconditioned_sharpness"),
        )
        for name, frozen in (("moving", None), ("frozen", FROZEN_AFTER))
    }  # fmt: skip
    return {
        "share": xarray.Dataset(
            {"ratio": (("momentum", "share"), ratio, {"long_name": "(overshoot - 1) / kappa"})},
            {"momentum": list(MOMENTA), "share": share},
        ),
        "fading": xarray.Dataset(
            {"fall": (("momentum", "faded"), drops, {"long_name": "drop / (2 y0) of the preconditioned sharpness"})},
            {"momentum": momentum, "faded": faded},
        ),
        **runs,
    }  # fmt: skip


def _fall(momentum: float, faded: float) -> float:
    """Return fall/(2y₀) of a slow catapult whose preconditioner fades by `faded` excesses in its duration."""
    kappa = 1e-3
    excess = kappa / float(theory.inertia_number(1.0, momentum))
    growth = 2.0 * (1.0 + momentum) / (1.0 - momentum) * excess
    duration = np.log(1.0 / SIZE) / growth
    beta2 = 1.0 - 2.0 * excess * faded / duration
    threshold = 1.0 / (1.0 + excess)
    y0 = 1.0 - threshold
    loss = ss.CubicTaylor(1.0)
    start, previous = ss.flip_start(loss, loss.minimum(), SIZE * np.sqrt(2.0) * y0)
    lr = 2.0 * (1.0 + momentum) / (threshold * (1.0 - momentum))
    adam = ss.Adam(lr, momentum, beta2, eps=1e-14, second_moment=1.0)
    run = ss.simulate(
        loss, adam, start, int(2.5 * duration), previous=previous, keep=("preconditioned_sharpness",)
    )
    excesses = run["preconditioned_sharpness"].values - threshold
    peak = int(np.argmax(excesses))
    least = float(excesses[peak:].min()) if peak + 1 < excesses.size else np.nan
    return float((excesses[peak] - least) / (2.0 * y0))


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.5)
    left, middle, right = figure.subplots(1, 3)
    fine = np.geomspace(0.08, 12.0, 100)
    for beta in MOMENTA:
        look = {"color": momenta.COLOURS[beta]}
        left.plot(
            fine, theory.adaptive_inertia_number(1.0, beta, fine) / theory.inertia_number(1.0, beta), **look
        )
        left.plot(
            data["share"]["share"], data["share"]["ratio"].sel(momentum=beta), linestyle="none",
            marker=momenta.MARKERS[beta], label=rf"$\beta_1={beta:g}$", **look,
        )  # fmt: skip
    left.set(xscale="log", xlabel=label_of("share_of_preconditioner"))
    left.set(ylabel=label_of("overshoot", r"(drop/(2$y_0$) $-$ 1)/$\kappa$"), title="without fading")
    left.plot([], [], color=style.THEORY_COLOUR, label="theory")
    left.legend()
    faded = np.geomspace(0.015, 7.0, 100)
    middle.plot(faded, np.sqrt(1.0 + 2.0 * faded), color=style.THEORY_COLOUR, label=r"theory, $\sqrt{1+2x}$")
    for beta in data["fading"]["momentum"].values:
        middle.plot(
            data["fading"]["faded"], data["fading"]["fall"].sel(momentum=beta), label=rf"$\beta_1={beta:g}$",
            **momenta.open_points(beta),
        )  # fmt: skip
    middle.set(
        xscale="log", yscale="log", xlabel=label_of("fading"), ylabel=label_of("overshoot"), title="with fading",
    )  # fmt: skip
    middle.set_yticks([1, 2, 3], ["1", "2", "3"])
    middle.minorticks_off()
    middle.legend()
    for name, line in (("moving", "-"), ("frozen", ":")):
        run = data[name]
        label = "preconditioner moves" if name == "moving" else f"frozen at step {FROZEN_AFTER}"
        right.plot(
            run["step"],
            run["preconditioned_sharpness"] / run["max_stable_sharpness"],
            color=momenta.COLOURS[0.9],
            linestyle=line,
            label=label,
        )
    right.axhline(1.0, color=style.THEORY_COLOUR, linestyle="--", linewidth=0.8, label="threshold $S^*$")
    right.set(xlabel=label_of("step"), ylabel=label_of("preconditioned_sharpness", "$/S^*$"), ylim=(0.0, 1.9))
    right.set_title("digits network")
    right.legend()
    style.label_panels([left, middle, right])
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    share, fading = data["share"], data["fading"]
    beta = share["momentum"].values[:, None]
    own = share["share"].values
    predicted = theory.adaptive_inertia_number(1.0, beta, own) / theory.inertia_number(1.0, beta)
    error = np.abs(share["ratio"].values - predicted)
    require((error < 0.03).all(), f"(overshoot − 1)/κ is off by {error.max():.2g}")  # of order κ, times 2
    off = np.abs(fading["fall"].values / np.sqrt(1.0 + 2.0 * fading["faded"].values) - 1.0)
    require((off < 0.2).all(), f"the fall with fading is off by {off.max():.1%}")
    moving, frozen = data["moving"], data["frozen"]
    late = moving["step"].values >= FROZEN_AFTER
    above = (moving["preconditioned_sharpness"] / moving["max_stable_sharpness"]).values[late]
    rises = int((np.diff((above > 1.0).astype(int)) > 0).sum())
    of_hessian = moving["sharpness"].values[late]
    change = float(of_hessian.max() / of_hessian.min() - 1.0)
    require(rises >= 2, f"the preconditioned sharpness rises through its threshold {rises} times")
    require(change < 0.05, f"the Hessian's sharpness changes by {change:.1%}")
    still = float((frozen["preconditioned_sharpness"] / frozen["max_stable_sharpness"]).values[-1])
    require(still < 1.0, f"with P frozen the preconditioned sharpness ends at {still:.2f} of its threshold")
    return [
        f"(overshoot − 1)/κ at κ = {KAPPA:g}: within {error.max():.2f} of κ_A/κ.",
        f"Fading raises the fall as √(1 + 2x), to {off.max():.0%}.",
        f"Digits: after step {FROZEN_AFTER} the preconditioned sharpness passes its threshold upward {rises} times; "
        f"the Hessian's changes by {change:.1%}; with P frozen it stays below, at {still:.2f}.",
    ]
