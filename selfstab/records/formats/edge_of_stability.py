"""Folders that the code of Cohen et al. (2021) writes: a file of PyTorch for each quantity, settings in the path.

Source: https://github.com/locuslab/edge-of-stability, src/gd.py and src/utilities.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np

from selfstab.notices import printable
from selfstab.records import folders
from selfstab.records.formats.base import Format, Match, ReadError, Table
from selfstab.records.formats.registry import register
from selfstab.records.formats.torch_files import loaded

_SETTINGS: Final = re.compile(r"(?:^|.*_)lr_([^_/]+)(.*)")
_MOMENTUM: Final = re.compile(r"_(?:beta|momentum|mom)_([^_/]+)")
_KINDS: Final = {
    "gd": "gradient descent",
    "polyak": "Polyak's momentum",
    "momentum": "Polyak's momentum",
    "nesterov": "Nesterov's momentum",
    "sgd": "gradient descent in minibatches",
}


@register
class EdgeOfStability(Format):
    """Folders of locuslab/edge-of-stability: train_loss_final, eigs_final, and lr and β in the path."""

    name = "a folder of locuslab/edge-of-stability"
    needs = ("torch",)

    def match(self, source: Any) -> Match:
        """Return CERTAIN for a folder with the losses and the eigenvalues, or one that holds such folders."""
        return Match.CERTAIN if isinstance(source, Path) and source.is_dir() and _runs(source) else Match.NONE

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the paths of the runs inside."""
        runs = _runs(source)
        return () if [*runs] == ["."] else tuple(runs)

    def read(self, source: Any, member: str = "") -> Table:
        """Return loss, eigenvalues at their stride, and the settings that the path holds."""
        folder = _runs(source)[member or "."]
        name = "eigs_final" if _is_file(folder / "eigs_final") else "eigs"
        losses, eigs = (
            np.asarray(loaded(folder / name), dtype=np.float64)
            for name in (name.replace("eigs", "train_loss"), name)
        )
        if losses.ndim != 1 or eigs.ndim != 2 or not eigs.size:
            shapes = f"{losses.shape} and {eigs.shape}"
            raise ReadError(f"run must hold losses in a row and eigenvalues in columns, got shapes {shapes}")
        stride, notes = _stride(losses.size, eigs.shape[0])
        columns = {"step": np.arange(float(losses.size)), "train_loss": losses}
        for k in range(min(eigs.shape[1], 10)):
            column = np.full(losses.size, np.nan)
            column[: eigs.shape[0] * stride : stride] = eigs[:, k]
            columns[f"eigs/{k}"] = column
        attributes, more = _settings(folder)
        roles = {"sharpness": "eigs/0", "second_sharpness": "eigs/1", "loss": "train_loss"}
        return Table(columns, attributes, roles=roles, notes=(*notes, *more))


def _runs(source: Path) -> dict[str, Path]:
    """Return the folders of runs by their paths inside."""
    found: dict[str, Path] = {}
    for path in folders.files(source):
        ending = {"eigs": "", "eigs_final": "_final"}.get(path.name)
        if ending is not None and _is_file(path.parent / f"train_loss{ending}"):
            found[printable(path.parent.relative_to(source).as_posix())] = path.parent
    return dict(sorted(found.items()))


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _stride(losses: int, rows: int) -> tuple[int, tuple[str, ...]]:
    """Return how many steps lie between two rows of eigenvalues: losses // stride is their number.

    The code keeps the stride nowhere; of several that fit, the roundest is taken.
    """
    smallest, largest = losses // (rows + 1) + 1, losses // rows
    if largest < 1 or smallest > largest:
        raise ReadError(
            f"run must have at most one row of eigenvalues for each loss, got {rows} for {losses}"
        )
    if smallest == largest:
        return largest, (f"eigs is every {largest} steps, by its number of rows.",) if largest > 1 else ()

    def roundness(stride: int) -> tuple[int, int]:
        zeros = next(k for k in (1000, 500, 250, 200, 100, 50, 25, 20, 10, 5, 2, 1) if stride % k == 0)
        return zeros, stride

    stride = max(range(max(smallest, largest - 100_000), largest + 1), key=roundness)
    return stride, (
        f"eigs is taken to be every {stride} steps: by its number of rows {smallest} to {largest} would do, too.",
    )


def _settings(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings that the folder's path holds, and a note on them."""
    absolute = folder.absolute()
    match, kind = _SETTINGS.fullmatch(absolute.name), absolute.parent.name
    if kind.startswith(("flow", "modified_flow")) or absolute.name.startswith("tick_"):
        raise ReadError("run must be of gradient descent, got a gradient flow, which has no threshold")
    if not match:
        return {}, ("The folder's name holds no learning rate, as lr_0.01 would.",)
    attributes: dict[str, Any] = {"lr": match[1]}
    momentum = _MOMENTUM.match(match[2]) or _MOMENTUM.search(match[2])
    if kind not in _KINDS:
        attributes["optimizer"] = kind
    if momentum or kind in ("gd", "sgd"):
        attributes["momentum"] = momentum[1] if momentum else "0"
    if kind == "nesterov" and momentum:
        attributes["lookahead"] = attributes["momentum"]
    told = ", ".join(f"{name} {printable(value)}" for name, value in attributes.items())
    return attributes, (f"The path gives {_KINDS.get(kind, 'an optimizer')}: {told}.",)
