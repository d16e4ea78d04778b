"""Studies: comparisons of several optimizers that take minutes or hours, run in pieces whose results are stored.

A piece is one optimizer on one seed. A study goes on where its file ends, whenever it was stopped: the file is written
whole after each piece. Each piece has its provenance: versions, processor, and the time it took.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import provenance, validation
from selfstab.experiments.comparison import SUMMARIES, Job, checked
from selfstab.experiments.setting import Setting
from selfstab.experiments.tasks import Task
from selfstab.files import writing as files
from selfstab.optimizers.base import Optimizer

if TYPE_CHECKING:
    import xarray

FORMAT: Final = 1
"""Number of the files' format."""

_DIGITS: Final = 8
"""Significant digits of a stored sharpness, more than its eigensolver's residual gives on another machine."""


@dataclass(frozen=True)
class Study:
    """A task, trained by several optimizers at one threshold and for equal effective time.

    Parameters
    ----------
    task, setting
        As for :func:`selfstab.experiments.compare`.
    optimizers
        Linear optimizers by name, whose lr does not matter.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range.

    Examples
    --------
    >>> import selfstab as ss
    >>> from selfstab.experiments import SparseRegression
    >>> setting = Setting(threshold=3.0, momentum=0.5, warmup=20, steps=40, scale=0.3, records=8, seeds=(0, 1))
    >>> study = Study(SparseRegression(6, 8, 2, 20), setting, {"gd": ss.HeavyBall(1.0)})
    >>> study.pieces
    [('gd', 0), ('gd', 1)]
    """

    task: Task
    setting: Setting
    optimizers: Mapping[str, Optimizer]

    def __post_init__(self) -> None:
        checked(self.task, self.setting, self.optimizers)

    @property
    def pieces(self) -> list[tuple[str, int]]:
        """Names of the optimizers, each with each seed; all optimizers of a seed come first."""
        return [(name, seed) for seed in self.setting.seeds for name in self.optimizers]

    @property
    def described(self) -> dict[str, Any]:
        """What decides the results, but for the seeds: more of them may be added to a file."""
        setting = asdict(self.setting)
        setting.pop("seeds")
        return {
            "task": repr(self.task),
            "setting": setting,
            "optimizers": {name: repr(optimizer) for name, optimizer in self.optimizers.items()},
        }

    def run(self, name: str, seed: int) -> dict[str, Any]:
        """Run a piece; return its numbers, its sharpness at each record, and its provenance."""
        validation.one_of("name", name, tuple(self.optimizers))
        seed = validation.integer("seed", seed, at_least=0)
        began = time.process_time()
        alone = replace(self.setting, seeds=(seed,))
        result = Job(self.task, alone, name, seed, self.optimizers[name]).run()
        return {
            "optimizer": name,
            "seed": seed,
            "numbers": {key: _stored(value) for key, value in result["numbers"].items()},
            "sharpness": [_stored(value) for value in result["records"]["sharpness"]],
            "provenance": {
                **provenance.deciding_bits(blas=True),
                **provenance.this_code(),
                "processor_seconds": round(time.process_time() - began, 1),
            },
        }


def _stored(value: Any) -> float | None:
    return float(f"{float(value):.{_DIGITS}g}") if np.isfinite(value) else None


def advance(study: Study, path: Path, seconds: float = np.inf) -> tuple[int, int]:
    """Run what a study's file lacks, piece by piece, until the time is spent.

    Parameters
    ----------
    study
        What is run.
    path
        Its file, in a folder that exists; made if there is none.
    seconds
        Time by the clock after which no piece begins, > 0.

    Returns
    -------
    present, all
        Pieces that the file has, and that the study has.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range, or the file is of another study.

    Examples
    --------
    >>> import tempfile
    >>> import selfstab as ss
    >>> from selfstab.experiments import SparseRegression
    >>> setting = Setting(threshold=3.0, momentum=0.5, warmup=20, steps=40, scale=0.3, records=8, seeds=(0, 1))
    >>> study = Study(SparseRegression(6, 8, 2, 20), setting, {"gd": ss.HeavyBall(1.0)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     advance(study, Path(folder) / "study.json")
    (2, 2)
    """
    seconds = validation.real("seconds", seconds, above=0) if seconds != np.inf else seconds
    end = time.monotonic() + seconds
    pieces = _pieces(study, path)
    for name, seed in study.pieces:
        if (name, seed) in pieces:
            continue
        if time.monotonic() >= end:
            break
        pieces[name, seed] = study.run(name, seed)
        _write(study, path, pieces)
    return sum(key in pieces for key in study.pieces), len(study.pieces)


