"""The explorer's pictures: every number stands at its place, and colours are those of the phases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray

from selfstab import phases
from selfstab.explorer import views
from selfstab.explorer.plots import Pictures, _powers, _shown_losses, _shown_steps
from selfstab.explorer.scales import Axis
from selfstab.explorer.state import PageState


def diagram_of(state, phase, overshoot):
    """Return a diagram of given cells, phase[up, across]."""
    (up, _), (across, _) = views.diagram_grid(state).axes
    return xarray.Dataset({"phase": ((up, across), phase), "overshoot": ((up, across), overshoot)})


def test_each_cell_has_the_colour_of_its_phase_at_its_value():
    """Protects the map: the middle of a cell is the place of its value, its colour the legend's of its code."""
    state, pictures = PageState(), Pictures()
    phase = np.array([*phases.LABELS, -1], dtype=np.int8).reshape(2, 5)
    pictures.draw_diagram(state, diagram_of(state, phase, np.ones((2, 5))).transpose())()
    box = {name: values[0] for name, values in pictures.image.data.items()}
    codes = box["phase"]
    assert codes.shape == (2, 5)
    mapper = pictures.diagram.renderers[0].glyph.color_mapper
    for (row, column), code in np.ndenumerate(phase):
        assert box["x"] + (column + 0.5) * box["dw"] / 5 == pytest.approx(column / 4)
        assert box["y"] + (row + 0.5) * box["dh"] / 2 == pytest.approx(row / 1)
        share = (codes[row, column] - mapper.low) / (mapper.high - mapper.low)
        assert mapper.palette[int(share * len(mapper.palette))] == phases.COLOURS[int(code)]
        assert (
            f'{phases.COLOURS[int(code)]}">&nbsp;</span>{phases.LABELS[int(code)]}</span>'
            in pictures.legend.text
        )


def test_overshoots_travel_only_where_they_are_shown():
    """Protects the speed of the page, and the choice: once chosen, the image holds them, scaled to their range."""
    state, pictures = PageState(), Pictures()
    overshoot = np.array([[np.nan, 0.4], [8.0, 2.0]])
    pictures.draw_diagram(state, diagram_of(state, np.full((2, 2), 3), overshoot))()
    assert np.isnan(pictures.image.data["overshoot"][0]).all()
    pictures.choose("overshoot")
    assert np.array_equal(pictures.image.data["overshoot"][0], overshoot.astype(np.float32), equal_nan=True)
    assert (pictures.overshoots.low, pictures.overshoots.high) == pytest.approx((0.4, 8.0))
    assert pictures.overlay.visible
    pictures.choose("phase")
    assert not pictures.overlay.visible


def test_an_orbits_dots_are_its_states(plain_engine):
    """Protects the orbit diagram: each finite state of the weight is a dot at its value's place."""
    state = replace(PageState(steps=20), orbit=Axis("excess", 0.01, 1.0), weight="w")
    state = replace(state, weight=state.setup().loss.weight_names[1])
    data, pictures = plain_engine(views.orbit_diagram, state, 4), Pictures()
    data["weights"][0, 3, 1] = np.nan
    pictures.draw_orbits(state, data)()
    expected = [
        (k / 3.0, float(value))
        for k in range(4)
        for value in data["weights"].isel(excess=k).sel(weight=state.weight)
        if np.isfinite(value)
    ]
    dots = np.column_stack([pictures.dots.data["x"], pictures.dots.data["y"]])
    assert dots == pytest.approx(np.array(expected), rel=1e-6)
    span = pictures.orbit.y_range
    assert span.start < dots[:, 1].min() <= dots[:, 1].max() < span.end
    data["weights"][:] = np.nan
    pictures.draw_orbits(state, data)()
    assert pictures.orbit.yaxis[0].axis_label.endswith("all diverged")


