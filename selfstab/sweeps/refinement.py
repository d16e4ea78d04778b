"""Phase diagrams that are fine where something changes, and coarse elsewhere."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray

from selfstab import phases, validation
from selfstab.kernels.measures import MEASURES
from selfstab.losses.base.loss import Loss
from selfstab.machine import check_memory
from selfstab.optimizers.base import Optimizer
from selfstab.runs.dataset import provenance
from selfstab.sweeps.plan.blocks import Block, cut
from selfstab.sweeps.plan.cell_tree import Grown, covering, grown_tree
from selfstab.sweeps.plan.plan import MOST_RUNS, Plan, described, long_name_of
from selfstab.sweeps.plan.request import Request
from selfstab.sweeps.runners import pool
from selfstab.sweeps.sweep import runner_of
from selfstab.validation import Array

_OWN: Final = ("cell", "axis", "level", "size", "position", "boundary", "unresolved")
"""Names of the dataset itself, which no axis may have."""


def refine(
    loss: Loss,
    optimizer: Optimizer,
    axes: Mapping[str, tuple[float, float, int]],
    *,
    start: Any,
    steps: int,
    levels: int,
    geometric: Sequence[str] = (),
    jumps: Mapping[str, float] | None = None,
    max_cells: int = 1_000_000,
    previous: Any = None,
    measure: Sequence[str] = ("final_loss", "final_sharpness", "min_sharpness", "diverged_at", "phase"),
    escape: float = 1e6,
    noise: float = 0.0,
    seed: int = 0,
    threads: int | None = None,
    progress: bool = True,
) -> xarray.Dataset:
    """Sweep a box of settings with cells that are halved only where neighbours differ.

    Each cell is run once, at its middle. Two cells that touch, at a corner too, *differ* if their phases do or if a
    measure of `jumps` jumps. Cells that differ from a neighbour and the cells next to those are halved along every
    axis, up to `levels` times. So is a coarser neighbour of a fine cell that differs: thin tongues are thus followed
    beyond the place where they were found. What is smaller than the coarsest cells can be missed.

    Parameters
    ----------
    loss, optimizer, start, steps, previous, measure, escape, noise, seed, threads, progress
        As in :func:`sweep`.
    axes
        (low, high, cells) by name: the edges of the box, where nothing is run, and how many of the coarsest cells lie
        between them. Names as in :func:`sweep`.
    levels
        How often a cell may be halved, >= 0: the finest cells are 1/(cells·2^levels) of an axis.
    geometric
        Names of the axes whose cells have equal ratios, not equal widths: for these low > 0.
    jumps
        By measure the relative jump |a − b|/max(|a|, |b|) beyond which two cells differ, >= 0; nan differs from all
        but nan. A jump of 1 is a change of sign: ``{"diverged_at": 1}`` finds the edge of divergence alone. The phase
        counts whenever it is measured.
    max_cells
        If halving would make more cells than this, refinement stops, at one resolution everywhere, without a warning:
        ``data.attrs["stopped"]`` says so, and ``data.unresolved`` where.

    Returns
    -------
    xarray.Dataset
        Dimension cell, whose coordinates are the axes: the middle of each cell. Variables:

        - the measures, with the same bits as :func:`sweep` gives there;
        - ``level``;
        - along cell and axis ``position`` and ``size``: the middle and the extent as fractions of the axis (of its
          logarithm if geometric);
        - ``boundary``: whether the cell differs from a neighbour;
        - ``unresolved``: whether it ought to be halved but max_cells is reached.

        Among the attrs:

        - ``resolved``: 1 or 0, whether all was halved that ought to be;
        - ``stopped``: a sentence that says why not, or nothing;
        - ``missed`` and ``boundary_dimension``: see the notes;
        - ``runs``, and ``full_grid``, the number of cells that all finest ones would be.

        :func:`rasterize` makes a grid of it.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range; nothing has run then. With an axis ``excess``, also if the
        sharpness is not above 0 at the start of a cell. Finer cells may be the first to show this.

    Notes
    -----
    How much of a boundary lies between the middles of cells is read off the refinement itself. Cells beside the
    boundary are halved though they differ from no neighbour. The share of these whose parts were found to differ is
    ``missed``, at the finest level that was halved (NaN if none was). It is 0 at a smooth boundary. At a fractal one
    about this share of the finest cells beside the boundary hides more of it; islands farther away can be missed
    whole. ``boundary_dimension`` is log₂ of the number of cells at the boundary divided by that at the level above
    (NaN without both). It is the dimension of the boundary by box counting: a whole number where it is smooth.

    Examples
    --------
    >>> import selfstab as ss
    >>> axes = {"momentum": (0.0, 1.0, 4), "lr": (0.0, 4.0, 4)}
    >>> data = ss.refine(ss.Quadratic([1.0]), ss.HeavyBall(1.0), axes, start=[1.0], previous=[-1.0], steps=100,
    ...                  levels=4, measure=["diverged_at"], jumps={"diverged_at": 1}, escape=4.0)
    >>> data.attrs["full_grid"], data.attrs["runs"] < 0.4 * data.attrs["full_grid"]
    (4096, True)
    >>> edge = data.isel(cell=data.boundary.values)
    >>> bool((abs(edge.lr - 2 * (1 + edge.momentum)) < 0.1).all())  # ηS = 2(1 + β)
    True
    """
    began = time.perf_counter()
    levels = validation.integer("levels", levels, at_least=0, at_most=60)
    box = Box.checked(axes, geometric, levels)
    # Of each cell the tree has its place, keys and their order; the runs its middle and the measures.
    cells = math.prod(box.shape)
    size = 8 * cells * (8 + 4 * len(box.shape) + 2 * len(MEASURES))
    check_memory(f"the {cells} coarsest cells of axes", size, "take fewer, which levels refine")
    request = Request(
        loss=loss, optimizer=optimizer, axes=box.checked_values(levels), start=start, steps=steps, previous=previous,
        measure=measure, escape=escape, noise=noise, seed=seed,
    )  # fmt: skip
    plan = Plan.checked(request)
    rule = _Rule.checked(plan.measures, jumps)
    max_cells = validation.integer("max_cells", max_cells, at_least=math.prod(box.shape))
    threads = pool.checked_threads(threads, progress)
    with pool.progress_bar(0, "cell", progress) as bar:
        runs = _Runs(plan, box, threads, bar)
        grown = grown_tree(box.shape, runs, rule.differ, levels, max_cells)
    settings = provenance(plan.problem, time.perf_counter() - began) | {
        "compile_seconds": runs.compile_seconds,
        "axes": json.dumps(box.described()),
        "levels": levels,
        "jumps": json.dumps(rule.jumps),
        "max_cells": max_cells,
        "missed": _missed(grown),
        "boundary_dimension": _dimension(grown.boundaries),
        "full_grid": math.prod(n << levels for n in box.shape),
    }
    return _dataset(plan, box, grown, settings)


def _missed(grown: Grown) -> float:
    sampled = [(n, k) for n, k in zip(grown.beside, grown.hidden, strict=True) if n]
    return sampled[-1][1] / sampled[-1][0] if sampled else math.nan


def _dimension(boundaries: Sequence[int]) -> float:
    if len(boundaries) < 2 or not (boundaries[-1] and boundaries[-2]):
        return math.nan
    return math.log2(boundaries[-1] / boundaries[-2])


@dataclass(frozen=True)
class Box:
    """The axes' names, edges and numbers of coarsest cells, and which are geometric."""

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    shape: tuple[int, ...]
    geometric: tuple[str, ...]

    @classmethod
    def checked(cls, axes: Any, geometric: Any, levels: int) -> Box:
        """Return the box, or raise before anything runs."""
        if not isinstance(axes, Mapping):
            raise TypeError(f"axes must map names to (low, high, cells), got {validation.shown(axes)}")
        if not axes:
            raise ValueError("axes must name at least one axis, got none")
        geometric = validation.some_of("geometric", geometric, [*map(str, axes)])
        low, high, shape = [], [], []
        for name, edges in axes.items():
            if name in _OWN:
                raise ValueError(f"axes must not be named {', '.join(_OWN)}, got {name!r}")
            label = f"axes[{name!r}]"
            if not isinstance(edges, Sequence) or isinstance(edges, str) or len(edges) != 3:
                raise ValueError(f"{label} must be (low, high, cells), got {validation.shown(edges)}")
            bound = {"above": 0.0} if name in geometric else {}
            low.append(validation.real(f"{label}: low", edges[0], **bound))
            high.append(validation.real(f"{label}: high", edges[1], above=low[-1]))
            shape.append(validation.integer(f"{label}: cells", edges[2], at_least=1))
        if math.prod(n << levels for n in shape) > MOST_RUNS:
            raise ValueError(f"levels must leave at most 2**60 of the finest cells, got {levels}")
        return cls(tuple(axes), tuple(low), tuple(high), tuple(shape), geometric)

    def values(self, axis: int, fractions: Array) -> Array:
        """Return an axis's values at fractions of it."""
        low, high = self.low[axis], self.high[axis]
        if self.names[axis] in self.geometric:
            # Through logarithms: a ratio of the edges may be beyond float64.
            out: Array = np.exp(np.log(low) + (np.log(high) - np.log(low)) * fractions)
            return out
        # Not through high − low, which may be beyond it, too.
        return low * (1.0 - fractions) + high * fractions

    def checked_values(self, levels: int) -> dict[str, Array]:
        """Return values that stand for all of a refinement: the coarsest middles, the first and last of the finest."""
        out = {}
        for k, (name, n) in enumerate(zip(self.names, self.shape, strict=True)):
            finest = 0.5 / (n << levels)
            fractions = np.concatenate([[finest], (np.arange(n) + 0.5) / n, [1.0 - finest]])
            out[name] = self.values(k, fractions)
        return out

    def described(self) -> dict[str, dict[str, Any]]:
        """Return the axes in a form that JSON keeps, from which :meth:`read` makes the box again."""
        return {
            name: {"low": low, "high": high, "cells": n, "geometric": name in self.geometric}
            for name, low, high, n in zip(self.names, self.low, self.high, self.shape, strict=True)
        }

    @classmethod
    def read(cls, data: Any) -> Box:
        """Return the box of a dataset that :func:`refine` made."""
        if not isinstance(data, xarray.Dataset):
            raise TypeError(f"data must be a dataset of refine, got {validation.shown(data)}")
        if "level" not in data or "axes" not in data.attrs:
            raise ValueError("data must be a dataset of refine, got one without level or attrs['axes']")
        axes = json.loads(data.attrs["axes"])
        columns = {key: tuple(axis[key] for axis in axes.values()) for key in ("low", "high", "cells")}
        return cls(
            tuple(axes), columns["low"], columns["high"], columns["cells"],
            tuple(name for name, axis in axes.items() if axis["geometric"]),
        )  # fmt: skip


