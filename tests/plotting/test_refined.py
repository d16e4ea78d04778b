"""Refined diagrams, orbit diagrams and branches: each cell in its place and colour, states as dots, theory's lines."""

import json

import numpy as np
import pytest
import xarray
from matplotlib.colors import to_hex

from selfstab import phases, theory
from selfstab.plotting import refined
from selfstab.sweeps.plan.cell_tree import Tree

# Matplotlib's releases shift antialiased pixels: 5 of 255 in the mean square hides no moved line.
IMAGE = {"tolerance": 5, "remove_text": True, "savefig_kwargs": {"dpi": 80}, "style": "default"}

MOMENTUM, LR = (0.0, 1.0), (1.0, 4.0)


def cells_of(geometric=False):
    # What refine makes of theory's threshold for S = 1, from 8 × 8 cells halved twice where it passes.
    tree = Tree([8, 8])

    def axes(fractions):
        lr = LR[0] * (LR[1] / LR[0]) ** fractions if geometric else LR[0] + (LR[1] - LR[0]) * fractions
        return MOMENTUM[0] + (MOMENTUM[1] - MOMENTUM[0]) * fractions, lr

    for _ in range(2):
        leaves = np.flatnonzero(~tree.is_split)
        momentum, lr = axes(tree.centres(leaves))[0][:, 0], axes(tree.centres(leaves))[1][:, 1]
        near = np.abs(lr - 2.0 * (1.0 + momentum)) < 4.0 * tree.sizes(leaves)[:, 1]
        tree.split(leaves[near & (tree.level[leaves] == tree.level.max())])
    leaves = np.flatnonzero(~tree.is_split)
    position = tree.centres(leaves)
    momentum, lr = axes(position)[0][:, 0], axes(position)[1][:, 1]
    beyond = lr > 2.0 * (1.0 + momentum)
    data = xarray.Dataset(
        coords={"momentum": ("cell", momentum), "lr": ("cell", lr), "axis": ["momentum", "lr"]}
    )
    data["phase"] = ("cell", np.where(beyond, phases.DIVERGED, phases.OSCILLATING).astype(np.int8))
    data["final_loss"] = ("cell", np.where(beyond, np.nan, lr))
    data["level"] = ("cell", tree.level[leaves])
    data["position"], data["size"] = (("cell", "axis"), position), (("cell", "axis"), tree.sizes(leaves))
    data.attrs["axes"] = json.dumps(
        {
            "momentum": {"low": 0.0, "high": 1.0, "cells": 8, "geometric": False},
            "lr": {"low": 1.0, "high": 4.0, "cells": 8, "geometric": geometric},
        }
    )
    return data


def cycles():
    # Theory's own two-cycle around w = 0.5: the diagram's dots must lie on its line.
    lr = np.linspace(1.8, 2.2, 41)
    half = np.nan_to_num(theory.two_cycle_half_amplitude(lr / 2.0 - 1.0, 1.0, -2.0, 0.0))
    states = 0.5 + half[:, None] * (-1.0) ** np.arange(10)
    data = xarray.Dataset(coords={"lr": lr, "step": np.arange(10), "weight": np.array(["w"], dtype=object)})
    data["weights"] = (("lr", "step", "weight"), states[..., None])
    data.attrs["optimizer"] = json.dumps({"lr": 1.0, "momentum": 0.0})
    return data


def branches():
    lr = np.linspace(1.7, 2.1, 9)
    forward, backward = np.where(lr > 2.0, lr, 1.0), np.where(lr > 1.78, lr, 1.0)
    data = xarray.Dataset(coords={"lr": lr, "direction": np.array(["forward", "backward"], dtype=object)})
    data["final_loss"] = (("lr", "direction"), np.stack([forward, backward], axis=1))
    restarted = np.zeros((9, 2), dtype=bool)
    restarted[7, 1] = True
    data["restarted"] = (("lr", "direction"), restarted)
    data.attrs["along"] = "lr"
    return data


