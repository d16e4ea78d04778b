"""What a recorded run shows of each of its catapults: rates, growth, the area of the spike, and why to be cautious."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab.observables.kinds import Records, Swing, smoothed, white_noise
from selfstab.records.comparison.cautions import CAUTIONS
from selfstab.records.comparison.edge_cycles import slope
from selfstab.records.comparison.laws import HeavyBallLaws, Laws
from selfstab.records.comparison.stable_rises import stable_rise_of
from selfstab.records.read import matching_sharpness
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

_SMALL: Final = 0.1
_FEWEST: Final = 8
_SERIES: Final = 0.2
_NOISE: Final = 0.05
_BEGUN: Final = 1e-3
_DIFFERS: Final = 0.35
"""Of the logarithms of measured and predicted growth: by so large a share they differ."""

ALONG_CATAPULT: Final = {
    "steps_above": ("steps from onset to crossing", "step"),
    "loss_spike": ("largest loss minus the least between onset and peak, by all records of the loss", "loss"),
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
"""Variables along catapult, with long names and units."""


class Measurements:
    """The records of a run where sharpness is known, and the loss at every step where it is."""

    def __init__(self, data: xarray.Dataset, laws: Laws, notes: list[str]) -> None:
        matching = matching_sharpness(data)
        self.preconditioned = matching != "sharpness"
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
        self.stride = float(np.median(np.diff(self.steps)))
        self.even = float((np.diff(self.steps) % 2 == 0).mean())
        self.one_sided = self.even > 0.5
        self.noise = white_noise(self.smooth)
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
                notes.append(self._unusable(inside))
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

    def _unusable(self, inside: Array) -> str:
        """Return a sentence on why the loss is not used."""
        if self.losses.size < inside.sum() / 2:
            return "The loss is recorded too rarely beside the sharpness and is not used."
        return (
            f"The loss is recorded from step {self.loss_steps[0]} to {self.loss_steps[-1]}, and the sharpness at "
            f"{inside.size - np.count_nonzero(inside)} steps beyond: the loss is not used."
        )

    def stable_rise(self) -> list[str]:
        """Return sentences on a large rise of the loss below the threshold, if there is one."""
        if self.preconditioned:  # a preconditioner that changes moves the loss, too
            return []
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = self.smooth / self.limits
        rise = stable_rise_of(self.steps, ratios, self.momentum, self.lookahead, self.loss_steps, self.losses)
        return [] if rise is None else rise.sentences

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
        rate = slope(self.steps, self.smooth, begin, onset)
        row: dict[str, float] = {
            "steps_above": catapult["crossing"] - catapult["onset"],
            "lr": lr,
            "momentum": beta,
            "sharpening_rate": rate,
            "progressive_sharpening": rate / np.float64(self.laws.drift(lr, beta)),
            **{name: value for name, value in law.items() if name != "spike"},
        }
        row |= dict.fromkeys(("growth", "predicted_growth", "stabilization", "predicted_loss_spike"), np.nan)
        row["loss_spike"] = self._height(onset, end, catapult["loss_spike"])
        rise = 0.0 if np.isnan(rate) else rate * float(self.steps[died] - self.steps[top])
        if self.losses.size:
            self._spike(row, law["spike"], onset, self.steps[[died, end - 1]], drop + max(rise, 0.0))
        moved = float(np.ptp(self.limits[top : died + 1]))
        here = float(self.smooth[top])
        # Where too few records are before the onset, what the sharpness does until y0 and long after the swing tells.
        mean = np.nan
        if top - onset >= _FEWEST:
            mean = (here - float(self.smooth[onset])) / float(self.steps[top] - self.steps[onset])
        others = np.array([mean, slope(self.steps, self.smooth, (died + end) // 2, end - 2)])
        if np.isnan(rate) and np.isfinite(others).any():
            rise = float(np.nanmax(others)) * float(self.steps[died] - self.steps[top])
        unknown = bool(np.isnan(rate) and np.isnan(others).all())
        second = self.second is not None and self.second[onset : died + 1] > self.limits[onset : died + 1]
        gap = float(np.diff(self.steps[max(onset - 1, 0) : died + 1]).max())
        differs = np.log(row["growth"]) / np.log(row["predicted_growth"])
        numbers = {
            "large_drop": drop / abs(here),
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
            "gap": gap,
        }
        holds = {
            "large_drop": not max(drop, row["predicted_drop"]) <= _SMALL * abs(here),
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
            "gap": gap > max(2.0 * self.stride, row["steps_above"] / _FEWEST),
        }
        row["cautions"] = sum(2**k for k, name in enumerate(CAUTIONS) if holds[name])
        row |= {f"caution {name}": float(number) for name, number in numbers.items()}
        return row

    def _height(self, onset: int, end: int, at_records: float) -> float:
        """Return the loss's spike between two records of the sharpness, by all records of the loss."""
        if self.loss is None:
            return at_records
        first, last = self.steps[[onset, end - 1]]
        between = self.loss_steps[(self.loss_steps >= first) & (self.loss_steps <= last)]
        losses = np.interp(np.union1d(self.steps[onset:end], between), self.loss_steps, self.losses)
        peak = int(np.argmax(losses))
        return float(losses[peak] - losses[: peak + 1].min())

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
            rate_of_loss = np.polyfit(steps[window] - steps[begin], 0.5 * np.log(swing[window]), 1)[0]
            here = np.interp(steps[window], self.positions, self.smooth)
            rate = np.interp(steps[window], self.positions, self.lr)
            radius = self.laws.radius(rate, here, beta)
            row["growth"] = float(np.exp(rate_of_loss))
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


def neighbours(swings: list[Swing], steps: Array) -> dict[str, Any]:
    """Return, for each catapult, the record from which the swing before has died, and that of the next onset."""
    listed = [k for k, swing in enumerate(swings) if swing.kind == "catapult"]
    begins = [float(swings[k - 1].died) if k else float(steps[0]) for k in listed]
    ends = [float(swings[k + 1].onset) if k + 1 < len(swings) else np.inf for k in listed]
    positions = steps.astype(np.float64)
    return {"begin": np.searchsorted(positions, begins), "end": np.searchsorted(positions, ends)}


def _close(values: Array, value: float) -> Array:
    return np.where(np.isfinite(values), -np.abs(values - value), -np.inf)
