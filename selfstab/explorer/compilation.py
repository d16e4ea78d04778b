"""Kernels of the explorer: which are ready in this process, and compiling them ahead."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Final

from selfstab.explorer import views
from selfstab.explorer.state import FORMULA, MODELS, PageState

_ready: set[tuple[object, ...]] = set()
_lock: Final = threading.Lock()


def key(state: PageState) -> tuple[object, ...]:
    """Return what a diagram's kernel depends on: the loss's form, and what sets the learning rate."""
    names = {name for name, _ in views.diagram_grid(state).axes} | (
        {"excess"} if _has_fixed_excess(state) else set()
    )
    rate = "ramp" if views.diagram_grid(state).ramp else "excess" if "excess" in names else "constant"
    form = (state.formula, state.variables) if state.model == FORMULA else state.model
    depth = state.setting("depth") if state.model == "Chain" else None
    return (form, depth, rate)


def _has_fixed_excess(state: PageState) -> bool:
    return views.diagram_grid(state).excess is not None


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


def prepare() -> None:
    """Compile what the first page needs, then the models' diagrams over other learning rates, then other models."""
    first = PageState()
    compile_for(first)
    compile_for(replace(first, warmup=100.0))
    for model in MODELS:
        if model != FORMULA:
            compile_for(PageState().with_model(model))
