"""Recorded runs beside theory: on runs whose answer is known, measured and predicted are it."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.observables.kinds import smoothed, white_noise
from selfstab.records.comparison import analysis_text
from selfstab.records.comparison import analyze as analyze_module
from selfstab.records.comparison.cautions import law_applies, measured_by


def catapult(kappa, momentum, stabilization=1.0, excess=None, lookahead=0.0, steps=6000):
    """Return a catapult of the cubic model, of inertia number κ, from a swing too small to matter."""
    epsilon = kappa / theory.inertia_number(1.0, momentum) if excess is None else excess
    loss = ss.CubicTaylor(1.0, stabilization=stabilization)
    start, previous = ss.flip_start(loss, loss.minimum(), 1e-7)
    lr = 2.0 * (1.0 + momentum) * (1.0 + epsilon) / (1.0 + 2.0 * lookahead)
    return ss.simulate(loss, ss.HeavyBall(lr, momentum, lookahead), start, steps, previous=previous)


@pytest.mark.parametrize(
    ("kappa", "momentum", "tolerance"),
    [(0.01, 0.0, 1e-4), (0.1, 0.9, 1e-4), (1.0, 0.95, 1e-3), (10.0, 0.99, 1e-3)],
)
def test_a_catapult_of_the_law_is_the_laws(kappa, momentum, tolerance):
    # The law is the limit of small ε, which is κ/1521 at β = 0.95 and κ/39601 at β = 0.99.
    seen = ss.analyze(catapult(kappa, momentum)).isel(catapult=0)
    assert float(seen["inertia_number"]) == pytest.approx(kappa, rel=1e-6)
    assert float(seen["overshoot"]) == pytest.approx(float(theory.overshoot(kappa)), rel=tolerance)
    assert float(seen["predicted_drop"]) == pytest.approx(float(seen["drop"]), rel=tolerance)
    assert int(seen["cautions"]) == 0
    assert float(seen["growth"]) == pytest.approx(float(seen["predicted_growth"]), rel=1e-3)
    assert float(seen["growth"]) > 1.005


@pytest.mark.parametrize("stabilization", [0.25, 9.0])
@pytest.mark.parametrize(("kappa", "momentum"), [(0.02, 0.0), (0.5, 0.9), (10.0, 0.97)])
def test_the_spikes_area_gives_the_models_stabilization_and_its_height(kappa, momentum, stabilization):
    # b² is the model's parameter, which the record does not hold; the area counts a swing's tail to a hundredth.
    seen = ss.analyze(catapult(kappa, momentum, stabilization)).isel(catapult=0)
    assert float(seen["stabilization"]) == pytest.approx(stabilization, rel=0.03)
    assert float(seen["predicted_loss_spike"]) == pytest.approx(float(seen["loss_spike"]), rel=0.04)


def test_without_its_factor_the_spike_of_a_large_catapult_would_be_missed():
    seen = ss.analyze(catapult(10.0, 0.97)).isel(catapult=0)
    slow = theory.loss_spike(1.0, float(seen["peak_excess_sharpness"]), 1.0)
    assert float(seen["loss_spike"]) / slow == pytest.approx(theory.spike_factor(10.0), rel=0.05)
    assert float(seen["loss_spike"]) > 3.0 * slow


def test_with_lookahead_threshold_and_series_are_the_familys():
    run = catapult(None, 0.9, excess=0.002, lookahead=0.9, steps=20_000)
    seen = ss.analyze(run)
    first = seen.isel(catapult=0)
    assert np.array_equal(seen["max_stable_sharpness"], run["max_stable_sharpness"])
    assert float(first["inertia_number"]) == pytest.approx(theory.lookahead_inertia_number(0.002, 0.9, 0.9))
    assert float(first["overshoot"]) == pytest.approx(float(first["predicted_overshoot"]), rel=1e-3)
    assert float(first["stabilization"]) == pytest.approx(1.0, rel=0.05)
    assert float(first["predicted_loss_spike"]) == pytest.approx(float(first["loss_spike"]), rel=0.1)


def test_progressive_sharpening_is_the_models():
    # α raises S by ηα/(1 − β) a step while there is no swing.
    loss = ss.CubicTaylor(1.0, progressive_sharpening=1e-5, stabilization=1.0)
    start, previous = ss.flip_start(loss, [0.0, -0.05], 1e-9)
    run = ss.simulate(loss, ss.HeavyBall(3.0, 0.5), start, 4000, previous=previous)
    seen = ss.analyze(run)
    first = seen.isel(catapult=0)
    assert float(first["progressive_sharpening"]) == pytest.approx(1e-5, rel=1e-3)
    assert float(first["sharpening_rate"]) == pytest.approx(3.0 * 1e-5 / 0.5, rel=1e-3)
    assert int(first["steps_above"]) == int(first["crossing"] - first["onset"])


def told(data):
    return set(analyze_module.cautions_of(data, 0))


def test_fast_sharpening_is_a_caution():
    loss = ss.CubicTaylor(1.0, progressive_sharpening=1e-4, stabilization=1.0)
    start, previous = ss.flip_start(loss, [0.0, -0.05], 1e-3)
    run = ss.simulate(loss, ss.HeavyBall(2.0, 0.0), start, 2000, previous=previous)
    assert "sharpening" in told(ss.analyze(run))


def test_each_caution_is_told_by_its_cause():
    run = catapult(0.5, 0.9)
    base = {name: run[name].values for name in ("step", "sharpness", "loss", "lr")}
    assert told(ss.analyze(base, momentum=0.9)) == set()
    assert told(ss.analyze(base | {"lambda_2": base["sharpness"] + 0.01}, momentum=0.9)) == {
        "several_unstable"
    }
    assert told(ss.analyze(run.isel(step=slice(0, None, 2)), momentum=None)) == {"one_sided"}
    assert "no_loss" in told(ss.analyze({k: v for k, v in base.items() if k != "loss"}, momentum=0.9))
    crossing = int(ss.analyze(run)["crossing"][0])
    assert "cut_short" in told(ss.analyze(run.isel(step=slice(0, crossing + 3))))
    rising = base["lr"] * (1.0 + 3e-6 * base["step"])
    assert "settings_moved" in told(ss.analyze(base | {"lr": rising}, momentum=0.9))
    assert "large_drop" in told(ss.analyze(catapult(10.0, 0.9)))
    assert "coarse" in told(ss.analyze(run.isel(step=slice(0, None, 45))))
    ahead = catapult(None, 0.9, excess=0.03, lookahead=0.9)
    assert "lookahead_series" in told(ss.analyze(ahead))


def test_a_quiet_run_has_no_catapults():
    run = ss.simulate(ss.Quadratic([1.0]), ss.HeavyBall(1.0, 0.5), [1.0], 50)
    seen = ss.analyze(run)
    assert seen.sizes["catapult"] == 0
    assert int(seen["steps_above_threshold"]) == 0
    assert int(seen["diverged_at"]) == -1


def test_a_diverged_run_is_a_result():
    run = ss.simulate(ss.Quadratic([1.0]), ss.HeavyBall(4.0, 0.5), [1.0], 400, escape=1e300)
    table = {"sharpness": np.ones(500), "loss": np.concatenate([run["loss"], np.full(500, np.inf)])[:500]}
    seen = ss.analyze(table, lr=4.0, momentum=0.5)
    assert int(seen["diverged_at"]) == int(
        np.flatnonzero(np.isinf(table["loss"]) | (table["loss"] > 2e307))[0]
    )
    assert seen.sizes["catapult"] == 0


def test_a_loss_beside_few_records_of_sharpness_is_not_used_and_told():
    run = catapult(0.5, 0.9)
    sparse = run["loss"].where(run["step"] % 5 == 0)
    seen = ss.analyze(run.assign(loss=sparse))
    assert any("too rarely" in note for note in json.loads(seen.attrs["notes"]))
    assert "no_loss" in told(seen)


def test_the_dataset_survives_files(tmp_path):
    import xarray

    seen = ss.analyze(catapult(0.5, 0.9))
    seen.to_netcdf(tmp_path / "seen.nc", engine="netcdf4")
    with xarray.open_dataset(tmp_path / "seen.nc", engine="netcdf4") as read:
        assert np.array_equal(read["overshoot"], seen["overshoot"])
        assert read["cautions"].attrs["flag_meanings"].split() == list(analyze_module.CAUTIONS)


def test_a_swing_under_way_where_the_record_begins_is_told_and_keeps_its_growth():
    # Protects records that begin above the threshold: their least loss is the swing's own.
    whole = catapult(0.5, 0.9)
    loss, threshold = whole["loss"].values, float(whole["max_stable_sharpness"][0])
    begin = int(np.argmax(loss > 0.01 * loss.max()))
    assert float(whole["sharpness"][begin]) > threshold
    assert "begun" in analyze_module.cautions_of(ss.analyze(whole.isel(step=slice(begin, None))), 0)
    assert "begun" not in analyze_module.cautions_of(ss.analyze(whole), 0)
    start, previous = ss.flip_start(ss.CubicTaylor(1.0), [0.0, 0.0], 3e-5)
    run = ss.simulate(ss.CubicTaylor(1.0), ss.HeavyBall(3.8 * 1.002, 0.9), start, 6000, previous=previous)
    seen = ss.analyze(run).isel(catapult=0)
    assert float(seen["growth"]) == pytest.approx(float(seen["predicted_growth"]), rel=2e-3)


def test_noise_of_the_recorded_sharpness_is_told():
    # Protects against trust in a y0 that is a maximum of noise; the deviation is found within a fifth.
    run = catapult(0.5, 0.9)
    y0 = float(ss.analyze(run)["peak_excess_sharpness"][0])
    noise = np.random.default_rng(0).standard_normal(run.sizes["step"])
    for share, told_of in ((0.0, False), (0.01, False), (0.2, True)):
        noisy = run.assign(sharpness=run["sharpness"] + share * y0 * noise)
        seen = ss.analyze(noisy)
        largest = int(seen["drop"].values.argmax())
        assert ("noisy" in analyze_module.cautions_of(seen, largest)) is told_of
        if share:
            smooth = smoothed(noisy["sharpness"].values, np.ones(run.sizes["step"] - 1))
            assert white_noise(smooth) == pytest.approx(share * y0, rel=0.2)


def test_the_absolute_excess_has_a_name_of_its_own_and_the_former_one():
    """Protects the one meaning of excess, which is relative, and scripts that read the former name."""
    seen = ss.analyze(catapult(0.5, 0.9))
    smooth = smoothed(seen["sharpness"].values, np.ones(seen.sizes["step"] - 1))
    assert np.array_equal(seen["excess_sharpness"], smooth - seen["max_stable_sharpness"])
    assert np.array_equal(seen["excess"], seen["excess_sharpness"])
    assert seen["excess"].attrs["deprecated"] == "now called excess_sharpness"
    assert "deprecated" not in seen["excess_sharpness"].attrs


@pytest.mark.parametrize(
    ("name", "value", "row"),
    [("lr", 5e-324, 0), ("sharpness", 1e300, 0), ("sharpness", 1e154, 0), ("loss", 1e300, 9)],
)
def test_numbers_at_the_ends_of_float64_warn_of_nothing(name, value, row):
    """Protects whoever reads files of others: what overflows is infinite, and no warning of NumPy's comes out."""
    run = ss.simulate(ss.CubicTaylor(1.0), ss.HeavyBall(1.9, 0.5), [0.3, 0.1], 60)
    columns = {key: run[key].values.copy() for key in ("step", "sharpness", "loss", "lr")}
    columns[name][row] = value
    data = ss.analyze(columns, momentum=0.5)  # a warning would be an error here
    assert data.sizes["step"] == 61
    if name == "lr":
        assert data.max_stable_sharpness[0] == np.inf


