"""The sharpness along a training run of Keras, on JAX or PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.losses.functions import torch_evaluation
from selfstab.records.recording.recorder import Recorder
from selfstab.records.recording.tracker import TOLERANCES
from selfstab.records.recording.training_optimizers import OptimizerReading
from selfstab.records.recording.training_optimizers.keras import check_optimizer, read_optimizer

try:
    from keras.callbacks import Callback
except ImportError:  # then the class can be read, but not used
    Callback = object

BACKENDS: Final = ("jax", "torch")
"""Backends of Keras that give second derivatives of a model in training."""


class KerasCallback(Callback):
    """Records the sharpness before each update of a Keras model, with JAX or PyTorch as its backend.

    The record is in :attr:`recorder`. The optimizer must be one of ``keras.optimizers``: SGD, Adam, AdamW or RMSprop.
    The threshold of the last three is of the preconditioned sharpness, with the gradient of `closure`.

    Parameters
    ----------
    closure
        Model → L, a scalar tensor: the loss on data that do not change, of operations of Keras or of its backend.
        Call the model with ``training=False`` where that matters.
    **settings
        Of :class:`selfstab.Recorder`: every, tolerance, second, writer.

    Attributes
    ----------
    recorder
        The :class:`selfstab.Recorder` of the last call of ``fit``; None before the first.

    Raises
    ------
    ImportError
        If Keras is not installed.
    TypeError, ValueError
        If an argument is of the wrong kind or range; when training begins, if the backend or the optimizer is another.

    Examples
    --------
    >>> import keras
    >>> import numpy as np
    >>> from selfstab.records.callbacks import KerasCallback
    >>> x, y = np.array([[1.0], [2.0]]), np.ones((2, 1))          # L'' = (1 + 4)/2
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss="mse")
    >>> callback = KerasCallback(lambda model: keras.losses.MeanSquaredError()(y, model(x)) / 2, every=3)
    >>> history = model.fit(x, y, batch_size=2, epochs=7, verbose=0, callbacks=[callback])
    >>> run = callback.recorder.dataset()
    >>> run.step.values, run.sharpness.values
    (array([0, 3, 6]), array([2.5, 2.5, 2.5]))
    """

    def __init__(self, closure: Callable[[Any], Any], **settings: Any) -> None:
        if Callback is object:
            raise ImportError("KerasCallback needs Keras: pip install keras, and JAX or PyTorch")
        if not callable(closure):
            raise TypeError(f"closure must be a function of the model, got {validation.shown(closure)}")
        super().__init__()
        Recorder(**settings)  # so that a wrong setting is an error now, not when training begins
        self.closure, self.settings = closure, settings
        self.recorder: Recorder | None = None
        self._batches = self._first = 0
        self._reading: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Make the recorder of the run that begins."""
        import keras

        backend = keras.backend.backend()
        if backend not in BACKENDS:
            raise ValueError(f"the backend of Keras must be {' or '.join(BACKENDS)}, got {backend}")
        model = self.model
        check_optimizer(model.optimizer)
        self._batches = int(model.optimizer.iterations) * _accumulated(model.optimizer)
        reading = _TorchModel if backend == "torch" else _JaxModel
        self._reading = reading(model, self.closure, self.settings)
        self.recorder = self._reading.recorder

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Record the weights that are about to be updated."""
        self._first = batch
        updates, gathered = divmod(self._batches, _accumulated(self._model.optimizer))
        # self.model makes JAX's state whole again, which takes time: only where it is needed.
        if not gathered and self.recorder is not None and self.recorder.due(updates):
            self._reading.log(updates, self.model)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the batches that the model's training function took in one call."""
        self._batches += batch - self._first + 1


def _accumulated(optimizer: Any) -> int:
    """Return the number of batches of one update."""
    return int(optimizer.gradient_accumulation_steps or 1)


class _TorchModel:
    """A Keras model on PyTorch, as :meth:`Recorder.for_torch` takes it."""

    def __init__(self, model: Any, closure: Callable[[Any], Any], settings: dict[str, Any]) -> None:
        import torch

        self.model, self.closure = model, closure
        # An optimizer that makes no step: Keras's own says what is recorded.
        weights = [variable.value for variable in model.trainable_variables]
        stand_in = torch.optim.SGD(weights, lr=0.0)
        self.recorder = Recorder.for_torch(weights, lambda: closure(model), stand_in, **settings)
        self.recorder._optimizer_at = self.optimizer

    def optimizer(self, *_: Any) -> OptimizerReading:
        """Return what Keras's optimizer does at this step."""
        import torch

        variables, gradients = self.model.trainable_variables, []
        if not isinstance(self.model.optimizer, _sgd()):
            values = [variable.value for variable in variables]
            with torch_evaluation.evaluation():
                slopes = torch.autograd.grad(
                    self.closure(self.model), values, allow_unused=True, materialize_grads=True
                )
            gradients = [slope.detach().cpu().numpy() for slope in slopes]
        return read_optimizer(self.model.optimizer, variables, gradients)

    def log(self, step: int, model: Any) -> None:
        self.model = model
        self.recorder.log(step)


class _JaxModel:
    """A Keras model on JAX, with products that its variables are arguments of."""

    def __init__(self, model: Any, closure: Callable[[Any], Any], settings: dict[str, Any]) -> None:
        import jax
        import jax.numpy as jnp
        import keras
        from jax.flatten_util import ravel_pytree

        def function(values: Any, others: Any) -> Any:
            variables = [*model.trainable_variables, *model.non_trainable_variables]
            with keras.StatelessScope(state_mapping=[*zip(variables, [*values, *others], strict=True)]):
                return closure(model)

        def product(values: Any, others: Any, v: Any) -> Any:
            direction = ravel_pytree(values)[1](jnp.asarray(v, ravel_pytree(values)[0].dtype))
            slopes = jax.jvp(lambda w: jax.grad(function)(w, others), (values,), (direction,))[1]
            return ravel_pytree(slopes)[0]

        self.value, self.product = jax.jit(function), jax.jit(product)
        self.slope = jax.jit(jax.grad(function))
        self.model = model
        self.arguments: tuple[list[Any], list[Any]] = [], []
        if settings.get("tolerance") is None:  # Keras computes in float32 on JAX, whatever its floatx is
            settings = {**settings, "tolerance": TOLERANCES["float32"]}
        self.recorder = Recorder(**settings)
        self.recorder._optimizer_at = self.optimizer

    def optimizer(self, *_: Any) -> OptimizerReading:
        """Return what Keras's optimizer does at this step."""
        gradients = []
        if not isinstance(self.model.optimizer, _sgd()):
            gradients = [np.asarray(slope) for slope in self.slope(*self.arguments)]
        return read_optimizer(self.model.optimizer, self.model.trainable_variables, gradients)

    def log(self, step: int, model: Any) -> None:
        values = [variable.value for variable in model.trainable_variables]
        # What is not trained changes, too, as moving averages do.
        others = [variable.value for variable in model.non_trainable_variables]
        self.model, self.arguments = model, (values, others)
        self.recorder.log(
            step,
            loss=self.value(values, others),
            hessian_vector=lambda v: np.asarray(self.product(values, others, v)),
            dimension=sum(value.size for value in values),
        )


def _sgd() -> Any:
    import keras

    return keras.optimizers.SGD
