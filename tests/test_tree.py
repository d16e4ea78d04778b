"""Trees of cells: they tile the box, touching is geometric, and look-up agrees with brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfstab.tree import Tree, covering


def grown(shape, seed, rounds=3):
    """Return a tree split at random."""
    tree, generator = Tree(shape), np.random.default_rng(seed)
    for _ in range(rounds):
        leaves = np.flatnonzero(~tree.is_split)
        tree.split(leaves[generator.random(leaves.size) < 0.3])
    return tree


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3)


@settings(max_examples=30, deadline=None)
@given(shapes, st.integers(0, 99))
def test_leaves_tile_the_box(shape, seed):
    """Protects the cells' geometry: every point of a grid lies in the one leaf whose edges enclose it."""
    tree = grown(shape, seed)
    leaves = np.flatnonzero(~tree.is_split)
    low = tree.centres(leaves) - tree.sizes(leaves) / 2
    high = low + tree.sizes(leaves)
    assert tree.sizes(leaves).prod(axis=1).sum() == pytest.approx(1.0, rel=1e-12)
    points = [7] * len(shape)  # 7 parts: no middle is on an edge of cells that are fractions of 1 to 4 parts
    found = covering(shape, tree.level[leaves], tree.place[leaves], points)
    for index in np.ndindex(*points):
        at = (np.array(index) + 0.5) / 7
        inside = ((low <= at) & (at <= high)).all(axis=1)
        assert inside[found[index]]


@settings(max_examples=30, deadline=None)
@given(shapes, st.integers(0, 99))
def test_touching_is_where_edges_meet(shape, seed):
    """Protects neighbours, diagonal ones and coarser ones too, against intervals compared pair by pair."""
    tree = grown(shape, seed, rounds=2)
    leaves = np.flatnonzero(~tree.is_split)
    found = {
        (int(a), int(b)) for own, other in tree.touching(leaves) for a, b in zip(own, other, strict=True)
    }
    half = tree.sizes(leaves) / 2
    near = np.abs(tree.centres(leaves)[:, None] - tree.centres(leaves)) <= half[:, None] + half + 1e-9
    coarser = tree.level[leaves][:, None] >= tree.level[leaves]
    meet = near.all(axis=2) & coarser & ~np.eye(len(leaves), dtype=bool)
    assert found == {(int(leaves[a]), int(leaves[b])) for a, b in zip(*np.nonzero(meet), strict=True)}


def test_what_no_leaf_covers_is_said():
    """Protects against a hole that looks like a cell."""
    tree = grown([2, 2], 1)
    leaves = np.flatnonzero(~tree.is_split)[1:]
    assert (covering([2, 2], tree.level[leaves], tree.place[leaves], [16, 16]) == -1).any()
