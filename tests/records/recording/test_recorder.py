"""The recorder of one's own training loop: what it logs is what simulate records of the same run."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray

import selfstab as ss
from tests.records.small_network import LR, MOMENTUM, NETWORK, START, assert_same_record, simulated


def test_a_loop_with_products_of_its_own_equals_the_simulated_run():
    """Protects log with a function of one's own, a schedule, and what is read from the record: the same catapults."""
    warmup = ss.LinearWarmup(0.1, 1.0, 40)
    optimizer = ss.HeavyBall(warmup, MOMENTUM)
    recorder = ss.Recorder(momentum=MOMENTUM)
    w, v = START, np.zeros_like(START)
    for step, lr in enumerate(optimizer.rates(0, 121)):
        recorder.log(
            step, loss=NETWORK.value(w), lr=lr, dimension=w.size,
            hessian_vector=lambda d, w=w: NETWORK.hessian_vector(w, d),
        )  # fmt: skip
        v = MOMENTUM * v - lr * NETWORK.gradient(w)
        w = w + v
    run, recorded = simulated(lr=warmup, steps=120), recorder.dataset()
    assert_same_record(recorded, run)
    found, expected = (ss.catapults(r.sharpness, r.max_stable_sharpness, r.loss) for r in (recorded, run))
    assert found.sizes["catapult"] == expected.sizes["catapult"] > 0
    np.testing.assert_allclose(found.overshoot, expected.overshoot, rtol=1e-6)
    assert ss.plotting.draw_sharpness(recorded).lines


def logged(recorder=None, steps=(0, 1, 2)):
    recorder = recorder or ss.Recorder(lr=0.5, momentum=0.5)
    for step in steps:
        recorder.log(step, loss=1.0, hessian_vector=lambda v: np.array([3.0, 1.0]) * v, dimension=2)
    return recorder


@pytest.mark.parametrize("suffix", ["csv", "nc", "npz", "zarr"])
def test_what_is_saved_can_be_read(tmp_path, suffix):
    """Protects every form a record is saved in."""
    recorder, path = logged(), tmp_path / f"run.{suffix}"
    recorder.save(path)
    recorder.save(str(path))  # in place of itself
    data = recorder.dataset()
    if suffix == "csv":
        read = np.genfromtxt(path, delimiter=",", names=True)
        read = {name: read[name] for name in read.dtype.names}
    elif suffix == "npz":
        read = dict(np.load(path))
    else:
        opened = xarray.open_dataset(path) if suffix == "nc" else xarray.open_zarr(path, consolidated=False)
        read = {name: opened[name].values for name in opened.variables}
        assert opened.attrs["optimizer"] == data.attrs["optimizer"]
        opened.close()
    assert set(read) == {
        "step",
        "loss",
        "sharpness",
        "sharpness_residual",
        "sharpness_error",
        "products",
        "lr",
        "momentum",
        "max_stable_sharpness",
    }
    for name, values in read.items():
        np.testing.assert_allclose(values, data[name].values, rtol=1e-15)


def test_a_rate_of_zero_has_no_threshold():
    """Protects the first step of a warmup."""
    recorder = ss.Recorder()
    recorder.log(0, loss=1.0, lr=0.0, hessian_vector=lambda v: v, dimension=3)
    assert recorder.dataset().max_stable_sharpness.values.tolist() == [np.inf]


def test_divergence_is_recorded():
    """Protects loops that blow up: NaN stands where there is no sharpness, and the loop goes on."""
    recorder = ss.Recorder(lr=0.1)
    for step, factor in enumerate((1.0, np.nan, 2.0)):
        recorder.log(step, loss=factor, hessian_vector=lambda v, factor=factor: factor * v, dimension=3)
    np.testing.assert_array_equal(recorder.dataset().sharpness, [1.0, np.nan, 2.0])


def test_the_second_eigenvalue_is_recorded_where_asked_for():
    """Protects what says where one unstable direction is not all: against the dense spectrum along a run."""
    run = ss.simulate(NETWORK, ss.HeavyBall(LR, MOMENTUM), START, 20, every=4, keep=["loss", "weights"])
    recorder = ss.Recorder(lr=LR, momentum=MOMENTUM, second=True)
    for step, w in zip(run.step.values, run.weights.values, strict=True):
        product = ss.FunctionLoss(
            NETWORK.value, NETWORK.gradient, w.size, hessian_vector=NETWORK.hessian_vector
        )
        recorder.log(
            int(step), loss=NETWORK.value(w), dimension=w.size,
            hessian_vector=product.hessian_operator_at(w),
        )  # fmt: skip
    data = recorder.dataset()
    exact = ss.hessian_spectrum(NETWORK, run, full=True).eigenvalue
    np.testing.assert_allclose(data.sharpness, exact[:, 0], rtol=1e-9)
    np.testing.assert_allclose(data.second_sharpness, exact[:, 1], rtol=1e-9)
    assert "second_sharpness" not in logged().dataset()


