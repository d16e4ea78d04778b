"""The universality figure on catapults made up from theory: what its check and its table accept and refuse."""

from dataclasses import replace

import numpy as np
import pytest

from selfstab import phases, theory
from selfstab.plotting.style import DOUBLE_COLUMN
from selfstab.reports.companions import companion
from selfstab.verification import universality

FIGURE = companion("figures.universality")


@pytest.fixture(scope="module")
def data():
    """Return the figure's data as they would be with a second order of twice the first one's square."""
    cubic = universality.STARTS["CubicTaylor"]()
    numbers = {
        "CubicTaylor": {},
        "Product": {"sigma": 0.8, "tau": -0.3},
        "Minimalist": {"sigma": 0.8, "tau": -27.0},
        "Chain": {"sigma": 2.9, "tau": -4.7},
        "DiagonalNetwork": {"sigma": 1.1, "second": 0.9},
        "MLP": {"sigma": 0.9, "tau": -1.6, "coupling": -1.5},
    }
    starts = {name: replace(cubic, **given) for name, given in numbers.items()}

    def catapult(start, momentum, kappa):
        excess = kappa / theory.inertia_number(1.0, momentum)
        first = sum(universality.deviation_parts(start, excess, kappa))
        overshoot = theory.overshoot(kappa) * (1.0 + first + 2.0 * first**2)
        return universality.Drop(float(overshoot), float(excess), 99, phases.CATAPULT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            universality, "STARTS", {name: lambda name=name: starts[name] for name in universality.STARTS}
        )
        patch.setattr(universality, "catapult", catapult)
        return FIGURE.compute(quick=True)


def test_the_check_accepts_first_order_and_its_square(data):
    lines = FIGURE.check(data)
    assert len(lines) == 1 + 6 + data["table"].sizes["row"]
    assert lines[0].startswith("All 66 cells")
    figure = FIGURE.draw(data)
    assert figure.get_size_inches()[0] == DOUBLE_COLUMN
    assert len([ax for ax in figure.axes if ax.axison]) == 7


def test_cells_are_those_of_small_excess(data):
    cells = data["cells"]
    ran = cells["steps"].values > 0
    excess, kappa = np.broadcast_arrays(cells["excess"].values, cells["kappa"].values)
    assert (ran[:4] == (excess <= 0.03)).all()
    assert (ran[4:] == ((excess <= 0.03) & (kappa >= 0.1))).all()


def test_the_table_has_the_worst_deviation_and_its_reason(data):
    table = data["table"]
    rows = {
        (str(loss), float(momentum)): (float(worst), float(kappa), str(reason))
        for loss, momentum, worst, kappa, reason in zip(
            *(table[name].values for name in ("loss", "momentum", "worst", "at_kappa", "reason")), strict=True
        )
    }
    cells = data["cells"]
    for (loss, momentum), (worst, kappa, reason) in rows.items():
        here = cells["overshoot"].sel(loss=loss, momentum=momentum).values
        deviation = here / theory.overshoot(cells["kappa"].values) - 1.0
        assert worst == deviation[np.nanargmax(np.abs(deviation))]
        assert kappa == cells["kappa"].values[np.nanargmax(np.abs(deviation))]
        assert (reason == "within 1%") == (abs(worst) <= 0.01)
    assert "finite steps of the map, 100%" in rows["CubicTaylor", 0.9][2]
    assert "quartic along the flip (τ)" in rows["Minimalist", 0.95][2]
    assert "higher orders leave" in rows["Minimalist", 0.95][2]
    assert "(σ)" in rows["DiagonalNetwork", 0.9][2]
    assert "another eigenvalue ends on top" in rows["DiagonalNetwork", 0.9][2]
    assert "coupling" in rows["MLP", 0.8][2]


def changed(data, change):
    cells = data["cells"].copy(deep=True)
    values = cells["overshoot"].values
    change(values)
    cells["overshoot"] = (cells["overshoot"].dims, values)
    return {"cells": cells, "table": FIGURE._table(cells)}


@pytest.mark.parametrize("where", [(0, 5, 2), (1, 4, 1), (3, 4, 0), (4, 2, 1), (5, 5, 2)])
@pytest.mark.parametrize("factor", [1.02, np.nan])
def test_one_wrong_or_absent_overshoot_fails_the_check(data, where, factor):
    def change(values):
        assert np.isfinite(values[where])
        values[where] *= factor

    with pytest.raises(AssertionError, match=r"1 of 66"):
        FIGURE.check(changed(data, change))


def test_a_deviation_that_does_not_vanish_with_the_excess_fails_the_check(data):
    # Within the bound on the cubic model's largest excess, but of the wrong order.
    def change(values):
        at = data["cells"]["kappa"].values == 1.0
        values[0, -2:, at] = theory.overshoot(1.0) * (1.0 + 5e-5)

    with pytest.raises(AssertionError, match=r"first order|falls as"):
        FIGURE.check(changed(data, change))


def test_a_missing_run_or_one_too_many_fails_the_check(data):
    for where, steps in (((1, 4, 1), 0), ((5, 0, 1), 9)):
        cells = data["cells"].copy(deep=True)
        values = cells["steps"].values.copy()
        values[where] = steps
        cells["steps"] = (cells["steps"].dims, values)
        with pytest.raises(AssertionError, match="within the bounds"):
            FIGURE.check({**data, "cells": cells})


def test_a_wrong_table_fails_the_check(data):
    table = data["table"].copy(deep=True)
    table["worst"] = table["worst"] * 1.001
    with pytest.raises(AssertionError, match="table"):
        FIGURE.check({**data, "table": table})


def test_a_run_that_diverged_is_in_the_table_and_on_the_figure(data):
    cells = data["cells"].copy(deep=True)
    for name, value in (("overshoot", np.nan), ("phase", phases.DIVERGED)):
        values = cells[name].values.copy()
        values[2, 5] = value
        cells[name] = (cells[name].dims, values)
    table = FIGURE._table(cells)
    row = (table["loss"].values == "Minimalist") & (table["momentum"].values == 0.99)
    assert table["diverged"].values[row].tolist() == [3]
    assert table["reason"].values[row].tolist() == ["no overshoot"]
    figure = FIGURE.draw({"cells": cells, "table": table})
    assert any(line.get_marker() == "x" for ax in figure.axes for line in ax.lines if len(line.get_xdata()))
