"""A recorded training run beside the theory: threshold, catapults, and what the overshoot law says of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import former_names, validation
from selfstab.observables.detection import dataset_of
from selfstab.observables.kinds import Records, Swing, smoothed, swings_of
from selfstab.observables.kinds import white_noise as _noise
from selfstab.optimizers.base import Optimizer
from selfstab.provenance import versions
from selfstab.records.cautions import CAUTIONS, cautions_of
from selfstab.records.edge_cycles import slope as _slope
from selfstab.records.edge_cycles import with_edge_cycles
from selfstab.records.laws import HeavyBallLaws, Laws, laws_of, optimizer_of
from selfstab.records.plateau import plateau_of
from selfstab.records.read import matching_sharpness, recorded_run
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

__all__ = ["CAUTIONS", "analyze", "cautions_of", "largest_of"]

_SMALL: Final = 0.1
_FEWEST: Final = 8
_SERIES: Final = 0.2
_NOISE: Final = 0.05
_BEGUN: Final = 1e-3
_DIFFERS: Final = 0.35
"""Of the logarithms of measured and predicted growth: by so large a share they differ."""

_ALONG_CATAPULT: Final = {
    "steps_above": ("steps from onset to crossing", "step"),
    "lr": ("learning rate at the step of y0", "1/sharpness"),
    "momentum": ("momentum at the step of y0", "1"),
    "inertia_number": ("kappa", "1"),
    "predicted_overshoot": ("the overshoot law at kappa", "1"),
    "predicted_drop": ("2 y0 times the predicted overshoot", "1/lr"),
    "sharpening_rate": ("rise of the sharpness per step before the onset", "1/(lr step)"),
    "progressive_sharpening": ("alpha, (1 - momentum) / lr times the sharpening rate", "1/lr^2"),
    "growth": ("measured growth of the swing per step", "1"),
    "predicted_growth": ("spectral radius, its geometric mean over the same records", "1"),
    "stabilization": ("b^2, from the area under the loss's spike", "1/(lr^2 weight^2)"),
    "predicted_loss_spike": ("S* y0^2 / b^2 times the law's factor at kappa", "loss"),
}


# Numbers at the ends of float64 give infinite results, which are results.
@np.errstate(over="ignore", divide="ignore", invalid="ignore")
def analyze(
    run: Any,
    *,
    lr: float | None = None,
    momentum: float | None = None,
    lookahead: float | None = None,
    columns: Mapping[str, str] | None = None,
    keep: str | None = None,
    updates_per_epoch: float | None = None,
    optimizer: Optimizer | None = None,
    member: str = "",
) -> xarray.Dataset:
    r"""Compare a recorded run of gradient descent with momentum with the theory of catapults.

    .. math:: S^* = \frac{2(1 + β)}{η(1 + 2γ)}, \quad κ = ε\frac{(1 + β)^2}{(1 − β)^2}, \quad
        \text{drop} = 2 y_0 G(κ)

    Parameters
    ----------
    run
        A path to a table or a log of another library (:doc:`/tutorials/your_logs` lists them), a pandas.DataFrame, an
        xarray.Dataset (such as :func:`simulate` returns), a mapping of one-dimensional arrays, or anything that a
        format of ``selfstab.records.formats`` reads. A file is refused whose columns would take more than
        $SELFSTAB_MOST_BYTES to analyze (by default 3 GiB). Columns are known by the names of
        ``selfstab.records.roles.ALIASES``, whatever their case and prefix: sharpness is needed; lr and momentum are,
        unless given below; step, loss and second_sharpness help. What has no role is listed in the notes. A step is
        one update, and what stands beside it belongs to the weights before that update.
    lr, momentum
        η > 0 and β in [0, 1), where they were constant and not recorded. The update is w − η∇L + β(w − w₋), as of
        PyTorch's SGD; where the gradient is averaged, β v + (1 − β)g, η is the learning rate times 1 − β.
    lookahead
        γ >= 0, by default what the run carries, else 0; equal to the momentum for Nesterov's.
    columns
        The names of columns that are called otherwise, {"sharpness": NAME, ...}.
    keep
        What stands where steps go back and give other numbers, as after a restart: "last" or "first". By default such
        a run is refused.
    updates_per_epoch
        How many updates an epoch is, where the record counts epochs.
    optimizer
        The :class:`selfstab.Optimizer` that the run is of, where it does not say. Of a heavy ball it takes the place of
        lr, momentum and lookahead. Of Adam and its like the run needs the column preconditioned_sharpness, the
        largest eigenvalue of P^{-1/2}HP^{-1/2}, to which threshold and catapults then belong.
    member
        Which run, where `run` holds several; :func:`selfstab.records.formats.members` lists them.

    Returns
    -------
    xarray.Dataset
        Along step: sharpness, loss (if recorded), lr, momentum, max_stable_sharpness S*_t, and excess_sharpness
        S − S* of the smoothed sharpness (also under its former name excess), all NaN where not recorded. Along
        catapult, what :func:`catapults` gives and

        - steps_above; lr, momentum; inertia_number κ (κ_e with lookahead), predicted_overshoot G(κ), predicted_drop;
        - sharpening_rate: slope of S per step over the later half of the records between the last swing's end and
          the onset (NaN where fewer than 4); progressive_sharpening: α = (1 − β)/η times it;
        - growth, predicted_growth: of |x| per step, from half the slope of ln(L − least L) while that is between
          1/1000 and 3/100 of the spike, and the spectral radius at the sharpness recorded there (NaN where fewer
          than 4 losses are);
        - stabilization: b², from the area under the spike: a swing pushes by ηb²x²/2 a step, x² = 2(L − L₀)/S, L₀ the
          line from the loss before it to that after, and pushes 1/(1 − β) times that in all. The record holds no
          weights, so that b² and x are known in these units only;
        - predicted_loss_spike: S*y₀²/b² at this b², times the factor by which the law's orbit swings wider at κ. It
          tests the spike's height against its area and the drop, not on its own;
        - cautions: bits, of CAUTIONS in order, that say why the law should not be trusted here; caution_numbers, along
          caution, the number that each goes by.

        Along edge_cycle, of self-stabilization cycles, which are no catapults: edge_cycle_onset, edge_cycle_period,
        edge_cycle_growth, and the predicted ones. Scalars steps_above_threshold (of the whole record), diverged_at,
        open_since (onset of a swing without an end, −1) and plateau_ratio (S/S* where it cannot be so, NaN).
        Attributes notes (JSON), on how the record was read, and lookahead.

    Raises
    ------
    TypeError, ValueError
        If a column is missing or ambiguous, or a value is none that can be read; the message names the column, the
        row (counted from 1) and what is allowed.

    Notes
    -----
    Rows are sorted by step; rows of one step are joined unless they contradict each other. NaN means not recorded:
    sharpness may have strides and gaps, a loss between two others is taken from their line, lr and momentum hold until
    the next value. The run ends where loss or sharpness is infinite, and must not come back.

    The law is for a sharpness near S*, a constant lr, one unstable direction and no progressive sharpening during the
    swing; it says nothing of steps dominated by the noise of minibatches. Of Adam and its like it is the law at a
    preconditioner that stands still: one that moves takes its part of the drop
    (:func:`selfstab.theory.adaptive_inertia_number`). Linear optimizers of other kinds
    have :func:`selfstab.theory.slow_overshoot`.
    Source: new here; proofs in ``derivations/a5_overshoot.py`` and ``derivations/a5b_lookahead.py``.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss = ss.CubicTaylor(curvature=1.0)
    >>> start, previous = ss.flip_start(loss, loss.minimum(), size=1e-6)
    >>> run = ss.simulate(loss, ss.HeavyBall(lr=3.606, momentum=0.8), start, 6000, previous=previous)
    >>> seen = ss.analyze(run)
    >>> [round(float(seen[name][0]), 3) for name in ("inertia_number", "overshoot", "predicted_overshoot")]
    [0.135, 1.17, 1.17]
    """
    data = recorded_run(
        run, lr=lr, momentum=momentum, lookahead=lookahead, columns=columns, keep=keep,
        updates_per_epoch=updates_per_epoch, optimizer=optimizer, member=member,
    )  # fmt: skip
    ahead = float(data.attrs["lookahead"])
    notes = json.loads(data.attrs["notes"])
    optimizer = optimizer_of(json.loads(data.attrs["optimizer"])) if "optimizer" in data.attrs else None
    laws, matching = laws_of(optimizer, ahead), matching_sharpness(data)
    if "max_stable_sharpness" not in data:
        limits = laws.thresholds(data["lr"].values, data["momentum"].values)
        data["max_stable_sharpness"] = ("step", limits)
    described = {"long_name": "2 (1 + momentum) / (lr (1 + 2 lookahead))", "units": "1/lr"}
    if optimizer is not None or matching != "sharpness":
        described |= {"long_name": "largest stable sharpness", "sharpness": matching}
    data["max_stable_sharpness"].attrs.update(described)
    if (np.diff(np.nan_to_num(data["momentum"].values)) != 0).any():
        notes.append("Momentum changes: the threshold follows it, the law takes the value at the step of y0.")
    record = _Record(data, laws, notes)
    records = record.for_swings(int(data["diverged_at"]) >= 0)
    swings = swings_of(records)
    catapults = dataset_of(swings)
    plateau = plateau_of(
        record.steps, record.smooth, record.limits, record.loss, record.momentum, record.lookahead
    )
    record.plateau_ratio = np.nan if plateau is None else plateau.ratio
    columns_of_catapults = {str(name): catapults[name].values for name in catapults.data_vars}
    rows = record.rows(columns_of_catapults | _neighbours(swings, record.steps))
    excess = np.full(data.sizes["step"], np.nan)
    excess[record.known] = record.smooth - record.limits
    described = {"long_name": "S - S*, smoothed over the flip", "units": "1/lr"}
    data["excess_sharpness"] = ("step", excess, described)
    out = former_names.with_old_names(data.merge(catapults), former_names.ANALYSIS)
    for name, (long_name, units) in _ALONG_CATAPULT.items():
        dtype = np.int64 if units == "step" else np.float64
        label = f"catapult_{name}" if name in ("lr", "momentum") else name
        out[label] = ("catapult", np.array([row[name] for row in rows], dtype=dtype))
        out[label].attrs.update(long_name=long_name, units=units)
    out = with_edge_cycles(out, swings, records, record.smooth, record.rate)
    out["cautions"] = ("catapult", np.array([row["cautions"] for row in rows], dtype=np.int64))
    numbers = np.array([[row[f"caution {name}"] for name in CAUTIONS] for row in rows]).reshape(
        -1, len(CAUTIONS)
    )
    out["caution_numbers"] = (("catapult", "caution"), numbers)
    out["caution_numbers"].attrs.update(
        long_name="the number that each caution goes by", cautions=" ".join(CAUTIONS)
    )
    out["cautions"].attrs.update(
        long_name="why the law should not be trusted",
        flag_masks=[2**k for k in range(len(CAUTIONS))],
        flag_meanings=" ".join(CAUTIONS),
    )
    above = record.smooth > record.limits
    out["steps_above_threshold"] = ((), int(np.diff(record.steps)[above[:-1]].sum()))
    out["steps_above_threshold"].attrs.update(long_name="steps with S > S*", units="step")
    out["open_since"] = ((), catapults.attrs["open_since"])
    out["open_since"].attrs.update(
        long_name="onset of a swing whose end is not in the record, -1 without one", units="step"
    )
    out["plateau_ratio"] = ((), record.plateau_ratio)
    out["plateau_ratio"].attrs.update(
        long_name="S/S* where the sharpness levels off away from the threshold, NaN if it does not", units="1"
    )
    notes += [] if plateau is None else plateau.sentences
    out.attrs.update(notes=json.dumps(notes, ensure_ascii=False), versions=versions())
    return out


def largest_of(data: xarray.Dataset, most: int) -> list[int]:
    """Return the numbers of the catapults of the largest drop, in order; all of them if they are no more than `most`.

    Parameters
    ----------
    data
        What :func:`analyze` returns.
    most
        How many, at least 1.

    Returns
    -------
    list of int
        Numbers from 0.

    Examples
    --------
    >>> import xarray
    >>> largest_of(xarray.Dataset({"drop": ("catapult", [3.0, 1.0, 2.0])}), 2)
    [0, 2]
    """
    most = validation.integer("most", most, at_least=1)
    largest: list[int] = np.sort(np.argsort(-data["drop"].values, kind="stable")[:most]).tolist()
    return largest


class _Record:
    """The records of a run where sharpness is known, and the loss at every step where it is."""

    def __init__(self, data: xarray.Dataset, laws: Laws, notes: list[str]) -> None:
        matching = matching_sharpness(data)
        self.known = np.flatnonzero(np.isfinite(data[matching].values))
        at = data.isel(step=self.known)
        self.steps, self.sharpness, self.limits = (
            at[name].values for name in ("step", matching, "max_stable_sharpness")
        )
        self.lr, self.momentum = at["lr"].values, at["momentum"].values
        # Of heavy ball with the same steps, such as averaged momentum with lr divided by 1 − β.
        self.rate = laws.rate(self.lr, self.momentum) if isinstance(laws, HeavyBallLaws) else self.lr
        # np.interp would convert all steps anew for each catapult.
        self.positions = self.steps.astype(np.float64)
        self.laws, self.lookahead = laws, laws.lookahead if isinstance(laws, HeavyBallLaws) else 0.0
        self.smooth = smoothed(self.sharpness, np.diff(self.steps))
        self.even = float((np.diff(self.steps) % 2 == 0).mean())
        self.one_sided = self.even > 0.5
        self.noise = _noise(self.smooth)
        second = f"second_{matching}"
        self.second = at[second].values if second in data else None
        self.plateau_ratio = np.nan
        self.loss: Array | None = None
        self.loss_steps = self.losses = np.empty(0)
        if "loss" in data:
            recorded = np.isfinite(data["loss"].values)
            self.loss_steps, self.losses = data["step"].values[recorded], data["loss"].values[recorded]
            inside = self.steps.clip(self.loss_steps[0], self.loss_steps[-1]) == self.steps
            if not inside.all() or self.losses.size < self.steps.size / 2:
                notes.append("The loss is recorded too rarely beside the sharpness and is not used.")
                self.losses = np.empty(0)
            else:
                self.loss = np.interp(self.steps, self.loss_steps, self.losses)
                lacking = int((~np.isin(self.steps, self.loss_steps)).sum())
                if lacking:
                    notes.append(
                        f"The loss at {lacking} records of the sharpness is read from the line between others."
                    )

    def for_swings(self, diverged: bool) -> Records:
        """Return the records as swings are looked for in."""
        known = self.momentum if isinstance(self.laws, HeavyBallLaws) and not self.lookahead else None
        return Records(self.steps, self.sharpness, self.limits, self.loss, known, diverged)

    def _at(self, step: float) -> int:
        return int(np.searchsorted(self.positions, step))

    def rows(self, catapults: Mapping[str, Array]) -> list[dict[str, float]]:
        """Return what is known of each catapult beyond what :func:`observables.catapults` says."""
        tops = [self._top(catapults, k) for k in range(catapults["onset"].size)]
        laws = self._laws(catapults, np.array(tops, dtype=np.int64))
        return [
            self._row(catapults, k, tops[k], {name: float(values[k]) for name, values in laws.items()})
            for k in range(len(tops))
        ]

    def _top(self, catapults: Mapping[str, Array], number: int) -> int:
        """Return the record of y0."""
        onset, crossing = (self._at(catapults[name][number]) for name in ("onset", "crossing"))
        swing = slice(onset, crossing + 1)
        return onset + int(
            np.argmax(
                _close(self.smooth[swing] - self.limits[swing], catapults["peak_excess_sharpness"][number])
            )
        )

    def _laws(self, catapults: Mapping[str, Array], tops: Array) -> dict[str, Array]:
        """Return what theory says of all catapults; spike is the loss's, times b²."""
        excess, y0 = catapults["relative_excess"], catapults["peak_excess_sharpness"]
        return self.laws.catapults(excess, y0, self.momentum[tops], self.limits[tops])

    def _row(
        self, catapults: Mapping[str, Array], number: int, top: int, law: Mapping[str, float]
    ) -> dict[str, float]:
        catapult = {name: float(values[number]) for name, values in catapults.items()}
        onset, crossing, died = (self._at(catapult[name]) for name in ("onset", "crossing", "died"))
        y0, drop = catapult["peak_excess_sharpness"], catapult["drop"]
        beta, lr = self.momentum[top], self.lr[top]  # as NumPy's: what is divided by 0 is infinite
        begin, end = int(catapult["begin"]), int(catapult["end"])
        rate = _slope(self.steps, self.smooth, begin, onset)
        row: dict[str, float] = {
            "steps_above": catapult["crossing"] - catapult["onset"],
            "lr": lr,
            "momentum": beta,
            "sharpening_rate": rate,
            "progressive_sharpening": rate / np.float64(self.laws.drift(lr, beta)),
            **{name: value for name, value in law.items() if name != "spike"},
        }
        row |= dict.fromkeys(("growth", "predicted_growth", "stabilization", "predicted_loss_spike"), np.nan)
        rise = 0.0 if np.isnan(rate) else rate * float(self.steps[died] - self.steps[top])
        if self.losses.size:
            self._spike(row, law["spike"], onset, self.steps[[died, end - 1]], drop + max(rise, 0.0))
        moved = float(np.ptp(self.limits[top : died + 1]))
        here = float(self.smooth[top])
        # Where too few records are before the onset, what the sharpness does until y0 and long after the swing tells.
        mean = np.nan
        if top - onset >= _FEWEST:
            mean = (here - float(self.smooth[onset])) / float(self.steps[top] - self.steps[onset])
        others = np.array([mean, _slope(self.steps, self.smooth, (died + end) // 2, end - 2)])
        if np.isnan(rate) and np.isfinite(others).any():
            rise = float(np.nanmax(others)) * float(self.steps[died] - self.steps[top])
        unknown = bool(np.isnan(rate) and np.isnan(others).all())
        second = self.second is not None and self.second[onset : died + 1] > self.limits[onset : died + 1]
        differs = np.log(row["growth"]) / np.log(row["predicted_growth"])
        numbers = {
            "large_drop": max(drop, row["predicted_drop"]) / abs(here),
            "settings_moved": moved / y0,
            "sharpening": rise / y0,
            "coarse": crossing - onset,
            "one_sided": self.even,
            "cut_short": self.steps.size - crossing,
            "several_unstable": int(np.sum(second)),
            "no_loss": np.nan,
            "lookahead_series": abs(row["inertia_number"]),
            "begun": row.pop("begun", 0.0),
            "noisy": self.noise / y0,
            "beyond_sharpness": row["predicted_drop"] / abs(here),
            "growth_differs": differs,
            "sharpening_unknown": onset - begin,
            "other_scale": self.plateau_ratio,
        }
        holds = {
            "large_drop": not numbers["large_drop"] <= _SMALL,
            "settings_moved": not moved <= _SMALL * y0,
            "sharpening": rise > _SMALL * y0,
            "coarse": crossing - onset < _FEWEST,
            "one_sided": self.one_sided,
            "cut_short": died >= end - 1,
            "several_unstable": numbers["several_unstable"] > 0,
            "no_loss": self.loss is None,
            "lookahead_series": bool(self.lookahead) and abs(row["inertia_number"]) > _SERIES,
            "begun": numbers["begun"] > _BEGUN,
            "noisy": self.noise > _NOISE * y0,
            "beyond_sharpness": not row["predicted_drop"] <= abs(here),
            "growth_differs": bool(np.isfinite(row["growth"])) and not abs(differs - 1.0) <= _DIFFERS,
            "sharpening_unknown": unknown,
            "other_scale": bool(np.isfinite(self.plateau_ratio)),
        }
        row["cautions"] = sum(2**k for k, name in enumerate(CAUTIONS) if holds[name])
        row |= {f"caution {name}": float(number) for name, number in numbers.items()}
        return row

    def _spike(self, row: dict[str, float], law: float, onset: int, calm: Array, pushed: float) -> None:
        """Fill in what the loss's spike says: the growth, b² by its area, and its height by that."""
        # Above the threshold from the first record on: the loss of that record is the swing's, too.
        at_once = bool(onset == 1 and self.smooth[0] > self.limits[0])
        begun = self.steps[0 if at_once else onset]
        first, died, last = (int(np.searchsorted(self.loss_steps, step)) for step in (begun, *calm))
        last = min(last, self.losses.size - 1)
        peak = first + int(np.argmax(self.losses[first : died + 1]))
        # The last hundredth of the spike has an area too; further on, the loss's own descent would.
        last = min(last, 2 * died - peak)
        last = died + int(np.argmin(self.losses[died : last + 1]))
        losses, steps = self.losses[first : last + 1], self.loss_steps[first : last + 1]
        if losses.size < 4:
            return
        peak -= first
        # Where the record begins above the threshold, what the loss was before the swing is what it falls to.
        base = float((losses if at_once else losses[: peak + 1]).min())
        spike = float(losses[peak]) - base
        if not spike > 0:
            return
        row["begun"] = (float(losses[0]) - base) / spike if at_once else 0.0
        beta, lr = row["momentum"], row["lr"]
        swing = losses - base
        low, high = swing[: peak + 1] > 1e-3 * spike, swing[: peak + 1] > 0.03 * spike
        # The last time it rises through each: it may have been there before.
        begin = int(np.flatnonzero(~low)[-1]) + 1 if (~low).any() else 0
        end = int(np.flatnonzero(~high)[-1]) + 1 if (~high).any() else 0
        if end - begin >= 4:
            window = slice(begin, end)
            slope = np.polyfit(steps[window] - steps[begin], 0.5 * np.log(swing[window]), 1)[0]
            here = np.interp(steps[window], self.positions, self.smooth)
            rate = np.interp(steps[window], self.positions, self.lr)
            radius = self.laws.radius(rate, here, beta)
            row["growth"] = float(np.exp(slope))
            row["predicted_growth"] = float(np.exp(np.log(radius).mean()))
        foot = int(np.argmin(losses[: peak + 1]))
        line = np.interp(steps, [steps[foot], steps[-1]], [base, min(float(losses[-1]), float(losses[peak]))])
        sharpness = np.interp(steps, self.positions, self.smooth)
        above = np.where(sharpness > 0, np.maximum(losses - line, 0.0) / np.maximum(sharpness, 1e-300), 0.0)
        area = float(np.trapezoid(above[foot:], steps[foot:]))
        if not (area > 0 and pushed > 0):
            return
        # At the flip the gradient is taken (1 + 2 lookahead) times as far out.
        b2 = pushed / (np.float64(self.laws.drift(lr, beta)) * area * self.laws.point**2)
        row["stabilization"] = b2
        row["predicted_loss_spike"] = law / b2


def _neighbours(swings: list[Swing], steps: Array) -> dict[str, Any]:
    """Return, for each catapult, the record from which the swing before has died, and that of the next onset."""
    listed = [k for k, swing in enumerate(swings) if swing.kind == "catapult"]
    begins = [float(swings[k - 1].died) if k else float(steps[0]) for k in listed]
    ends = [float(swings[k + 1].onset) if k + 1 < len(swings) else np.inf for k in listed]
    positions = steps.astype(np.float64)
    return {"begin": np.searchsorted(positions, begins), "end": np.searchsorted(positions, ends)}


def _close(values: Array, value: float) -> Array:
    return np.where(np.isfinite(values), -np.abs(values - value), -np.inf)
