"""Lines of theory beside runs: the law's end is drawn as far as the law holds."""

import pytest

from selfstab.plotting import animation, plane, runs
from selfstab.plotting.labels import LAWS_END, LAWS_END_DOUBTED
from selfstab.plotting.look import THEORY_COLOUR
from selfstab.plotting.style import new_figure

DRAWINGS = {
    "draw_sharpness": runs.draw_sharpness,
    "draw_plane": plane.draw_plane,
    "animate_catapult": lambda run: animation._Panel(new_figure().add_subplot(), "", run, trail=5).ax,
}


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
@pytest.mark.parametrize(
    ("end", "label"),
    [(0.91, LAWS_END), (0.89, LAWS_END_DOUBTED), (0.01, LAWS_END_DOUBTED), (-0.2, None)],
)
def test_the_laws_end_is_grey_beyond_small_drops_and_absent_where_there_is_none(slow_run, draw, end, label):
    """Protects readers from a line of theory where it does not hold: its drop is beyond a tenth of S* + y0 = 1."""
    ax = draw(slow_run.assign(predicted_final_sharpness=end))
    drawn = {
        line.get_label(): line for line in ax.lines if str(line.get_label()).startswith("end by the law")
    }
    assert [*drawn] == [label] * (label is not None)
    for line in drawn.values():
        assert line.get_ydata()[0] == end
        assert (line.get_color() == THEORY_COLOUR) == (label == LAWS_END)
    if label is None:
        assert ax.get_ylim()[0] > 0.9  # nor does it squeeze the run


def test_a_drop_is_measured_from_the_first_sharpness_where_no_threshold_is_there(slow_run):
    run = slow_run.drop_vars(["max_stable_sharpness", "peak_excess_sharpness"])
    for share, label in ((0.95, LAWS_END), (0.85, LAWS_END_DOUBTED)):
        run["predicted_final_sharpness"] = share * run["sharpness"][0]
        assert label in {line.get_label() for line in runs.draw_sharpness(run, threshold=False).lines}
