"""JSON: documents .json with rows or columns, and lines .jsonl or .ndjson of one object each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from selfstab.files import sizes
from selfstab.records import settings_files, trees
from selfstab.records.formats.base import Format, Match, ReadError, Table
from selfstab.records.formats.registry import register
from selfstab.records.frames import tag_of_path
from selfstab.records.recording.writers import PREFIX

_BYTES_EACH: Final = 12
"""Bytes of memory for a byte of text: a number of Python takes 24 bytes, and three of text at least."""

_LOOKED_AT: Final = 2**16
_TRIPLE: Final = 3  # time, step and value


def document(path: Path) -> Any:
    """Return what a JSON file holds; of a file of lines, a list.

    Raises
    ------
    TooLarge, ValueError
        If it would take more memory than it may, or is damaged.
    """
    sizes.check(path.name, _BYTES_EACH * path.stat().st_size)
    text = path.read_text(encoding="utf-8-sig")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        lines = text.splitlines()
        # A file of lines, whatever it is called.
        if error.msg != "Extra data" or not lines[0].strip():
            raise
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return _of_lines(lines)


def _of_lines(lines: list[str]) -> list[Any]:
    rows = []
    for k, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        except ValueError as error:
            # A run that is ended while it writes leaves half a line.
            if k == len(lines) - 1 and rows:
                break
            raise ValueError(f"line {k + 1}: {error}") from None
    return rows


def _named(content: Any, path: Path) -> Any:
    """Return a document in which the rows of time, step and value that TensorBoard saves of one tag have its name."""
    triples = (
        isinstance(content, list)
        and len(content) > 0
        and all(
            isinstance(row, list) and len(row) == _TRIPLE and not isinstance(row[0], list | dict)
            for row in content
        )
    )
    return {tag_of_path(path.stem)[1]: content} if triples else content


@register
class Json(Format):
    """Documents of JSON: a list of rows, an object of columns, or either beside settings."""

    name = "JSON"
    suffixes = (".json",)

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the names of the runs, where each has an object of its own."""
        names = tuple(trees.runs(document(source)))
        return () if names == ("",) else names

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of one run."""
        attributes, notes = settings_files.of_log(source)
        table = trees.table(trees.runs(_named(document(source), source))[member])
        return replace(table, attributes=attributes | dict(table.attributes), notes=(*table.notes, *notes))


@register
class JsonLines(Format):
    """Lines of one JSON object each, a row or the values of one step."""

    name = "lines of JSON"
    suffixes = (".jsonl", ".ndjson")

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns; a last line that is cut off is passed over."""
        sizes.check(source.name, _BYTES_EACH * source.stat().st_size)
        rows = _of_lines(source.read_text(encoding="utf-8-sig").splitlines())
        attributes, notes = settings_files.of_log(source)
        table = trees.table([row for row in rows if isinstance(row, dict)])
        return replace(table, attributes=attributes | dict(table.attributes), notes=notes)


@register
class TrainerState(Format):
    """The trainer_state.json of Hugging Face's Trainer."""

    name = "trainer_state.json"
    suffixes = (".json",)

    def match(self, source: Any) -> Match:
        """Return CERTAIN for a document with a log_history."""
        if super().match(source) is Match.NONE:
            return Match.NONE
        with source.open("rb") as file:
            begin = file.read(_LOOKED_AT)
        return Match.CERTAIN if b'"log_history"' in begin else Match.NONE

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of the history; the summary at its end is no record."""
        state = document(source)
        history = state.get("log_history") if isinstance(state, dict) else None
        if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
            raise ReadError("run must hold its log_history as a list of objects")
        rows = [row for row in history if "train_runtime" not in row]
        if not rows:
            raise ReadError("run must hold rows in its log_history, got none; set logging_steps")
        attributes, notes = settings_files.of_log(source)
        notes = (
            *notes,
            "Trainer's log does not say which optimizer: AdamW, its default, has another threshold.",
        )
        every = state.get("logging_steps")
        names = {name for row in rows for name in row}
        own = f"{PREFIX}loss" in names  # of the weights as they are, which goes before Trainer's
        if isinstance(every, int | float) and every > 1 and "loss" in names and not own:
            notes = (*notes, f"Trainer's loss is the mean of the last {every:g} steps: spikes are lowered.")
        return replace(trees.table(rows), attributes=attributes, notes=notes)
