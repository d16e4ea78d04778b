"""The style leaves no trace outside its block, cells are right on log axes, and files embed their fonts."""

import re
import threading

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfstab.plotting import runs, style


def test_the_style_ends_with_its_block_even_when_drawing_fails():
    before = dict(matplotlib.rcParams)

    @style.styled
    def fail():
        assert matplotlib.rcParams["pdf.fonttype"] == 42
        raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert dict(matplotlib.rcParams) == before


def test_threads_that_draw_at_once_leave_the_settings_alone():
    before = dict(matplotlib.rcParams)
    seen = []

    def draw():
        with style.paper():
            seen.append(matplotlib.rcParams["font.size"])

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [style.RULES["font.size"]] * 8
    assert dict(matplotlib.rcParams) == before


CENTRES = st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=20, unique=True).map(sorted)


@given(CENTRES)
def test_edges_on_a_log_axis_are_geometric_means(centres):
    centres = np.array(centres)
    edges = style.cell_edges(centres, log=True)
    assert edges[1:-1] == pytest.approx(np.sqrt(centres[1:] * centres[:-1]))
    # The outer cells reach as far beyond their centres as they do inside.
    assert edges[0] * edges[1] == pytest.approx(centres[0] ** 2)
    assert edges[-1] * edges[-2] == pytest.approx(centres[-1] ** 2)


@given(CENTRES, st.booleans())
def test_edges_of_reversed_centres_are_the_reversed_edges(centres, log):
    centres = np.array(centres)
    assert style.cell_edges(centres[::-1], log=log) == pytest.approx(style.cell_edges(centres, log=log)[::-1])


def test_edges_need_two_centres():
    with pytest.raises(ValueError, match=r"centres must be at least two, got \[1.0\]"):
        style.cell_edges([1.0])


@given(st.integers(3, 400), st.floats(1e-6, 1e3), st.floats(1e-3, 1e6))
def test_spacing_is_told_by_ratios(count, low, span):
    """Protects the choice of axes: geomspace is geometric, linspace never, whatever their ends."""
    high = low * (1.0 + span)
    assert style.is_geometric(np.geomspace(low, high, count))
    assert style.is_geometric(np.geomspace(high, low, count))
    assert not style.is_geometric(np.linspace(low, high, count))


