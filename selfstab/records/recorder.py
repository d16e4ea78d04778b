"""A record of sharpness, loss, learning rate and momentum of a training loop of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import validation
from selfstab.eigen.krylov import NotFiniteError
from selfstab.eigen.pairs import top_eigenpair, top_eigenpairs
from selfstab.kernels.measures import PRECONDITIONED
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.provenance import versions
from selfstab.records import batch_sharpness, outputs, rows, training_loops
from selfstab.records.training_loops import Reading, number
from selfstab.records.training_optimizers import OptimizerReading, optax
from selfstab.records.training_optimizers.base import clipping_factor, of_selfstab, with_numbers
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

TOLERANCES: Final = {"float64": 1e-10, "float32": 1e-4}
"""Relative residual at which the sharpness counts as converged, by the precision of the products."""


class Recorder:
    """Logs the sharpness along a training loop, in the form :func:`simulate` returns and :func:`catapults` reads.

    The sharpness comes from Hessian-vector products, warm-started from the last record's eigenvector, with its
    residual. What is logged belongs to the weights before the update: call :meth:`log` before it.

    Parameters
    ----------
    lr, momentum, lookahead
        What holds at every step unless :meth:`log` is told otherwise: lr >= 0, momentum in [0, 1), lookahead >= 0
        (= momentum: Nesterov).
    every
        :meth:`log` passes over steps that are not multiples of it.
    tolerance
        Residual of the sharpness, relative, by default 1e-10; 1e-4 where products are in float32.
    second
        Whether to record the second eigenvalue, too, at about twice the products: where it nears the threshold, the
        theory of one unstable direction ends.
    optimizer
        The :class:`selfstab.Optimizer` whose rule the loop follows, in place of lr, momentum and lookahead. Of one with
        a preconditioner, such as :class:`selfstab.Adam`, the threshold is of the preconditioned sharpness, which is
        recorded beside the sharpness.
    clipping
        The largest norm of the gradient, where the loop clips it (``clip_grad_norm_``). Records then say by which
        factor. The threshold is of steps that are not clipped.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range.

    Examples
    --------
    >>> import numpy as np
    >>> import selfstab as ss
    >>> curvatures, w = np.array([2.0, 1.0]), np.ones(2)
    >>> recorder = ss.Recorder(lr=0.1, momentum=0.0, every=2)
    >>> for step in range(5):
    ...     loss = 0.5 * float(curvatures @ w**2)
    ...     recorder.log(step, loss=loss, hessian_vector=lambda v: curvatures * v, dimension=2)
    ...     w = w - 0.1 * curvatures * w
    >>> run = recorder.dataset()
    >>> run.step.values, run.sharpness.values, run.max_stable_sharpness.values
    (array([0, 2, 4]), array([2., 2., 2.]), array([20., 20., 20.]))
    """

    def __init__(
        self,
        *,
        lr: float | None = None,
        momentum: float = 0.0,
        lookahead: float = 0.0,
        every: int = 1,
        tolerance: float | None = None,
        second: bool = False,
        optimizer: Optimizer | None = None,
        clipping: float | None = None,
    ) -> None:
        self.lr = None if lr is None else validation.real("lr", lr, at_least=0)
        self.momentum = validation.real("momentum", momentum, at_least=0, below=1)
        self.lookahead = validation.real("lookahead", lookahead, at_least=0)
        self.every = validation.integer("every", every, at_least=1)
        self.tolerance = None if tolerance is None else validation.real("tolerance", tolerance, above=0)
        if not isinstance(second, bool):
            raise TypeError(f"second must be True or False, got {validation.shown(second)}")
        self.second = second
        self.clipping = None if clipping is None else validation.real("clipping", clipping, above=0)
        self.optimizer = optimizer
        if optimizer is not None and not isinstance(optimizer, Optimizer):
            raise TypeError(
                "optimizer must be one of selfstab's, such as selfstab.Adam(lr), or be given to for_torch or for_jax, "
                f"got {validation.shown(optimizer)}"
            )
        if optimizer is not None and (lr, self.momentum, self.lookahead) != (None, 0.0, 0.0):
            raise ValueError(
                "lr, momentum and lookahead must be left out beside optimizer, which has its own"
            )
        self._optimizer_at: Callable[..., OptimizerReading] | None = None
        self._batch_sharpness: Callable[[Any, Any], tuple[float, float]] | None = None
        self._read: Callable[[Any], Reading] | None = None
        self._needs_parameters = False
        self._guesses: dict[str, Array] = {}
        self._last: OptimizerReading | None = None
        self._steps: list[int] = []
        self._rows: list[dict[str, float]] = []

    def __repr__(self) -> str:
        last = f", the last of step {self._steps[-1]}" if self._steps else ""
        return f"Recorder({len(self._steps)} records, every {self.every} steps{last})"

    def due(self, step: int) -> bool:
        """Whether :meth:`log` would record this step."""
        return validation.integer("step", step, at_least=0) % self.every == 0

    def log(
        self,
        step: int,
        parameters: Any = None,
        *,
        loss: Any = None,
        hessian_vector: Callable[[Array], Any] | None = None,
        dimension: int | None = None,
        lr: Any = None,
        momentum: Any = None,
        lookahead: Any = None,
        state: Any = None,
        preconditioner: Any = None,
    ) -> None:
        """Record a step, if it is a multiple of `every`.

        Parameters
        ----------
        step
            Number of updates so far, larger than at the last call that recorded.
        parameters
            For a recorder made by :meth:`for_jax`: the parameters.
        loss
            L_t; of recorders made by :meth:`for_jax` and :meth:`for_torch`, theirs by default.
        hessian_vector
            v → ∇²L(w_t) v on flat vectors, of shape (dimension,) in and out; needed unless the recorder has its own.
        dimension
            Number of weights, needed with `hessian_vector`.
        lr, momentum, lookahead
            Of the update that follows; by default the optimizer's, or the recorder's.
        state
            Of recorders made by :meth:`for_jax` with an optimizer of Optax: its state before the update.
        preconditioner
            P of each weight, shape (dimension,), by which the update that follows divides, where the recorder's
            `optimizer` has one and no `state` says it.

        Raises
        ------
        TypeError, ValueError
            If something is missing, of the wrong kind or range; nothing is recorded then.
        """
        step = validation.integer("step", step, at_least=0)
        if self._steps and step <= self._steps[-1]:
            raise ValueError(f"step must be larger than the last one, {self._steps[-1]}, got {step}")
        if step % self.every:
            return
        reading = self._reading(parameters, loss, hessian_vector, dimension)
        numbers = {"lr": lr, "momentum": momentum, "lookahead": lookahead}
        own = with_numbers(self._own(step, reading, parameters, state, preconditioner, numbers), numbers)
        own.check_size(reading.dimension)
        if self._optimizer_at is not None:  # weight decay is not in the function
            total = reading.loss + (
                own.decay_energy(reading.arrays()) if loss is None and reading.arrays else 0.0
            )
            reading = replace(reading, loss=total, product=own.decayed(reading.product))
        row = {"loss": reading.loss, "lr": own.lr, "momentum": own.momentum}
        vector, found = self._eigenvalues("sharpness", reading.product, reading)
        row |= found
        if own.preconditioned:
            vector, found = self._eigenvalues(PRECONDITIONED, own.matching(reading.product), reading)
            row |= found
        row["max_stable_sharpness"] = own.threshold(vector)
        if self.clipping is not None or own.clipping_factor != 1.0:
            row["clipping_factor"] = own.clipping_factor * self._clipping_factor(reading)
        if self._batch_sharpness is not None:
            row["batch_sharpness"], row["batch_sharpness_error"] = self._batch_sharpness(parameters, own)
        self._steps.append(step)
        self._rows.append(row)
        self._last = own

    def _own(
        self, step: int, reading: Reading, parameters: Any, state: Any, preconditioner: Any, numbers: Any
    ) -> OptimizerReading:
        """Return what the loop's optimizer does at this step, before numbers that log is given take its place."""
        if state is not None and self._optimizer_at is None:
            raise ValueError("state must be left out, for the recorder has no optimizer of Optax, got one")
        if preconditioner is not None and (self.optimizer is None or reading.optimizer is not None):
            raise ValueError(
                "preconditioner must be left out, where no optimizer of the recorder divides by it"
            )
        if self._optimizer_at is not None:
            return self._optimizer_at(parameters, state, reading.gradient)
        if reading.optimizer is not None:
            return reading.optimizer
        if self.optimizer is not None:
            return of_selfstab(self.optimizer, step, preconditioner)
        if numbers["lr"] is None and self.lr is None:
            raise ValueError("lr must be given to log or to the recorder, got None")
        plain = HeavyBall(1.0, self.momentum, self.lookahead)
        return OptimizerReading(plain, self.lr or 0.0, self.momentum)

    def _clipping_factor(self, reading: Reading) -> float:
        if self.clipping is None:
            return 1.0
        if reading.gradient_norm is None:
            raise ValueError("clipping must be left out of a recorder that is given products only")
        return clipping_factor(reading.gradient_norm(), self.clipping)

    def _reading(self, parameters: Any, loss: Any, hessian_vector: Any, dimension: Any) -> Reading:
        if self._needs_parameters and parameters is None:
            raise ValueError("parameters must be given to log, got None")
        if not self._needs_parameters and parameters is not None:
            raise ValueError(
                f"parameters must be left out, for this has none, got {validation.shown(parameters)}"
            )
        if self._read is not None:
            if hessian_vector is not None or dimension is not None:
                raise ValueError("hessian_vector and dimension must be left out: the recorder has its own")
            reading = self._read(parameters)
            return reading if loss is None else replace(reading, loss=number("loss", loss))
        if not callable(hessian_vector):
            raise TypeError(f"hessian_vector must be a function, got {validation.shown(hessian_vector)}")
        size = validation.integer("dimension", dimension, at_least=1)
        return Reading(number("loss", loss), hessian_vector, size, "float64")

    def _eigenvalues(
        self, name: str, of: Callable[[Array], Any], reading: Reading
    ) -> tuple[Array | None, dict[str, float]]:
        """Return the top eigenvector, and the row's entries; NaN where the Hessian is not finite."""

        # What is not finite, as of a preconditioner of 0, is seen by the iteration.
        @np.errstate(all="ignore")
        def product(v: Array) -> Array:
            image = np.asarray(of(v))
            if image.dtype.kind not in "fiu" or image.shape != v.shape:
                raise TypeError(
                    f"hessian_vector must return {v.size} real numbers, got shape {image.shape} of dtype {image.dtype}"
                )
            return image.astype(np.float64)

        guess = self._guesses.get(name)
        guess = guess if guess is not None and guess.shape[1] == reading.dimension else None
        tolerance = TOLERANCES[reading.precision] if self.tolerance is None else self.tolerance
        row = dict.fromkeys((name, f"{name}_residual", f"second_{name}"), np.nan)
        try:
            if self.second and reading.dimension > 1:
                pairs = top_eigenpairs(product, 2, reading.dimension, guess=guess, tolerance=tolerance)
                self._guesses[name] = pairs.vectors
                row |= {name: float(pairs.values[0]), f"{name}_residual": float(pairs.residuals[0])}
                row[f"second_{name}"] = float(pairs.values[1])
            else:
                first = None if guess is None else guess[0]
                pair = top_eigenpair(product, reading.dimension, guess=first, tolerance=tolerance)
                self._guesses[name] = pair.vector[None]
                row |= {name: pair.value, f"{name}_residual": pair.residual}
        except NotFiniteError:
            return None, row
        return self._guesses[name][0], row

    def dataset(self) -> xarray.Dataset:
        """Return what was recorded.

        Returns
        -------
        xarray.Dataset
            Dimension step: ``loss``, ``sharpness``, ``sharpness_residual`` (‖Hu − Su‖; NaN, both, where the Hessian
            was not finite), ``lr``, ``momentum``, ``max_stable_sharpness`` (S*, infinite where lr is 0); with `second`,
            ``second_sharpness``. Where weights have learning rates of their own or a preconditioner, also
            ``preconditioned_sharpness``, which S* is then of: the largest eigenvalue of M^½ H M^½, with M the weights'
            own learning rates, divided by lr and by the preconditioner. With `clipping` also ``clipping_factor``, and
            of batches ``batch_sharpness`` with its standard error. Attributes ``optimizer``, in selfstab's terms, and
            ``training_optimizer``, in the library's (JSON).
        """
        plain = HeavyBall(1.0, self.momentum, self.lookahead)
        out = rows.dataset(self._steps, self._rows, second=self.second)
        out.attrs.update(
            loss="recorded from a training loop",
            optimizer=rows.settings(
                self._rows, self._last.optimizer if self._last else self.optimizer or plain
            ),
            every=self.every,
            versions=versions(),
        )
        if self._last is not None and self._last.settings:
            out.attrs["training_optimizer"] = json.dumps(dict(self._last.settings))
        if self.clipping is not None:
            out.attrs["clipping"] = self.clipping
        return out

    def save(self, path: str | Path) -> None:
        """Write what was recorded to a file or folder.

        Parameters
        ----------
        path
            Where to, with the suffix of a format that is written (``selfstab.records.formats.suffixes(written=True)``:
            .csv, .nc, .npz, .tsv, .zarr); what is there is replaced if it is of the same kind. .nc needs netCDF4.

        Raises
        ------
        TypeError, ValueError
            If the ending is another, the folder around it does not exist, or something else is there.
        ImportError
            If a module that the format needs is missing.
        """
        if not isinstance(path, (str, Path)):
            raise TypeError(f"path must be a text or a Path, got {validation.shown(path)}")
        target = Path(path)
        outputs.check_output(target, name="path")
        outputs.write(self.dataset(), target, name="path")

    # -- other libraries' loops ---------------------------------------------------------------------------------------

    @classmethod
    def for_jax(
        cls,
        function: Callable[[Any], Any],
        *,
        optimizer: Any = None,
        batch_loss: Callable[[Any, Any], Any] | None = None,
        batches: Any = None,
        **settings: Any,
    ) -> Recorder:
        """Return a recorder of a JAX loop: ``recorder.log(step, parameters)`` takes loss and sharpness from `function`.

        Parameters
        ----------
        function
            Parameters, any pytree of arrays of one precision → L, a scalar; traceable by JAX. Let it be the loss on all
            data, not on a batch that changes.
        optimizer
            A transformation of Optax, whose state :meth:`log` then gets: ``recorder.log(step, parameters,
            state=state)``. Learning rate, momentum, weight decay, preconditioner and clipping are found by asking it.
            Or a :class:`selfstab.Optimizer`.
        batch_loss, batches
            Parameters and a batch → its loss, and the batches (a list, or a function that returns them): the batch
            sharpness E gᵀHg/E gᵀg is recorded as well.
        **settings
            Of the class: lr, momentum, lookahead, every, tolerance, second, clipping.

        Returns
        -------
        Recorder
            Whose products are forward over reverse, compiled, in the parameters' precision.

        Examples
        --------
        >>> import jax.numpy as jnp
        >>> recorder = Recorder.for_jax(lambda p: 1.5 * (p["a"] ** 2).sum(), lr=0.1)
        >>> recorder.log(0, {"a": jnp.ones(2)})
        >>> recorder.dataset().sharpness.values.round(3)
        array([3.])
        """
        own = optimizer if isinstance(optimizer, Optimizer) else None
        recorder = cls(optimizer=own, **settings)
        if optimizer is not None and own is None:
            if (recorder.lr, recorder.momentum, recorder.lookahead) != (None, 0.0, 0.0):
                raise ValueError(
                    "lr, momentum and lookahead must be left out beside optimizer, which has its own"
                )
            recorder._optimizer_at = optax.of_transformation(optimizer)
        recorder._read, recorder._needs_parameters = training_loops.of_jax(function), True
        if batch_loss is not None or batches is not None:
            recorder._batch_sharpness = batch_sharpness.of_jax(batch_loss, batches)
        return recorder

    @classmethod
    def for_torch(
        cls,
        parameters: Iterable[Any],
        closure: Callable[[], Any],
        optimizer: Any,
        *,
        batch_loss: Callable[[Any], Any] | None = None,
        batches: Any = None,
        **settings: Any,
    ) -> Recorder:
        """Return a recorder of a PyTorch loop: ``recorder.log(step)`` reads all it needs.

        Parameters
        ----------
        parameters
            The model's, ``model.parameters()``, all of one precision.
        closure
            () → L, a scalar tensor, computed from the parameters by operations that can be differentiated twice. Let it
            be the loss on all data, not on a batch that changes.
        optimizer
            A ``torch.optim`` SGD, Adam, AdamW, RMSprop or Adagrad, or what wraps one and steps as it does. Groups may
            have their own lr, weight decay, eps and beta2, and must have one momentum. They and the optimizer's state
            are read at each record.
        batch_loss, batches
            A batch → its loss, and the batches (a data loader, a list, or a function that returns them): the batch
            sharpness E gᵀHg/E gᵀg is recorded as well.
        **settings
            Of the class: every, tolerance, second, clipping.

        Returns
        -------
        Recorder
            Whose products are backward over backward, one graph for all of a step's. Gradients (``.grad``) stay as they
            are.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong kind, or the optimizer's rule is not understood.

        Notes
        -----
        Weight decay λ of SGD, Adam, RMSprop and Adagrad counts as part of the loss: λ‖w‖²/2 in it, λ in the sharpness.
        That of AdamW shrinks the weights beside it, and lowers S* by (1 + β₁)λ/(1 − β₁).

        Where groups differ in lr or the optimizer has a preconditioner P, S* is that of the preconditioned sharpness:
        the largest eigenvalue of M^½ H M^½, with M each weight's lr, divided by the largest one and by P. P is that of
        the update that follows, as of :class:`selfstab.Adam`, with the gradient of `closure`.
        """
        recorder = cls(**settings)
        weights = list(parameters)
        recorder._read = training_loops.of_torch(weights, closure, optimizer)
        if batch_loss is not None or batches is not None:
            trained = [weight for weight in weights if weight.requires_grad]
            recorder._batch_sharpness = batch_sharpness.of_torch(trained, batch_loss, batches)
        return recorder
