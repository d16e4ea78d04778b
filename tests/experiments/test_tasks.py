"""What is trained: data held out, starts, scores against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from selfstab import datasets
from selfstab.experiments import MNIST, Digits, LossTask, Setting, SparseRegression, compare
from selfstab.experiments.tasks import accuracy, outputs


def test_held_out_digits_follow_those_trained_on():
    """Protects the split: the next images, shifted by the mean of those trained on."""
    trial = Digits((4,), "onehot", samples=60, held_out=40).trial(3, 1.0)
    raw = load_digits()
    assert np.array_equal(trial.loss.inputs, datasets.digits(60)[0])
    expected = raw.data[60:100] / 16 - raw.data[:60].mean(axis=0) / 16
    assert np.allclose(trial.held_out.inputs, expected, rtol=0, atol=1e-14)
    assert np.array_equal(trial.held_out.targets.argmax(axis=1), raw.target[60:100])
    assert np.array_equal(trial.start, trial.loss.initial_weights(seed=3))


def test_held_out_regression_has_the_same_solution():
    """Protects the test loss: other inputs, the same sparse regressor, of loss 0 there."""
    trial = SparseRegression(samples=5, features=7, nonzeros=2, held_out=30).trial(1, 0.3)
    assert trial.held_out.inputs.shape == (30, 7)
    assert not np.isin(trial.held_out.inputs, trial.loss.inputs).any()
    solution = np.concatenate([np.sqrt(trial.sparse), np.zeros(7)])
    scores = trial.scores(np.array([solution, trial.start]))
    assert np.allclose(scores["test_loss"][0], 0.0, atol=1e-30)
    assert scores["distance"] == pytest.approx([0.0, np.sqrt(2.0)])
    # u = v: the regressor is 0, and the loss that of the targets.
    assert scores["test_loss"][1] == pytest.approx((trial.held_out.targets**2).mean() / 4)


@pytest.mark.parametrize(
    "task",
    [Digits((5, 3), "parity", 30, 20), Digits((5,), "onehot", 30, 20), MNIST((3,), "parity", 30, 20, pool=7)],
)
def test_outputs_give_the_loss_and_the_accuracy(task):
    """Protects the accuracy's network: its outputs have the mean squared error that the loss says."""
    trial = task.trial(0, 1.5)
    network = trial.held_out
    found = outputs(network, trial.start)
    assert 0.5 * ((found - network.targets) ** 2).sum(axis=1).mean() == pytest.approx(
        network.value(trial.start)
    )
    right = [
        (row[0] > 0) == (target[0] > 0) if len(row) == 1 else row.argmax() == target.argmax()
        for row, target in zip(found, network.targets, strict=True)
    ]
    assert accuracy(network, trial.start) == pytest.approx(np.mean(right))


def test_nothing_held_out_is_refused():
    """Protects the test loss from an empty mean."""
    with pytest.raises(ValueError, match="held_out must be an integer >= 1"):
        Digits((4,), samples=20, held_out=0).trial(0, 1.0)


@pytest.mark.parametrize("task", [Digits, MNIST])
@pytest.mark.parametrize("target", ["label", "foo"])
def test_a_target_that_is_none_is_named(task, target):
    """Protects the door: what a network may learn of the digits."""
    with pytest.raises(ValueError, match=f"target must be one of parity, onehot, labels, got '{target}'"):
        task(target=target)


def test_a_loss_of_ones_own_is_compared_like_a_task():
    """Protects who brings a network and data: the runs of the task that has the same loss, start and held-out data."""
    task = SparseRegression(samples=6, features=8, nonzeros=2, held_out=20)
    setting = Setting(threshold=3.0, momentum=0.5, warmup=20, steps=40, scale=0.3, records=8, seeds=(0,))
    trial = task.trial(0, 0.3)
    expected = compare(task, setting, threads=1)
    own = compare(LossTask(trial.loss, trial.held_out), setting, threads=1)
    alone = compare(trial.loss, setting, threads=1)
    for name in ("sharpness", "loss"):
        assert np.array_equal(own[name], expected[name], equal_nan=True)
        assert np.array_equal(alone[name], expected[name], equal_nan=True)
    assert np.array_equal(own.test_loss, expected.test_loss, equal_nan=True)
    assert "test_loss" not in alone
    with pytest.raises(TypeError, match="held_out must be a Loss such as an MLP, got 3"):
        LossTask(trial.loss, 3)
    with pytest.raises(TypeError, match="task must be a loss or have a method trial"):
        compare(3, setting)
