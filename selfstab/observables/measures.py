"""A sweep's measures, read off one run: recorded, or as it goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from selfstab import phases, validation
from selfstab.kernels import modules
from selfstab.kernels.measures import PRECONDITIONED, measure_names, which_sharpness
from selfstab.kernels.run_template import observe_source, state_names
from selfstab.kernels.subnormals import without_subnormals
from selfstab.kernels.writer import CHUNK
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

_PLAIN_STEPS = 2_000

_PART = 4096
"""States that an observer holds."""


_RECORDED = ("step", "loss", "sharpness", "weights", "velocity", "max_stable_sharpness", "diverged_at")


def measure(run: xarray.Dataset, measures: Sequence[str] = ("phase", "overshoot")) -> dict[str, float]:
    """Read a sweep's measures off one recorded run.

    Parameters
    ----------
    run
        What :func:`selfstab.simulate` returns, with every=1 and keep=("loss", "sharpness", "weights", "velocity"); of
        an optimizer with a preconditioner also "preconditioned_sharpness".
    measures
        Names as in :func:`selfstab.sweep`, which defines them.

    Returns
    -------
    dict
        Value by name; the same numbers as a sweep's cell with these settings.

    Raises
    ------
    TypeError, ValueError
        If a measure is not known, the run lacks a variable, or steps are missing.

    Examples
    --------
    >>> import selfstab as ss
    >>> keep = ("loss", "sharpness", "weights", "velocity")
    >>> run = ss.simulate(ss.Quadratic([1.0]), ss.HeavyBall(1.5), [1.0], 200, keep=keep)
    >>> ss.observables.measure(run, ["phase"])
    {'phase': 2.0}
    """
    import xarray

    names = measure_names("measures", measures)
    recorded: tuple[str, ...] = _RECORDED
    if not isinstance(run, xarray.Dataset):
        raise TypeError(f"run must be a dataset of simulate, got {validation.shown(run)}")
    preconditions = (
        "max_stable_sharpness" in run and which_sharpness(run["max_stable_sharpness"]) != "sharpness"
    )
    if preconditions:
        recorded = (*_RECORDED, PRECONDITIONED)
    for name in recorded:
        if name not in run:
            raise ValueError(f"run must hold {', '.join(recorded)}, got no {name}")
    if (np.diff(run["step"].values) != 1).any():
        raise ValueError("run must hold every step, got every=" + str(run.attrs.get("every")))
    velocity = run["velocity"].values
    # As the run was: of a loss without a kernel, which alone has residuals, it kept subnormal numbers.
    read = _read if "sharpness_residual" in run else without_subnormals(_read)
    values = read(
        names, run["sharpness"].values, run["loss"].values, run["max_stable_sharpness"].values, velocity,
        int(run["diverged_at"]), run[PRECONDITIONED].values if preconditions else None,
    )  # fmt: skip
    if values.get("phase") == phases.UNDECIDED and _is_constant(run["max_stable_sharpness"].values):
        states = np.concatenate([run["weights"].values, velocity], axis=1)[-1 - CHUNK :]
        if (states[:-1] == states[-1]).all(axis=1).any():
            values["phase"] = float(phases.CYCLE)
    return values


def _read(
    names: Sequence[str], sharpness: Array, loss: Array, threshold: Array, velocity: Array, diverged_at: int,
    preconditioned: Array | None,
) -> dict[str, float]:  # fmt: skip
    return observe(names, sharpness, loss, threshold, _motion(velocity), diverged_at, preconditioned)


def _motion(velocity: Array) -> tuple[Array, Array, Array]:
    """Return ‖v_{t+1}‖², ‖v_{t+1} − v_t‖²/16 and v_{t+1}·v_t, as the kernels do."""
    with np.errstate(over="ignore", invalid="ignore"):
        change = np.diff(velocity, axis=0)
        return (
            _sum(velocity[1:], velocity[1:]),
            0.0625 * _sum(change, change),
            _sum(velocity[1:], velocity[:-1]),
        )


def _is_constant(thresholds: Array) -> bool:
    return bool((thresholds == thresholds[-1]).all())


class Observer:
    """Reads measures off a run as it goes on, in memory that does not grow with it.

    Parameters
    ----------
    names
        The measures.
    steps
        Number of updates of the run, should it not diverge.
    thresholds
        S*_t of the steps first, ..., last − 1, as :meth:`HeavyBall.thresholds` gives them.
    preconditions
        Whether they are thresholds of the preconditioned sharpness.
    """

    def __init__(
        self,
        names: Sequence[str],
        steps: int,
        thresholds: Callable[[int, int], Array],
        preconditions: bool = False,
    ) -> None:
        self._names, self._steps, self._thresholds = names, steps, thresholds
        self._preconditions = preconditions
        self._carried = np.empty(len(state_names(names)))
        self._rows = np.full((6, min(steps + 1, _PART)), np.nan)
        self._first = self._filled = 0
        # What came before the present part, as far as a cycle is looked for.
        self._before = np.empty((6, 0))

    def state(self, sharpness: float, loss: float, preconditioned: float = np.nan) -> None:
        """Take the sharpness, the loss and the preconditioned sharpness at the next w_t."""
        if self._filled == self._rows.shape[1]:
            self._read(self._filled, -1, np.empty(0))
            self._before = self._rows[:, -2 * CHUNK :].copy()
            self._first, self._filled = self._first + self._filled, 0
        self._rows[[0, 1, 5], self._filled] = sharpness, loss, preconditioned
        self._filled += 1

    def update(self, step2: float, flip2: float, turn: float) -> None:
        """Take ‖v_{t+1}‖², ‖v_{t+1} − v_t‖²/16 and v_{t+1}·v_t of the update that follows the last state taken."""
        self._rows[2:5, self._filled - 1] = step2, flip2, turn

    def values(self, diverged_at: int) -> dict[str, float]:
        """Return the measures by name, once the last state has been taken."""
        out = np.empty(len(self._names))
        self._read(self._filled - 1, diverged_at, out)
        values = dict(zip(self._names, out.tolist(), strict=True))
        if values.get("phase") == phases.UNDECIDED and self._repeats():
            values["phase"] = float(phases.CYCLE)
        return values

    def _repeats(self) -> bool:
        """Whether what was seen of the last CHUNK updates is what was seen a period before them, bit for bit."""
        rows = np.concatenate([self._before, self._rows[:, : self._filled - 1]], axis=1)[:, -2 * CHUNK :]
        updates = rows.shape[1]
        step = self._first + self._filled - 1
        if updates < 2 * CHUNK or not _is_constant(self._thresholds(step - updates, step + 1)):
            return False
        bits = np.ascontiguousarray(rows).view(np.int64)
        return any((bits[:, CHUNK:] == bits[:, CHUNK - p : -p]).all() for p in range(1, CHUNK + 1))

    def _read(self, updates: int, diverged_at: int, out: Array) -> None:
        read = [0, 5, 1] if self._preconditions else [0, 1]
        states = self._rows[read, : self._filled]
        thresholds = self._thresholds(self._first, self._first + self._filled)
        # A step of what is observed costs more than one of plain CPython, and compiling takes longer than a short run.
        modules.plain(observe_source(self._names, self._preconditions))["observe"](
            *states,
            thresholds,
            *self._rows[2:5, :updates],
            self._first,
            self._steps,
            diverged_at,
            self._carried,
            out,
        )


def observe(
    names: Sequence[str],
    sharpness: Array,
    loss: Array,
    threshold: Array,
    motion: tuple[Array, Array, Array],
    diverged_at: int,
    preconditioned: Array | None = None,
) -> dict[str, float]:
    """Return measures by name of arrays with an element per state, and per update for `motion`; trusted.

    `motion` is ‖v_{t+1}‖², ‖v_{t+1} − v_t‖²/16 and v_{t+1}·v_t; `preconditioned` the sharpness that the threshold is
    of, where it is not the Hessian's.
    """
    source = observe_source(names, preconditioned is not None)
    own = [] if preconditioned is None else [preconditioned]
    steps = len(motion[0])
    entry = modules.plain(source)["observe"] if steps <= _PLAIN_STEPS else modules.compiled(source).observe
    out = np.empty(len(names))
    state = np.empty(len(state_names(names)))
    entry(sharpness, *own, loss, threshold, *motion, 0, steps, diverged_at, state, out)
    return dict(zip(names, out.tolist(), strict=True))


def _sum(a: Array, b: Array) -> Array:
    """Return Σ_j a_tj b_tj for each t, added from left to right as the kernels do."""
    out = np.zeros(len(a))
    for j in range(a.shape[1]):
        out = out + a[:, j] * b[:, j]
    return out
