"""A recorder of optimizers other than heavy ball: loops by hand and of JAX equal the simulated run."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import selfstab as ss
from tests.records.small_network import INPUTS, NETWORK, START, TARGETS

jax.config.update("jax_enable_x64", True)

ADAM = ss.Adam(ss.LinearWarmup(0.005, 0.02, 20), beta1=0.9, beta2=0.97)
STEPS = 24


@pytest.fixture(scope="module")
def run():
    """Return the simulated run."""
    keep = ("loss", "sharpness", "preconditioned_sharpness", "preconditioner", "weights")
    return ss.simulate(NETWORK, ADAM, START, STEPS, keep=keep)


def by_hand(run, **settings):
    recorder = ss.Recorder(optimizer=ADAM, **settings)
    for t, (w, p) in enumerate(zip(run.weights.values, run.preconditioner.values, strict=True)):
        recorder.log(
            t, loss=NETWORK.value(w), dimension=w.size, preconditioner=p,
            hessian_vector=lambda v, w=w: NETWORK.hessian_vector(w, v),
        )  # fmt: skip
    return recorder


def test_a_loop_by_hand_with_a_preconditioner_equals_the_simulated_run(run):
    """Protects Recorder(optimizer=...): lr of its schedule, S* of Adam, both sharpnesses."""
    data = by_hand(run, second=True).dataset()
    for name in ("loss", "sharpness", "preconditioned_sharpness", "lr", "max_stable_sharpness"):
        np.testing.assert_allclose(data[name], run[name], rtol=1e-9)
    p = run.preconditioner.values[-1]
    matrix = NETWORK.hessian(run.weights.values[-1]) / np.sqrt(np.outer(p, p))
    second = np.linalg.eigvalsh(matrix)[-2]
    assert float(data.second_preconditioned_sharpness[-1]) == pytest.approx(second, rel=1e-9)
    settings = json.loads(data.attrs["optimizer"])
    assert (settings["name"], settings["lr"]) == ("Adam", {"schedule": "as recorded"})


@pytest.mark.parametrize("suffix", ["csv", "nc", "npz", "zarr"])
def test_what_is_saved_is_analyzed_as_the_run(run, tmp_path, suffix):
    """Protects files of every format, of which text has no attributes: threshold and excess are Adam's."""
    path = tmp_path / f"run.{suffix}"
    by_hand(run).save(path)
    seen, expected = ss.analyze(path), ss.analyze(run)
    for name in ("excess_sharpness", "max_stable_sharpness", "preconditioned_sharpness", "momentum"):
        np.testing.assert_allclose(seen[name], expected[name], rtol=1e-6)


def jax_loss(w, rows=slice(None)):
    w1, b1, w2, b2 = jnp.split(w, np.array([56, 63, 70]))
    outputs = jnp.tanh(jnp.asarray(INPUTS)[rows] @ w1.reshape(8, 7) + b1) @ w2[:, None] + b2
    return jnp.mean((outputs - jnp.asarray(TARGETS)[rows]) ** 2) / 2


def test_a_jax_loop_of_an_optimizer_of_ours(run):
    """Protects for_jax with a selfstab Optimizer, whose preconditioner the loop says."""
    recorder = ss.Recorder.for_jax(jax_loss, optimizer=ADAM)
    for t in (0, STEPS):
        recorder.log(t, jnp.array(run.weights.values[t]), preconditioner=run.preconditioner.values[t])
    data, ends = recorder.dataset(), run.isel(step=[0, -1])
    for name in ("sharpness", "preconditioned_sharpness", "lr", "max_stable_sharpness"):
        np.testing.assert_allclose(data[name], ends[name], rtol=1e-8)


def test_batch_sharpness_of_a_jax_loop_is_that_of_a_sample_mean():
    """Protects E gᵀHg/E gᵀg and its error: batches of one sample each, against the observable of the same network."""
    recorder = ss.Recorder.for_jax(
        jax_loss, lr=0.1, clipping=0.3,
        batch_loss=lambda w, row: jax_loss(w, row[None]), batches=lambda: np.arange(len(INPUTS)),
    )  # fmt: skip
    recorder.log(0, jnp.array(START))
    row = recorder.dataset().isel(step=0)
    expected = ss.observables.batch_sharpness(NETWORK, START, size=1)
    assert float(row.batch_sharpness) == pytest.approx(float(expected.batch_sharpness[0]), rel=1e-9)
    assert 0 < float(row.batch_sharpness_error) < float(row.batch_sharpness)
    norm = np.linalg.norm(NETWORK.gradient(START))
    assert float(row.clipping_factor) == pytest.approx(min(1.0, 0.3 / norm), rel=1e-5)


def test_settings_that_do_not_go_together_are_named():
    """Protects the doors: what is missing or too much is said before anything is recorded."""
    products = {"loss": 1.0, "hessian_vector": lambda v: v, "dimension": 2}
    for arguments, message in (
        ({"optimizer": ADAM, "lr": 0.1}, "lr, momentum and lookahead must be left out beside optimizer"),
        ({"clipping": 0.0}, "clipping must be"),
    ):
        with pytest.raises(ValueError, match=message):
            ss.Recorder(**arguments)
    with pytest.raises(TypeError, match="optimizer must be one of selfstab's, such as"):
        ss.Recorder(optimizer="Adam")
    for settings, more, message in (
        ({"optimizer": ADAM}, {}, "preconditioner must be given to log: the threshold of Adam"),
        (
            {"optimizer": ADAM},
            {"preconditioner": [1.0]},
            "preconditioner must be one number for each of 2 weights, got 1",
        ),
        ({"optimizer": ADAM}, {"preconditioner": [1.0, 1.0], "momentum": 0.5}, "momentum must be left out"),
        ({"lr": 0.1}, {"preconditioner": [1.0, 1.0]}, "preconditioner must be left out"),
        ({"lr": 0.1}, {"state": ()}, "state must be left out"),
        (
            {"lr": 0.1, "clipping": 1.0},
            {},
            "clipping must be left out of a recorder that is given products only",
        ),
    ):
        recorder = ss.Recorder(**settings)
        with pytest.raises(ValueError, match=message):
            recorder.log(0, **products, **more)
        assert recorder.dataset().sizes["step"] == 0
    with pytest.raises(
        TypeError, match="batches must be a list, a data loader, or a function that returns batches"
    ):
        ss.Recorder.for_jax(jax_loss, lr=0.1, batch_loss=jax_loss, batches=iter([1]))
    with pytest.raises(TypeError, match="batch_loss must be a function of a batch, got None"):
        ss.Recorder.for_jax(jax_loss, lr=0.1, batches=[1])
    with pytest.raises(TypeError, match="optimizer must be a transformation of Optax"):
        ss.Recorder.for_jax(jax_loss, optimizer="adam")
