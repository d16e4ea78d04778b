"""Smaller batches and momentum lower the sharpness of a network; the closed form gives the order, not the number.

A network on digits (64-16-1, 200 samples, parity) is trained with batches drawn without replacement, at the same
threshold 3 and for the same effective time. (a) The gap ΔS, S* minus the mean sharpness in the second quarter of the
run, against the batch's size. The closed form (lines, the median of seeds) takes α, b² and the noise along the swing
and along the gradient of the sharpness from the network. It takes them at the same time, where α > 0. (b) Batch
sharpness, the plateaus 2(1 − β)/η (dashed) and 2(1 + β)/η (dotted), and the line between them at the mean sharpness
(lines).
"""

from __future__ import annotations

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

TITLE = "Minibatches on a network: the gap against batch size and momentum"

THRESHOLD = 3.0
MOMENTA = (0.0, 0.5)
SAMPLES = 200
NAMES = ("gap", "predicted_gap", "balance", "batch_sharpness", "mean_sharpness")


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    sizes, seeds = ((200, 25), (0,)) if quick else ((200, 100, 50, 25), (0, 1, 2))
    loss = ss.MLP((64, 16, 1), *ss.datasets.digits(SAMPLES, "parity"))
    rows = np.array([
        [[_measured(loss, beta, size, seed, quick) for seed in seeds] for size in sizes]
        for beta in MOMENTA
    ])  # fmt: skip
    out = xarray.Dataset(
        coords={"momentum": np.array(MOMENTA), "size": np.array(sizes), "seed": np.array(seeds)}
    )
    for k, name in enumerate(NAMES):
        out[name] = (("momentum", "size", "seed"), rows[..., k])
    return {"gap": out}


