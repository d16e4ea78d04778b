"""A record of sharpness, loss, learning rate and momentum of a training loop of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import theory, validation
from selfstab.eigen.krylov import NotFiniteError
from selfstab.eigen.pairs import top_eigenpair, top_eigenpairs
from selfstab.provenance import versions
from selfstab.records import jax_loops, outputs, torch_loops
from selfstab.records.training_loops import Reading, number
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

TOLERANCES: Final = {"float64": 1e-10, "float32": 1e-4}
"""Relative residual at which the sharpness counts as converged, by the precision of the products."""

_COLUMNS: Final = {
    "loss": ("L(w_t)", "loss"),
    "sharpness": ("largest Hessian eigenvalue at w_t", "1/lr"),
    "sharpness_residual": ("norm of H u - S u", "1/lr"),
    "second_sharpness": ("second largest Hessian eigenvalue at w_t", "1/lr"),
    "lr": ("learning rate of the update t -> t + 1", "1/sharpness"),
    "momentum": ("momentum of the update t -> t + 1", "1"),
    "max_stable_sharpness": ("2 (1 + momentum) / (lr (1 + 2 lookahead))", "1/lr"),
}


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
    ) -> None:
        self.lr = None if lr is None else validation.real("lr", lr, at_least=0)
        self.momentum = validation.real("momentum", momentum, at_least=0, below=1)
        self.lookahead = validation.real("lookahead", lookahead, at_least=0)
        self.every = validation.integer("every", every, at_least=1)
        self.tolerance = None if tolerance is None else validation.real("tolerance", tolerance, above=0)
        if not isinstance(second, bool):
            raise TypeError(f"second must be True or False, got {validation.shown(second)}")
        self.second = second
        self._read: Callable[..., Reading] | None = None
        self._needs_parameters = False
        self._guess: Array | None = None
        self._steps: list[int] = []
        self._rows: list[dict[str, float]] = []
        self._lookaheads: list[float] = []
        self._by_differences = False

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
        data: Any = None,
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
        reading = self._reading(parameters, data, loss, hessian_vector, dimension)
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
        row["sharpness"], row["sharpness_residual"], row["second_sharpness"] = self._sharpness(reading)
        self._steps.append(step)
        self._rows.append(row)
        self._lookaheads.append(ahead)

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

    def _sharpness(self, reading: Reading) -> tuple[float, float, float]:
        """Return the sharpness, its residual and the second eigenvalue; NaN where the Hessian is not finite."""

        def product(v: Array) -> Array:
            image = np.asarray(reading.product(v))
            if image.dtype.kind not in "fiu" or image.shape != v.shape:
                raise TypeError(
                    f"hessian_vector must return {v.size} real numbers, got shape {image.shape} of dtype {image.dtype}"
                )
            return image.astype(np.float64)

        guess = self._guess if self._guess is not None and self._guess.shape[1] == reading.dimension else None
        # Products by differences are no better than their noise.
        usual = max(TOLERANCES[reading.precision], 10.0 * reading.noise)
        tolerance = usual if self.tolerance is None else self.tolerance
        try:
            if self.second and reading.dimension > 1:
                pairs = top_eigenpairs(product, 2, reading.dimension, guess=guess, tolerance=tolerance)
                self._guess = pairs.vectors
                return float(pairs.values[0]), float(pairs.residuals[0]), float(pairs.values[1])
            first = None if guess is None else guess[0]
            pair = top_eigenpair(product, reading.dimension, guess=first, tolerance=tolerance)
        except NotFiniteError:
            return np.nan, np.nan, np.nan
        self._guess = pair.vector[None]
        return pair.value, pair.residual, np.nan

    def dataset(self) -> xarray.Dataset:
        """Return what was recorded.

        Returns
        -------
        xarray.Dataset
            Dimension step: ``loss``, ``sharpness``, ``sharpness_residual`` (‖Hu − Su‖; NaN, both, where the Hessian
            was not finite), ``lr``, ``momentum``, ``max_stable_sharpness`` (S*, infinite where lr is 0); with `second`,
            ``second_sharpness``.
        """
        import xarray

        out = xarray.Dataset(coords={"step": np.array(self._steps, dtype=np.int64)})
        for name, (long_name, units) in _COLUMNS.items():
            if name == "second_sharpness" and not self.second:
                continue
            values = np.array([row[name] for row in self._rows], dtype=np.float64)
            out[name] = ("step", values, {"long_name": long_name, "units": units})
        out["step"].attrs["long_name"] = "number of updates"
        lrs, momenta = ({row[name] for row in self._rows} for name in ("lr", "momentum"))
        settings = {
            "lr": next(iter(lrs)) if len(lrs) == 1 else {"schedule": "as recorded"},
            "momentum": max(momenta, default=self.momentum),
            "lookahead": self._lookaheads[-1] if self._lookaheads else self.lookahead,
        }
        out.attrs.update(
            loss="recorded from a training loop",
            optimizer=json.dumps(settings),
            every=self.every,
            versions=versions(),
        )
        if self._by_differences:
            out.attrs["hessian_vector"] = "differences of gradients, since automatic differentiation fails"
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
        cls, function: Callable[..., Any], *, parts: Iterable[Any] | None = None, **settings: Any
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
            batches. The function then takes parameters and one part, and returns its loss, of which L is the sum, or
            its loss and its weight, of which L is the weighted mean.
        **settings
            Of the class: lr, momentum, lookahead, every, tolerance, second.

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
        Each record evaluates the function once more without compiling it. Where data that it closes over have changed,
        it is compiled anew. Data that are given to :meth:`log` need no second compilation.

        Examples
        --------
        >>> import jax.numpy as jnp
        >>> recorder = Recorder.for_jax(lambda p: 1.5 * (p["a"] ** 2).sum(), lr=0.1)
        >>> recorder.log(0, {"a": jnp.ones(2)})
        >>> recorder.dataset().sharpness.values.round(3)
        array([3.])

        The mean over all samples, two batches at a time:

        >>> batches = [jnp.array([1.0, 2.0]), jnp.array([3.0])]
        >>> recorder = Recorder.for_jax(lambda p, x: (0.5 * jnp.mean((x * p) ** 2), len(x)), parts=batches, lr=0.1)
        >>> recorder.log(0, jnp.ones(()))
        >>> recorder.dataset().sharpness.values.round(3)  # (1 + 4 + 9)/3
        array([4.667])
        """
        recorder = cls(**settings)
        recorder._read, recorder._needs_parameters = jax_loops.of_jax(function, parts), True
        return recorder

    @classmethod
    def for_torch(
        cls,
        parameters: Iterable[Any] | None = None,
        closure: Callable[..., Any] | None = None,
        optimizer: Any = None,
        *,
        parts: Iterable[Any] | None = None,
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
            of which L is the sum, or a pair of one and its weight, of which L is the weighted mean: ``yield loss,
            len(x)`` gives the mean over samples.
        optimizer
            A ``torch.optim.SGD``; lr, momentum, Nesterov's lookahead and weight decay are read from its param_groups at
            each step, and must be the same in all. Weight decay λ counts: λ‖w‖²/2 in the loss, λ in the sharpness.
        parts
            What to go through at each product, such as a data loader that does not shuffle: the closure then takes one
            part and returns its loss, or its loss and its weight.
        **settings
            Of the class: every, tolerance, second.

        Returns
        -------
        Recorder
            Whose products are backward over backward, with one graph for all of a step's. A loss in parts has one graph
            at a time: it needs the memory of its largest part, and two to five times the time.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong kind, or the optimizer is no SGD. At a record, if the parameters are not
            those that the optimizer trains, or the closure depends on none of them, computes another value each time,
            calls backward, or cannot be differentiated twice.

        Notes
        -----
        The loop's own state stays as it is: gradients (``.grad``), the buffers of modules that the closure calls (a
        batch normalization's running statistics), random states. Attention runs without fused kernels and compiled
        modules run eagerly, since neither can be differentiated twice.

        At the first record one product is compared with a difference of gradients. Where autograd drops second
        derivatives (of an ``autograd.Function`` whose backward pass cannot be differentiated) or has none, products are
        differences of gradients. The dataset's attribute ``hessian_vector`` then says so. They are off by about 10⁻⁸ in
        float64 and 10⁻³ in float32.
        """
        recorder = cls(**settings)
        recorder._read = torch_loops.of_torch(parameters, closure, optimizer, parts)
        return recorder
