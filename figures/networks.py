"""Networks on digits and MNIST: where heavy ball ends flatter, and one where it does not.

Loss and sharpness with warmup to the same threshold, against effective time. There are a network with ten outputs
(64-32-10, β = 0.5), a deeper one (64-32-32-1, β = 0.7), and one on images of MNIST (196-16-1, β = 0.7). Strong lines
are the first seed, faint ones the others. With one output heavy ball catapults once, far below the threshold, and
sharpens again; with ten both stay slightly above it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from selfstab import experiments
from selfstab.plotting import predictions, style

from . import require

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

TITLE = "Ten outputs, two layers, MNIST: sharpness and loss with and without momentum"

SHOWN = {
    "onehot_network": "digits, ten outputs",
    "deep_network": "digits, two hidden layers",
    "mnist_network": "MNIST, parity",
}
FLATTER = {"onehot_network": False, "deep_network": True, "mnist_network": True}


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    return {name: getattr(experiments, name)(quick=quick) for name in SHOWN}


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 3.9)
    axes = figure.subplots(2, 3)
    for column, (name, title) in enumerate(SHOWN.items()):
        loss, sharpness = axes[:, column]
        comparison = data[name]
        setting = json.loads(comparison.attrs["setting"])
        predictions.draw_comparison(comparison, loss, of="loss").set_xlabel("")
        predictions.draw_comparison(comparison, sharpness)
        for ax in (loss, sharpness):
            ax.set_title(rf"{title}, $\beta={setting['momentum']:g}$")
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")
    style.label_panels(list(axes.flat))
    style.shared_legend(figure, [axes[1, 0]], columns=6)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    """Return the numbers; networks of one output end flatter at equal time in each seed, that of ten does not."""
    lines = []
    for name, title in SHOWN.items():
        comparison = data[name]
        heavy, plain, steps = (comparison.sel(optimizer=o) for o in ("phb", "gd_time", "gd_steps"))
        limit = json.loads(comparison.attrs["setting"])["threshold"]
        ratio = (heavy["mean_sharpness"] / plain["mean_sharpness"] - 1.0).values
        require(np.isfinite(ratio).all(), f"{name}: a run diverged")
        off = np.abs(plain["mean_sharpness"].values / limit - 1.0)
        require((off < 0.06).all(), f"{name}: gradient descent ends {off.max():.1%} from the threshold")
        if FLATTER[name]:
            require(
                (ratio < -0.03).all(), f"{name}: heavy ball's mean sharpness is {ratio.max():+.1%} of GD's"
            )
        else:
            require(
                (np.abs(ratio) < 0.05).all(),
                f"{name}: the mean sharpnesses differ by {np.abs(ratio).max():.1%}",
            )
        test = (heavy["final_test_loss"] / plain["final_test_loss"] - 1.0).values
        least = (heavy["least_sharpness"] / plain["least_sharpness"] - 1.0).values
        right = [o["final_test_accuracy"].mean() for o in (heavy, plain, steps)]
        lines.append(
            f"{title}: PHB over GD at equal time, by seed: mean sharpness {_percent(ratio)}, least {_percent(least)}, "
            f"test loss {_percent(test)}; accuracy {right[0]:.3f} and {right[1]:.3f}, at equal steps {right[2]:.3f}."
        )
    return lines


def _percent(values: np.ndarray) -> str:
    return ", ".join(f"{100.0 * v:+.1f}%" for v in values)
