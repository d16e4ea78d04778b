"""Trees of cells: they tile the box, touching is geometric, and look-up agrees with brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfstab.sweeps.plan.cell_tree import Tree, covering, grown_tree


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


def drawn(label, shape, levels, max_cells=10**6):
    """Refine a picture, label(*fractions), instead of runs."""
    calls = []

    def painted(centres):
        calls.append(centres)
        return label(*centres.T)[None].astype(float)

    refined = grown_tree(shape, painted, lambda a, b: (a != b)[0], levels, max_cells)
    return refined, np.concatenate(calls)


def leaf_labels(refined, shape, levels):
    leaves = np.flatnonzero(~refined.tree.is_split)
    points = [n << levels for n in shape]
    found = covering(shape, refined.tree.level[leaves], refined.tree.place[leaves], points)
    return refined.values[0, leaves][found]


PICTURES = [
    lambda x, y: np.hypot(x - 0.4, y - 0.5) < 0.3,
    # A tongue a hundredth wide, thinner than the coarsest cells, that leaves a disc and winds through the box.
    lambda x, y: (np.hypot(x - 0.1, y - 0.3) < 0.08) | (np.abs(y - 0.3 - 0.25 * np.sin(9.0 * x)) < 0.006),
    # One that shrinks to a point.
    lambda x, y: np.abs(y - 0.5) < 0.1 * (1.0 - x) ** 2,
]


@pytest.mark.parametrize("label", PICTURES, ids=["disc", "tongue", "cusp"])
def test_refined_labels_are_the_full_grids(label):
    """Protects tongues: every cell of the finest grid has the label that its own middle has."""
    shape, levels = (16, 16), 5
    refined, points = drawn(label, shape, levels)
    at = (np.arange(512) + 0.5) / 512
    assert (leaf_labels(refined, shape, levels) == label(*np.meshgrid(at, at, indexing="ij"))).all()
    assert len(points) == len(np.unique(points, axis=0)) == refined.tree.size < 0.5 * 512**2


def test_a_ball_in_three_dimensions():
    """Protects any number of axes."""
    refined, _ = drawn(lambda x, y, z: x**2 + y**2 + z**2 < 0.5, (4, 3, 5), 3)
    at = np.meshgrid(*((np.arange(n << 3) + 0.5) / (n << 3) for n in (4, 3, 5)), indexing="ij")
    assert (leaf_labels(refined, (4, 3, 5), 3) == (sum(x**2 for x in at) < 0.5)).all()


def test_neighbours_of_a_boundary_are_as_fine():
    """Protects the margin: no cell that differs touches one that is coarser than the finest."""
    refined, _ = drawn(lambda x, y: np.hypot(x - 0.4, y - 0.5) < 0.3, (8, 8), 4)
    tree = refined.tree
    edge = np.flatnonzero(refined.boundary & ~tree.is_split)
    assert edge.size > 100
    assert (tree.level[edge] == 4).all()
    for _, other in tree.touching(edge):
        assert (tree.level[other] == 4).all()


@pytest.mark.parametrize("label", PICTURES, ids=["disc", "tongue", "cusp"])
def test_cells_differ_that_touch_another_label(label):
    """Protects the boundary from marks out of date: what differed from a coarse cell may agree with its parts."""
    shape, levels = (16, 16), 5
    refined, _ = drawn(label, shape, levels)
    leaves = np.flatnonzero(~refined.tree.is_split)
    points = [n << levels for n in shape]
    of = covering(shape, refined.tree.level[leaves], refined.tree.place[leaves], points)
    labels = refined.values[0, leaves]
    differs = np.zeros(leaves.size, dtype=bool)
    # Cells that touch are next to each other in the finest grid, somewhere.
    for near in (
        (of[1:], of[:-1]), (of[:, 1:], of[:, :-1]), (of[1:, 1:], of[:-1, :-1]), (of[1:, :-1], of[:-1, 1:])
    ):  # fmt: skip
        for one, other in (near, near[::-1]):
            differs[one[labels[one] != labels[other]]] = True
    assert (refined.boundary[leaves] == differs).all()
    assert differs.sum() > 100