def test_an_empty_record_is_a_dataset():
    """Protects what is read before anything is logged."""
    data = ss.Recorder(lr=0.1).dataset()
    assert data.sizes == {"step": 0}


def test_due_says_what_log_would_record():
    """Protects loops that prepare what is costly only where it is logged."""
    recorder = ss.Recorder(lr=0.1, every=3)
    assert [step for step in range(8) if recorder.due(step)] == [0, 3, 6]
    logged(recorder, range(8))
    assert recorder.dataset().step.values.tolist() == [0, 3, 6]


OWN = {"loss": 1.0, "hessian_vector": lambda v: v, "dimension": 2}


@pytest.mark.parametrize(
    ("settings", "call", "error", "message"),
    [
        ({"lr": -1.0}, None, ValueError, "lr must be in [0, inf), got -1.0"),
        ({"momentum": 1.0}, None, ValueError, "momentum must be in [0, 1), got 1.0"),
        ({"every": 0}, None, ValueError, "every must be an integer >= 1"),
        ({"tolerance": 0}, None, ValueError, "tolerance must be in (0, inf)"),
        ({"second": 1}, None, TypeError, "second must be True or False, got 1"),
        ({"lookahead": "x"}, None, TypeError, "lookahead must be"),
        ({}, OWN, ValueError, "lr must be given to log or to the recorder, got None"),
        ({}, OWN | {"lr": np.nan}, ValueError, "lr must be in [0, inf), got nan"),
        ({"lr": 0.1}, OWN | {"loss": None}, TypeError, "loss must be a single number, got None"),
        ({"lr": 0.1}, OWN | {"loss": [1.0, 2.0]}, TypeError, "loss must be a single number"),
        ({"lr": 0.1}, OWN | {"hessian_vector": None}, TypeError, "hessian_vector must be a function, got None"),
        ({"lr": 0.1}, OWN | {"dimension": None}, TypeError, "dimension must be an integer"),
        ({"lr": 0.1}, OWN | {"hessian_vector": lambda v: v[:1]}, TypeError, "hessian_vector must return 2 real"),
        ({"lr": 0.1}, OWN | {"hessian_vector": lambda v: None}, TypeError, "hessian_vector must return 2 real numbers"),
        ({"lr": 0.1}, OWN | {"parameters": [1.0]}, ValueError, "parameters must be left out"),
        ({"lr": 0.1}, OWN | {"step": 0}, ValueError, "step must be larger than the last one, 0, got 0"),
        ({"lr": 0.1}, OWN | {"step": 1.5}, TypeError, "step must be an integer"),
    ],
)  # fmt: skip
def test_bad_input_is_named_and_not_recorded(settings, call, error, message):
    """Protects the door of the recorder and of log; nothing half-logged is left."""
    if call is None:
        with pytest.raises(error, match=re.escape(message)):
            ss.Recorder(**settings)
        return
    recorder = ss.Recorder(**settings)
    if "lr" in settings:
        logged(recorder, [0])
    before = recorder.dataset()
    with pytest.raises(error, match=re.escape(message)):
        recorder.log(**({"step": 1} | call))
    assert recorder.dataset().identical(before)


def test_a_record_goes_nowhere_else(tmp_path):
    """Protects what is saved, and what stands beside it."""
    recorder = logged()
    (tmp_path / "folder.npz").mkdir()
    for path, message in (
        (tmp_path / "run.txt", r"path must end in \.csv, \.nc, \.npz, \.tsv or \.zarr, got"),
        (tmp_path / "no" / "run.npz", "path must be in a folder that exists"),
        (tmp_path / "no" / "run.csv", "path must be in a folder that exists"),
        (tmp_path / "folder.npz", "path must be a file, got .*, which is none"),
    ):
        with pytest.raises(ValueError, match=message):
            recorder.save(path)
    with pytest.raises(TypeError, match="path must be a text or a Path, got 3"):
        recorder.save(3)
