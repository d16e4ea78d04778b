"""Cycles at the edge in recorded runs: period and growth beside theory."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.records.comparison.edge_cycles import sentences


def cycling(momentum, sharpening, size, cycles=4.2):
    """Return a run of the cubic model about its fixed point, with cycles of y_max = size·√α."""
    lr, y = 2.0 * (1.0 + momentum), size * np.sqrt(sharpening)
    delta = float(ss.theory.edge_displacement(sharpening))
    steps = int(cycles * ss.theory.slow_period(lr, momentum, sharpening, y))
    loss = ss.CubicTaylor(1.0, progressive_sharpening=sharpening)
    return ss.simulate(loss, ss.HeavyBall(lr, momentum), [delta, y], steps, previous=[-delta, y])


@pytest.mark.parametrize(("momentum", "sharpening"), [(0.0, 1e-5), (0.5, 1e-6), (0.9, 1e-9)])
def test_period_and_growth_are_the_theorys(momentum, sharpening):
    """Protects both columns: measured and predicted against the closed forms, which know α."""
    data = ss.analyze(cycling(momentum, sharpening, 0.4))
    assert data.sizes["catapult"] == 0
    assert data.sizes["edge_cycle"] >= 4
    lr = 2.0 * (1.0 + momentum)
    # The first cycle begins at its top.
    whole = data.isel(edge_cycle=slice(1, 3))
    size = whole.edge_cycle_largest_excess.values
    period = ss.theory.slow_period(lr, momentum, sharpening, size)
    assert whole.edge_cycle_period.values == pytest.approx(period, rel=0.02)
    assert whole.predicted_edge_cycle_period.values == pytest.approx(period, rel=0.06)
    growth = float(ss.theory.cycle_growth(lr, momentum, sharpening))
    assert np.log(whole.edge_cycle_growth.values) == pytest.approx(np.log(growth), rel=0.1)
    assert np.log(whole.predicted_edge_cycle_growth.values) == pytest.approx(np.log(growth), rel=0.1)


def test_sentences_name_the_cycles_and_hold_both_numbers():
    """Protects the report: the cycles are called so, and no catapult is."""
    data = ss.analyze(cycling(0.0, 1e-4, 0.5))
    first, decay, depth, period, growth = sentences(data)
    assert "self-stabilization cycles at the edge" in first
    assert "no catapults" in first
    # None comes back to the threshold from as far below it as a catapult.
    assert (data["edge_cycle_depth"] < 0.5).all()
    assert "in a catapult 0.5 or more" in depth
    # A swing's amplitude falls while S < S*, by |1 − ηS| a step.
    factors = np.log(np.abs(1.0 - 2.0 * data["sharpness"].values))
    below = slice(int(data["edge_cycle_crossing"][1]), int(data["edge_cycle_onset"][2]))
    assert np.log(data["edge_cycle_decay"][1]) == pytest.approx(-factors[below].sum(), rel=0.1)
    assert "in a catapult by 10 or more" in decay
    assert "cubic model" in period
    assert "cubic model" in growth
    assert sentences(ss.analyze(ss.simulate(ss.Quadratic([1.0]), ss.HeavyBall(1.0), [1.0], 30))) == []


def test_one_cycle_has_no_median_and_what_differs_from_the_model_is_said():
    """Protects from a median of one, and from a model's period beside cycles that it does not describe."""
    data = ss.analyze(cycling(0.0, 1e-4, 0.5))
    assert not any("period" in sentence for sentence in sentences(data.isel(edge_cycle=[0])))
    assert not any("far from" in sentence for sentence in sentences(data))
    data["predicted_edge_cycle_period"] = data["predicted_edge_cycle_period"] / 20.0
    after = sentences(data)[4]
    assert after == "That is far from the cubic model's, which does not describe these cycles."


def test_a_cycle_whose_loss_still_falls_is_told_by_how_much():
    """Protects the reason: what a trained network's loss does between two swings, in a number made by hand."""
    step = np.arange(120)
    sharpness = np.full(120, 1.0)
    sharpness[20:30] = sharpness[70:80] = 5.0
    # After the spike at step 25 the loss falls on a line until the second onset at about step 70.
    loss = np.interp(step, [0, 20, 25, 70, 75, 119], [2.0, 1.0, 5.0, 0.5, 4.0, 0.1])
    data = ss.analyze({"step": step, "sharpness": sharpness, "loss": loss}, lr=1.0, momentum=0.0)
    assert data.sizes["edge_cycle"] == 1
    crossing, end = (
        int(data["edge_cycle_crossing"][0]),
        70,
    )
    middle = np.interp((crossing + end) // 2, step, loss)
    share = (middle - loss[end]) / (5.0 - loss[end])
    assert float(data["edge_cycle_late_fall"][0]) == pytest.approx(share, abs=0.03)
    assert np.isnan(data["edge_cycle_depth"][0])
    assert any(f"The loss still falls: {100 * share:.2g}"[:24] in sentence for sentence in sentences(data))


def test_without_a_known_momentum_nothing_is_predicted():
    """Protects runs with lookahead, for which these closed forms are not."""
    run = cycling(0.0, 1e-4, 0.5)
    table = {name: run[name].values for name in ("sharpness", "loss")}
    # S* = 2(1 + β)/(η(1 + 2γ)) = 1 at these, too.
    data = ss.analyze(table, lr=3.0 / 2.0, momentum=0.5, lookahead=0.5)
    assert data.sizes["edge_cycle"] > 2
    assert np.isnan(data.predicted_edge_cycle_period).all()
    assert np.isnan(data.predicted_edge_cycle_growth).all()


def test_cycles_survive_files(tmp_path):
    """Protects the dimension of its own in saved analyses."""
    import xarray

    data = ss.analyze(cycling(0.0, 1e-4, 0.5))
    data.to_netcdf(tmp_path / "seen.nc", engine="netcdf4")
    with xarray.open_dataset(tmp_path / "seen.nc", engine="netcdf4") as read:
        assert np.array_equal(read.edge_cycle_period, data.edge_cycle_period, equal_nan=True)
