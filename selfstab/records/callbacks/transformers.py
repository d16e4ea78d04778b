"""The sharpness along a training run of Hugging Face's Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selfstab import validation
from selfstab.records.recording.recorder import Recorder
from selfstab.records.recording.writers import PREFIX

try:
    from transformers import TrainerCallback
except ImportError:  # then the class can be read, but not used
    TrainerCallback = object


class TransformersCallback(TrainerCallback):
    """Records the sharpness before each update of Hugging Face's Trainer.

    The record is in :attr:`recorder`, and in the trainer's ``state.log_history`` under names that begin with
    ``selfstab/``. So it is in the file ``trainer_state.json`` of a checkpoint, too.

    Parameters
    ----------
    closure
        Model → L, a scalar tensor: the loss on data that do not change, such as
        ``lambda model: model(**batch).loss``.
    **settings
        Of :class:`selfstab.Recorder`: every, tolerance, second, writer.

    Attributes
    ----------
    recorder
        The :class:`selfstab.Recorder` of the last call of ``train``; None before the first.

    Raises
    ------
    ImportError
        If Transformers is not installed.
    TypeError, ValueError
        If an argument is of the wrong kind or range; when training begins, if the model is sharded.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> import transformers
    >>> from selfstab.records.callbacks import TransformersCallback
    >>> class Line(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.slope = torch.nn.Parameter(torch.ones(1))
    ...     def forward(self, x):
    ...         return {"loss": (self.slope * x - 1).square().mean() / 2}
    >>> x = torch.tensor([1.0, 2.0])                              # L'' = (1 + 4)/2
    >>> callback = TransformersCallback(lambda line: line(x)["loss"], every=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     arguments = transformers.TrainingArguments(
    ...         folder, optim="sgd", learning_rate=0.1, max_steps=7, use_cpu=True, report_to=[], save_strategy="no",
    ...         logging_strategy="no", disable_tqdm=True)
    ...     trainer = transformers.Trainer(
    ...         Line(), arguments, train_dataset=[{"x": 1.0}, {"x": 2.0}], callbacks=[callback])
    ...     trainer.remove_callback(transformers.PrinterCallback)
    ...     done = trainer.train()
    >>> run = callback.recorder.dataset()
    >>> run.step.values, run.sharpness.values
    (array([0, 3, 6]), array([2.5, 2.5, 2.5]))
    """

    def __init__(self, closure: Callable[[Any], Any], **settings: Any) -> None:
        if TrainerCallback is object:
            raise ImportError(
                "TransformersCallback needs Transformers: pip install transformers accelerate torch"
            )
        if not callable(closure):
            raise TypeError(f"closure must be a function of the model, got {validation.shown(closure)}")
        Recorder(**settings)  # so that a wrong setting is an error now, not when training begins
        self.closure, self.settings = closure, settings
        self.recorder: Recorder | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Make the recorder of the run that begins."""
        sharded = [name for name in ("fsdp", "deepspeed") if getattr(args, name, None)]
        if sharded:
            raise ValueError(f"args must keep the whole model in each process, without {sharded[0]}")
        self.recorder = None

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Record the weights that are about to be updated."""
        if not state.is_world_process_zero:
            return
        model, optimizer = parts["model"], parts["optimizer"]
        if self.recorder is None:
            optimizer = getattr(optimizer, "optimizer", optimizer)  # what Accelerate has wrapped
            self.recorder = Recorder.for_torch(
                model.parameters(), lambda: self.closure(model), optimizer, **self.settings
            )
        row = self.recorder.log(state.global_step)
        if row is not None:
            values = {PREFIX + name: value for name, value in row.items() if name != "step"}
            state.log_history.append({"step": row["step"], **values})