def test_a_predicted_drop_beyond_the_sharpness_is_told():
    """Protects a reader from a law that takes the sharpness below 0: the report says that it does not apply."""
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-4)
    run = ss.simulate(loss, ss.HeavyBall(1.02, 0.95), start, 4000, previous=previous)
    seen = ss.analyze(run)
    assert seen.sizes["catapult"] >= 1
    assert float(seen["predicted_drop"][0]) > float(run["sharpness"].max())
    assert "beyond_sharpness" in told(seen)
    number = float(seen["caution_numbers"][0, list(analyze_module.CAUTIONS).index("beyond_sharpness")])
    top = seen["peak_excess_sharpness"][0] + seen["max_stable_sharpness"][0]
    assert number == pytest.approx(float(seen["predicted_drop"][0] / top), rel=1e-6)
    # What the law says is in no table then, and the drop that stands beside the caution is the measured one.
    shown = analysis_text.table(seen)
    applies = law_applies(seen)
    assert not applies[0]
    assert analysis_text.cells_of(seen, 0, ("predicted_drop", "onset"))[0] == "\N{EN DASH}"
    assert f"{float(seen['predicted_overshoot'][0]):.4g}" not in shown
    share = float(seen["drop"][0] / top)
    assert f"measured {share:.0%} of the sharpness, the law's beyond it" in shown
    assert [
        one["law_applies"] for one in json.loads(analysis_text.as_json(seen))["catapults"]
    ] == applies.tolist()
    # A small one is not.
    assert "beyond_sharpness" not in told(ss.analyze(catapult(0.5, 0.9)))


