"""The callback of Hugging Face's Trainer: what it records is the simulated run."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from selfstab.records.recording.writers import PREFIX
from tests.integrations.torch_network import network
from tests.records.small_network import LR, MOMENTUM, assert_same_record, simulated

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore")]


def trained(folder, *callbacks, gathered=1, steps=61, **settings):
    """Train the small network on all data and return the trainer."""
    import torch
    import transformers

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model, self.inputs, self.targets = network()

        def forward(self, inputs, targets):
            return {"loss": ((self.model(inputs) - targets) ** 2).mean() / 2}

    model = Network()
    samples = [{"inputs": x, "targets": y} for x, y in zip(model.inputs, model.targets, strict=True)]
    arguments = transformers.TrainingArguments(
        str(folder), max_steps=steps, per_device_train_batch_size=20 // gathered, gradient_accumulation_steps=gathered,
        lr_scheduler_type="constant", use_cpu=True, report_to=[], disable_tqdm=True, max_grad_norm=0.0,
        **{"save_strategy": "no", **settings},
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    trainer = transformers.Trainer(
        model, arguments, train_dataset=samples, callbacks=[*callbacks], optimizers=(optimizer, None)
    )
    trainer.train()
    return trainer


def closure(model):
    return model(model.inputs, model.targets)["loss"]


def test_a_training_run_is_the_simulated_one(tmp_path):
    """Protects the step, the weights before the update, lr and momentum; and the trainer's own log, as it is saved."""
    from selfstab.records.callbacks import TransformersCallback

    callback = TransformersCallback(closure, every=3, tolerance=1e-10)
    trained(tmp_path, callback, save_strategy="steps", save_steps=61)
    record = callback.recorder.dataset()
    assert_same_record(record, simulated(every=3))
    saved = json.loads(next(tmp_path.rglob("trainer_state.json")).read_text(encoding="utf-8"))
    rows = [row for row in saved["log_history"] if f"{PREFIX}sharpness" in row]
    assert [row["step"] for row in rows] == record.step.values.tolist()
    np.testing.assert_allclose([row[f"{PREFIX}sharpness"] for row in rows], record.sharpness, rtol=1e-12)


def test_gathered_batches_are_one_step(tmp_path):
    """Protects the count of steps where gradients of several batches are gathered: the same run, in halves."""
    from selfstab.records.callbacks import TransformersCallback

    callback = TransformersCallback(closure, every=4, tolerance=1e-10)
    trained(tmp_path, callback, gathered=2)
    assert_same_record(callback.recorder.dataset(), simulated(every=4))


def test_training_is_the_same_with_the_callback(tmp_path):
    """Protects the run that is watched: the weights have the same bits without it."""
    import torch

    from selfstab.records.callbacks import TransformersCallback

    watched = trained(tmp_path, TransformersCallback(closure), steps=5).model
    alone = trained(tmp_path, steps=5).model
    for first, second in zip(watched.parameters(), alone.parameters(), strict=True):
        assert torch.equal(first, second)


def test_what_cannot_be_recorded_is_refused():
    """Protects the door: arguments when the callback is made, a sharded model when training begins."""
    from selfstab.records.callbacks import TransformersCallback

    with pytest.raises(TypeError, match="closure must be a function of the model, got 3"):
        TransformersCallback(3)
    with pytest.raises(ValueError, match="every must be"):
        TransformersCallback(closure, every=0)
    sharded = SimpleNamespace(fsdp=[], deepspeed="settings.json")
    with pytest.raises(ValueError, match="args must keep the whole model in each process, without deepspeed"):
        TransformersCallback(closure).on_train_begin(sharded, None, None)
