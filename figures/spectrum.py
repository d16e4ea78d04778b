"""The whole Hessian spectrum over time: what a catapult moves.

An MLP 64-8-1 (tanh, 529 parameters) learns the parity of 500 digits by full-batch gradient descent and by heavy ball
(β = 0.9). Both have a warmup to the same threshold and the same effective time. All eigenvalues are those of the
explicit Hessian. One eigenvalue crosses the threshold. Gradient descent holds it there; heavy ball's catapult throws
it far below, down to the second, and the others fall with it. While the weights swing, some eigenvalues are negative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import selfstab as ss
from selfstab.plotting import draw_spectrum, style

from . import require

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

TITLE = "Hessian spectrum over time: gradient descent and heavy ball"

MOMENTUM, THRESHOLD, WARMUP, STEPS = 0.9, 3.5, 200, 400
STRETCH = round((1 + MOMENTUM) / (1 - MOMENTUM))
"""Steps of gradient descent in the effective time of one of heavy ball."""


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    every = 10 if quick else 2
    loss = ss.MLP([64, 8, 1], *ss.datasets.digits(500, "parity"))
    start = loss.initial_weights(seed=0)
    data = {}
    for name, momentum, stretch in (("gd", 0.0, STRETCH), ("phb", MOMENTUM, 1)):
        warmup = ss.LinearWarmup(0.0, 2.0 * (1.0 + momentum) / THRESHOLD, WARMUP * stretch)
        optimizer = ss.HeavyBall(warmup, momentum)
        run = ss.simulate(
            loss,
            optimizer,
            start,
            STEPS * stretch,
            every=every * stretch,
            keep=["loss", "sharpness", "weights"],
        )
        spectrum = ss.hessian_spectrum(loss, run, full=True)
        rates = np.concatenate([[0.0], np.cumsum(warmup.values(0, STEPS * stretch))])
        spectrum["effective_time"] = (
            "step",
            rates[spectrum["step"].values] / (1.0 - momentum),
            {"long_name": r"effective time, $\Sigma\eta_t/(1-\beta)$", "units": "1/$S$"},
        )
        data[name] = spectrum.assign(sharpness=run["sharpness"])
    return data


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.5)
    axes = list(figure.subplots(1, 2, sharey=True))
    for ax, (name, title) in zip(axes, {"gd": "gradient descent", "phb": "heavy ball"}.items(), strict=True):
        draw_spectrum(data[name], ax, against="effective_time")
        ax.set_title(title)
    axes[1].set_ylabel("")
    style.label_panels(axes)
    style.shared_legend(figure, axes, columns=4)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    lines, least = [], {}
    for name, word in (("gd", "gradient descent"), ("phb", "heavy ball")):
        run = data[name]
        values, limits = run["eigenvalue"].values, run["max_stable_sharpness"].values
        difference = float(np.abs(values[:, 0] / run["sharpness"].values - 1.0).max())
        require(difference <= 1e-8, f"the dense top eigenvalue and Lanczos's differ by {difference:.1e}")
        above = (values > limits[:, None]).sum(axis=1)
        require(above.max() == 1, f"{above.max()} eigenvalues are above the threshold under {word}, not one")
        after = values[int(np.argmax(above > 0)) :]
        least[name] = float(after[:, 0].min())
        lines.append(
            f"Under {word} one eigenvalue of {run.sizes['rank']} exceeds the threshold; from then on it goes from "
            f"{after[:, 0].max():.2f} down to {least[name]:.2f} (S* = {limits[-1]:.2f}), the second one from "
            f"{after[:, 1].max():.2f} down to {after[:, 1].min():.2f}. Lanczos agrees to {max(difference, 1e-15):.0e}."
        )
    # Gradient descent's swings are shorter than the time between two records.
    swing, end = float(after[:, -1].min()), float(after[-1, -1])
    require(
        swing < min(5.0 * end, -0.1),
        f"the least eigenvalue in the swing, {swing:.2f}, is not far below {end:.2g}",
    )
    lines.append(
        f"The least of all eigenvalues is {swing:.2f} while heavy ball swings, {end:.3f} at the end."
    )
    require(
        least["phb"] < 0.8 * least["gd"], f"heavy ball's least sharpness {least['phb']:.2f} is not below GD's"
    )
    require(least["phb"] < after[:, 1].max(), "heavy ball's catapult does not end at the second eigenvalue")
    return lines