@pytest.mark.parametrize("geometric", [False, True])
def test_each_cell_is_drawn_where_it_lies_in_its_colour(geometric):
    """Protects the picture: the point that was run is in its polygon, which has the colour of its phase."""
    data = cells_of(geometric)
    ax = refined.draw_refined(data)
    (collection,) = ax.collections
    paths, colours = collection.get_paths(), collection.get_facecolors()
    assert len(paths) == data.sizes["cell"] > 64
    area = 0.0
    for path, colour, momentum, lr, code in zip(
        paths, colours, data.momentum.values, data.lr.values, data.phase.values, strict=True
    ):
        assert path.contains_point((lr, momentum))
        assert to_hex(colour) == phases.COLOURS[int(code)]
        low, high = path.vertices.min(axis=0), path.vertices.max(axis=0)
        area += (high - low).prod()
    assert area == pytest.approx(3.0)  # together they are the box
    assert ax.get_xscale() == ("log" if geometric else "linear")
    assert {line.get_label() for line in ax.lines} == {"diverged", "oscillating"}


def test_a_measure_is_left_out_where_it_is_not_a_number():
    """Protects maps of measures: cells without one are not drawn."""
    data = cells_of()
    collection = refined.draw_refined(data, measure="final_loss").collections[0]
    assert (
        collection.get_array().tolist()
        == data.final_loss.values[np.isfinite(data.final_loss.values)].tolist()
    )


def test_the_threshold_is_theorys():
    """Protects the line ηS = 2(1 + β) for the sharpness given, whichever axis is upright."""
    ax = refined.draw_refined(cells_of(), sharpness=1.25)
    line = next(line for line in ax.lines if str(line.get_label()).startswith("theory"))
    lr, momentum = line.get_data()
    np.testing.assert_allclose(lr * 1.25, 2.0 * (1.0 + momentum), rtol=1e-14)


def test_states_are_dots_and_theory_passes_through_them():
    """Protects orbit diagrams: a dot a state, the threshold at its lr, the cycle's line on the cycle's dots."""
    data = cycles()
    ax = refined.draw_orbits(data, sharpness=1.0, cycle=(0.5, -2.0, 0.0))
    dots, threshold, *branches = ax.lines
    assert len(dots.get_xdata()) == data.weights.size
    assert threshold.get_xdata()[0] == 2.0
    for branch, sign in zip(branches, (1.0, -1.0), strict=True):
        lr, w = branch.get_data()
        for k in (30, 35, 40):
            nearest = np.interp(data.lr.values[k], lr, w)
            assert nearest == pytest.approx(float(data.weights[k, 0 if sign > 0 else 1, 0]), abs=1e-3)


def test_branches_are_lines_with_open_markers_where_runs_started_afresh():
    """Protects the two directions' values, and that a restart is seen."""
    data = branches()
    ax = refined.draw_continuation(data, bistable=(1.78, 2.0))
    by_label = {line.get_label(): line for line in ax.lines}
    for direction in ("forward", "backward"):
        chosen = data.sel(direction=direction)
        kept = ~chosen.restarted.values
        x, y = by_label[direction].get_data()
        assert x.tolist() == data.lr.values[kept].tolist()
        assert y.tolist() == chosen.final_loss.values[kept].tolist()
    afresh = by_label["backward, afresh"]
    assert afresh.get_xdata().tolist() == [data.lr.values[7]]
    assert afresh.get_markerfacecolor() == "white"
    assert ax.patches[0].get_x() == 1.78


def steps_of():
    data = cells_of()
    beyond = (data.lr - 2.0 * (1.0 + data.momentum)).values
    steps = np.ceil(3.0 / np.maximum(beyond, 1e-3))
    return data.assign(diverged_at=("cell", np.where(beyond > 0.0, steps, -1).astype(np.int64)))


def test_steps_of_divergence_are_on_a_log_scale_without_never():
    """Protects maps of diverged_at: −1 is no step, and steps near the threshold do not hide the rest."""
    data = steps_of()
    ax = refined.draw_refined(data, measure="diverged_at")
    (mesh,) = ax.collections
    steps = data.diverged_at.values
    assert mesh.get_array().tolist() == steps[steps >= 0].tolist()
    low, middle, high = mesh.norm(
        [steps[steps > 0].min(), np.sqrt(steps[steps > 0].min() * steps.max()), steps.max()]
    )
    assert (low, middle, high) == pytest.approx((0.0, 0.5, 1.0))
    assert [line.get_label() for line in ax.lines] == ["never"]