def test_a_swing_that_does_not_grow_as_predicted_is_told():
    """Protects against a record whose sharpness is not the run's: a swing that grows twice as fast."""
    run = catapult(0.5, 0.9)
    base = {name: run[name].values for name in ("step", "sharpness", "loss", "lr")}
    assert "growth_differs" not in told(ss.analyze(base, momentum=0.9))
    least = base["loss"].min()
    seen = ss.analyze(base | {"loss": (base["loss"] - least) ** 2}, momentum=0.9)
    number = float(seen["caution_numbers"][0, list(analyze_module.CAUTIONS).index("growth_differs")])
    assert number == pytest.approx(2.0, rel=0.05)
    assert "growth_differs" in told(seen)


def test_an_unknown_sharpening_hides_no_caution():
    """Protects catapults close upon another: without a rate before the onset the record beside the swing tells."""
    loss = ss.CubicTaylor(1.0, progressive_sharpening=1e-4)
    run = ss.simulate(loss, ss.HeavyBall(2.0), [1e-3, 0.02], 3000, previous=[-1e-3, 0.02])
    for stride in (1, 31):
        seen = ss.analyze(run.isel(step=slice(0, None, stride)))
        assert seen.sizes["catapult"] == 6
        for k in range(6):
            names = set(analyze_module.cautions_of(seen, k))
            assert names & {"sharpening", "sharpening_unknown"}
            unknown = "sharpening_unknown" in names
            assert not unknown or np.isnan(seen["sharpening_rate"][k])
    # A rate of NaN with a record that shows no sharpening carries none.
    quiet = ss.analyze(catapult(0.5, 0.9))
    assert np.isnan(quiet["sharpening_rate"][0])
    assert told(quiet) == set()


