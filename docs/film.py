"""The film of README and the manual's first page: gradient descent beside momentum, at the same threshold.

``python docs/film.py`` writes docs/images/film.gif. On the left the sharpness of both against the step; on the right
their weights in the valley of the product loss. Both have one scale.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from PIL import Image

import selfstab as ss
from selfstab.plotting.labels import label_of
from selfstab.plotting.methods import METHOD_COLOURS

STEPS = 160
NAMES = {"GD": "gradient descent", "PHB": r"momentum, $\beta=0.9$"}


def runs() -> dict[str, object]:
    """Return a run of each method: the same loss, start and threshold."""
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), size=2e-2)
    momentum = ss.HeavyBall(lr=0.97, momentum=0.9)
    optimizers = {"GD": momentum.matched(momentum=0.0), "PHB": momentum}
    return {
        name: ss.simulate(
            loss, optimizer, start, STEPS, previous=previous, keep=("loss", "sharpness", "weights")
        )
        for name, optimizer in optimizers.items()
    }


def film(path: Path, frames: int, pause: int) -> None:
    """Write the film: a frame for every step of the catapult, then every eighth, then a pause."""
    data = runs()
    steps = np.unique(np.r_[0:60, 60 : STEPS + 1 : 5])[:frames]
    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(7.2, 3.0), layout="constrained", width_ratios=(1.5, 1)
        )
        threshold = float(data["PHB"].max_stable_sharpness[0])
        left.axhline(threshold, color="0.3", linestyle="--", linewidth=1)
        left.text(
            STEPS,
            threshold + 0.05,
            "stability threshold, $S^*$",
            ha="right",
            va="bottom",
            color="0.3",
            fontsize=8,
        )
        highest = max(float(run.sharpness.max()) for run in data.values())
        left.set(
            xlim=(0, STEPS), ylim=(2.0, highest + 0.35), xlabel=label_of("step"), ylabel=label_of("sharpness")
        )
        u = np.linspace(0.2, 2.6, 200)
        v = np.linspace(0.0, 2.0, 200)
        height = 0.5 * (np.outer(v, u) - 1.0) ** 2
        right.contourf(u, v, np.sqrt(height), levels=24, cmap="Greys", vmax=4.0)
        right.plot(u, 1.0 / u, color="0.45", linewidth=1)
        right.text(1.0, 1.1, "minima", color="0.35", fontsize=8, ha="left", va="bottom")
        right.set(
            xlim=(0.6, 2.4),
            ylim=(0.2, 1.5),
            xlabel=label_of("weight", "$u$"),
            ylabel=label_of("weight", "$v$"),
        )
        left.set_title("sharpness of the loss", fontsize=9)
        right.set_title("weights in the valley", fontsize=9)
        lines = {name: left.plot([], [], color=METHOD_COLOURS[name], label=NAMES[name])[0] for name in data}
        balls = {
            name: right.plot([], [], "o-", color=METHOD_COLOURS[name], linewidth=0.8, markersize=2.5)[0]
            for name in data
        }
        left.legend(loc="lower right", frameon=False, fontsize=9)

        def draw(frame: int) -> list[object]:
            step = int(steps[frame])
            for name, run in data.items():
                lines[name].set_data(run.step[: step + 1], run.sharpness[: step + 1])
                last = run.weights[max(0, step - 8) : step + 1]
                balls[name].set_data(last[:, 0], last[:, 1])
            return [*lines.values(), *balls.values()]

        animation = FuncAnimation(figure, draw, frames=len(steps), blit=False)
        animation.save(path, PillowWriter(fps=15), dpi=110)
        plt.close(figure)
    few_colours(path, pause)


def few_colours(path: Path, pause: int) -> None:
    """Write the film again with one palette of 48 colours, which makes it small, and a pause at its end."""
    with Image.open(path) as opened:
        pages = []
        for k in range(opened.n_frames):
            opened.seek(k)
            pages.append(opened.convert("RGB"))
    palette = pages[-1].quantize(48)
    pages = [page.quantize(palette=palette, dither=Image.Dither.NONE) for page in pages]
    durations = [60] * (len(pages) - 1) + [pause]
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=durations, loop=0, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "images" / "film.gif")
    film(parser.parse_args().output, frames=400, pause=2500)
