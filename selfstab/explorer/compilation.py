"""Kernels of the explorer: which are ready in this process, and compiling them ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from selfstab.explorer import views
from selfstab.explorer.setups import FORMULA, MODELS
from selfstab.explorer.state import PageState
from selfstab.optimizers.registry import optimizer_named

_ready: set[tuple[object, ...]] = set()
_lock: Final = threading.Lock()


def key(state: PageState) -> tuple[object, ...]:
    """Return what the kernels depend on: the loss's form, the optimizer, and what sets the learning rate."""
    form = (state.formula, state.variables) if state.model == FORMULA else state.model
    depth = state.setting("depth") if state.model == "Chain" else None
    grids = (views.diagram_grid(state), views.orbit_grid(state))
    return (form, depth, state.method, state.texts, *((_rate(grid), _shifts(state, grid)) for grid in grids))


def _rate(grid: views.Grid) -> str:
    if grid.ramp:
        return "ramp"
    names = {name for name, _ in grid.axes}
    return "excess" if "excess" in names or grid.excess is not None else "constant"


def _shifts(state: PageState, grid: views.Grid) -> tuple[str, ...]:
    """Return the numbers that move where the gradient is taken; one that is 0 throughout is not in the kernel."""
    moving = {name for name, value in state.optimizer_numbers.items() if value != 0.0}
    moving |= {name for name, _ in grid.axes}
    settings = optimizer_named(state.method).settings
    return tuple(name for name, known in settings.items() if known.shifts_gradient and name in moving)


def is_ready(state: PageState) -> bool:
    """Whether the state's pictures need no compiling in this process."""
    return key(state) in _ready


def compile_for(state: PageState) -> None:
    """Compile, or load from the disk, what the state's pictures need."""
    if is_ready(state):
        return
    with _lock:
        if not is_ready(state):
            views.diagram(state, 2)
            views.orbit_diagram(replace(state, steps=views.LAST), 256)
            _ready.add(key(state))


def prepare() -> Iterator[None]:
    """Compile the models' diagrams, then those over other learning rates, and yield after each.

    The first page's own come late: it compiles them itself as soon as it is opened.
    """
    first = PageState()
    models = [PageState().with_model(model) for model in MODELS if model not in (first.model, FORMULA)]
    for state in (*models, replace(first, warmup=100.0), first):
        compile_for(state)
        yield
