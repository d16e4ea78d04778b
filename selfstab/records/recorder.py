"""A record of sharpness, loss, learning rate and momentum of a training loop of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import theory, validation
from selfstab.provenance import versions
from selfstab.records import outputs, training_loops
from selfstab.records.recorder_state import Clock, State, state_of
from selfstab.records.tracker import SharpnessTracker
from selfstab.records.training_loops import Reading, number
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

_COLUMNS: Final = {
    "loss": ("L(w_t)", "loss"),
    "sharpness": ("largest Hessian eigenvalue at w_t", "1/lr"),
    "sharpness_residual": ("norm of H u - S u", "1/lr"),
    "sharpness_error": ("estimate of how far the sharpness is below the eigenvalue", "1/lr"),
    "measured_error": ("by how much enough products raised the sharpness", "1/lr"),
    "products": ("Hessian-vector products of the record", "1"),
    "second_sharpness": ("second largest Hessian eigenvalue at w_t", "1/lr"),
    "lr": ("learning rate of the update t -> t + 1", "1/sharpness"),
    "momentum": ("momentum of the update t -> t + 1", "1"),
    "max_stable_sharpness": ("2 (1 + momentum) / (lr (1 + 2 lookahead))", "1/lr"),
}


class Recorder:
    """Logs the sharpness along a training loop, in the form :func:`simulate` returns and :func:`catapults` reads.

    The sharpness comes from Hessian-vector products, warm-started from the last record's eigenvectors, with its
    residual and an estimate of its error. What is logged belongs to the weights before the update: call :meth:`log`
    before it.

    Parameters
    ----------
    lr, momentum, lookahead
        What holds at every step unless :meth:`log` is told otherwise: lr >= 0, momentum in [0, 1), lookahead >= 0
        (= momentum: Nesterov).
    every
        :meth:`log` passes over steps that are not multiples of it.
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
        to `accuracy`. The second one, and every 16th after it, go on to a tenth of that: so they measure the error of
        records with so few products.

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
        accuracy: float | None = None,
        most_products: int | None = None,
    ) -> None:
        self.lr = None if lr is None else validation.real("lr", lr, at_least=0)
        self.momentum = validation.real("momentum", momentum, at_least=0, below=1)
        self.lookahead = validation.real("lookahead", lookahead, at_least=0)
        self.every = validation.integer("every", every, at_least=1)
        self.tolerance = None if tolerance is None else validation.real("tolerance", tolerance, above=0)
        if not isinstance(second, bool):
            raise TypeError(f"second must be True or False, got {validation.shown(second)}")
        self.second = second
        self.accuracy = None if accuracy is None else validation.real("accuracy", accuracy, above=0, below=1)
        if self.accuracy is not None and self.tolerance is not None:
            raise ValueError(
                f"accuracy must be left out where tolerance is given, got {self.accuracy} and {self.tolerance}"
            )
        if most_products is not None:
            most_products = validation.integer("most_products", most_products, at_least=3)
        self.most_products = most_products
        self._trackers: dict[str, SharpnessTracker] = {}
        self._clock = Clock()
        self._read: Callable[[Any], Reading] | None = None
        self._needs_parameters = False
        self._steps: list[int] = []
        self._rows: list[dict[str, float]] = []
        self._lookaheads: list[float] = []

    def __repr__(self) -> str:
        last = f", the last of step {self._steps[-1]}" if self._steps else ""
        cost = f"; a record costs {self._cost()}" if self._steps else ""
        return f"Recorder({len(self._steps)} records, every {self.every} steps{last}{cost})"

    def _cost(self) -> str:
        """Return what a record costs on average: its products, and the steps that take as long."""
        counts = [row["products"] for row in self._rows if row.get("products", np.nan) >= 0]
        cost = f"{np.mean(counts or 0.0):.3g} products"
        steps = self._clock.steps_per_record()
        return cost + ("" if np.isnan(steps) else f", as long as {steps:.2g} steps")

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
        with self._clock.record(step):
            self._record(step, parameters, loss, hessian_vector, dimension, (lr, momentum, lookahead))

    def _record(
        self,
        step: int,
        parameters: Any,
        loss: Any,
        hessian_vector: Callable[[Array], Any] | None,
        dimension: int | None,
        given: tuple[Any, Any, Any],
    ) -> None:
        lr, momentum, lookahead = given
        reading = self._reading(parameters, loss, hessian_vector, dimension)
        rates = {
            name: first if first is not None else second if second is not None else getattr(self, name)
            for name, first, second in (
                ("lr", lr, reading.lr),
                ("momentum", momentum, reading.momentum),
                ("lookahead", lookahead, reading.lookahead),
            )
        }
        if rates["lr"] is None:
            raise ValueError("lr must be given to log or to the recorder, got None")
        row = {
            "loss": reading.loss,
            "lr": validation.real("lr", rates["lr"], at_least=0),
            "momentum": validation.real("momentum", rates["momentum"], at_least=0, below=1),
        }
        ahead = validation.real("lookahead", rates["lookahead"], at_least=0)
        row["max_stable_sharpness"] = (
            float(theory.max_stable_sharpness(row["lr"], row["momentum"], ahead)) if row["lr"] > 0 else np.inf
        )
        row |= self._eigenvalues("sharpness", reading.product, reading)
        self._steps.append(step)
        self._rows.append(row)
        self._lookaheads.append(ahead)

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

    def _eigenvalues(self, name: str, product: Callable[[Any], Any], reading: Reading) -> dict[str, float]:
        """Return the row's entries on the largest eigenvalues of what `product` multiplies with."""
        tracker = self._trackers.get(name)
        if tracker is None:
            tracker = self._trackers[name] = self._new_tracker()
        measured = tracker.measure(product, reading.dimension, reading.vector)
        return {
            name: measured.sharpness,
            f"{name}_residual": measured.residual,
            f"{name}_error": measured.error,
            f"second_{name}": measured.second,
            "measured_error": measured.measured_error,
            "products": measured.products,
        }

    def _new_tracker(self) -> SharpnessTracker:
        return SharpnessTracker(
            accuracy=self.accuracy,
            tolerance=self.tolerance,
            second=self.second,
            most_products=self.most_products,
        )

    def dataset(self) -> xarray.Dataset:
        """Return what was recorded.

        Returns
        -------
        xarray.Dataset
            Dimension step: ``loss``, ``sharpness``, ``sharpness_residual`` (‖Hu − Su‖; NaN, both, where the Hessian
            was not finite), ``sharpness_error`` (estimate of the eigenvalue − S), ``products``, ``lr``, ``momentum``,
            ``max_stable_sharpness`` (S*, infinite where lr is 0); with `second`, ``second_sharpness``; with
            `most_products`, ``measured_error`` (what `accuracy` added to S; NaN where it was not measured). The
            attribute ``record_cost`` says what a record costs.
        """
        import xarray

        out = xarray.Dataset(coords={"step": np.array(self._steps, dtype=np.int64)})
        for name, (long_name, units) in _COLUMNS.items():
            if name == "second_sharpness" and not self.second:
                continue
            if name == "measured_error" and self.most_products is None:
                continue
            values = np.array([row.get(name, np.nan) for row in self._rows], dtype=np.float64)
            out[name] = ("step", values, {"long_name": long_name, "units": units})
        out["step"].attrs["long_name"] = "number of updates"
        lrs, momenta = ({row.get(name, np.nan) for row in self._rows} for name in ("lr", "momentum"))
        settings = {
            "lr": next(iter(lrs)) if len(lrs) == 1 else {"schedule": "as recorded"},
            "momentum": max(momenta, default=self.momentum),
            "lookahead": self._lookaheads[-1] if self._lookaheads else self.lookahead,
        }
        out.attrs.update(
            loss="recorded from a training loop",
            optimizer=json.dumps(settings),
            every=self.every,
            record_cost=self._cost(),
            versions=versions(),
        )
        return out

    def state_dict(self) -> dict[str, Any]:
        """Return what is recorded, and what the next record starts from, to go on after a stop of the program.

        Returns
        -------
        dict
            Numbers, lists of them, and ``vectors.sharpness``, an array of the loop's library. So ``numpy.savez`` and
            ``torch.save`` keep it without pickled classes; JSON does without the vectors.

        Examples
        --------
        >>> recorder = Recorder(lr=0.1)
        >>> recorder.log(0, loss=1.0, hessian_vector=lambda v: 3.0 * v, dimension=2)
        >>> resumed = Recorder(lr=0.1)
        >>> resumed.load_state_dict(recorder.state_dict())
        >>> resumed.dataset().equals(recorder.dataset())
        True
        """
        trackers = {name: (tracker.vectors, tracker.unchecked) for name, tracker in self._trackers.items()}
        return State(self._steps, self._rows, self._lookaheads, trackers, self._clock).to_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the records of a recorder that was stopped; what was recorded here is replaced.

        Parameters
        ----------
        state
            What :meth:`state_dict` returned, or ``numpy.load`` of it. Without vectors the next record starts anew,
            and takes more products.

        Raises
        ------
        TypeError, ValueError
            If it is no such state; nothing is changed then.
        """
        taken = state_of(state)
        self._steps, self._rows, self._lookaheads = taken.steps, taken.rows, taken.lookaheads
        self._trackers = {}
        for name, (vectors, unchecked) in taken.trackers.items():
            tracker = self._trackers[name] = self._new_tracker()
            tracker.vectors, tracker.unchecked = vectors, unchecked
        self._clock = taken.clock

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
    def for_jax(cls, function: Callable[[Any], Any], **settings: Any) -> Recorder:
        """Return a recorder of a JAX loop: ``recorder.log(step, parameters)`` takes loss and sharpness from `function`.

        Parameters
        ----------
        function
            Parameters, any pytree of arrays of one precision → L, a scalar; traceable by JAX. Let it be the loss on all
            data, not on a batch that changes.
        **settings
            Of the class: lr, momentum, lookahead, every, tolerance, second, accuracy, most_products.

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
        recorder = cls(**settings)
        recorder._read, recorder._needs_parameters = training_loops.of_jax(function), True
        return recorder

    @classmethod
    def for_torch(
        cls, parameters: Iterable[Any], closure: Callable[[], Any], optimizer: Any, **settings: Any
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
            A ``torch.optim.SGD``; lr, momentum, Nesterov's lookahead and weight decay are read from its param_groups at
            each step, and must be the same in all. Weight decay λ counts: λ‖w‖²/2 in the loss, λ in the sharpness.
        **settings
            Of the class: every, tolerance, second, accuracy, most_products.

        Returns
        -------
        Recorder
            Whose products are backward over backward, one graph for all of a step's. Gradients (``.grad``) stay as they
            are.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong kind, or the optimizer is no SGD.
        """
        recorder = cls(**settings)
        recorder._read = training_loops.of_torch(parameters, closure, optimizer)
        return recorder
