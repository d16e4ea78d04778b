"""Predicted dynamics against the real ones on handwritten digits.

An MLP 64-32-1 (tanh, 2113 parameters) on the parity of 500 digits starts on the edge of stability, at rest, displaced
by 0.025 along the top eigenvector. Points are the run, lines the predictions about the constrained trajectory, which
know nothing of the run but its start. The basic form holds through cycles and small catapults; in a large one it falls
too deep. The two-scale form follows that, too. Errors grow with the inertia number κ of cycles at the edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of
from selfstab.verification import predicted

from . import momenta, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Predicted dynamics against the real ones on digits, with and without momentum"

MOMENTA = (0.0, 0.3, 0.5, 0.7, 0.9)
SHOWN = (0.0, 0.7, 0.9)
FORMS = ("basic", "generalized", "two-scale")
LINES = {"basic": (0, (4, 1.2, 1, 1.2)), "generalized": (0, (1, 1)), "two-scale": "-"}
MARKERS = {"basic": "o", "generalized": "^", "two-scale": "D"}
FORM_COLOURS = {"basic": "#666666", "generalized": "#aaaaaa", "two-scale": style.THEORY_COLOUR}
KEPT = ("sharpness", "x", "loss", "flow_sharpness", "constrained_loss", "max_stable_sharpness")


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    steps, betas = (24, SHOWN[::2]) if quick else (100, MOMENTA)
    error, kappa = np.empty((len(betas), len(FORMS))), np.empty(len(betas))
    out = {}
    for i, beta in enumerate(betas):
        runs = predicted.compared(beta, FORMS, steps)
        first = runs["basic"]
        alpha, lr = float(first["progressive_sharpening"][0]), float(first["lr"][0])
        kappa[i] = theory.edge_inertia_number(lr, beta, alpha)
        error[i] = [predicted.error(runs[form]) for form in FORMS]
        if beta in SHOWN:
            curves = {
                f"{form} {name}": run[f"predicted_{name}"] for form, run in runs.items() for name in KEPT[:3]
            }
            out[f"run_{beta:g}"] = first[[*KEPT]].assign(curves)
    label = "rms error of the predicted sharpness over its range"
    out["errors"] = xarray.Dataset(
        {
            "error": (("momentum", "form"), error, {"long_name": label}),
            "kappa": ("momentum", kappa, {"long_name": "inertia number at the start"}),
        },
        {"momentum": np.array(betas), "form": np.array(FORMS)},
    )
    return out


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 7.2)
    runs = {float(name[4:]): run for name, run in sorted(data.items()) if name.startswith("run_")}
    grid = figure.add_gridspec(4, 1, height_ratios=[3, 3, 3, 3.4])
    rows = [grid[k].subgridspec(1, len(runs)).subplots(sharex=True) for k in range(3)]
    for column, (beta, run) in enumerate(runs.items()):
        colour = momenta.COLOURS[beta]
        points = {
            "linestyle": "none",
            "marker": ".",
            "color": colour,
            "markersize": 4.8,
            "markeredgewidth": 0.0,
        }
        step = run["step"]
        rows[0][column].axhline(
            float(run["max_stable_sharpness"][0]),
            color=style.THEORY_COLOUR,
            linestyle="--",
            linewidth=0.8,
            label="threshold $S^*$",
        )
        for row, (name, scale) in zip(rows, (("sharpness", 1.0), ("x", 1.0), ("loss", 1.0)), strict=True):
            values = np.abs(run[name]) * scale
            row[column].plot(step, values, label=rf"run, $\beta={beta:g}$", **points)
            for form in ("basic", "two-scale"):
                row[column].plot(
                    step, np.abs(run[f"{form} {name}"]) * scale, linestyle=LINES[form], color=FORM_COLOURS[form],
                    linewidth=0.7, label=f"{form} prediction",
                )  # fmt: skip
        for row, word in zip(rows, ("sharpness", "displacement", "loss"), strict=True):
            row[column].set(title=rf"{word}, $\beta={beta:g}$", xlabel=label_of("step"))
        rows[2][column].plot(
            step,
            run["constrained_loss"],
            color="#ddaa33",
            linewidth=0.8,
            label="loss on the constrained trajectory",
        )
        rows[2][column].set(yscale="log")
        rows[2][column].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        rows[2][column].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        rows[2][column].yaxis.set_minor_formatter(NullFormatter())
    for row, label in zip(
        rows,
        (label_of("sharpness"), label_of("displacement", "$|x|$ (weight)"), label_of("loss")),
        strict=True,
    ):
        row[0].set_ylabel(label)
    last = figure.add_subplot(grid[3])
    errors = data["errors"]
    for form in errors["form"].values:
        last.plot(
            errors["kappa"], errors["error"].sel(form=form), linestyle=LINES[form], marker=MARKERS[form],
            color=FORM_COLOURS[form], label=f"{form} prediction",
        )  # fmt: skip
    for beta, kappa in zip(errors["momentum"].values, errors["kappa"].values, strict=True):
        top = float(errors["error"].sel(momentum=beta).max())
        last.annotate(
            rf"$\beta={beta:g}$", (kappa, top), (0, 4), textcoords="offset points", ha="center", fontsize=6
        )
    last.set(
        xscale="log",
        yscale="log",
        xlabel=label_of("inertia_number"),
        ylabel=label_of("error_of_sharpness"),
        title="error of the predictions",
    )
    last.margins(y=0.15)
    style.label_panels([*rows[0], *rows[1], *rows[2], last])
    style.shared_legend(figure, [*rows[0], *rows[2], last], columns=5)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    errors, lines = data["errors"], []
    for beta in errors["momentum"].values:
        basic, generalized, two = (float(errors["error"].sel(momentum=beta, form=form)) for form in FORMS)
        kappa = float(errors["kappa"].sel(momentum=beta))
        require(two < 0.02, f"β = {beta:g}: the two-scale form is off by {two:.2g} of the range")
        require(
            two < 0.2 * basic,
            f"β = {beta:g}: the two-scale form is no better than the basic: {two:.2g}, {basic:.2g}",
        )
        require(
            basic < (0.06 if kappa < 0.5 else 0.2),
            f"β = {beta:g}: the basic form is off by {basic:.2g} of the range",
        )
        require(generalized < 1.5 * basic, f"β = {beta:g}: the generalized form is off by {generalized:.2g}")
        lines.append(
            f"β = {beta:g}, κ = {kappa:.2g}: rms errors of sharpness over its range are {basic:.2%} (basic), "
            f"{generalized:.2%} (generalized), {two:.2%} (two-scale)."
        )
    for name, run in data.items():
        if name.startswith("run_"):
            least, expected = float(run["sharpness"].min()), float(run["two-scale sharpness"].min())
            require(
                abs(least - expected) < 0.02 * least,
                f"{name}: least sharpness {least:.3f}, not {expected:.3f}",
            )
            lines.append(
                f"β = {name[4:]}: the least sharpness is {least:.3f}; two-scale {expected:.3f}, "
                f"basic {float(run['basic sharpness'].min()):.3f}."
            )
    return lines