@dataclass(frozen=True)
class _Rule:
    """When two cells differ: the rows of their measures, with the jump of each (None: any)."""

    measures: tuple[str, ...]
    jumps: dict[str, float]

    @classmethod
    def checked(cls, measures: tuple[str, ...], jumps: Any) -> _Rule:
        if not isinstance(jumps, Mapping | None):
            raise TypeError(f"jumps must map measures to numbers, got {validation.shown(jumps)}")
        known = [name for name in measures if name != "phase"]
        jump_of = {
            validation.one_of("jumps", name, known): validation.real(f"jumps[{name!r}]", jump, at_least=0)
            for name, jump in (jumps or {}).items()
        }
        if not jump_of and "phase" not in measures:
            raise ValueError("jumps must name a measure where measure has no phase, got none")
        return cls(measures, jump_of)

    def differ(self, a: Array, b: Array) -> npt.NDArray[np.bool_]:
        """Return whether cells differ; a and b hold their measures, shape (measures, cells)."""
        out = np.zeros(a.shape[1], dtype=bool)
        for name, x, y in zip(self.measures, a, b, strict=True):
            if name == "phase":
                out |= x != y
            elif name in self.jumps:
                with np.errstate(over="ignore", invalid="ignore"):
                    jump = np.abs(x - y) > self.jumps[name] * np.maximum(np.abs(x), np.abs(y))
                # Infinity is as far from a number as nan is, and both are equal to themselves.
                odd = ~(np.isfinite(x) & np.isfinite(y))
                same = (x == y) | (np.isnan(x) & np.isnan(y))
                out |= np.where(odd, ~same, jump)
        return out