def test_saved_files_are_deterministic_and_keep_text_as_text(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        figure = style.new_figure()
        figure.add_subplot().set_xlabel(r"momentum, $\beta$")
        names = [path.name for path in style.save(figure, tmp_path / folder, "it")]
    assert names == ["it.png", "it.svg", "it.pdf"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert "momentum" in (tmp_path / "one/it.svg").read_text()
    kinds = set(re.findall(rb"/Subtype /(Type3|Type0|CIDFontType2)", (tmp_path / "one/it.pdf").read_bytes()))
    assert kinds == {b"Type0", b"CIDFontType2"}, "a Type 3 font cannot be edited, and journals refuse it"


def test_panels_are_lettered_and_a_shared_legend_names_each_label_once():
    figure = style.new_figure()
    axes = list(figure.subplots(1, 2))
    for ax in axes:
        ax.set_title("orbit", loc="left")
        ax.plot([0, 1], label="GD")
    style.label_panels(axes)
    style.shared_legend(figure, axes, columns=2)
    assert [ax.get_title("left") for ax in axes] == ["(a) orbit", "(b) orbit"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["GD"]


def test_axes_of_another_kind_are_refused(slow_run):
    """Protects the door: a figure, or an array of axes, is no axes."""
    for wrong in ([1], "lr", style.new_figure(), np.zeros(2)):
        with pytest.raises(TypeError, match="ax must be Matplotlib's axes or None, got"):
            runs.draw_sharpness(slow_run, wrong)


def test_properties_of_a_line_are_named():
    """Protects the door of **line: short names are taken, others refused by name."""
    assert style.line_properties({"lw": 2, "c": "red"}) == {"linewidth": 2, "color": "red"}
    for wrong in ({"colour": "red"}, {"lw": 1, "linewidth": 2}, {"linestyle": "dotty"}):
        with pytest.raises(TypeError, match="line must be properties of a Matplotlib line, got"):
            style.line_properties(wrong)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (
            lambda folder: style.save(None, folder, "x"),
            "figure must be a Matplotlib figure or axes of one, such as plt.gcf.., got None",
        ),
        (lambda folder: style.save(plt.figure(), None, "x"), "folder must be a path, got None"),
        (lambda folder: style.save(plt.figure(), folder, None), "name must be a file's name .* got None"),
        (
            lambda folder: style.save(plt.figure(), folder, "../x"),
            "name must be a file's name without a folder",
        ),
        (lambda folder: style.legend(None), "ax must be axes of Matplotlib, got None"),
        (lambda folder: style.legend("x"), "ax must be axes of Matplotlib, got 'x'"),
    ],
)
def test_what_is_no_figure_and_no_axes_is_named(call, problem, tmp_path):
    """Protects from AttributeErrors of Matplotlib's objects."""
    with pytest.raises((TypeError, ValueError), match=problem):
        call(tmp_path)
    plt.close("all")


def test_a_drawing_is_pyplots(slow_run):
    """Protects notebooks and plt.show(): without axes a drawing is in pyplot's current figure."""
    ax = runs.draw_sharpness(slow_run)
    assert plt.get_fignums() == [ax.figure.number]
    assert runs.draw_sharpness(slow_run) is ax  # a second run, beside the first
    loss = runs.draw_loss(slow_run)  # another quantity: a figure of its own
    assert loss is not ax
    assert len(plt.get_fignums()) == 2


def test_a_drawing_fills_the_current_axes(slow_run):
    """Protects who makes the figure first: the drawing goes into the current axes, whatever they hold of the user's."""
    _, axes = plt.subplots(1, 2)
    assert runs.draw_loss(slow_run) is axes[1]
    plt.sca(axes[0])
    axes[0].plot([1.0, 2.0])
    assert runs.draw_sharpness(slow_run) is axes[0]
    assert len(plt.get_fignums()) == 1


def test_axes_that_were_passed_are_not_drawn_over(slow_run):
    """Protects a figure of two panels: after both are drawn by name, a third drawing has a figure of its own."""
    _, axes = plt.subplots(1, 2)
    runs.draw_loss(slow_run, axes[0])
    runs.draw_sharpness(slow_run, axes[1])
    assert runs.draw_displacement(slow_run) not in list(axes)


def test_equal_thresholds_are_one_line():
    """Protects the dashes: a second run's equal threshold fills no gaps, and the longer one is drawn to its end."""
    ax = style.new_figure().add_subplot()
    short, long = np.arange(5.0), np.arange(9.0)
    for at, value in ((short, 4.0), (long, 4.0), (short, 4.0), (long, 3.0)):
        style.draw_threshold(ax, at, np.full(at.size, value), near=np.array([4.0]))
    lines = [(line.get_xdata()[-1], line.get_ydata()[0]) for line in ax.get_lines()]
    assert lines == [(8.0, 4.0), (8.0, 3.0)]


def test_thresholds_that_part_are_two_lines():
    """Protects two warmups of different length: equal at first, they differ afterwards."""
    ax = style.new_figure().add_subplot()
    at = np.arange(4.0)
    for values in ([4.0, 3.9, 3.8, 3.7], [4.0, 3.9, 3.9, 3.9]):
        style.draw_threshold(ax, at, np.array(values), near=np.array([4.0]))
    assert len(ax.get_lines()) == 2


def test_save_takes_axes_and_a_suffix(tmp_path):
    """Protects save(ax, ".", "x.pdf"): the axes' figure, and that file alone."""
    figure = style.new_figure()
    parts = figure.subfigures(1, 2)
    ax = parts[0].add_subplot()
    assert [path.name for path in style.save(ax, tmp_path, "x.pdf")] == ["x.pdf"]
    assert [path.name for path in style.save(parts[1], tmp_path, "v1.2")] == [
        "v1.2.png",
        "v1.2.svg",
        "v1.2.pdf",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v1.2.pdf", "v1.2.png", "v1.2.svg", "x.pdf"]