@pytest.mark.parametrize("step", [-1, 0, 5])
def test_a_map_of_one_step_or_none_is_drawn(step):
    """Protects the log scale where it has no extent: nothing diverged, or all at once."""
    data = steps_of()
    data["diverged_at"][:] = step
    ax = refined.draw_refined(data, measure="diverged_at")
    ax.figure.draw_without_rendering()
    assert len(ax.collections) == (step >= 0)
    assert len(ax.lines) == (step < 0)


@pytest.mark.parametrize("told_by", ["diverged_at", "phase", "nan"])
def test_branches_end_where_runs_diverge(told_by):
    """Protects the scale of a branch: a loss of 1e20 before the escape is a cross at the edge, not a value."""
    data = branches()
    lost = data.lr.values > 2.04
    data["final_loss"][lost] = np.nan if told_by == "nan" else 2.8e20
    both = np.broadcast_to(lost[:, None], (9, 2))
    if told_by != "nan":
        code = {"diverged_at": (7, -1), "phase": (phases.DIVERGED, phases.MONOTONE)}[told_by]
        data[told_by] = (("lr", "direction"), np.where(both, *code))
    ax = refined.draw_continuation(data)
    assert ax.get_ylim()[1] < 3.0
    by_label = {line.get_label(): line for line in ax.lines}
    for direction in ("forward", "backward"):
        assert by_label[f"{direction}, diverged"].get_xdata().tolist() == data.lr.values[lost].tolist()
        assert max(by_label[direction].get_xdata()) < 2.04
    if told_by != "nan":
        shown = refined.draw_continuation(data, measure=told_by)
        assert "forward, diverged" not in {line.get_label() for line in shown.lines}


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: refined.draw_refined(cells_of(), measure="drop"), "measure must be one of phase"),
        (lambda: refined.draw_refined(cells_of(), sharpness=0.0), r"sharpness must be in \(0, inf\)"),
        (lambda: refined.draw_refined(branches()), "data must be a dataset of refine"),
        (lambda: refined.draw_refined(cells_of(), measure="size"), "measure must be one of phase"),
        (
            lambda: refined.draw_orbits(branches()),
            r"variables weights, weight, step \(a dataset of orbits\), got lr, ",
        ),
        (lambda: refined.draw_orbits(cycles().isel(lr=0)), "data must have an axis, got none"),
        (lambda: refined.draw_orbits(cycles().isel(step=0)), "weights along step .*, got lr, weight"),
        (
            lambda: refined.draw_orbits(cycles().drop_attrs(), sharpness=1.0),
            r"the attribute optimizer \(a dataset of orbits\), got none",
        ),
        (lambda: refined.draw_continuation(cycles()), "variables restarted, direction .*got lr, "),
        (lambda: refined.draw_continuation(branches().drop_attrs()), "attribute along .*, got none"),
        (lambda: refined.draw_orbits(cycles(), weight="v"), "weight must be one of w"),
        (
            lambda: refined.draw_orbits(cycles(), cycle=(0.0, 1.0, 1.0)),
            "theory needs the axis lr and a sharpness",
        ),
        (
            lambda: refined.draw_orbits(cycles().rename(lr="excess"), sharpness=1.0),
            "theory needs the axis lr",
        ),
        (
            lambda: refined.draw_orbits(cycles().expand_dims(momentum=[0.0, 0.5])),
            "one value along each other axis",
        ),
        (
            lambda: refined.draw_continuation(branches(), measure="restarted"),
            "measure must be one of final_loss",
        ),
        (
            lambda: refined.draw_continuation(branches().expand_dims(momentum=[0.0, 0.5])),
            "more along momentum",
        ),
    ],
)
def test_what_cannot_be_drawn_is_named(call, match):
    """Protects the doors of the drawing functions."""
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_refined_cells():
    return refined.draw_refined(cells_of(), edges=True, sharpness=1.0).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_an_orbit_diagram():
    return refined.draw_orbits(cycles(), sharpness=1.0, cycle=(0.5, -2.0, 0.0)).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_branches():
    return refined.draw_continuation(branches(), bistable=(1.78, 2.0)).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_steps_of_divergence():
    return refined.draw_refined(steps_of(), measure="diverged_at").figure
