"""A record of sharpness, loss, learning rate and momentum of a training loop of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import validation
from selfstab.kernels.measures import PRECONDITIONED
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.records.recording import batch_sharpness, jax_loops, rows, torch_loops, writers
from selfstab.records.recording.recorded_steps import RecordedSteps
from selfstab.records.recording.recorder_settings import RecorderSettings
from selfstab.records.recording.training_loops import Reading, number
from selfstab.records.recording.training_optimizers import OptimizerReading, optax
from selfstab.records.recording.training_optimizers.base import clipping_factor, of_selfstab, with_numbers
from selfstab.validation import Array

if TYPE_CHECKING:
    pass


class Recorder(RecordedSteps):
    """Logs the sharpness along a training loop, in the form :func:`simulate` returns and :func:`catapults` reads.

    The sharpness comes from Hessian-vector products, warm-started from the last record's eigenvectors, with its
    residual and an estimate of its error. What is logged belongs to the weights before the update: call :meth:`log`
    before it.

    Parameters
    ----------
    lr, momentum, lookahead
        Numbers of every step, unless :meth:`log` gets others: lr >= 0, momentum in [0, 1), lookahead >= 0
        (= momentum: Nesterov).
    every
        :meth:`log` ignores steps that are not multiples of it.
    tolerance
        Relative residual at which the sharpness is exact enough, in place of `accuracy`.
    second
        Whether to record the second eigenvalue, too, at about twice the products: where it nears the threshold, the
        theory of one unstable direction ends.
    accuracy
        Relative error of the sharpness at which it is exact enough, as estimated from its residual, in (0, 1). By
        default 1e-4; up to 1000 weights, where products cost little, the residual is 1e-10 instead, and 1e-4 where
        products are in float32.
    most_products
        Hessian-vector products a record, >= 3, for records that cost little: five are usual. The first record goes on
        to `accuracy`. The second one, and every 16th after it, go on to a tenth of that. So they measure the error of
        records with so few products.
    optimizer
        The :class:`selfstab.Optimizer` whose rule the loop follows, in place of lr, momentum and lookahead. Of one with
        a preconditioner, such as :class:`selfstab.Adam`, the threshold is of the preconditioned sharpness, which is
        recorded beside the sharpness.
    clipping
        The largest norm of the gradient, where the loop clips it (``clip_grad_norm_``). Records then say by which
        factor. The threshold is of steps that are not clipped.
    writer
        Where each row goes, too: TensorBoard's ``SummaryWriter``, a run of Weights & Biases, or a function of name,
        value and step. In the first two the names begin with ``selfstab/``.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range.

    Notes
    -----
    Where products hold more noise than the accuracy allows, as under autocast, a record ends when noise is what is
    left. Its ``sharpness_residual`` and ``sharpness_error`` say what was reached.

    Examples
    --------
    >>> import numpy as np
    >>> import selfstab as ss
    >>> curvatures, w = np.array([2.0, 1.0]), np.ones(2)
    >>> recorder = ss.Recorder(lr=0.1, momentum=0.0, every=2)
    >>> for step in range(5):
    ...     loss = 0.5 * float(curvatures @ w**2)
    ...     row = recorder.log(step, loss=loss, hessian_vector=lambda v: curvatures * v, dimension=2)
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
        accuracy: float | None = None,
        most_products: int | None = None,
        optimizer: Optimizer | None = None,
        clipping: float | None = None,
        writer: Any = None,
    ) -> None:
        super().__init__(
            RecorderSettings(
                lr,
                momentum,
                lookahead,
                every,
                tolerance,
                second,
                accuracy,
                most_products,
                optimizer,
                clipping,
            )
        )
        self._optimizer_at: Callable[..., OptimizerReading] | None = None
        self._batch_sharpness: Callable[[Any, Any], tuple[float, float]] | None = None
        self._write = None if writer is None else writers.of(writer)
        self._read: Callable[..., Reading] | None = None
        self._needs_parameters = False

    def due(self, step: int) -> bool:
        """Whether :meth:`log` would record this step."""
        return validation.integer("step", step, at_least=0) % self.every == 0

    def log(
        self,
        step: int,
        parameters: Any = None,
        data: Any = None,
        *,
        loss: Any = None,
        hessian_vector: Callable[[Array], Any] | None = None,
        dimension: int | None = None,
        lr: Any = None,
        momentum: Any = None,
        lookahead: Any = None,
        state: Any = None,
        preconditioner: Any = None,
    ) -> dict[str, float] | None:
        """Record a step, if it is a multiple of `every`.

        Parameters
        ----------
        step
            Number of updates so far, larger than at the last call that recorded.
        parameters
            For a recorder made by :meth:`for_jax`: the parameters.
        data
            For a recorder made by :meth:`for_jax`: what its function takes besides.
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

        Returns
        -------
        dict or None
            ``step`` and what was recorded, by the names of :meth:`dataset`; None where the step is not recorded.

        Raises
        ------
        TypeError, ValueError
            If something is missing, of the wrong kind or range; nothing is recorded then.
        """
        step = validation.integer("step", step, at_least=0)
        if self._steps and step <= self._steps[-1]:
            raise ValueError(f"step must be larger than the last one, {self._steps[-1]}, got {step}")
        if step % self.every:
            return None
        numbers = {"lr": lr, "momentum": momentum, "lookahead": lookahead}
        with self._clock.record(step):
            reading = self._reading(parameters, data, loss, hessian_vector, dimension)
            own = with_numbers(self._own(step, reading, parameters, state, preconditioner, numbers), numbers)
            own.check_size(reading.dimension)
            if self._optimizer_at is not None:  # weight decay is not in the function
                decay = own.decay_energy(reading.arrays()) if loss is None and reading.arrays else 0.0
                reading = replace(reading, loss=reading.loss + decay, product=own.decayed(reading.product))
            row = self._row(parameters, reading, own)
        self._steps.append(step)
        self._rows.append(row)
        self._lookaheads.append(own.lookahead)
        self._last = own
        out = {"step": step, **rows.shown(row, second=self.second)}
        if self._write is not None:
            self._write(out)
        return out

    def _row(self, parameters: Any, reading: Reading, own: OptimizerReading) -> dict[str, float]:
        """Return what is recorded of a step."""
        row = {"loss": reading.loss, "lr": own.lr, "momentum": own.momentum}
        row |= self._eigenvalues("sharpness", reading.product, reading)
        if own.preconditioned:
            row |= self._eigenvalues(PRECONDITIONED, own.matching(reading.product), reading)
        of = PRECONDITIONED if own.preconditioned else "sharpness"
        # Only shrinkage that differs among weights asks for the eigenvector, which is as large as they are.
        alike = isinstance(own.shrinkage, float) or not np.isfinite(row[of])
        row["max_stable_sharpness"] = own.threshold(None if alike else self._trackers[of].top_vector())
        if self.clipping is not None or own.clipping_factor != 1.0:
            row["clipping_factor"] = own.clipping_factor * self._clipping_factor(reading)
        row |= rows.decays(own)
        if self._batch_sharpness is not None:
            row["batch_sharpness"], row["batch_sharpness_error"] = self._batch_sharpness(parameters, own)
        return row

    def _eigenvalues(self, name: str, product: Callable[[Any], Any], reading: Reading) -> dict[str, float]:
        """Return the largest eigenvalue and what is known of it; NaN where the Hessian is not finite."""
        tracker = self._trackers.get(name)
        if tracker is None:
            tracker = self._trackers[name] = self._settings.tracker()
        measured = tracker.measure(product, reading.dimension, reading.vector)
        row = {
            name: measured.sharpness,
            f"{name}_residual": measured.residual,
            f"{name}_error": measured.error,
            f"second_{name}": measured.second,
            "products" if name == "sharpness" else f"{name}_products": float(measured.products),
        }
        if name == "sharpness" and self.most_products is not None:
            row["measured_error"] = measured.measured_error
        return row

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

    def _reading(self, parameters: Any, data: Any, loss: Any, hessian_vector: Any, dimension: Any) -> Reading:
        if self._needs_parameters and parameters is None:
            raise ValueError("parameters must be given to log, got None")
        if not self._needs_parameters and parameters is not None:
            raise ValueError(
                f"parameters must be left out, for this has none, got {validation.shown(parameters)}"
            )
        if not self._needs_parameters and data is not None:
            raise ValueError("data must be left out, for only a function of JAX takes any")
        if self._read is not None:
            if hessian_vector is not None or dimension is not None:
                raise ValueError("hessian_vector and dimension must be left out: the recorder has its own")
            reading = self._read(parameters) if data is None else self._read(parameters, data)
            self._by_differences = self._by_differences or reading.noise > 0.0
            return reading if loss is None else replace(reading, loss=number("loss", loss))
        if not callable(hessian_vector):
            raise TypeError(f"hessian_vector must be a function, got {validation.shown(hessian_vector)}")
        size = validation.integer("dimension", dimension, at_least=1)
        return Reading(number("loss", loss), hessian_vector, size, "float64")

    # -- other libraries' loops ---------------------------------------------------------------------------------------

    @classmethod
    def for_jax(
        cls,
        function: Callable[..., Any],
        *,
        parts: Iterable[Any] | None = None,
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
            data, not on a batch that changes. Leaves that are no floating-point numbers stay as they are. Where
            :meth:`log` is given data, the function takes them as a second argument.
        parts
            Where the loss of all data needs more memory than there is: what to go through at each product, such as
            batches. The function then takes parameters and one part. It returns its loss, of which L is the sum, or
            its loss and its weight, of which L is the weighted mean.
        optimizer
            A transformation of Optax, whose state :meth:`log` then gets: ``recorder.log(step, parameters,
            state=state)``. Learning rate, momentum, weight decay, preconditioner and clipping are found by asking it.
            Or a :class:`selfstab.Optimizer`.
        batch_loss, batches
            Parameters and a batch → its loss, and the batches (a list, or a function that returns them). The batch
            sharpness E gᵀHg/E gᵀg is recorded as well.
        **settings
            Of the class: lr, momentum, lookahead, every, tolerance, second, accuracy, most_products, clipping, writer.

        Returns
        -------
        Recorder
            Whose products are forward over reverse, compiled, in the parameters' precision.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong kind; at a record, if the function cannot be traced or depends on none of
            the parameters.

        Notes
        -----
        Each record traces the function once more. Where data that it closes over have changed, it is compiled anew.
        Data that are given to :meth:`log` need no second compilation. A function that ``jax.jit`` has compiled goes on
        with the data that it closed over first: it is refused when they change.

        Examples
        --------
        >>> import jax.numpy as jnp
        >>> recorder = Recorder.for_jax(lambda p: 1.5 * (p["a"] ** 2).sum(), lr=0.1)
        >>> row = recorder.log(0, {"a": jnp.ones(2)})
        >>> round(row["sharpness"], 3)
        3.0

        The mean over all samples, two batches at a time:

        >>> batches = [jnp.array([1.0, 2.0]), jnp.array([3.0])]
        >>> recorder = Recorder.for_jax(lambda p, x: (0.5 * jnp.mean((x * p) ** 2), len(x)), parts=batches, lr=0.1)
        >>> row = recorder.log(0, jnp.ones(()))
        >>> round(row["sharpness"], 3)  # (1 + 4 + 9)/3
        4.667
        """
        own = optimizer if isinstance(optimizer, Optimizer) else None
        recorder = cls(optimizer=own, **settings)
        if optimizer is not None and own is None:
            recorder._settings.check_alone()
            recorder._optimizer_at = optax.of_transformation(optimizer)
        recorder._read, recorder._needs_parameters = jax_loops.of_jax(function, parts), True
        if batch_loss is not None or batches is not None:
            recorder._batch_sharpness = batch_sharpness.of_jax(batch_loss, batches)
        return recorder

    @classmethod
    def for_torch(
        cls,
        parameters: Iterable[Any] | None = None,
        closure: Callable[..., Any] | None = None,
        optimizer: Any = None,
        *,
        parts: Iterable[Any] | None = None,
        batch_loss: Callable[[Any], Any] | None = None,
        batches: Any = None,
        **settings: Any,
    ) -> Recorder:
        """Return a recorder of a PyTorch loop: ``recorder.log(step)`` reads all it needs.

        Parameters
        ----------
        parameters
            What is trained, all of one precision; by default what the optimizer trains at each record. If they are
            given, such as ``model.parameters()`` or ``model.named_parameters()``, they must be these.
        closure
            () → L, a scalar tensor, computed from the parameters. Let it be the loss on all data, not on a batch that
            changes. Or () → an iterable of parts, such as a generator of one loss a batch. A part is a scalar tensor,
            or a pair of one and its weight. L is the sum of scalar tensors, or the weighted mean of pairs.
            ``yield loss, len(x)`` gives the mean over samples.
        optimizer
            A ``torch.optim`` SGD, Adam, AdamW, NAdam, RAdam, Adamax, SparseAdam, RMSprop or Adagrad, or what wraps one
            and steps as it does. Groups may have their own lr, momentum, weight decay, eps and beta2. They and the
            optimizer's state are read at each record.
        parts
            What to go through at each product, such as a data loader that does not shuffle. The closure then takes one
            part and returns its loss, or its loss and its weight.
        batch_loss, batches
            A batch → its loss, and the batches (a data loader, a list, or a function that returns them). The batch
            sharpness E gᵀHg/E gᵀg is recorded as well.
        **settings
            Of the class: every, tolerance, second, accuracy, most_products, clipping, writer.

        Returns
        -------
        Recorder
            Whose products are backward over backward, with one graph for all of a step's. A loss in parts has one graph
            at a time. It needs the memory of its largest part. In 2 to 10 parts it takes 2 to 4 times as long.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong kind, or the optimizer's rule is not understood. At a record, if the
            parameters are not those that the optimizer trains, or the closure depends on none of them. Also if the
            closure computes another value each time, changes them, calls backward, or cannot be differentiated twice.

        Notes
        -----
        The loop's own state stays as it is: gradients (``.grad``) and random states, also of generators of your own. So
        do buffers of modules, such as the running statistics of a batch normalization.
        Attention runs without fused kernels and compiled modules run eagerly, since neither can be differentiated
        twice.

        Weight decay λ of SGD, Adam, RMSprop and Adagrad counts as part of the loss: λ‖w‖²/2 in it, λ in the sharpness.
        That of AdamW shrinks the weights beside it, and lowers S* by (1 + β₁)λ/(1 − β₁).

        Groups of different momentum are stable together: M then holds each group's gain η(1 + 2γ)/(1 + β), divided by
        the largest one, whose group is recorded. The law of overshoots is of one momentum.

        Where groups differ in lr or the optimizer has a preconditioner P, S* is that of the preconditioned sharpness.
        This is the largest eigenvalue of M^½ H M^½, with M each weight's lr, divided by the largest one and by P. P is
        that of the update that follows, as of :class:`selfstab.Adam`, with the gradient of `closure`.

        At the first record, and where the loss has other operations than before, one product is compared with a
        difference of gradients. This is done in float64 wherever the closure can be evaluated so.
        Where autograd drops second derivatives (of an ``autograd.Function`` whose backward pass cannot be
        differentiated) or has none, products are differences of gradients. The dataset's attribute ``hessian_vector``
        then says so. They are off by about 10⁻⁸ in float64, and 10⁻³ in float32.
        """
        recorder = cls(**settings)
        recorder._read = torch_loops.of_torch(parameters, closure, optimizer, parts)
        if batch_loss is not None or batches is not None:
            recorder._batch_sharpness = batch_sharpness.of_torch(
                lambda: torch_loops.trained(optimizer), batch_loss, batches
            )
        return recorder
