"""Runs that diverged, as they are drawn: the part before, and where it ends."""

import numpy as np

import selfstab as ss
from selfstab.plotting import runs
from selfstab.plotting.divergence import MOST
from selfstab.plotting.style import new_figure


def diverged(steps=300):
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), size=1e-3)
    return ss.simulate(loss, ss.HeavyBall(1.5, 0.9), start, steps, previous=previous)


def test_the_last_steps_leave_room_for_the_others():
    """Protects who sees only the last value: the axis ends at a few times the start or the threshold, with a mark."""
    run = diverged()
    assert int(run.diverged_at) > 0
    assert float(run.sharpness.max()) > 100.0 * float(run.sharpness[0])
    ax = runs.draw_sharpness(run)
    largest = MOST * max(float(run.sharpness[0]), float(run.max_stable_sharpness[-1]))
    drawn = ax.lines[-2].get_ydata()
    before = run.sharpness.values[: drawn.size]
    assert np.array_equal(drawn, before)
    assert drawn.max() <= largest < run.sharpness.values[drawn.size]
    assert ax.get_ylim()[1] < 1.2 * largest
    assert [text.get_text() for text in ax.texts] == [f"diverged at step {int(run.diverged_at)}"]


def test_a_run_that_ends_is_drawn_whole():
    """Protects catapults, whose sharpness may be many times the threshold for a while."""
    loss = ss.Product()
    run = ss.simulate(loss, ss.HeavyBall(0.01, 0.9), [4.0, 4.0], 200)
    assert int(run.diverged_at) == -1
    ax = runs.draw_sharpness(run)
    assert np.array_equal(ax.lines[0].get_ydata(), run.sharpness.values)
    assert not ax.texts


def test_new_axes_have_a_legend_that_follows():
    """Protects the reader of a notebook: no dashed line without its name, and a second run is named, too."""
    run = ss.simulate(ss.Product(), ss.HeavyBall(0.1, 0.9), [2.0, 1.0], 20)
    ax = runs.draw_sharpness(run, label="one")
    runs.draw_sharpness(run, ax, label="two")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "threshold $S^*$", "two"]
    own = new_figure().add_subplot()
    assert runs.draw_sharpness(run, own).get_legend() is None