class _Runs:
    """Runs cells of a box at their middles."""

    def __init__(self, plan: Plan, box: Box, threads: int, bar: Any) -> None:
        self._plan, self._box, self._threads, self._bar = plan, box, threads, bar
        self.compile_seconds = 0.0

    def __call__(self, centres: Array) -> Array:
        """Return the measures at these fractions of the axes, shape (measures, cells)."""
        names = self._box.names
        values = [self._box.values(k, along) for k, along in enumerate(centres.T)]
        unique, places = zip(*(np.unique(v, return_inverse=True) for v in values), strict=True)
        plan = replace(self._plan, axes=dict(zip(names, unique, strict=True)))
        cells = np.ravel_multi_index(places, plan.shape)
        plan.check_sharpness_at_start(cells)
        runner = runner_of(plan, self._threads, runs=len(cells), first=int(cells[0]))
        out = np.empty((len(plan.measures), len(cells)))

        def work(block: Block) -> None:
            part = slice(block.first, block.first + block.count)
            out[:, part] = runner.run(cells[part])

        size = runner.block_size(len(cells), plan.problem.steps, self._threads)
        self._bar.total += len(cells)
        try:
            pool.prepared(runner.prepare, self._bar)
            pool.run_blocks(work, cut(len(cells), 1, size), self._threads, self._bar, runner.stop)
        finally:
            runner.stop()
        self.compile_seconds += runner.compile_seconds
        return out


