"""A recorder's rows: what log returns, and what a writer gets."""

from __future__ import annotations

import re

import numpy as np
import pytest

import selfstab as ss

CURVATURES = np.array([3.0, 1.0])


def logged(steps=range(5), **settings):
    """Return a recorder of a quadratic, every second step of which is due, and what its log returned."""
    recorder = ss.Recorder(lr=0.5, momentum=0.5, every=2, **settings)
    rows = [
        recorder.log(step, loss=float(step), hessian_vector=lambda v: CURVATURES * v, dimension=2)
        for step in steps
    ]
    return recorder, rows


@pytest.mark.parametrize("second", [False, True])
def test_log_returns_its_row(second):
    """Protects the way to a progress bar or a log of one's own: the dataset's values at that step, or None."""
    recorder, rows = logged(second=second)
    data = recorder.dataset()
    assert [rows[1], rows[3]] == [None, None]
    for row in (rows[0], rows[2], rows[4]):
        assert {*row} == {"step", *map(str, data.data_vars)}
        at = data.sel(step=row["step"])
        assert row == {"step": row["step"], **{name: float(at[name]) for name in data.data_vars}}
    assert rows[2]["sharpness"] == pytest.approx(3.0, rel=1e-9)
    assert rows[2]["max_stable_sharpness"] == 2 * 1.5 / 0.5
    rows[0].clear()  # the caller's own: the record is not changed by it
    assert recorder.dataset().equals(data)


def test_a_function_gets_names_values_and_steps():
    """Protects other libraries' logs: each value of each row once, in order."""
    calls = []
    _, rows = logged(writer=lambda *call: calls.append(call))
    assert calls == [
        (name, value, row["step"]) for row in rows if row for name, value in row.items() if name != "step"
    ]


class Scalars:
    """What TensorBoard's SummaryWriter is to a recorder."""

    def __init__(self):
        self.calls = []

    def add_scalar(self, tag, scalar_value, global_step=None):
        self.calls.append((tag, scalar_value, global_step))


def test_a_summary_writer_gets_names_with_a_prefix():
    """Protects the training loop's own scalars: "loss" and "lr" are often among them."""
    scalars = Scalars()
    _, rows = logged(writer=scalars)
    assert scalars.calls == [
        (f"selfstab/{name}", value, row["step"])
        for row in rows if row for name, value in row.items() if name != "step"
    ]  # fmt: skip


class Run:
    """What a run of Weights & Biases is to a recorder: rows are gathered until one is committed."""

    def __init__(self):
        self.step, self.row, self.history = 0, {}, []

    def log(self, data, step=None, commit=None):
        if step is not None and step > self.step:
            self.commit()
            self.step = step
        self.row |= data
        if commit or (commit is None and step is None):
            self.commit()
            self.step += 1

    def commit(self):
        if self.row:
            self.history.append(self.row)
        self.row = {}


@pytest.mark.parametrize("own", ["steps", "no steps", "nothing"])
def test_a_run_of_weights_and_biases_loses_no_row(own):
    """Protects rows that are gathered: none is replaced by the next, and the loop's own keep their steps."""
    run = Run()
    recorder = ss.Recorder(lr=0.5, momentum=0.5, every=2, writer=run)
    for step in range(9):
        recorder.log(step, loss=float(step), hessian_vector=lambda v: CURVATURES * v, dimension=2)
        if own == "steps" and step > 3:  # the loop begins to log only then
            run.log({"own": step}, step=step)
        elif own == "no steps":
            run.log({"own": step})
    run.commit()
    rows = [row for row in run.history if "selfstab/step" in row]
    assert [row["selfstab/step"] for row in rows] == [0, 2, 4, 6, 8]
    assert [row["selfstab/loss"] for row in rows] == [0.0, 2.0, 4.0, 6.0, 8.0]
    expected = {"steps": [4, 5, 6, 7, 8], "no steps": [*range(9)], "nothing": []}[own]
    assert [row["own"] for row in run.history if "own" in row] == expected


@pytest.mark.parametrize("writer", [3, "run", object(), Scalars, {}, np.array(1.0)])
def test_other_writers_are_refused(writer):
    """Protects the door: before anything is recorded, in one line."""
    message = "writer must be a SummaryWriter of TensorBoard, a run of Weights & Biases or a function of name"
    with pytest.raises(TypeError, match=re.escape(message)) as error:
        ss.Recorder(writer=writer)
    assert "\n" not in str(error.value)