def _measured(loss: ss.MLP, momentum: float, size: int, seed: int, quick: bool) -> tuple[float, ...]:
    """Return the numbers of NAMES in the second quarter of a run of 8000 (1 − β)/(1 + β) steps, quick of 1000."""
    steps = int((1000 if quick else 8000) * (1.0 - momentum) / (1.0 + momentum))
    every = max(1, steps // (40 if quick else 200))
    path = _path(loss, ss.HeavyBall(2.0 * (1.0 + momentum) / THRESHOLD, momentum), size, seed, steps, every)
    window = path[(steps // every + 1) // 4 :]
    sharpness = ss.hessian_spectrum(loss, window)["eigenvalue"].values[:, 0]
    points = window[:: max(1, len(window) // (3 if quick else 15))]
    lr = 2.0 * (1.0 + momentum) / THRESHOLD
    alpha, b2, along, across, square = np.mean([_state(loss, w) for w in points], axis=0)
    of_batch = (SAMPLES - size) / ((SAMPLES - 1) * size)  # variance of a mean of draws without replacement
    predicted = float("nan")
    if alpha > 0.0:
        noises = np.sqrt(np.array([along, across]) * of_batch)
        predicted = float(theory.sharpness_gap(lr, momentum, alpha, noises[0], b2, noises[1]))
    batch = ss.observables.batch_sharpness(loss, points, size, batches=40)["batch_sharpness"].values
    return (
        THRESHOLD - sharpness.mean(), predicted, b2 * square / (2.0 * alpha), float(batch.mean()), sharpness.mean()
    )  # fmt: skip


def _path(loss: ss.MLP, optimizer: ss.HeavyBall, size: int, seed: int, steps: int, every: int) -> np.ndarray:
    """Return weights of the first half of a run on batches; the learning rate rises to its value in the first tenth."""
    generator = np.random.default_rng([seed, size])
    w = loss.initial_weights(seed)
    states, path = (np.zeros_like(w),) * len(optimizer.states), [w]
    for t in range(1, ((steps // every + 1) // 2 - 1) * every + 1):
        rows = generator.choice(SAMPLES, size, replace=False)
        gradient = (loss if size == SAMPLES else loss.of_rows(rows)).gradient_at(w)
        w, states = optimizer.rule(w, states, gradient, optimizer.lr * min(1.0, 10.0 * t / steps), t)
        if t % every == 0:
            path.append(w)
    return np.array(path)


def _state(loss: ss.MLP, w: np.ndarray) -> tuple[float, float, float, float, float]:
    """Return α and b² where the swing is at its centre, the samples' variance along it and ∇S⊥ at w, and x²."""
    sharpness, u = loss.sharpness(w)
    x = (u @ loss.gradient_at(w)) / sharpness
    centre = w - x * u
    _, u = loss.sharpness(centre)
    slope = loss.third_at(centre, u, u)
    slope -= (slope @ u) * u
    b2 = slope @ slope
    alpha = -loss.gradient_at(centre) @ slope
    return alpha, b2, np.var(loss.slopes_at(w, u)), np.var(loss.slopes_at(w, slope)) / b2, x * x


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.6)
    left, right = figure.subplots(1, 2)
    gap = data["gap"]
    sizes = gap["size"].values
    for beta in MOMENTA:
        own, colour = gap.sel(momentum=beta), momenta.COLOURS[beta]
        marker = momenta.MARKERS[beta]
        for seed in gap["seed"].values:
            left.plot(sizes, own["gap"].sel(seed=seed), linestyle="none", marker=marker, color=colour)
            right.plot(
                sizes, own["batch_sharpness"].sel(seed=seed), linestyle="none", marker=marker, color=colour
            )
        left.plot(sizes, own["predicted_gap"].median("seed"), color=colour)
        left.plot([], [], linestyle="none", color=colour, marker=marker, label=rf"$\beta={beta:g}$")
        for sign in (-1.0, 1.0):
            plateau = THRESHOLD * (1.0 + sign * beta) / (1.0 + beta)
            right.axhline(plateau, color=colour, linewidth=0.6, linestyle="--" if sign < 0 else ":")
        mean = own["mean_sharpness"].mean("seed").clip(max=THRESHOLD)
        right.plot(
            sizes, theory.max_stable_batch_sharpness(2.0 * (1.0 + beta) / THRESHOLD, beta, mean), color=colour
        )
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xticks(sizes, labels=[str(size) for size in sizes])
        ax.set_xticks([], minor=True)
    left.set(xlabel=label_of("batch_size"), ylabel=label_of("sharpness_gap"), title="sharpness gap")
    left.plot([], [], color=style.THEORY_COLOUR, label="theory")
    left.legend()
    for linestyle, label in (("-", "theory"), (":", r"$2(1+\beta)/\eta$"), ("--", r"$2(1-\beta)/\eta$")):
        right.plot([], [], color=style.THEORY_COLOUR, linestyle=linestyle, label=label)
    right.set(
        xlabel=label_of("batch_size"),
        ylabel=label_of("batch_sharpness"),
        title="batch sharpness",
        ylim=(0.0, 1.45 * THRESHOLD),
    )
    right.legend(loc="upper left", ncols=3)
    style.label_panels([left, right])
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    gap = data["gap"]
    mean = gap["gap"].mean("seed")
    small, whole = mean.isel(size=-1), mean.isel(size=0)
    require(
        (small > whole + 0.1).all(),
        f"the gap of small batches is not larger: {mean.values.round(3).tolist()}",
    )
    require(small[1] > small[0], f"momentum does not widen the gap of small batches: {small.values.round(3)}")
    shown = ", ".join(
        f"{beta:g}: " + " ".join(f"{value:.2f}" for value in mean.sel(momentum=beta).values)
        for beta in MOMENTA
    )
    ratio = (gap["gap"] / gap["predicted_gap"]).where(gap["size"] < SAMPLES).values
    ratio = ratio[np.isfinite(ratio)]
    return [
        f"Gap by momentum, batches of {', '.join(map(str, gap['size'].values))}: {shown}.",
        f"It is {ratio.min():.2g} to {ratio.max():.2g} times the closed form in {ratio.size} runs.",
    ]