def _dataset(plan: Plan, box: Box, grown: Grown, settings: Mapping[str, Any]) -> xarray.Dataset:
    tree = grown.tree
    leaves = np.flatnonzero(~tree.is_split)
    # In a grid's order: by position along the first axis, then the next.
    leaves = leaves[np.lexsort(tree.centres(leaves).T[::-1])]
    centres = tree.centres(leaves)
    out = xarray.Dataset(coords={"axis": np.array(box.names, dtype=object)})
    for k, name in enumerate(box.names):
        long_name, units = long_name_of(plan.problem.optimizer, name)
        at = xarray.Variable("cell", box.values(k, centres[:, k]), {"long_name": long_name, "units": units})
        out = out.assign_coords({name: at})
    for name, row in zip(plan.measures, grown.values, strict=True):
        measure = MEASURES[name]
        attributes = measure.attributes | (phases.flag_attributes() if name == "phase" else {})
        out[name] = ("cell", row[leaves].astype(measure.dtype), attributes)
    added: dict[str, tuple[tuple[str, ...], Any, str]] = {
        "level": (("cell",), tree.level[leaves], "how often the coarsest cell here was halved"),
        "position": (("cell", "axis"), centres, "middle of the cell, as a fraction of the axis"),
        "size": (("cell", "axis"), tree.sizes(leaves), "extent of the cell, as a fraction of the axis"),
        "boundary": (("cell",), grown.boundary[leaves], "whether the cell differs from a neighbour"),
        "unresolved": (("cell",), grown.to_split[leaves], "whether the cell ought to be halved"),
    }
    for name, (dims, column, long_name) in added.items():
        out[name] = (dims, column, {"long_name": long_name})
    out.attrs.update(described(plan, {}).attrs)
    out.attrs.update(settings, runs=tree.size, resolved=int(not grown.stopped), stopped=grown.stopped)
    return out


def rasterize(data: xarray.Dataset, n: int | Mapping[str, int]) -> xarray.Dataset:
    """Return refined cells as a grid: at each point the values of the cell that covers it.

    Parameters
    ----------
    data
        What :func:`refine` returned, or such a dataset read from a file.
    n
        Number of points along each axis, or by axis: the middles of that many equal parts (of equal ratios where the
        axis is geometric). With cells·2^levels every finest cell is one point.

    Returns
    -------
    xarray.Dataset
        Dimensions the axes; the measures, ``level``, ``boundary`` and ``unresolved``; attrs as in `data`.

    Raises
    ------
    TypeError, ValueError
        If `data` is no dataset of refine, or cells are missing in it, or `n` is not a number >= 1 for each axis.

    Examples
    --------
    >>> import selfstab as ss
    >>> data = ss.refine(ss.Quadratic([1.0]), ss.HeavyBall(1.0), {"lr": (0.0, 4.0, 4)}, start=[1.0], steps=50,
    ...                  levels=3, measure=["diverged_at"], jumps={"diverged_at": 1}, escape=4.0)
    >>> ss.rasterize(data, 8).diverged_at.values > 0
    array([False, False, False, False,  True,  True,  True,  True])
    """
    box = Box.read(data)
    if isinstance(n, Mapping):
        validation.some_of("n", tuple(n), box.names)
        if missing := [name for name in box.names if name not in n]:
            raise ValueError(
                f"n must have a number for each of {', '.join(box.names)}, got none for {missing[0]}"
            )
    points_along = n if isinstance(n, Mapping) else dict.fromkeys(box.names, n)
    points = [validation.integer("n", points_along[name], at_least=1) for name in box.names]
    count = math.prod(points)
    numbers = 8 * (3 + len(points)) + sum(array.dtype.itemsize for array in data.data_vars.values())
    check_memory(f"the points of n = {validation.shown(n)}", count * numbers, "take a lower n")
    size = data["size"].transpose("cell", "axis").values
    place = np.round(data["position"].transpose("cell", "axis").values / size - 0.5).astype(np.int64)
    leaf_at = covering(box.shape, data["level"].values.astype(np.int64), place, points)
    if (leaf_at < 0).any():
        raise ValueError("data must hold all cells of the refinement, got some of them")
    out = xarray.Dataset(attrs=data.attrs)
    for k, (name, m) in enumerate(zip(box.names, points, strict=True)):
        at = box.values(k, (np.arange(m) + 0.5) / m)
        out = out.assign_coords({name: xarray.Variable(name, at, data[name].attrs)})
    for key, array in data.data_vars.items():
        if array.dims == ("cell",):
            out[key] = (box.names, array.values[leaf_at], array.attrs)
    return out
