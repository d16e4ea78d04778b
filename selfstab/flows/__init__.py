"""Trajectories that stand in for a run, or beside one: flows, and the constrained and predicted ones.

Each file is one of them, or a piece that several use (``arguments``, ``projection``, ``complementarity``,
``gradient``). A new flow is a new file. It takes a loss, an optimizer, a start and steps, as a run does, and returns a
dataset along step.
"""

from typing import Any

from selfstab.former_names import member_of


def __getattr__(name: str) -> Any:
    # What version 0.1 had here, when this was a module.
    return member_of("flows", name)
