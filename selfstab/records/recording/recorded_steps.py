"""The steps that a recorder has recorded: their dataset, their file, and their state between two runs of a program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import validation
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.provenance import versions
from selfstab.records import outputs
from selfstab.records.recording import rows
from selfstab.records.recording.recorder_settings import RecorderSettings
from selfstab.records.recording.recorder_state import Clock, State, state_of
from selfstab.records.recording.tracker import SharpnessTracker
from selfstab.records.recording.training_optimizers import OptimizerReading

if TYPE_CHECKING:
    import xarray

_BY_DIFFERENCES = "differences of gradients, since automatic differentiation fails"


class RecordedSteps:
    """What is recorded of a training loop.

    Parameters
    ----------
    settings
        Of the recorder.
    """

    def __init__(self, settings: RecorderSettings) -> None:
        self.lr, self.momentum, self.lookahead = settings.lr, settings.momentum, settings.lookahead
        self.every, self.second, self.clipping = settings.every, settings.second, settings.clipping
        self.tolerance, self.accuracy = settings.tolerance, settings.accuracy
        self.most_products, self.optimizer = settings.most_products, settings.optimizer
        self._settings = settings
        self._trackers: dict[str, SharpnessTracker] = {}
        self._clock = Clock()
        self._steps: list[int] = []
        self._rows: list[dict[str, float]] = []
        self._lookaheads: list[float] = []
        self._last: OptimizerReading | None = None
        self._by_differences = False
        self._resumed: dict[str, str] = {}
        """Attributes of the dataset as they were before a stop, which hold until the next record."""

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

    def dataset(self) -> xarray.Dataset:
        """Return what was recorded.

        Returns
        -------
        xarray.Dataset
            Dimension step. Variables:

            - ``loss``, ``lr``, ``momentum`` and ``products``;
            - ``sharpness``, ``sharpness_residual`` (‖Hu − Su‖) and ``sharpness_error`` (an estimate), NaN where the
              Hessian was not finite;
            - ``max_stable_sharpness``: S*, infinite where lr is 0;
            - with `second`, ``second_sharpness``;
            - with `most_products`, ``measured_error``: what `accuracy` added to S, NaN where it was not measured;
            - where weights have learning rates of their own or a preconditioner, ``preconditioned_sharpness``, which
              S* is then of;
            - with `clipping`, ``clipping_factor``;
            - of batches, ``batch_sharpness`` with its standard error;
            - with weight decay, the largest of any weight: ``weight_decay`` where it is part of the loss, or
              ``decoupled_weight_decay``; and ``least_...`` where weights differ.

            The preconditioned sharpness is the largest eigenvalue of M^½ H M^½. M is the weights' own learning rates,
            divided by lr and by the preconditioner. Attributes: ``optimizer``, in selfstab's terms;
            ``training_optimizer``, in the library's with its groups (JSON);
            ``record_cost``, what a record costs in products and steps.
        """
        out = rows.dataset(self._steps, self._rows, second=self.second)
        out.attrs.update(
            loss="recorded from a training loop",
            every=self.every,
            record_cost=self._cost(),
            versions=versions(),
            **self._attributes(),
        )
        if self.clipping is not None:
            out.attrs["clipping"] = self.clipping
        return out

    def state_dict(self) -> dict[str, Any]:
        """Return what is recorded, and what the next record starts from, to go on after a stop of the program.

        Returns
        -------
        dict
            Numbers, lists of them, texts, and ``vectors.sharpness``, an array of the loop's library. So
            ``numpy.savez`` and ``torch.save`` keep it without pickled classes; JSON does without the vectors.

        Examples
        --------
        >>> from selfstab import Recorder
        >>> recorder = Recorder(lr=0.1)
        >>> row = recorder.log(0, loss=1.0, hessian_vector=lambda v: 3.0 * v, dimension=2)
        >>> resumed = Recorder(lr=0.1)
        >>> resumed.load_state_dict(recorder.state_dict())
        >>> resumed.dataset().equals(recorder.dataset())
        True
        """
        trackers = {name: (tracker.vectors, tracker.unchecked) for name, tracker in self._trackers.items()}
        return State(
            self._steps,
            rows.completed(self._rows),
            self._lookaheads,
            trackers,
            self._clock,
            self._attributes(),
        ).to_dict()

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
            tracker = self._trackers[name] = self._settings.tracker()
            tracker.vectors, tracker.unchecked = vectors, unchecked
        self._clock = taken.clock
        self._last, self._resumed = None, dict(taken.attributes)
        self._by_differences = "hessian_vector" in taken.attributes

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

    def _attributes(self) -> dict[str, str]:
        """Return what the dataset says of the optimizer and of the products."""
        if self._last is None and self._resumed:
            return dict(self._resumed)
        plain = HeavyBall(1.0, self.momentum, self.lookahead)
        optimizer = self._last.optimizer if self._last else self.optimizer or plain
        out = {"optimizer": rows.settings(self._rows, optimizer)}
        if self._by_differences:
            out["hessian_vector"] = _BY_DIFFERENCES
        if self._last is not None and self._last.settings:
            out["training_optimizer"] = json.dumps(dict(self._last.settings))
        return out
