"""Writers of the real libraries: what TensorBoard and Weights & Biases keep is the recorder's dataset."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

import selfstab as ss
from tests.records.recording.test_writers import CURVATURES

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore")]


def recorded(writer, after=lambda step: None):
    """Return the dataset of a run on a quadratic whose curvatures grow."""
    recorder = ss.Recorder(lr=0.5, momentum=0.5, every=3, writer=writer)
    for step in range(10):
        recorder.log(
            step,
            loss=1.0 / (1 + step),
            hessian_vector=lambda v, k=step: (1 + k) * CURVATURES * v,
            dimension=2,
        )
        after(step)
    return recorder.dataset()


def test_tensorboards_writer(tmp_path):
    """Protects the tags and steps in a real event file, read by TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        data = recorded(writer, lambda step: writer.add_scalar("loss", -1.0, step))
    events = EventAccumulator(str(tmp_path)).Reload()
    assert {*events.Tags()["scalars"]} == {"loss", *(f"selfstab/{name}" for name in data.data_vars)}
    for name in data.data_vars:
        scalars = events.Scalars(f"selfstab/{name}")
        assert [scalar.step for scalar in scalars] == data.step.values.tolist()
        np.testing.assert_allclose([scalar.value for scalar in scalars], data[name], rtol=1e-6)  # float32


@pytest.mark.parametrize("own", ["steps", "no steps", "nothing"])
def test_a_run_of_weights_and_biases(own, tmp_path, monkeypatch):
    """Protects what a real run keeps, without network: every row, and the loop's own values at their steps."""
    import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    logs = {
        "steps": lambda step: run.log({"loss": -step}, step=step),
        "no steps": lambda step: run.log({"loss": -step}),
        "nothing": lambda step: None,
    }
    with wandb.init(mode="offline", dir=tmp_path, project="selfstab") as run:
        data = recorded(run, logs[own])
    wandb.teardown()  # waits for the process that writes the file
    rows = history(next(tmp_path.rglob("*.wandb")))
    kept = [row for row in rows if "selfstab/step" in row]
    assert [row["selfstab/step"] for row in kept] == data.step.values.tolist()
    for name in data.data_vars:
        np.testing.assert_allclose([row[f"selfstab/{name}"] for row in kept], data[name], rtol=1e-12)
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses == ([] if own == "nothing" else [-step for step in range(10)])
    if own == "steps":
        assert [row["_step"] for row in rows if "loss" in row] == [*range(10)]


def history(path):
    """Return the rows of a run's file: LevelDB's log format, here of whole records in the first block."""
    from wandb.proto import wandb_internal_pb2

    content, rows = path.read_bytes(), []
    assert len(content) < 32768
    place = 7  # behind the file's own header
    while place < len(content):
        size, kind = struct.unpack_from("<HB", content, place + 4)
        assert kind == 1
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content[place + 7 : place + 7 + size])
        place += 7 + size
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append(
                {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
            )
    return rows
