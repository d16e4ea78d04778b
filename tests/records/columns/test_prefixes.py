"""Columns that share the prefix of the sharpness, as the library's callbacks for training loops name them."""

from __future__ import annotations

import json

import numpy as np
import pytest

import selfstab as ss
from selfstab.records.columns.columns import columns_of
from selfstab.records.formats import Table

NAN = float("nan")


def names(columns, **own):
    """Return the names of a table's columns by role."""
    return columns_of(Table(columns), own, momentum=0.9, lr=None if "lr" in str(columns) else 0.1).names


@pytest.mark.parametrize("other", ["loss", "train_loss"])
def test_the_loss_and_lr_recorded_with_the_sharpness_go_first(other):
    """A trainer's own loss may be a mean, of fewer rows, or that of the weights before."""
    columns = {
        "step": [0, 1, 2, 3],
        other: [NAN, 3.0, NAN, NAN],
        "learning_rate": [NAN, 0.2, 0.2, 0.2],
        "selfstab/sharpness": [1.0, NAN, 1.0, 1.0],
        "selfstab/loss": [9.0, NAN, 8.0, 7.0],
        "selfstab/lr": [0.1, NAN, 0.1, 0.1],
    }
    roles = names(columns)
    assert (roles["loss"], roles["lr"]) == ("selfstab/loss", "selfstab/lr")
    assert names(columns, loss=other)["loss"] == other  # the user's choice stands


def test_a_column_with_the_prefix_that_holds_other_rows_does_not_go_first():
    """One that is empty where the sharpness stands was not recorded with it."""
    columns = {
        "step": [0, 1, 2, 3],
        "loss": [4.0, 3.0, 2.0, 1.0],
        "a/sharpness": [1.0, 1.0, 1.0, NAN],
        "a/loss": [NAN, NAN, NAN, 1.0],
    }
    assert names(columns)["loss"] == "loss"


def test_a_trainers_log_with_the_callbacks_rows_is_read_by_these(tmp_path):
    """In the first row there is no learning_rate of Trainer's; its loss stands one step late."""
    history = []
    for step in range(12):
        history.append(
            {
                "step": step,
                "selfstab/sharpness": 1.0 + step,
                "selfstab/loss": 0.5**step,
                "selfstab/lr": 0.1 - step / 200,
            }
        )
        history.append({"step": step + 1, "loss": 0.5**step, "learning_rate": 0.1 - (step + 1) / 200})
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": history, "logging_steps": 5}), encoding="utf-8")
    data = ss.analyze(path, momentum=0.0)
    np.testing.assert_array_equal(data["loss"].values[:12], 0.5 ** np.arange(12))
    np.testing.assert_allclose(data["lr"].values[:12], 0.1 - np.arange(12) / 200)
    assert "mean of the last" not in data.attrs["notes"]
