"""The callback of Lightning: what it records is the simulated run, under either name of the library."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from selfstab.records.recording.writers import PREFIX
from tests.integrations.torch_network import network
from tests.records.small_network import LR, MOMENTUM, assert_same_record, simulated

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore")]

LIBRARIES = ("lightning.pytorch", "pytorch_lightning")
QUIET = {"accelerator": "cpu", "enable_checkpointing": False, "enable_progress_bar": False,
         "enable_model_summary": False}  # fmt: skip


def module_of(library, optimizers=1, **sgd):
    """Return the small network as a module of Lightning."""
    import torch

    class Network(library.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.inputs, self.targets = network()

        def closure(self):
            return ((self.model(self.inputs) - self.targets) ** 2).mean() / 2

        def training_step(self, batch, index):
            inputs, targets = batch
            return ((self.model(inputs) - targets) ** 2).mean() / 2

        def configure_optimizers(self):
            all_of_them = [torch.optim.SGD(self.parameters(), lr=LR, **sgd) for _ in range(optimizers)]
            return all_of_them if optimizers > 1 else all_of_them[0]

    return Network()


def fitted(library, *callbacks, batches=1, steps=61, **settings):
    """Train the small network on all data, in as many batches as given, and return its module."""
    import torch

    module = module_of(library, momentum=MOMENTUM)
    data = torch.utils.data.TensorDataset(module.inputs, module.targets)
    loader = torch.utils.data.DataLoader(data, batch_size=20 // batches)
    settings = {"logger": False, **settings}
    library.Trainer(callbacks=[*callbacks], max_steps=steps, max_epochs=-1, **QUIET, **settings).fit(
        module, loader
    )
    return module


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_training_run_is_the_simulated_one(name, tmp_path):
    """Protects the step, the weights before the update, lr and momentum; and what the trainer's logger gets."""
    from selfstab.records.callbacks import LightningCallback

    library = importlib.import_module(name)
    logger = importlib.import_module(f"{name}.loggers").CSVLogger(tmp_path)
    callback = LightningCallback(lambda module: module.closure(), every=3, tolerance=1e-10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted(library, callback, logger=logger)
    assert not [warning for warning in caught if "selfstab" in warning.filename]
    record = callback.recorder.dataset()
    assert_same_record(record, simulated(every=3))
    rows = pd.read_csv(next(tmp_path.rglob("metrics.csv"))).dropna(subset=[f"{PREFIX}sharpness"])
    np.testing.assert_array_equal(rows.step, record.step)
    np.testing.assert_allclose(rows[f"{PREFIX}sharpness"], record.sharpness, rtol=1e-12)
    np.testing.assert_allclose(rows[f"{PREFIX}max_stable_sharpness"], record.max_stable_sharpness, rtol=1e-12)


def test_gathered_batches_are_one_step():
    """Protects the count of steps where gradients of several batches are gathered: the same run, in halves."""
    import lightning.pytorch as library

    from selfstab.records.callbacks import LightningCallback

    callback = LightningCallback(lambda module: module.closure(), every=4, tolerance=1e-10)
    fitted(library, callback, batches=2, accumulate_grad_batches=2)
    assert_same_record(callback.recorder.dataset(), simulated(every=4))


def test_training_is_the_same_with_the_callback():
    """Protects the run that is watched: the weights have the same bits without it."""
    import lightning.pytorch as library
    import torch

    from selfstab.records.callbacks import LightningCallback

    watched = fitted(library, LightningCallback(lambda module: module.closure()), steps=5)
    alone = fitted(library, steps=5)
    for first, second in zip(watched.parameters(), alone.parameters(), strict=True):
        assert torch.equal(first, second)


def test_a_second_call_of_fit_begins_a_new_record():
    """Protects who uses one callback twice."""
    import lightning.pytorch as library

    from selfstab.records.callbacks import LightningCallback

    callback = LightningCallback(lambda module: module.closure())
    for steps in (3, 2):
        fitted(library, callback, steps=steps)
        assert callback.recorder.dataset().step.values.tolist() == [*range(steps)]


def test_a_resumed_run_goes_on_with_its_record(tmp_path):
    """Protects runs in several parts: a checkpoint, loaded as safely as Lightning loads, holds the record."""
    import lightning.pytorch as library
    import torch

    from selfstab.records.callbacks import LightningCallback

    def trained(steps, path=None):
        callback = LightningCallback(lambda module: module.closure(), every=3, tolerance=1e-10)
        module = module_of(library, momentum=MOMENTUM)
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(module.inputs, module.targets), batch_size=20
        )
        trainer = library.Trainer(callbacks=[callback], max_steps=steps, max_epochs=-1, logger=False, **QUIET)
        trainer.fit(module, loader, ckpt_path=path, weights_only=True)
        return callback, trainer

    _, first = trained(31)
    first.save_checkpoint(tmp_path / "part.ckpt")
    callback, _ = trained(61, tmp_path / "part.ckpt")
    assert_same_record(callback.recorder.dataset(), simulated(every=3))


def test_the_first_of_two_processes_records(tmp_path):
    """Protects a run with DDP: the record is that of one process on all data, and no process waits for ever."""
    path = tmp_path / "run.npz"
    done = subprocess.run(
        [sys.executable, "-m", "tests.integrations.lightning_training", str(path)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run, exact = np.load(path), simulated(steps=30, every=3)
    np.testing.assert_array_equal(run["step"], exact.step)
    np.testing.assert_allclose(run["sharpness"], exact.sharpness, rtol=1e-9)


def test_what_cannot_be_recorded_is_refused():
    """Protects the door: arguments when the callback is made, the trainer when training begins."""
    import lightning.pytorch as library
    import torch

    from selfstab.records.callbacks import LightningCallback

    with pytest.raises(TypeError, match="closure must be a function of the module, got 3"):
        LightningCallback(3)
    with pytest.raises(ValueError, match="every must be"):
        LightningCallback(lambda module: module.closure(), every=0)
    callback = LightningCallback(lambda module: module.closure())
    module = module_of(library, optimizers=2)
    module.automatic_optimization = False
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(module.inputs, module.targets))
    with pytest.raises(ValueError, match="trainer must have one optimizer, got 2"):
        library.Trainer(callbacks=[callback], max_steps=1, logger=False, **QUIET).fit(module, loader)

    class Sharded:
        optimizers, strategy = (None,), object()

    with pytest.raises(ValueError, match="as SingleDeviceStrategy or DDPStrategy does, got object"):
        callback.on_train_start(Sharded(), module)
