"""Logarithmic axes of few powers of ten have enough numbers, and those of many keep Matplotlib's."""

import pytest
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from selfstab.plotting.style import new_figure
from selfstab.plotting.ticks import name_log_ticks


def labels_of(axis, figure):
    figure.draw_without_rendering()
    return [label.get_text() for label in axis.get_ticklabels(which="both") if label.get_text()]


@pytest.mark.parametrize("bar", [False, True])
@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.3, 8.0, ["0.5", "1", "2", "5"]),
        (1.0, 10.0, ["1", "2", "5", "10"]),
        (2e-6, 9e-6, [r"$2\times10^{-6}$", r"$5\times10^{-6}$"]),
        (0.3, 40.0, ["0.3", "1", "3", "10", "30"]),
        (2.1, 3.9, ["2.5", "3", "3.5"]),
    ],
)
def test_few_powers_of_ten_have_numbers_between(bar, low, high, expected):
    """Protects colour bars and axes from one number alone: each number is written once, where it belongs."""
    figure = new_figure()
    ax = figure.add_subplot()
    if bar:
        axis = figure.colorbar(ScalarMappable(LogNorm(low, high)), ax=ax)
        name_log_ticks(axis)
        assert labels_of(axis.ax.yaxis, figure) == expected
        return
    ax.set(yscale="log", ylim=(low, high))
    name_log_ticks(ax.yaxis)
    assert labels_of(ax.yaxis, figure) == expected


def test_many_powers_of_ten_stay_as_they_are():
    texts = []
    for named in (False, True):
        figure = new_figure()
        ax = figure.add_subplot()
        ax.set(yscale="log", ylim=(1e-7, 1e3))
        if named:
            name_log_ticks(ax.yaxis)
        texts.append(labels_of(ax.yaxis, figure))
    assert texts[0] == texts[1]
