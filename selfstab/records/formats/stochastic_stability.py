"""The results.txt of the code on the edge of stochastic stability (Andreyev and Beneventano, 2024).

Source: https://github.com/arseniqum/edge-of-stochastic-stability, utils/storage.py and training.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from selfstab.files import sizes
from selfstab.records.formats.base import Format, Match, ReadError, Table
from selfstab.records.formats.registry import register
from selfstab.records.formats.text import exactly

_BEGIN: Final = b"# Edge of Stochastic Stability"
_HEADER: Final = re.compile(r"\((\d+)\)\s*([^,(]+(?:\([^)]*\))?[^,(]*)")
_SETTING: Final = re.compile(r"\b(lr|momentum|adam|nesterov|batch|num_data|optimizer)=('[^']*'|[\w.+\-]+)")


@register
class StochasticStability(Format):
    """The results.txt of edge-of-stochastic-stability."""

    name = "results.txt of edge-of-stochastic-stability"
    suffixes = (".txt",)

    def match(self, source: Any) -> Match:
        """Return CERTAIN for a file that begins as that code's."""
        if super().match(source) is Match.NONE:
            return Match.NONE
        with source.open("rb") as file:
            return Match.CERTAIN if file.read(len(_BEGIN)) == _BEGIN else Match.NONE

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns by the names of the header, and the settings in it."""
        import pandas

        sizes.check(source.name, 4 * source.stat().st_size)
        remarks = _remarks(source)
        names = [
            match[1].strip()
            for line in remarks[-1:]
            for match in [(m[1], m[2]) for m in _HEADER.finditer(line)]
        ]
        if not names:
            raise ReadError("run must name its columns in the last remark, as (0) epoch, (1) step, got none")
        with source.open("rb") as file:
            frame = pandas.read_csv(
                file, header=None, skiprows=len(remarks), skipinitialspace=True, **exactly()
            )
        # Later columns than the header names are those of measures that were added since.
        names = [*names, *(f"column {k}" for k in range(len(names), frame.shape[1]))][: frame.shape[1]]
        columns = {name: frame.iloc[:, k].to_numpy() for k, name in enumerate(names)}
        settings = dict(_SETTING.findall(" ".join(remarks)))
        attributes = {
            name: text.strip("'") for name, text in settings.items() if text not in ("None", "False")
        }
        if "lr" not in attributes and (match := re.search(r"\blr ([\d.eE+\-]+)", " ".join(remarks))):
            attributes["lr"] = match[1].rstrip(".")
        if settings.get("adam") == "True":
            attributes["optimizer"] = "Adam"
        if "momentum" not in attributes and "momentum" in settings:
            attributes["momentum"] = "0"
        roles = {"sharpness": "lambda max", "step": "step"}
        loss = (
            "full loss"
            if "full loss" in columns and frame.iloc[:, names.index("full loss")].notna().any()
            else ""
        )
        notes = []
        batch, samples = (_number(attributes.pop(name, "")) for name in ("batch", "num_data"))
        whole = batch is not None and batch == samples
        if whole and "batch loss" in columns:
            loss = "batch loss"
        elif batch is not None:
            notes.append(f"Steps are of minibatches of {batch:g}: the law says nothing of their noise.")
        if loss:
            roles["loss"] = loss
        if "lambda max" not in columns:
            raise ReadError("run must have the column lambda max, got none; run with --lambdamax")
        return Table(columns, attributes, roles=roles, notes=tuple(notes))


def _remarks(path: Path) -> list[str]:
    """Return the lines before the numbers."""
    found: list[str] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        while (line := file.readline(2**16)).startswith("#") and len(found) < 100:
            found.append(line)
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
