"""The callback of Keras, with either backend: what it records is the simulated run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import selfstab as ss
from tests.records.small_network import NETWORK, simulated

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", params=["jax", "torch"])
def folder(request, tmp_path_factory):
    """Return the records of a program's runs with one backend."""
    path = tmp_path_factory.mktemp(request.param)
    done = subprocess.run(
        [sys.executable, "-m", "tests.integrations.keras_training", str(path)],
        env={**os.environ, "KERAS_BACKEND": request.param}, cwd=Path(__file__).parents[2],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "selfstab" not in done.stderr  # no warning of ours
    return path


def record(path):
    """Return a record as a dataset."""
    import xarray

    values = dict(np.load(path))
    step = values.pop("step")
    return xarray.Dataset({name: ("step", column) for name, column in values.items()}, {"step": step})


def assert_same(run, every):
    """Compare with the simulated run, as exactly as Keras computes: in float32, whatever it is told."""
    exact = simulated(every=every)
    np.testing.assert_array_equal(run.step, exact.step)
    for name in ("loss", "sharpness", "lr", "max_stable_sharpness"):
        np.testing.assert_allclose(run[name], exact[name], rtol=1e-4)
    assert (run.sharpness_residual <= 1e-4 * np.abs(run.sharpness)).all()


def test_a_training_run_is_the_simulated_one(folder):
    """Protects the step, the weights before the update, lr and momentum."""
    assert_same(record(folder / "plain.npz"), every=3)


def test_gathered_batches_are_one_step(folder):
    """Protects the count of steps where gradients of several batches are gathered: the same run, in halves."""
    assert_same(record(folder / "gathered.npz"), every=4)


def test_training_is_the_same_with_the_callback(folder):
    """Protects the run that is watched: the weights have the same bits without it."""
    weights = np.load(folder / "weights.npz")
    np.testing.assert_array_equal(weights["watched"], weights["alone"])


def test_a_schedule_and_nesterov_are_read(folder):
    """Protects lr of the update that follows, and the threshold of Nesterov's rule."""
    run = record(folder / "scheduled.npz")
    assert run.step.values.tolist() == [0, 2, 4, 6, 8]
    assert run.lr.values.tolist() == [0.5, 0.5, 0.5, 0.25, 0.25]  # Keras: the first rate up to its boundary
    for lr, threshold in zip(run.lr.values, run.max_stable_sharpness.values, strict=True):
        assert threshold == ss.HeavyBall(lr, 0.9, 0.9).max_stable_sharpness()


ADAPTIVE = {
    "Adam": (0.9, 0.95, False, 1e-7, 0.0, 0.02),
    "AMSGrad": (0.8, 0.9, True, 1e-7, 0.0, 0.02),
    "AdamW": (0.9, 0.95, False, 1e-7, 0.1, 0.02),
    "RMSprop": (0.5, 0.9, False, 1e-3, 0.0, 0.005),
}


@pytest.mark.parametrize("name", ADAPTIVE)
def test_preconditioners_are_those_of_dense_matrices(folder, name):
    """Protects Adam and RMSprop of Keras: their formulas in NumPy, on the explicit Hessian, at the weights it had."""
    run = np.load(folder / f"{name}.npz")
    beta, share, largest, eps, decay, lr = ADAPTIVE[name]
    square = most = np.zeros(run["weights"].shape[1])
    expected = []
    for t, w in enumerate(run["weights"]):
        square = share * square + (1 - share) * NETWORK.gradient(w) ** 2
        most = np.maximum(most, square) if largest else square
        root = np.sqrt(most + eps) if name == "RMSprop" else np.sqrt(most) + eps
        p = root if name == "RMSprop" else root * (1 - beta ** (t + 1)) / np.sqrt(1 - share ** (t + 1))
        expected.append(np.linalg.eigvalsh(NETWORK.hessian(w) / np.sqrt(np.outer(p, p)))[-1])
    np.testing.assert_allclose(run["preconditioned_sharpness"], expected, rtol=1e-3)
    gain = 1.0 if name == "RMSprop" else 1.0 - beta
    above = 2 * (1 + beta) / gain * (1 / lr - decay / 2)
    np.testing.assert_allclose(run["max_stable_sharpness"], above, rtol=1e-5)


def test_moving_statistics_are_those_of_the_step(folder):
    """Protects a loss that depends on what is not trained: S = mean of ((x − m)/√(v + ε))² at each step's m and v."""
    run = np.load(folder / "normalized.npz")
    mean, variance = run["moments"].T
    normal = (run["x"] - mean) / np.sqrt(variance + 1e-3)
    assert np.ptp((normal**2).mean(0)) > 0.1
    np.testing.assert_allclose(run["sharpness"], (normal**2).mean(0), rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"clipnorm": 1.0}, ValueError, "optimizer must leave out clipnorm, which changes its update, got 1.0"),
        ({"global_clipnorm": 1.0}, ValueError, "optimizer must leave out global_clipnorm"),
    ],
)  # fmt: skip
def test_optimizers_of_another_update_are_refused(settings, error, message):
    """Protects the threshold: it would be another one."""
    import keras

    from selfstab.records.callbacks.keras import check_optimizer

    with pytest.raises(error, match=message):
        check_optimizer(keras.optimizers.SGD(0.1, **settings))
    known = "optimizer must be one of keras.optimizers' SGD, Adam, AdamW, RMSprop, got "
    with pytest.raises(TypeError, match=known + "<keras"):
        check_optimizer(keras.optimizers.Lion())

    class Own(keras.optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            pass

    with pytest.raises(TypeError, match=known):
        check_optimizer(Own())
    check_optimizer(keras.optimizers.SGD(0.1, 0.9, nesterov=True))


def test_what_cannot_be_recorded_is_refused(monkeypatch):
    """Protects the door: arguments when the callback is made, the backend when training begins."""
    import keras

    from selfstab.records.callbacks import KerasCallback

    with pytest.raises(TypeError, match="closure must be a function of the model, got 3"):
        KerasCallback(3)
    with pytest.raises(ValueError, match="every must be"):
        KerasCallback(lambda model: 0.0, every=0)
    monkeypatch.setattr(keras, "backend", SimpleNamespace(backend=lambda: "tensorflow"))
    with pytest.raises(ValueError, match="the backend of Keras must be jax or torch, got tensorflow"):
        KerasCallback(lambda model: 0.0).on_train_begin()