def test_every_caution_of_a_catapult_has_its_number():
    """Protects the report: what is told is told with the number that triggered it."""
    loss = ss.CubicTaylor(1.0, progressive_sharpening=1e-4)
    run = ss.simulate(loss, ss.HeavyBall(2.0), [1e-3, 0.02], 3000, previous=[-1e-3, 0.02])
    seen = ss.analyze(run.isel(step=slice(0, None, 31)))
    for k in range(seen.sizes["catapult"]):
        for name in analyze_module.cautions_of(seen, k):
            assert measured_by(seen, k, name)
    assert measured_by(seen, 1, "coarse") == f"{round(int(seen.steps_above[1]) / 31)} records"


def test_neighbours_of_a_catapult_are_swings_of_any_kind():
    """Protects rates beside cycles at the edge: a catapult's record ends where the next swing begins."""
    loss = ss.CubicTaylor(1.0, progressive_sharpening=1e-6)
    run = ss.simulate(loss, ss.HeavyBall(3.0, 0.5), [1.4e-3, 5e-4], 1100, previous=[-1.4e-3, 5e-4])
    seen = ss.analyze(run)
    assert (seen.sizes["catapult"], seen.sizes["edge_cycle"]) == (0, 2)
    longer = ss.simulate(loss, ss.HeavyBall(3.0, 0.5), [1.4e-3, 9e-4], 3800, previous=[-1.4e-3, 9e-4])
    seen = ss.analyze(longer)
    assert seen.sizes["catapult"] >= 1
    assert seen.sizes["edge_cycle"] >= 2
    # Sharpening between a cycle and a catapult is that of the rise just before it, not of all the record.
    assert np.nanmax(np.abs(seen["progressive_sharpening"].values)) < 1e-6


def test_a_result_shows_itself_as_the_report():
    """Protects a notebook: the summary and the table, not forty variables; a part of it shows itself as datasets do."""
    seen = ss.analyze(catapult(0.5, 0.9))
    assert repr(seen) == analysis_text.table(seen)
    assert "1 catapult; " in seen._repr_html_()
    assert "<xarray" in repr(xarray.Dataset(seen.data_vars))
    for part in (seen.isel(catapult=0), seen[["sharpness"]], seen.drop_vars("cautions"), seen.isel(step=[])):
        assert "Dimensions" in repr(part)
        assert "xr-wrap" in part._repr_html_()
    xarray.testing.assert_identical(seen, pickle.loads(pickle.dumps(seen)))


