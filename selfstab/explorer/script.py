"""The Python lines that make what the explorer shows: a script that runs on its own and gives the same bits."""

from __future__ import annotations

from dataclasses import fields

import selfstab
from selfstab.explorer import views
from selfstab.explorer.state import MEASURES, PageState
from selfstab.optimizers.registry import optimizer_named

_HEAD = '''"""What `selfstab explore` showed: one run, a phase diagram and an orbit diagram of the same loss."""

import numpy as np

import selfstab as ss
from selfstab.plotting import style
'''

_FIGURE = """
with ss.plotting.paper():
    figure = style.new_figure(style.DOUBLE_COLUMN, 6.2)
    axes = figure.subplot_mosaic([["plane", "sharpness"], ["plane", "loss"], ["phases", "orbits"]],
                                 height_ratios=[1, 1, 2])
    ss.plotting.draw_plane(run, axes["plane"])
    ss.plotting.draw_sharpness(run, axes["sharpness"])
    ss.plotting.draw_loss(run, axes["loss"])
    ss.plotting.draw_phases(diagram, axes["phases"])
    ss.plotting.draw_orbits(orbits, axes["orbits"], weight={weight!r})
    axes["orbits"].set_xscale({scale!r})
    style.shared_legend(figure, list(axes.values()), columns=5)
    style.label_panels(list(axes.values()))
"""

_SAVE = """
if __name__ == "__main__":
    from pathlib import Path

    style.save(figure, Path("."), "explored")
    for name, data in {"run": run, "diagram": diagram, "orbits": orbits}.items():
        data.to_netcdf("explored.nc", group=name, mode="w" if name == "run" else "a", engine="netcdf4")
"""


def script(state: PageState, size: int = views.SIZE, along: int = views.ALONG) -> str:
    """Return the script of a state: `run`, `diagram`, `orbits` and `figure`, saved to files when it is run.

    Parameters
    ----------
    state
        What is looked at.
    size, along
        Values along the axes of the phase diagram, and of the orbit diagram.

    Raises
    ------
    TypeError, ValueError
        As :meth:`PageState.setup`.

    Examples
    --------
    >>> print(script(PageState(momentum=0.5)).splitlines()[7])
    loss = ss.CubicTaylor(curvature=1.0, progressive_sharpening=0.0, stabilization=1.0)
    """
    setup = state.setup()
    scale = views.orbit_grid(state).axes[0][1].scale.replace("inverse", "linear")
    lines = [
        _HEAD,
        f"loss = {setup.loss_text}",
        f"weights = {setup.weights_text}",
        f"start, previous = ss.flip_start(loss, weights, {state.flip!r})",
        f"momentum, excess = {state.momentum!r}, {state.excess!r}",
        *_defined(state),
        f"lr = {_constructed(state, '1.0')}.at_excess(loss.sharpness(start)[0], excess)",
        "",
        f"optimizer = {_optimizer(state, ramp=False)}",
        f"run = ss.simulate(loss, optimizer, start, {state.steps}, previous=previous,",
        '                  keep=("loss", "sharpness", "weights", "velocity"))',
        "top = loss.sharpness(weights)[1]",
        'run["displacement"] = ("step", ((run.weights.values - weights) * top).sum(axis=1))',
        *_law(state),
        "",
        *_sweep(state, size),
        "",
        *_orbits(state, along),
    ]
    return "\n".join(lines) + "\n" + _FIGURE.format(weight=state.shown_weight, scale=scale) + _SAVE


def _optimizer(state: PageState, *, ramp: bool) -> str:
    ramped = state.warmup > 0.0 or ramp
    return _constructed(state, f"ss.LinearWarmup(0.0, lr, {max(state.warmup, 1.0)!r})" if ramped else "lr")


def _constructed(state: PageState, lr: str) -> str:
    """Return the call that makes the optimizer; numbers at their defaults are left out."""
    words = (
        [lr, "momentum" if state.method == "HeavyBall" else "momentum=momentum"]
        if state.has_momentum
        else [lr]
    )
    defaults = {known.name: known.default for known in fields(optimizer_named(state.method))}
    words += [
        f"{name}={value!r}"
        for name, value in state.optimizer_fields.items()
        if name != "momentum" and value != defaults[name]
    ]
    return f"{'ss.' if hasattr(selfstab, state.method) else ''}{state.method}({', '.join(words)})"


def _defined(state: PageState) -> list[str]:
    """Return the line that fetches an optimizer which is not among the public names."""
    if hasattr(selfstab, state.method):
        return []
    return [f"from {optimizer_named(state.method).__module__} import {state.method}"]


def _law(state: PageState) -> list[str]:
    law = views.law(state)
    if law.reason:
        return [f"# The overshoot law says nothing of this run: {law.reason}."]
    return [
        "threshold = optimizer.max_stable_sharpness()",
        "y0 = loss.sharpness(weights)[0] - threshold",
        "kappa = ss.theory.inertia_number(y0 / threshold, momentum)",
        'run["peak_excess_sharpness"] = ((), y0)',
        f'run["stabilization"] = ((), {law.stabilization!r})  # b², of the flat directions at the weights',
        'run["predicted_final_sharpness"] = ((), ss.theory.final_sharpness(threshold, y0, kappa))',
    ]


def _axes(texts: dict[str, str]) -> list[str]:
    return ["axes = {", *(f"    {name!r}: {text}," for name, text in texts.items()), "}"]


def _sweep(state: PageState, size: int) -> list[str]:
    grid = views.diagram_grid(state)
    return [
        *_axes(grid.texts(size, size)),
        f"diagram = ss.sweep(loss, {_optimizer(state, ramp=grid.ramp)}, axes, start=start, previous=previous,",
        f"                   steps={state.steps}, measure={list(MEASURES)!r}, progress=False)",
    ]


def _orbits(state: PageState, along: int) -> list[str]:
    grid = views.orbit_grid(state)
    return [
        *_axes(grid.texts(along)),
        f"orbits = ss.orbits(loss, {_optimizer(state, ramp=grid.ramp)}, axes, start=start, previous=previous,",
        f"                   steps={state.steps}, last={min(views.LAST, state.steps + 1)}, progress=False)",
    ]
