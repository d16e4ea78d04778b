"""PyTorch's files of tensors, numbers and texts: .pt and .pth, read without running anything in them."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from selfstab import validation
from selfstab.files import sizes
from selfstab.records import trees
from selfstab.records.formats.base import Format, ReadError, Table
from selfstab.records.formats.registry import register


def loaded(path: Path) -> Any:
    """Return what a file of PyTorch holds, with arrays of NumPy in place of tensors.

    Raises
    ------
    ReadError
        If it holds other objects, which would be code to run.
    """
    import torch

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            sizes.check(path.name, 2 * sum(entry.file_size for entry in archive.infolist()))
    sizes.check(path.name, 2 * path.stat().st_size)
    try:
        with path.open("rb") as file, torch.serialization.safe_globals(_arrays()):
            document = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        text = validation.one_line(str(error))
        other = (
            text.partition("GLOBAL ")[2].split(" ")[0].strip("'\"`.,")
            if "GLOBAL" in text
            else "something else"
        )
        raise ReadError(
            f"run must hold tensors, numbers and texts only, got {other}; save a dictionary of tensors"
        ) from None
    except (OSError, EOFError, RuntimeError):
        raise ReadError(
            "run must be a whole file of torch.save, got one that is cut off or damaged; copy it again"
        ) from None
    return _plain(document, 0)


def _arrays() -> list[Any]:
    """Return what arrays and numbers of NumPy are made of, which PyTorch counts as code unless they are named."""
    core: Any = np._core.multiarray
    kinds = [
        type(np.dtype(code))
        for code in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")
    ]
    # Under their former names, too, by which NumPy 1 wrote them.
    former = [
        (core._reconstruct, "numpy.core.multiarray._reconstruct"),
        (core.scalar, "numpy.core.multiarray.scalar"),
    ]
    return [core._reconstruct, core.scalar, np.ndarray, np.dtype, *kinds, *former]


def _plain(value: Any, depth: int) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        # A tensor may declare more numbers than it stores.
        sizes.check("a tensor", 8 * value.numel())
        tensor = value.detach()
        if tensor.layout is not torch.strided or tensor.is_complex():
            return None
        tensor = tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
        array = tensor.numpy()
        return array[()] if array.ndim == 0 else array
    if isinstance(value, np.ndarray):
        return value[()] if value.ndim == 0 else value
    if depth < 12:
        if isinstance(value, dict):
            return {str(name): _plain(part, depth + 1) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [_plain(part, depth + 1) for part in value]
    return value


@register
class TorchFile(Format):
    """Files of torch.save: a dictionary of tensors or lists, or a list of dictionaries."""

    name = "PyTorch's file"
    suffixes = (".pt", ".pth")
    needs = ("torch",)

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the names of the runs, where each has a dictionary of its own."""
        names = tuple(trees.runs(loaded(source)))
        return () if names == ("",) else names

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of one run."""
        return trees.table(trees.runs(loaded(source))[member])
