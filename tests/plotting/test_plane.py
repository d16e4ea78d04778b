"""A run in the plane of displacement and sharpness: what is drawn is what the data hold, and theory's lines."""

import numpy as np
import pytest

from selfstab import theory
from selfstab.plotting import plane
from selfstab.plotting.labels import LAWS_END
from tests.plotting.test_runs import IMAGE


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")}


def test_a_dot_stands_for_each_step_in_the_colour_of_its_time(slow_run):
    ax = plane.draw_plane(slow_run)
    (dots,) = ax.collections
    expected = np.stack([slow_run.displacement.values, slow_run.sharpness.values], axis=1)
    assert np.array_equal(np.asarray(dots.get_offsets()), expected)
    assert np.array_equal(dots.get_array(), slow_run.step.values)


def test_colours_end_where_the_motion_does(slow_run):
    # Protects the first steps of a run that rests: they would share one colour.
    slow_run["displacement"] = slow_run.displacement.where(slow_run.step < 450, 0.0)
    (dots,) = plane.draw_plane(slow_run).collections
    assert dots.norm.vmax == 449.0


def test_theorys_lines_are_where_theory_says(slow_run):
    drawn = lines(plane.draw_plane(slow_run))
    assert drawn["threshold $S^*$"].get_ydata()[0] == 0.99
    assert drawn[LAWS_END].get_ydata()[0] == 0.98
    assert drawn["slow limit"].get_xdata()[0] == theory.max_displacement(0.01, 4.0)
    bare = slow_run.drop_vars(["peak_excess_sharpness", "predicted_final_sharpness"])
    assert set(lines(plane.draw_plane(bare))) == {"threshold $S^*$"}


def test_what_is_missing_is_named(slow_run):
    with pytest.raises(ValueError, match="displacement"):
        plane.draw_plane(slow_run.drop_vars("displacement"))
    with pytest.raises(TypeError, match="dataset"):
        plane.draw_plane([1.0])


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_a_plane(slow_run):
    return plane.draw_plane(slow_run).figure
