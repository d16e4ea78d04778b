"""How a kernel gets its learning rate: the inputs of a cell it reads, and the lines that give lr at a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class RateText:
    """What a template asks of a learning rate.

    Parameters
    ----------
    name
        What it is called in a sweep's plan and its stores.
    inputs
        Names of the numbers it reads of a cell, by axis.
    begin
        Rows of a lane that hold it, with the text of each: an input's name in braces, rows before it by name.
    lines
        Lines that give lr at step t, where it changes.
    """

    name: str
    inputs: tuple[str, ...] = ()
    begin: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether lr depends on the step."""
        return bool(self.lines)

    def begun(self, places: Mapping[str, str]) -> list[str]:
        """Return the lines that set the rows, from the places of the inputs."""
        out = []
        for row, text in self.begin:
            for name, place in places.items():
                text = text.replace(f"{{{name}}}", place)
            out.append(f"{row} = {text}")
        return out


CONSTANT: Final = RateText("constant", ("lr",), (("lr", "{lr}"),))
"""A number."""

EXCESS: Final = RateText("excess", ("excess",))
"""From the relative excess of the sharpness at the start; the optimizer has the text."""

TABLE: Final = RateText("table", lines=("lr = table[t]",))
"""A table by step."""
