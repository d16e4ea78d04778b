"""Cells that are halved along every axis where finer ones are wanted: a bisection, a quadtree, an octree.

Along an axis of n coarsest cells, a cell of level l at place i covers the fractions i/(n·2^l) to (i + 1)/(n·2^l).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selfstab.validation import Array, Integers


class Keys:
    """Numbers of cells by level and place, for fast look-up; of all cells that a box can hold up to some level."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = np.array(shape, dtype=np.int64)
        self._keys = np.empty(0, dtype=np.int64)
        self._numbers = np.empty(0, dtype=np.int64)

    def _of(self, level: Integers, place: Integers) -> Integers:
        """Return one integer for each cell: the cells of coarser levels, then those before it in its own."""
        size, axes = math.prod(self.shape.tolist()), len(self.shape)
        before = np.cumsum([0, *(size << axes * k for k in range(int(level.max(initial=0))))])
        key = np.zeros(len(level), dtype=np.int64)
        for along, n in zip(place.T, self.shape, strict=True):
            key = key * (n << level) + along
        key += before[level]
        return key

    def add(self, level: Integers, place: Integers, numbers: Integers) -> None:
        """Remember cells."""
        keys = np.concatenate([self._keys, self._of(level, place)])
        order = np.argsort(keys, kind="stable")
        self._keys, self._numbers = keys[order], np.concatenate([self._numbers, numbers])[order]

    def find(self, level: Integers, place: Integers) -> Integers:
        """Return the numbers of cells, −1 for those that are not there."""
        keys = self._of(level, place)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._numbers[at], -1)


class Tree:
    """A box of cells, each of which can be split into 2^axes; a cell's number is its place in the arrays."""

    def __init__(self, shape: Sequence[int]) -> None:
        self._keys = Keys(shape)
        self.level = np.empty(0, dtype=np.int64)
        self.place = np.empty((0, len(shape)), dtype=np.int64)
        self.is_split = np.empty(0, dtype=bool)
        places = np.indices(tuple(shape), dtype=np.int64).reshape(len(shape), -1).T
        self._add(np.zeros(len(places), dtype=np.int64), places)

    @property
    def size(self) -> int:
        """Number of cells, split ones included."""
        return len(self.level)

    def centres(self, cells: Integers) -> Array:
        """Return cells' middles as fractions of the axes, shape (cells, axes)."""
        return (2 * self.place[cells] + 1) / (2 * self._keys.shape << self.level[cells, None])

    def sizes(self, cells: Integers) -> Array:
        """Return cells' extents as fractions of the axes, shape (cells, axes)."""
        return 1.0 / (self._keys.shape << self.level[cells, None])

    def _add(self, level: Integers, place: Integers) -> Integers:
        numbers = np.arange(self.size, self.size + len(level))
        self.level = np.concatenate([self.level, level])
        self.place = np.concatenate([self.place, place])
        self.is_split = np.concatenate([self.is_split, np.zeros(len(level), dtype=bool)])
        self._keys.add(level, place, numbers)
        return numbers

    def split(self, cells: Integers) -> Integers:
        """Split cells, none of them split before, and return their parts' numbers."""
        halves = np.array([*itertools.product((0, 1), repeat=self.place.shape[1])])
        parts = (2 * self.place[cells][:, None, :] + halves).reshape(-1, self.place.shape[1])
        self.is_split[cells] = True
        return self._add(np.repeat(self.level[cells] + 1, len(halves)), parts)

    def touching(self, cells: Integers) -> Iterator[tuple[Integers, Integers]]:
        """Yield pairs (cell, leaf that it touches, corners included); finer leaves than the cell are left out."""
        axes = self.place.shape[1]
        for step in itertools.product((-1, 0, 1), repeat=axes):
            if not any(step):
                continue
            level, place = self.level[cells], self.place[cells] + np.array(step)
            inside = ((place >= 0) & (place < self._keys.shape << level[:, None])).all(axis=1)
            own, level, place = cells[inside], level[inside], place[inside]
            while own.size:
                neighbours = self._keys.find(level, place)
                leaf = (neighbours >= 0) & ~self.is_split[neighbours]
                yield own[leaf], neighbours[leaf]
                # Where the tree is coarser than the cell, its neighbour is covered by a leaf of a level above.
                rest = neighbours < 0
                own, level, place = own[rest], level[rest] - 1, place[rest] >> 1

    def beside(self, level: int) -> Iterator[tuple[Integers, Integers]]:
        """Yield pairs of cells of one level, split or not, that touch, corners included."""
        cells = np.flatnonzero(self.level == level)
        for step in itertools.product((-1, 0, 1), repeat=self.place.shape[1]):
            place = self.place[cells] + np.array(step)
            inside = ((place >= 0) & (place < self._keys.shape << level)).all(axis=1)
            neighbours = self._keys.find(np.full(int(inside.sum()), level), place[inside])
            yield cells[inside][neighbours >= 0], neighbours[neighbours >= 0]