def test_a_recorder_is_a_run():
    """Protects whoever has just recorded: the recorder is read as its dataset is."""
    recorder = ss.Recorder(lr=0.1, momentum=0.5)
    for step, sharpness in enumerate((20.0, 31.0, 25.0, 20.0)):
        recorder.log(step, loss=1.0, hessian_vector=lambda v, s=sharpness: s * v, dimension=2)
    xarray.testing.assert_identical(ss.analyze(recorder), ss.analyze(recorder.dataset()))


def test_variables_of_our_own_runs_need_no_role():
    """Protects from a list of selfstab's own variables as if they were columns that were not understood."""
    loss = ss.CubicTaylor(1.0)
    start, previous = ss.flip_start(loss, loss.minimum(), 1e-3)
    run = ss.simulate(loss, ss.HeavyBall(2.1), start, 100, previous=previous)
    run["displacement"] = ("step", np.zeros(run.sizes["step"]))
    assert not any("Not used" in note for note in json.loads(ss.analyze(run).attrs["notes"]))
    theirs = {name: run[name].values for name in ("sharpness", "displacement")}
    notes = json.loads(ss.analyze(theirs, lr=2.1, momentum=0.0).attrs["notes"])
    assert any("Not used: displacement" in note for note in notes)


def test_what_is_recorded_as_often_is_told_once():
    table = {"step": np.arange(0, 300, 3), "sharpness": np.ones(100), "loss": np.ones(100)}
    notes = json.loads(ss.analyze(table, lr=0.1, momentum=0.0).attrs["notes"])
    assert notes == ["sharpness and loss are recorded every 3 steps."]


@pytest.mark.parametrize(
    ("optimizer", "momentum", "formula", "threshold"),
    [
        (None, 0.9, "S* = 2(1 + β)/η", 2 * 1.9 / 0.01),
        (
            ss.HeavyBall(0.01, 0.9, 0.9),
            None,
            "S* = 2(1 + β)/(η(1 + 2γ)), γ = 0.9 the lookahead",
            380 / 2.8,
        ),
        (
            ss.Adam(0.01),
            None,
            "S* = 2(1 + β)/((1 − β)η), of the preconditioned sharpness",
            2 * 1.9 / (0.1 * 0.01),
        ),
        (ss.RMSProp(0.01), None, "S* = 2(1 + β)/η, of the preconditioned sharpness", 2 / 0.01),
    ],
)
def test_the_thresholds_formula_is_the_optimizers(optimizer, momentum, formula, threshold):
    """Protects the report of Adam from heavy ball's formula: by it, the threshold of the record comes out."""
    table = {"sharpness": np.ones(20), "preconditioned_sharpness": np.ones(20)}
    if momentum is not None or isinstance(optimizer, ss.HeavyBall):
        del table["preconditioned_sharpness"]
    lr = {"lr": 0.01, "momentum": momentum} if optimizer is None else {"optimizer": optimizer}
    seen = ss.analyze(table, **lr)
    assert analysis_text.threshold_formula(seen) == f"The threshold is {formula}."
    assert ("lookahead" in analysis_text.inertia_formula(seen)) == ("lookahead" in formula)
    # What the formula says.
    assert float(seen["max_stable_sharpness"][0]) == pytest.approx(threshold)
    decayed = seen.assign(max_stable_sharpness=0.9 * seen["max_stable_sharpness"])
    decayed["max_stable_sharpness"].attrs = seen["max_stable_sharpness"].attrs
    assert "decoupled weight decay" in analysis_text.threshold_formula(decayed)


def test_the_recorded_weight_decay_is_told():
    """Protects a record's reader: what enters loss and threshold is named, also of a table without attributes."""
    table = {"sharpness": np.ones(20), "weight_decay": np.full(20, 5e-3), "least_weight_decay": np.zeros(20)}
    notes = json.loads(ss.analyze(table, lr=0.1, momentum=0.9).attrs["notes"])
    assert "Weight decay is 0.005, of some weights less: it is part of loss and sharpness." in notes
    table = {"sharpness": np.ones(20), "decoupled_weight_decay": np.linspace(0.1, 0.2, 20)}
    notes = json.loads(ss.analyze(table, lr=0.1, momentum=0.9).attrs["notes"])
    assert "Weight decay is 0.1 to 0.2: it lowers the threshold." in notes
    for values in (np.zeros(20), np.full(20, np.nan), np.full(20, "some")):
        table = {"sharpness": np.ones(20), "weight_decay": values}
        notes = json.loads(ss.analyze(table, lr=0.1, momentum=0.9).attrs["notes"])
        assert not any("Weight decay" in note for note in notes)
