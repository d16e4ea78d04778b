"""The explorer's phase diagram against what a hand on a slider waits for."""

from __future__ import annotations

from dataclasses import replace

from selfstab.explorer import views
from selfstab.explorer.state import PageState

from .harness import Case, Row, Target, judged, seconds

BUDGET = 0.3
"""Seconds until a diagram of 256 × 256 runs."""

SAMPLES = 20


def cases(quick: bool) -> list[Case]:
    """Return the line on the explorer; a quick one is a coarse diagram, and not judged."""
    size, samples = (32, 3) if quick else (views.SIZE, SAMPLES)

    def measure(case: Case) -> Row:
        state = PageState()
        views.diagram(state, 2)  # compiled, or loaded from the disk, from here on
        # Another flip each time, as a slider moves.
        moved = [replace(state, flip=state.flip * (1.0 + 0.01 * k)) for k in range(samples)]
        taken = [seconds(lambda one=one: views.diagram(one, size)) for one in moved]  # type: ignore[misc]
        return judged(
            case.name, case.unit, [(one, BUDGET) for one in taken], case.target, judge=not quick,
            note=f"{samples} of {size} × {size} runs, {state.steps} steps each; the slowest {max(taken):.3g} s",
        )  # fmt: skip

    return [Case("explorer's diagram / 0.3 s", "s", Target(1, at_least=False), measure)]