@dataclass(frozen=True)
class Grown:
    """A refined tree, with a value of each measure, and a mark or none, for every cell of it."""

    tree: Tree
    values: Array
    boundary: npt.NDArray[np.bool_]
    to_split: npt.NDArray[np.bool_]
    stopped: str
    boundaries: list[int]
    """Number of cells of each level that differ from a neighbour of the same level."""
    beside: list[int]
    """Number of cells of a level that were split though they differed from no neighbour."""
    hidden: list[int]
    """How many of these have parts that differ from them."""


def grown_tree(
    shape: Sequence[int],
    run: Callable[[Array], Array],
    differ: Callable[[Array, Array], npt.NDArray[np.bool_]],
    levels: int,
    max_cells: int,
) -> Grown:
    """Split cells where they differ.

    Parameters
    ----------
    shape
        Number of coarsest cells along each axis.
    run
        Gives the measures at middles of cells, shape (cells, axes) → (measures, cells).
    differ
        Whether cells differ, by the measures of the one and of the other.
    levels
        How often a cell may be split.
    max_cells
        Splitting that would leave more leaves than this is not begun.

    Examples
    --------
    >>> grown = grown_tree([2], lambda at: at.T, lambda a, b: ((a < 0.3) != (b < 0.3))[0], 2, 99)
    >>> grown.tree.centres(np.flatnonzero(grown.boundary)).tolist()
    [[0.1875], [0.3125]]
    """
    tree = Tree(shape)
    values = run(tree.centres(np.arange(tree.size)))
    beside, hidden = [0] * levels, [0] * levels
    while True:
        # All leaves anew, not the last parts alone: what differed from a cell may agree with that cell's parts.
        boundary, to_split = np.zeros((2, tree.size), dtype=bool)
        for own, other in tree.touching(np.flatnonzero(~tree.is_split)):
            unlike = differ(values[:, own], values[:, other])
            boundary[own[unlike]] = boundary[other[unlike]] = True
        to_split |= boundary
        for _, other in tree.touching(np.flatnonzero(boundary)):
            to_split[other] = True
        to_split &= tree.level < levels
        cells_to_split = np.flatnonzero(to_split)
        cells = tree.size - int(tree.is_split.sum()) + len(cells_to_split) * (2 ** len(shape) - 1)
        if not len(cells_to_split) or cells > max_cells:
            break
        new = tree.split(cells_to_split)
        values = np.concatenate([values, run(tree.centres(new))], axis=1)
        alike = ~boundary[cells_to_split]
        parts = new.reshape(len(cells_to_split), -1)[alike]
        wholes = cells_to_split[alike]
        shown = np.any([differ(values[:, wholes], values[:, part]) for part in parts.T], axis=0)
        for level, shows in zip(tree.level[wholes].tolist(), shown.tolist(), strict=True):
            beside[level] += 1
            hidden[level] += shows
    stopped = f"{cells} cells would be more than max_cells = {max_cells}" if len(cells_to_split) else ""
    boundaries = []
    for level in range(int(tree.level.max()) + 1):
        at_edge = np.zeros(tree.size, dtype=bool)
        for own, other in tree.beside(level):
            at_edge[own[differ(values[:, own], values[:, other])]] = True
        boundaries.append(int(at_edge.sum()))
    return Grown(tree, values, boundary, to_split, stopped, boundaries, beside, hidden)


def covering(shape: Sequence[int], level: Integers, place: Integers, points: Sequence[int]) -> Integers:
    """Return which leaf covers each point of a grid, −1 where none does.

    Parameters
    ----------
    shape
        Number of coarsest cells along each axis.
    level, place
        The leaves', of shapes (leaves,) and (leaves, axes).
    points
        Number of points along each axis: the middles of that many equal parts.

    Returns
    -------
    ndarray
        Shape `points`. A point on the line between two leaves belongs to the higher one.

    Examples
    --------
    >>> covering([2], np.array([0, 1, 1]), np.array([[0], [2], [3]]), [4])
    array([0, 0, 1, 2])
    """
    keys = Keys(shape)
    keys.add(level, place, np.arange(len(level)))
    leaf_at = np.full(math.prod(points), -1, dtype=np.int64)
    left = np.arange(leaf_at.size)
    for k in range(int(level.max(initial=0)) + 1):
        at = np.unravel_index(left, tuple(points))
        # Exact: the middle of part p of m lies in cell floor((2p + 1)·cells/(2m)).
        parts = [
            ((2 * p + 1) * (n << k)) // (2 * m)
            for p, n, m in zip(at, keys.shape.tolist(), points, strict=True)
        ]
        leaf_at[left] = keys.find(np.full(left.size, k), np.stack(parts, axis=1))
        left = left[leaf_at[left] < 0]
    return leaf_at.reshape(tuple(points))
