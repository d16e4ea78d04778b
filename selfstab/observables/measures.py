"""Catapults and phases, measured on our runs or on anyone's recorded arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import theory, validation
from selfstab.kernels import modules
from selfstab.kernels.measures import MEASURES
from selfstab.kernels.run_template import observe_source, state_names
from selfstab.losses.base.loss import Loss
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

_PLAIN_STEPS = 2_000

_PART = 4096
"""States that an observer holds."""

_LARGEST = 2e307
"""Bound on recorded values: sums of eight of them, which smoothed differences need, do not overflow."""


def catapults(sharpness: Any, threshold: Any, loss: Any = None, step: Any = None) -> xarray.Dataset:
    """Find the catapults in a recorded run: anyone's arrays will do.

    A catapult begins where the smoothed sharpness rises through the threshold S* (*onset*), turns where it falls
    through it again (*crossing*) and lasts until the next onset or the end of the record. Smoothed is the (1, 2, 1)/4
    mean of three consecutive records (of two at the ends and at gaps), which removes the sharpness's alternation along
    a flip where records are an odd number of steps apart. Records an even number of steps apart show one side of the
    flip only and are taken as they are: on losses whose sharpness alternates, y0 and the drop may then be off by tens
    of percent. Record every step, or the mean of two consecutive ones.

    Parameters
    ----------
    sharpness
        S_t, one-dimensional and finite.
    threshold
        S*_t, the same length, or one number; infinity is allowed (an lr of 0).
    loss
        L_t, the same length. With it, y0 is taken before the swing and the drop after it has died; without it, the
        oscillation's own O(x²) share of the sharpness is in both.
    step
        The steps of the records, increasing integers up to 2⁵³ in magnitude; by default the coordinate ``step`` of
        a DataArray, else 0, 1, 2, ...

    Returns
    -------
    xarray.Dataset
        Dimension catapult (in order of onset), variables

        - onset, crossing: steps; peak: the step of the largest loss (−1 without a loss); died: the step from which on
          the loss stays within 1% of its peak above its later minimum (the crossing without a loss);
        - peak_excess: y0, the largest smoothed S − S* from the onset on, while the loss is at most a tenth of the way
          from its minimum since the onset to its peak (up to the crossing without a loss); at least the value at the
          onset;
        - relative_excess: ε = y0/S* at the step of y0;
        - drop: the smoothed sharpness at the step of y0, minus its least from died to the next onset;
        - overshoot: drop/(2 y0), which the overshoot law predicts;
        - loss_spike: largest loss minus the least between onset and peak (NaN without a loss).

        Of a run that diverged, only what came before the last swing means anything.
        A swing that has not fallen through the threshold by the end of the record is not listed, nor one after
        which the sharpness is not lower than before.

    Raises
    ------
    TypeError, ValueError
        If lengths differ, or a value is not a finite number of magnitude up to 2e307.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss = ss.CubicTaylor(curvature=1.0)
    >>> start, previous = ss.flip_start(loss, loss.minimum(), size=1e-4)
    >>> run = ss.simulate(loss, ss.HeavyBall(lr=2.02), start, 4000, previous=previous)
    >>> found = ss.catapults(run.sharpness, run.max_stable_sharpness, run.loss)
    >>> found.sizes["catapult"], round(float(found.overshoot[0]), 3)
    (1, 1.01)
    """
    s = _record("sharpness", sharpness)
    limits = _thresholds(threshold, s.size)
    losses = None if loss is None else _same_length("loss", _record("loss", loss), s.size)
    steps = _steps(getattr(sharpness, "coords", {}).get("step") if step is None else step, s.size)
    strides = np.diff(steps)
    smooth = _smoothed(s, strides)
    excess = smooth - limits
    if (strides % 2 == 1).any() and np.isfinite(limits).all():
        excess, limits = _smoothed(s - limits, strides), _smoothed(limits, strides)
    rows = [row for row in _swings(smooth, excess, losses) if row["drop"] > 0]
    for row in rows:
        row["relative_excess"] = row["peak_excess"] / float(limits[row.pop("top")])
        row["overshoot"] = row["drop"] / (2.0 * row["peak_excess"])
        for name in ("onset", "crossing", "peak", "died"):
            row[name] = steps[int(row[name])] if row[name] >= 0 else -1
    return _catapult_dataset(rows)


_CATAPULT = {
    "onset": ("step at which the smoothed sharpness rises through the threshold", "step"),
    "crossing": ("step at which it falls through the threshold", "step"),
    "peak": ("step of the largest loss", "step"),
    "died": ("step from which on the swing has died", "step"),
    "peak_excess": ("y0, the largest smoothed S - S* before the swing", "1/lr"),
    "relative_excess": ("y0 / S*", "1"),
    "drop": ("fall of the sharpness", "1/lr"),
    "overshoot": ("drop / (2 y0)", "1"),
    "loss_spike": ("rise of the loss", "loss"),
}


def _catapult_dataset(rows: list[dict[str, float]]) -> xarray.Dataset:
    import xarray

    out = xarray.Dataset(coords={"catapult": np.arange(len(rows))})
    for name, (long_name, units) in _CATAPULT.items():
        dtype = np.int64 if units == "step" else np.float64
        out[name] = ("catapult", np.array([row[name] for row in rows], dtype=dtype))
        out[name].attrs.update(long_name=long_name, units=units)
    return out


def _record(name: str, values: Any) -> Array:
    array = validation.floats(name, values, shape=(None,))
    return validation.broadcastable(name, array, at_least=-_LARGEST, at_most=_LARGEST)


def _same_length(name: str, values: Array, size: int) -> Array:
    if values.size != size:
        raise ValueError(f"{name} must have as many values as sharpness ({size}), got {values.size}")
    return values


def _thresholds(threshold: Any, size: int) -> Array:
    limits = validation.broadcastable("threshold", threshold, above=0, finite=False)
    large = limits[np.isfinite(limits) & (limits > _LARGEST)]
    if large.size:
        raise ValueError(f"threshold must be in (0, {_LARGEST:g}] or infinite, got {float(large[0])!r}")
    if limits.ndim == 0:
        return np.full(size, float(limits))
    if limits.ndim != 1:
        raise ValueError(f"threshold must be a number or one-dimensional, got shape {limits.shape}")
    return _same_length("threshold", limits, size)


def _steps(step: Any, size: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if step is None:
        return np.arange(size, dtype=np.int64)
    values = _same_length("step", validation.floats("step", step, shape=(None,)), size)
    if (np.abs(values) > 2.0**53).any():
        raise ValueError(f"step must be at most 2**53 in magnitude, got {validation.shown(step)}")
    if (values != np.round(values)).any() or (np.diff(values) <= 0).any():
        raise ValueError(f"step must be increasing whole numbers, got {validation.shown(step)}")
    return values.astype(np.int64)


def _smoothed(values: Array, strides: Array | None = None) -> Array:
    """Return values without their alternation from step to step, of records these strides apart (1 by default).

    Each is the mean of itself and of the line through its neighbours an odd number of steps away, or of the only such
    neighbour; one without any is rid of what the record before it alternates by, if that is known.
    """
    if values.size < 2:
        return values.copy()
    apart = np.ones(values.size - 1) if strides is None else strides.astype(np.float64)
    odd = np.concatenate([[False], apart % 2 == 1, [False]])
    left, right = odd[:-1], odd[1:]
    out = values.copy()
    # The mean of two removes an alternation as well; a raw end would be taken for a crossing.
    only = np.flatnonzero(left & ~right)
    out[only] = 0.5 * (values[only - 1] + values[only])
    only = np.flatnonzero(right & ~left)
    out[only] = 0.5 * (values[only] + values[only + 1])
    both = np.flatnonzero(left & right)
    before, after = apart[both - 1], apart[both]
    out[both] = 0.5 * values[both] + 0.5 * (
        (after * values[both - 1] + before * values[both + 1]) / (before + after)
    )
    if odd.any():
        for k in np.flatnonzero(~left & ~right)[int(not (left[0] or right[0])) :]:
            out[k] = values[k] - (values[k - 1] - out[k - 1])
    return out


def _swings(smooth: Array, excess: Array, losses: Array | None) -> Iterable[dict[str, Any]]:
    """Yield the swings by indices; see :func:`catapults`."""
    inside = np.concatenate([[False], excess > 0, [False]])
    onsets = np.flatnonzero(inside[1:-1] & ~inside[:-2])
    crossings = np.flatnonzero(~inside[2:] & inside[1:-1]) + 1
    for k, (onset, crossing) in enumerate(zip(onsets, crossings, strict=True)):
        end = int(onsets[k + 1]) if k + 1 < len(onsets) else excess.size
        if crossing >= end:
            continue
        peak, died, spike = -1, int(crossing), np.nan
        before = np.arange(onset, crossing)
        if losses is not None:
            peak = int(onset + np.argmax(losses[onset:end]))
            base = losses[onset : peak + 1].min()
            spike = losses[peak] - base
            low = np.flatnonzero(losses[onset:peak] - base <= 0.1 * spike)
            before = np.arange(onset, min(crossing, onset + (low[-1] if low.size else 0) + 1))
            after = losses[peak:end]
            late = np.flatnonzero(after - after.min() > 0.01 * (losses[peak] - after.min()))
            died = min(max(died, peak + (int(late[-1]) + 1 if late.size else 0)), end - 1)
        top = int(before[np.argmax(excess[before])])
        yield {
            "top": top,
            "onset": float(onset),
            "crossing": float(crossing),
            "peak": float(peak),
            "died": float(died),
            "peak_excess": float(excess[top]),
            "drop": float(smooth[top] - smooth[died:end].min()),
            "loss_spike": float(spike),
        }


_RECORDED = ("step", "loss", "sharpness", "weights", "velocity", "max_stable_sharpness", "diverged_at")


def measure(run: xarray.Dataset, measures: Sequence[str] = ("phase", "overshoot")) -> dict[str, float]:
    """Read a sweep's measures off one recorded run.

    Parameters
    ----------
    run
        What :func:`selfstab.simulate` returns, with every=1 and keep=("loss", "sharpness", "weights", "velocity").
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

    names = validation.some_of("measures", measures, MEASURES)
    if not isinstance(run, xarray.Dataset):
        raise TypeError(f"run must be a dataset of simulate, got {validation.shown(run)}")
    for name in _RECORDED:
        if name not in run:
            raise ValueError(f"run must hold {', '.join(_RECORDED)}, got no {name}")
    if (np.diff(run["step"].values) != 1).any():
        raise ValueError("run must hold every step, got every=" + str(run.attrs.get("every")))
    velocity = run["velocity"].values
    with np.errstate(over="ignore", invalid="ignore"):
        change = np.diff(velocity, axis=0)
        motion = (
            _sum(velocity[1:], velocity[1:]),
            0.0625 * _sum(change, change),
            _sum(velocity[1:], velocity[:-1]),
        )
    return observe(
        names, run["sharpness"].values, run["loss"].values, run["max_stable_sharpness"].values, motion,
        int(run["diverged_at"]),
    )  # fmt: skip