def stored(study: Study, path: Path) -> xarray.Dataset:
    """Return a study's stored results.

    Parameters
    ----------
    study, path
        As for :func:`advance`.

    Returns
    -------
    xarray.Dataset
        Dimensions optimizer, seed, record; ``sharpness`` along all, and the numbers of `SUMMARIES`, NaN where a piece
        has not been run (``present`` is False there).

    Raises
    ------
    ValueError
        If the file is of another study or format.
    FileNotFoundError
        If there is none.
    """
    import xarray

    if not path.exists():
        raise FileNotFoundError(f"path must be a study's file, got {path}: make experiments writes it")
    pieces = _pieces(study, path)
    names, seeds = list(study.optimizers), list(study.setting.seeds)
    plans = [study.setting.plan(optimizer) for optimizer in study.optimizers.values()]
    length = max(steps // every for _, steps, every in plans) + 1
    sharpness = np.full((len(names), len(seeds), length), np.nan)
    numbers = {name: np.full(sharpness.shape[:2], np.nan) for name in SUMMARIES}
    present = np.zeros(sharpness.shape[:2], dtype=bool)
    for i, name in enumerate(names):
        for j, seed in enumerate(seeds):
            if (name, seed) in pieces:
                piece = pieces[name, seed]
                present[i, j] = True
                row = np.array(piece["sharpness"], dtype=np.float64)
                sharpness[i, j, : row.size] = row
                for key, values in numbers.items():
                    # A number that came later is absent from older pieces.
                    values[i, j] = np.array(piece["numbers"].get(key), dtype=np.float64)
    dims = ("optimizer", "seed")
    data = xarray.Dataset(coords={"optimizer": np.array(names, dtype=object), "seed": seeds})
    data["sharpness"] = ((*dims, "record"), sharpness, {"long_name": "sharpness", "units": "1/lr"})
    data["present"] = (dims, present, {"long_name": "whether the piece has been run"})
    for key, (long_name, units) in SUMMARIES.items():
        data[key] = (dims, numbers[key], {"long_name": long_name, "units": units})
    data.attrs = {
        "study": json.dumps(study.described),
        "provenance": json.dumps([pieces[key]["provenance"] for key in study.pieces if key in pieces]),
    }
    return data


def _pieces(study: Study, path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the pieces in a file by optimizer and seed, none if there is no file; raise if it is another study's."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        form, described, rows = content["format"], content["study"], content["pieces"]
        pieces = {(row["optimizer"], row["seed"]): row for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"path must be a study's file, got {path}: {type(error).__name__}") from error
    if form != FORMAT:
        raise ValueError(f"path must be of format {FORMAT}, got {validation.shown(form)}: {path}")
    # Through JSON, as the file's: tuples are lists there.
    own = json.loads(json.dumps(study.described))
    differing = [key for key in own if own[key] != described.get(key)]
    if differing:
        raise ValueError(
            f"path must be of this study, got {path}: {' and '.join(differing)} differ; take another file"
        )
    return pieces


def _write(study: Study, path: Path, pieces: Mapping[tuple[str, int], dict[str, Any]]) -> None:
    head = {"format": FORMAT, "study": study.described}
    # A line a piece, so that a change of one is a change of a line.
    lines = ",\n".join(json.dumps(pieces[key]) for key in sorted(pieces, key=lambda key: (key[1], key[0])))
    files.write_text(path, json.dumps(head)[:-1] + ', "pieces": [\n' + lines + "\n]}\n")
