"""The sharpness along a training run of Lightning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selfstab import validation
from selfstab.records.recording.recorder import Recorder
from selfstab.records.recording.writers import PREFIX

try:
    from lightning.pytorch import Callback
except ImportError:
    try:
        from pytorch_lightning import Callback
    except ImportError:  # then the class can be read, but not used
        Callback = object

STRATEGIES = ("SingleDeviceStrategy", "DDPStrategy")
"""Strategies of Lightning that keep the whole model in each process."""


class LightningCallback(Callback):
    """Records the sharpness before each update of a Lightning training run.

    The record is in :attr:`recorder`, and in each logger of the trainer under names that begin with ``selfstab/``. It
    is saved in checkpoints, and goes on where training is resumed from one.

    Parameters
    ----------
    closure
        Module → L, a scalar tensor: the loss on data that do not change.
    **settings
        Of :class:`selfstab.Recorder`: every, tolerance, second, writer.

    Attributes
    ----------
    recorder
        The :class:`selfstab.Recorder` of the last call of ``fit``; None before the first.

    Raises
    ------
    ImportError
        If Lightning is not installed.
    TypeError, ValueError
        If an argument is of the wrong kind or range; when training begins, if the trainer has several optimizers or
        shards the model.

    Examples
    --------
    >>> import torch
    >>> import lightning
    >>> from selfstab.records.callbacks import LightningCallback
    >>> class Line(lightning.LightningModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.slope = torch.nn.Parameter(torch.ones(1))
    ...     def training_step(self, batch, index):
    ...         return (self.slope * batch - 1).square().mean() / 2
    ...     def configure_optimizers(self):
    ...         return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
    >>> data = torch.tensor([[1.0], [2.0]])                       # L'' = (1 + 4)/2
    >>> callback = LightningCallback(lambda line: line.training_step(data, 0), every=3)
    >>> trainer = lightning.Trainer(
    ...     callbacks=[callback], max_epochs=7, accelerator="cpu", logger=False,
    ...     enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    >>> trainer.fit(Line(), torch.utils.data.DataLoader(data, batch_size=2))
    >>> run = callback.recorder.dataset()
    >>> run.step.values, run.sharpness.values
    (array([0, 3, 6]), array([2.5, 2.5, 2.5]))
    """

    def __init__(self, closure: Callable[[Any], Any], **settings: Any) -> None:
        if Callback is object:
            raise ImportError("LightningCallback needs Lightning: pip install lightning")
        if not callable(closure):
            raise TypeError(f"closure must be a function of the module, got {validation.shown(closure)}")
        Recorder(**settings)  # so that a wrong setting is an error now, not when training begins
        self.closure, self.settings = closure, settings
        self.recorder: Recorder | None = None
        self._resumed: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of the record, in numbers and tensors."""
        return {} if self.recorder is None else self.recorder.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what a checkpoint keeps, for the run that is about to begin."""
        self._resumed = dict(state_dict)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the recorder of the run that begins."""
        if len(trainer.optimizers) != 1:
            raise ValueError(f"trainer must have one optimizer, got {len(trainer.optimizers)}")
        kinds = [kind.__name__ for kind in type(trainer.strategy).__mro__]
        if not {*STRATEGIES} & {*kinds}:
            raise ValueError(
                f"trainer must keep the whole model in each process, as {' or '.join(STRATEGIES)} does, got {kinds[0]}"
            )
        self.recorder = Recorder.for_torch(
            pl_module.parameters(), lambda: self.closure(pl_module), trainer.optimizers[0], **self.settings
        )

        if self._resumed:
            self.recorder.load_state_dict(self._resumed)
        self._resumed = None

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Record the weights that are about to be updated."""
        step = trainer.global_step
        if self.recorder is None or not trainer.is_global_zero:
            return
        row = self.recorder.log(step)
        if row is not None:
            values = {PREFIX + name: value for name, value in row.items() if name != "step"}
            for logger in trainer.loggers:
                logger.log_metrics(values, step=step)