def swing(run: xarray.Dataset, loss: Loss, minimum: Any) -> xarray.Dataset:
    r"""Return a catapult's run with x, y and what theory says of it: all that the drawings of catapults ask for.

    .. math:: x = u · (w − w_0), \quad y = S − S^*, \quad b^2 = ‖∇S^⊥‖^2, \quad κ = ε((1 + β)/(1 − β))^2

    Parameters
    ----------
    run
        What :func:`selfstab.simulate` returns with a constant learning rate, and keep=("loss", "sharpness", "weights").
    loss
        The run's loss.
    minimum
        w₀, about which the run swings, with S(w₀) > S*; shape (dimension,). u and b² are taken there.

    Returns
    -------
    xarray.Dataset
        The run and, along step, ``displacement`` x and ``excess`` y, of the (1, 2, 1)/4 mean of three consecutive
        sharpnesses, as in :func:`catapults`; the scalars ``initial_excess`` y₀ = S(w₀) − S*,
        ``stabilization`` b², ``inertia_number`` κ, ``predicted_overshoot`` G(κ) and ``predicted_final_sharpness``
        S* − y₀(2G(κ) − 1), of the overshoot law (derivations/a5_overshoot.py).

    Raises
    ------
    TypeError, ValueError
        If the run lacks a variable or is not of this loss, its threshold is not constant or not below S(w₀), or it has
        a lookahead, for which the law has another form.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss, keep = ss.Product(), ("loss", "sharpness", "weights")
    >>> minimum = loss.minimum(sharpness=4.0)
    >>> start, previous = ss.flip_start(loss, minimum, size=1e-3)
    >>> run = ss.simulate(loss, ss.HeavyBall(0.97, 0.9), start, 500, previous=previous, keep=keep)
    >>> seen = swing(run, loss, minimum)
    >>> round(float(seen.inertia_number), 2), round(float(seen.predicted_overshoot), 2)
    (7.6, 10.92)
    """
    import xarray

    if not isinstance(run, xarray.Dataset):
        raise TypeError(f"run must be a dataset of simulate, got {validation.shown(run)}")
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a selfstab loss, got {validation.shown(loss)}")
    for name in ("step", "sharpness", "weights", "max_stable_sharpness"):
        if name not in run:
            raise ValueError(
                f"run must hold step, sharpness, weights and max_stable_sharpness, got no {name}"
            )
    if run.attrs.get("loss") != loss.description:
        raise ValueError(f"loss must be the run's, {run.attrs.get('loss')}, got {loss.description}")
    optimizer = json.loads(run.attrs["optimizer"])
    if optimizer["lookahead"] != 0.0:
        raise ValueError(f"run must have lookahead 0, got {optimizer['lookahead']}")
    centre = loss._weights("minimum", minimum)
    sharpness, u = loss.sharpness(centre)
    thresholds = run["max_stable_sharpness"].values
    threshold = float(thresholds[0])
    if (thresholds != threshold).any() or not sharpness > threshold:
        raise ValueError(
            f"run must have a constant threshold below S(minimum) = {sharpness:g}, "
            f"got {thresholds.min():g} to {thresholds.max():g}"
        )
    slope = loss._third(centre, u, u)
    across = slope - (u @ slope) * u
    y0, b2 = sharpness - threshold, float(across @ across)
    kappa = float(theory.inertia_number(y0 / threshold, optimizer["momentum"]))
    out = run.assign(
        displacement=("step", (run["weights"].values - centre) @ u),
        excess=("step", _smoothed(run["sharpness"].values) - threshold),
    )
    out["displacement"].attrs.update(long_name="x = u (w - w0)", units="weight")
    out["excess"].attrs.update(long_name="y = S - S*, smoothed over the flip", units="1/lr")
    scalars = {
        "initial_excess": (y0, "y0 = S(w0) - S*", "1/lr"),
        "stabilization": (b2, "b^2, squared gradient of the sharpness across u", "1/(lr^2 weight^2)"),
        "inertia_number": (kappa, "kappa", "1"),
        "predicted_overshoot": (theory.overshoot(kappa), "G(kappa)", "1"),
        "predicted_final_sharpness": (
            theory.final_sharpness(threshold, y0, kappa), "S* - y0 (2 G(kappa) - 1)", "1/lr"),
    }  # fmt: skip
    for name, (value, long_name, units) in scalars.items():
        out[name] = ((), float(value), {"long_name": long_name, "units": units})
    return out


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
    """

    def __init__(self, names: Sequence[str], steps: int, thresholds: Callable[[int, int], Array]) -> None:
        self._names, self._steps, self._thresholds = names, steps, thresholds
        self._carried = np.empty(len(state_names(names)))
        self._rows = np.full((5, min(steps + 1, _PART)), np.nan)
        self._first = self._filled = 0

    def state(self, sharpness: float, loss: float) -> None:
        """Take the sharpness and the loss at the next w_t."""
        if self._filled == self._rows.shape[1]:
            self._read(self._filled, -1, np.empty(0))
            self._first, self._filled = self._first + self._filled, 0
        self._rows[:2, self._filled] = sharpness, loss
        self._filled += 1

    def update(self, step2: float, flip2: float, turn: float) -> None:
        """Take ‖v_{t+1}‖², ‖v_{t+1} − v_t‖²/16 and v_{t+1}·v_t of the update that follows the last state taken."""
        self._rows[2:, self._filled - 1] = step2, flip2, turn

    def values(self, diverged_at: int) -> dict[str, float]:
        """Return the measures by name, once the last state has been taken."""
        out = np.empty(len(self._names))
        self._read(self._filled - 1, diverged_at, out)
        return dict(zip(self._names, out.tolist(), strict=True))

    def _read(self, updates: int, diverged_at: int, out: Array) -> None:
        states = self._rows[:2, : self._filled]
        thresholds = self._thresholds(self._first, self._first + self._filled)
        # A step of what is observed costs more than one of plain CPython, and Numba takes long to load.
        modules.plain(observe_source(self._names))["observe"](
            *states,
            thresholds,
            *self._rows[2:, :updates],
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
) -> dict[str, float]:
    """Return measures by name of arrays with an element per state, and per update for `motion`; trusted.

    `motion` is ‖v_{t+1}‖², ‖v_{t+1} − v_t‖²/16 and v_{t+1}·v_t.
    """
    source = observe_source(names)
    steps = len(motion[0])
    entry = modules.plain(source)["observe"] if steps <= _PLAIN_STEPS else modules.compiled(source).observe
    out = np.empty(len(names))
    entry(sharpness, loss, threshold, *motion, 0, steps, diverged_at, np.empty(len(state_names(names))), out)
    return dict(zip(names, out.tolist(), strict=True))


def _sum(a: Array, b: Array) -> Array:
    """Return Σ_j a_tj b_tj for each t, added from left to right as the kernels do."""
    out = np.zeros(len(a))
    for j in range(a.shape[1]):
        out = out + a[:, j] * b[:, j]
    return out
