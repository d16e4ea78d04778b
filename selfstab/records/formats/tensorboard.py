"""TensorBoard's event files, and folders of them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from selfstab.files import sizes
from selfstab.notices import printable
from selfstab.records import folders, settings_files
from selfstab.records.columns.roles import rank
from selfstab.records.formats.base import Format, Match, ReadError, Table
from selfstab.records.formats.registry import register
from selfstab.records.series import columns_of_series

_NAME: Final = "events.out.tfevents."
_HPARAMS: Final = "_hparams_/session_start_info"
_MOST_TAGS: Final = 10_000

_Series = dict[str, tuple[list[int], list[float]]]


@register
class TensorBoard(Format):
    """Event files of TensorBoard, a folder of them, or one with a folder for each run."""

    name = "TensorBoard's events"
    needs = ("tensorboard",)

    def match(self, source: Any) -> Match:
        """Return CERTAIN for an event file, or a folder that has some."""
        if not isinstance(source, Path):
            return Match.NONE
        if source.is_file():
            return Match.CERTAIN if source.name.startswith(_NAME) else Match.NONE
        return Match.CERTAIN if _runs(source) else Match.NONE

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the folders of the runs that recorded a sharpness; all of them if none did."""
        if source.is_file():
            return ()
        runs = _runs(source)
        if [*runs] == ["."]:
            return ()
        read = {name: _scalars(files)[0] for name, files in runs.items()}
        sharp = [
            name for name, series in read.items() if any(rank("sharpness", tag) is not None for tag in series)
        ]
        return tuple(sharp or [name for name, series in read.items() if series] or runs)

    def read(self, source: Any, member: str = "") -> Table:
        """Return a column for each scalar; those of a restarted run stand in the order of their records."""
        if source.is_file():
            files, folder = [source], source.parent
        else:
            runs = _runs(source)
            files, folder = runs[member or "."], source / member
        series, attributes = _scalars(files)
        if not series:
            raise ReadError("run must hold scalars, got none; log them by add_scalar")
        if not source.is_file():  # add_hparams writes to a folder of its own inside
            inside = [more for name, more in _runs(folder).items() if name != "."]
            for other in inside:
                attributes |= _scalars(other)[1]
        beside, notes = settings_files.beside(folder)
        columns = columns_of_series(
            {
                tag: (np.array(steps, dtype=np.float64), np.array(values))
                for tag, (steps, values) in series.items()
            }
        )
        return Table(columns, beside | attributes, notes=notes)


def _runs(folder: Path) -> dict[str, list[Path]]:
    """Return the event files of each folder that has some, by its path inside."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in folders.files(folder):
        if path.name.startswith(_NAME):
            found[printable(path.parent.relative_to(folder).as_posix())].append(path)
    return {name: sorted(found[name]) for name in sorted(found)}


def _scalars(files: list[Path]) -> tuple[_Series, dict[str, Any]]:
    """Return steps and values of each scalar in the order of their records, and the hyperparameters."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
    from tensorboard.plugins.hparams import metadata
    from tensorboard.util import tensor_util

    sizes.check(files[0].parent.name, 4 * sum(path.stat().st_size for path in files))
    series: _Series = {}
    attributes: dict[str, Any] = {}
    with _quiet():
        for path in files:
            for event in LegacyEventFileLoader(str(path.absolute())).Load():
                for value in event.summary.value:
                    if value.tag == _HPARAMS:
                        info = metadata.parse_session_start_info_plugin_data(
                            value.metadata.plugin_data.content
                        )
                        attributes |= {printable(name): _plain(entry) for name, entry in info.hparams.items()}
                        continue
                    if value.HasField("simple_value"):
                        number = value.simple_value
                    elif (
                        value.HasField("tensor")
                        and not value.tensor.tensor_shape.dim
                        and value.tensor.dtype in (1, 2)
                    ):
                        number = float(tensor_util.make_ndarray(value.tensor))
                    else:
                        continue
                    if value.tag not in series and len(series) >= _MOST_TAGS:
                        raise ReadError(f"run must have at most {_MOST_TAGS} tags, got more")
                    steps, values = series.setdefault(value.tag, ([], []))
                    steps.append(event.step)
                    values.append(number)
    return series, attributes


def _plain(value: Any) -> Any:
    """Return a hyperparameter, a number or a text or a truth."""
    kind = value.WhichOneof("kind")
    return getattr(value, kind) if kind in ("number_value", "string_value", "bool_value") else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the reader's words on a file that ends early, as that of a run under way does, off the screen."""
    logger = logging.getLogger("tensorboard")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
