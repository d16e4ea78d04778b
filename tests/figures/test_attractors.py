"""The figure of attractors: its check passes on what is computed, and fails on a wrong line, doubling or branch."""

import numpy as np
import pytest

from selfstab.plotting.style import DOUBLE_COLUMN
from selfstab.reports.companions import companion

attractors = companion("figures.attractors")


@pytest.fixture(scope="module")
def computed():
    return attractors.compute(quick=True)


def changed(computed, name, change):
    data = dict(computed)
    data[name] = computed[name].copy(deep=True)
    change(data[name])
    return data


def test_it_passes_its_check_and_fits_the_page(computed):
    """Protects the figure from computation to page."""
    assert len(attractors.check(computed)) == 4
    assert attractors.draw(computed).get_size_inches()[0] == DOUBLE_COLUMN


def shift_line(refined):
    refined["lr"] = refined["lr"] + 0.004


def swap_sides(refined):
    refined["diverged_at"][:] = -1


def spend(refined):
    refined.attrs["runs"] = refined.attrs["full_grid"] // 20


def stop(refined):
    refined.attrs.update(resolved=0, stopped="100 cells would be more than max_cells = 10")


def double(orbits):
    orbits["weights"] = orbits["weights"] * (1.0 + 1e-3 * (np.arange(96) % 3))[:, None]


def leave(branches):
    branches["final_loss"] = branches["final_loss"].where(branches["lr"] < 2.9, 1.0)


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("refined", shift_line, r"from ηS = 2\(1 \+ β\), more than"),
        ("refined", swap_sides, "on the wrong side"),
        ("refined", spend, "not under 3%"),
        ("refined", stop, "refinement stopped: 100 cells"),
        ("orbits", double, "not 2 states everywhere"),
        ("branches", leave, "the branch followed forward is"),
    ],
)
def test_a_wrong_number_fails_its_check(computed, name, change, match):
    """Protects the check: each of its claims can fail."""
    with pytest.raises(AssertionError, match=match):
        attractors.check(changed(computed, name, change))