def test_a_run_is_drawn_with_its_threshold_and_law(plain_engine):
    """Protects the three pictures of a run: columns of the dataset, lines where theory puts them."""
    state, pictures = PageState(steps=40), Pictures()
    data, law = plain_engine(views.run, state), views.law(state)
    pictures.draw_run(state, data, law)()
    columns = pictures.run_source.data
    assert np.array_equal(columns["step"], data["step"])
    assert np.array_equal(columns["x"], data["displacement"])
    assert columns["threshold"] == pytest.approx(3.8 / state.lr)
    assert len(pictures.end_source.data["step"]) == 0
    places = {name: line.location for name, line in pictures.plane_lines.items()}
    assert places == pytest.approx(
        {
            "threshold": 3.8 / state.lr,
            "final": law.final_sharpness,
            "right": law.displacement,
            "left": -law.displacement,
        }
    )
    warm = PageState(steps=40, warmup=9.0)
    pictures.draw_run(warm, plain_engine(views.run, warm), views.law(warm))()
    assert not pictures.plane_lines["final"].visible


def test_gradient_descent_is_drawn_beside_and_taken_away(plain_engine):
    """Protects the comparison on one scale: the other run's own numbers, and none of them left beside a new run."""
    state, pictures = PageState(steps=40), Pictures()
    data, beside = plain_engine(views.run, state), plain_engine(views.ghost, state)
    pictures.draw_run(state, data, views.law(state), beside)()
    columns = pictures.ghost_source.data
    assert np.array_equal(columns["sharpness"], beside["sharpness"])
    assert np.array_equal(columns["x"], beside["displacement"])
    assert set(columns) == {"step", "x", "sharpness", "loss"}
    pictures.draw_run(state, data, views.law(state))()
    assert all(len(values) == 0 for values in pictures.ghost_source.data.values())


def test_powers_on_the_losses_axis_have_room():
    """Protects a small window: at most five labels, each between the smallest and the largest loss."""
    for low in (1e-30, 1e-9, 1e-3, 0.5):
        powers = _powers(np.array([low, 0.7, np.nan, 0.0]))
        assert len(powers) <= 5
        assert all(low <= power <= 0.7 for power in powers)


def test_a_diagram_of_divergences_says_what_to_do(plain_engine):
    """Protects a newcomer before a black picture: a hint, which goes with the next diagram."""
    state, pictures = PageState(steps=4), Pictures()
    data = plain_engine(views.diagram, state, 2)
    alone = pictures.legend.text
    data["phase"][:] = phases.DIVERGED
    pictures.draw_diagram(state, data)()
    assert "Every run here diverges" in pictures.legend.text
    data["phase"][0, 0] = phases.CATAPULT
    pictures.draw_diagram(state, data)()
    assert pictures.legend.text == alone


def test_marks_are_at_the_states_own_values():
    """Protects the mark: it stands at the state's momentum and excess, and is left out beyond the diagram."""
    pictures = Pictures()
    state = PageState().at_point(0.25, 0.75)
    pictures.mark(state)
    assert (pictures.point.data["x"], pictures.point.data["y"]) == (
        pytest.approx([0.25]),
        pytest.approx([0.75]),
    )
    assert pictures.orbit_here.location == pytest.approx(float(state.orbit.place(state.excess)))
    pictures.mark(replace(state, excess=5.0))
    assert pictures.point.data == {"x": [], "y": []}
    assert not pictures.orbit_here.visible
    ticks = pictures.diagram.yaxis[0].major_label_overrides
    assert ticks == state.up.ticks()


def test_the_end_of_a_divergence_is_cut():
    """Protects the rest of a run: steps from the first sharpness above three times the larger of start and S* go."""
    sharpness = np.array([2.0, 3.0, 5.9, 6.1, 1.0, np.nan])
    data = xarray.Dataset(
        {
            "sharpness": ("step", sharpness),
            "max_stable_sharpness": ("step", np.full(6, 1.9)),
            "diverged_at": 5,
        }
    )
    assert _shown_steps(data)["sharpness"].values.tolist() == [2.0, 3.0, 5.9]
    assert _shown_steps(data.assign(diverged_at=-1)).sizes["step"] == 6
    data["max_stable_sharpness"][:] = 2.1
    assert _shown_steps(data)["sharpness"].values.tolist() == [2.0, 3.0, 5.9, 6.1, 1.0]
    assert _shown_steps(data.assign(sharpness=data["sharpness"] * [1, 9, 1, 1, 1, 1])).sizes["step"] == 2


def test_losses_far_below_the_largest_are_not_drawn():
    """Protects a logarithmic axis from rounding errors, zeros and losses below 0."""
    losses = np.array([1e3, 1.0, 1e-16, 1e-18, 0.0, -1.0])
    assert np.isfinite(_shown_losses(losses)).tolist() == [True, True, True, False, False, False]
