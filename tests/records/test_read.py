"""Recorded runs: each form gives the same numbers, order and strides do not matter, what cannot be read is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

import selfstab as ss
from selfstab.records.read import recorded_run


@pytest.fixture(scope="module")
def run():
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-3)
    return ss.simulate(loss, ss.HeavyBall(0.95, 0.5), start, 300, previous=previous)


def columns(run):
    return {
        "step": run["step"].values,
        "sharpness": run["sharpness"].values,
        "loss": run["loss"].values,
        "lr": run["lr"].values,
        "momentum": np.full(run.sizes["step"], 0.5),
    }


def in_form(form, run, folder):
    table = columns(run)
    frame = pd.DataFrame(table)
    path = folder / f"run.{form}"
    if form == "csv":
        frame.to_csv(path, index=False)
    elif form == "tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif form == "npz":
        np.savez(path, **table)
    elif form == "nc":
        run.to_netcdf(path, engine="netcdf4")
    elif form == "zarr":
        run.to_zarr(path, consolidated=False)
    elif form == "frame":
        return frame
    elif form == "indexed frame":
        return frame.set_index("step")
    elif form == "dataset":
        return xarray.Dataset({name: ("step", values) for name, values in table.items()})
    elif form == "lists":
        return {name: values.tolist() for name, values in table.items()}
    elif form == "texts":
        return frame.astype(str)
    return path


FORMS = (
    "csv",
    "tsv",
    "npz",
    "nc",
    "zarr",
    "frame",
    "indexed frame",
    "dataset",
    "lists",
    "texts",
)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_what_the_run_in_memory_gives(run, form, tmp_path):
    expected, found = ss.analyze(run), ss.analyze(in_form(form, run, tmp_path))
    assert expected.sizes["catapult"] == 1
    for name in expected.data_vars:
        assert np.array_equal(found[name].values, expected[name].values, equal_nan=True), name


def recorders(lookahead):
    """Return the form of ss.Recorder: its columns along step, the lookahead in the threshold only."""
    values = {
        "loss": [1.0, 2.0, 3.0],
        "sharpness": [1.0, 2.0, 3.0],
        "sharpness_residual": [1e-12] * 3,
        "lr": [0.0, 0.1, 0.2],
        "momentum": [0.9] * 3,
        "max_stable_sharpness": [np.inf, *(3.8 / (np.array([0.1, 0.2]) * (1.0 + 2.0 * lookahead)))],
    }
    attrs = {"optimizer": json.dumps({"lr": {"schedule": "as recorded"}, "momentum": 0.9})}
    data = {name: ("step", column) for name, column in values.items()}
    return xarray.Dataset(data, {"step": [0, 5, 10]}, attrs)


@pytest.mark.parametrize("lookahead", [0.0, 0.3, 0.9])
def test_a_recorders_form_is_read(lookahead):
    data = recorders(lookahead)
    for form in (data, data.to_dataframe()):
        found = ss.analyze(form)
        assert found["step"].values.tolist() == [0, 5, 10]
        assert found.attrs["lookahead"] == pytest.approx(lookahead, abs=1e-12)
        assert found["max_stable_sharpness"].values == pytest.approx(data["max_stable_sharpness"].values)


@pytest.mark.parametrize("suffix", ["csv", "npz", "nc", "zarr"])
def test_what_a_recorder_saves_is_read_with_its_lookahead(tmp_path, suffix):
    recorder = ss.Recorder(lr=0.1, momentum=0.9, lookahead=0.9, every=2)
    for step in range(9):
        recorder.log(step, loss=1.0, hessian_vector=lambda v: np.array([2.0, 1.0]) * v, dimension=2)
    recorder.save(tmp_path / f"run.{suffix}")
    found = ss.analyze(tmp_path / f"run.{suffix}")
    assert found["step"].values.tolist() == [0, 2, 4, 6, 8]
    assert found.attrs["lookahead"] == 0.9
    assert found["max_stable_sharpness"].values == pytest.approx(3.8 / 0.28)


def test_a_threshold_of_other_settings_is_told_and_not_used():
    data = recorders(0.0)
    data["max_stable_sharpness"][1] *= 2.0
    found = ss.analyze(data)
    assert found["max_stable_sharpness"].values == pytest.approx([np.inf, 38.0, 19.0])
    assert any("not that of this lr and momentum" in note for note in json.loads(found.attrs["notes"]))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), repeated=st.integers(0, 5))
def test_neither_order_nor_repeated_rows_matter(run, seed, repeated):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(columns(run))
    frame = pd.concat([frame, frame.sample(repeated, random_state=seed % 1000)])
    shuffled = frame.iloc[rng.permutation(len(frame))]
    found = recorded_run(shuffled)
    assert found.drop_attrs().equals(recorded_run(columns(run)).drop_attrs())
    assert any("sorted" in note for note in json.loads(found.attrs["notes"]))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_rows_of_parts_are_joined(run, seed):
    """Protects logs that write loss and sharpness of a step in rows of their own."""
    frame = pd.DataFrame(columns(run))
    loss, rest = frame[["step", "loss"]], frame.drop(columns="loss")
    parts = pd.concat([loss, rest]).sample(frac=1.0, random_state=seed)
    assert recorded_run(parts).drop_attrs().equals(recorded_run(frame).drop_attrs())


@settings(max_examples=15, deadline=None)
@given(k=st.integers(1, 4), offset=st.integers(0, 3))
def test_sharpness_at_a_stride_keeps_the_loss_of_every_step(k, offset):
    # Protects sharpness recorded every k steps: on the cubic model nothing else changes but where it is seen.
    step = np.arange(800)
    y, swing = ss.theory.slow_orbit(step - 400, 2.0 / 0.99, 0.0, 0.01, 4.0)
    table = {"sharpness": 0.99 + y, "loss": 0.495 * swing**2}
    table["sharpness"][step % k != offset % k] = np.nan
    found = ss.analyze(table, lr=2.0 / 0.99, momentum=0.0)
    assert found["overshoot"].values == pytest.approx([1.0], abs=0.02)
    assert found["loss_spike"].values == pytest.approx(0.495 * swing.max() ** 2, rel=0.01 * k)
    assert (int(found["cautions"][0]) >> 4) & 1 == (k % 2 == 0)


@settings(max_examples=30, deadline=None)
@given(spaces=st.lists(st.integers(3, 60), min_size=1, max_size=60))
def test_missing_steps_move_the_overshoot_little(spaces):
    """Protects records with gaps: the alternation of the sharpness is still taken out.

    Of a catapult that takes 50 steps, and gaps of one step that leave both sides of the flip between them.
    """
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-3)
    run = ss.simulate(loss, ss.HeavyBall(0.76, 0.5), start, 300, previous=previous)
    missing = 5 + np.cumsum(spaces)
    kept = np.setdiff1d(np.arange(301), missing)
    whole, found = ss.analyze(run), ss.analyze(run.isel(step=kept))
    assert found["overshoot"].values == pytest.approx(whole["overshoot"].values, rel=0.005)


def test_lr_and_momentum_hold_until_the_next_value():
    table = {"sharpness": [1.0, 2.0, 3.0, 4.0], "lr": [0.1, np.nan, 0.2, None], "momentum": 0.5}
    found = recorded_run(table)
    assert found["lr"].values.tolist() == [0.1, 0.1, 0.2, 0.2]
    assert any("lr is missing in 2 rows" in note for note in json.loads(found.attrs["notes"]))


def test_an_lr_of_0_has_no_threshold():
    found = ss.analyze({"sharpness": [1.0, 2.0, 3.0], "lr": [0.0, 0.5, 1.0]}, momentum=0.0)
    assert found["max_stable_sharpness"].values.tolist() == [np.inf, 4.0, 2.0]


def test_a_run_ends_where_it_diverges():
    table = {
        "sharpness": [1, 2, 3, np.nan, np.nan],
        "loss": [1, 2, 9, np.inf, np.nan],
        "step": [0, 2, 4, 6, 8],
    }
    found = recorded_run(table, lr=1.0, momentum=0.0)
    assert found["step"].values.tolist() == [0, 2, 4]
    assert int(found["diverged_at"]) == 6


def test_our_own_runs_carry_momentum_and_lookahead(run):
    found = ss.analyze(run)
    assert set(found["momentum"].values) == {0.5}
    assert np.array_equal(found["max_stable_sharpness"], run["max_stable_sharpness"])


REFUSED = [
    ({"loss": [1, 2, 3]}, "run must have a column sharpness .*got loss; name it by columns, sharpness=NAME"),
    ({"sharpness": [1, 2, 3]}, "run must have a column lr .*or give lr if it was constant"),
    ({"sharpness": [1, 2, 3], "lr": [1, 1, 1]}, "run must have a column momentum"),
    ({"sharpness": [1, 2, 3], "lambda_1": [1, 1, 1], "lambda_max": [1, 2, 3]}, None),
    ({"lambda_1": [1, 1, 1], "lambda_max": [1, 2, 3]}, "one column for sharpness, got lambda_1, lambda_max"),
    ({"sharpness": [1, 2, 3], "loss": [1, 2]}, r"loss must have as many values as sharpness \(3\), got 2"),
    ({"sharpness": [1, "2", "x7"]}, "sharpness must hold real numbers.*got 'x7' in row 3"),
    ({"sharpness": [1, 2, 3j]}, "sharpness must hold real numbers"),
    ({"sharpness": [1, np.nan, np.nan]}, "sharpness must hold at least 3 numbers, got 1 in 3 rows"),
    ({"sharpness": [1, 2, 3], "step": [0, 1.5, 2]}, "step must hold whole numbers, got 1.5 in row 2"),
    ({"sharpness": [1, 2, 3], "step": [0, np.nan, 2]}, "step must hold whole numbers, got nan in row 2"),
    ({"sharpness": [1, 2, 3], "step": [0, -1, 2]}, "step must hold whole numbers >= 0, got -1 in row 2"),
    (
        {"sharpness": [1, 2, 3], "step": [0, 1, 1]},
        r"sharpness must have one value for a step, got 2 and 3 for step 1 \(rows 2 and 3\)",
    ),
    ({"sharpness": [1, 2, 3], "lr": [1, -1, 1]}, "lr must be >= 0, got -1 in row 2"),
    ({"sharpness": [1, 2, 3], "lr": [None, 1, 2]}, "lr must have a value in the first row"),
    ({"sharpness": [1, 2, 3], "momentum": [0, 1, 0]}, r"momentum must be in \[0, 1\), got 1 in row 2"),
    ({"sharpness": [1, 2, 3], "beta2": [0, 1, 0]}, "got the column beta2: the threshold of Adam"),
]


@pytest.mark.parametrize(("table", "message"), REFUSED)
def test_what_cannot_be_read_is_refused_by_column_and_row(table, message):
    given = {"lr": 1.0, "momentum": 0.0}
    if message is None:
        assert recorded_run(table, **given)["sharpness"].values.tolist() == [1, 2, 3]
        return
    if message.startswith("run must have a column lr"):
        given = {}
    elif "column momentum" in message or "momentum" in table:
        given = {"lr": 1.0} if "momentum" in table else {}
    if "lr" in table:
        given.pop("lr", None)
    with pytest.raises(ValueError, match=message):
        recorded_run(table, **given)


def test_a_run_that_ends_in_nan_after_a_blow_up_diverged():
    # Protects runs of PyTorch, whose divergence is recorded as NaN; a run cut short is none.
    loss = np.concatenate([10.0 ** np.linspace(-3, 20, 40), np.full(5, np.nan)])
    table = {"sharpness": np.where(np.isnan(loss), np.nan, 3.0), "loss": loss, "lr": np.ones(45)}
    seen = recorded_run(table, momentum=0.0)
    assert int(seen["diverged_at"]) == 40
    assert "diverged" in seen.attrs["notes"]
    calm = table | {"loss": np.where(np.isnan(loss), np.nan, 0.5)}
    assert int(recorded_run(calm, momentum=0.0)["diverged_at"]) == -1


def test_a_divergence_of_our_own_run_is_kept(tmp_path):
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-3)
    run = ss.simulate(loss, ss.HeavyBall(1.09, 0.9), start, 400, previous=previous)
    assert int(run["diverged_at"]) > 0
    run.to_netcdf(tmp_path / "run.nc")
    for form in (run, tmp_path / "run.nc"):
        assert int(ss.analyze(form)["diverged_at"]) == int(run["diverged_at"])


def test_a_step_that_a_loss_scaler_skips_ends_no_run():
    """Protects mixed precision: an infinite loss that is finite again is left out and said; infinite ends are ends."""
    loss = np.exp(-np.arange(40) / 9.0)
    loss[[7, 8]] = np.inf
    run = {"sharpness": np.linspace(1.0, 2.0, 40), "lr": np.ones(40), "loss": loss}
    data = recorded_run(run, momentum=0.0)
    assert int(data.diverged_at) == -1
    assert np.isnan(data.loss.values[[7, 8]]).all()
    assert "loss is infinite in 2 rows and finite again. It is left out there." in json.loads(
        data.attrs["notes"]
    )
    loss[-3:] = np.inf
    assert int(recorded_run(run, momentum=0.0).diverged_at) == 37
