"""What a prediction is, and how it is judged."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from selfstab.validation import Array
from selfstab.verification.fits import LEVELS, fitted_order, largest_within

HOLDS: Final = "holds"
FAILS: Final = "fails"
NOT_RUN: Final = "not run"

_NAN: Final = float("nan")


@dataclass(frozen=True)
class Measurement:
    """What one prediction's simulations gave.

    Parameters
    ----------
    measured, predicted
        The simulation's number and the closed form's. Where there are several, those of the worst case, or those at
        the smallest value of the small parameter.
    error
        How far they are apart: relative, unless the statement says otherwise.
    order
        Fitted order of the error in the small parameter; NaN for identities.
    domain
        Largest values of the small parameter with errors within each of ``fits.LEVELS``; NaN where there is none.
    """

    measured: float
    predicted: float
    error: float
    order: float = _NAN
    domain: tuple[float, ...] = (_NAN,) * len(LEVELS)

    @classmethod
    def worst(cls, measured: Array, predicted: Array, scale: Array | None = None) -> Measurement:
        """Return the case with the largest error: distance over `scale`, by default the size of `predicted`."""
        measured, predicted = np.ravel(measured), np.ravel(predicted)
        errors = np.abs(measured - predicted) / (np.abs(predicted) if scale is None else np.ravel(scale))
        k = int(np.argmax(np.where(np.isnan(errors), np.inf, errors)))
        return cls(float(measured[k]), float(predicted[k]), float(errors[k]))

    @classmethod
    def asymptotic(
        cls, small: Array, measured: Array, predicted: Array, *, fitted: int, relative_to: Array | None = None,
        domain: Array | None = None,
    ) -> Measurement:  # fmt: skip
        """Return measured and predicted at the smallest parameter, the order and the domain.

        Parameters
        ----------
        small
            Values of the small parameter, ascending.
        measured, predicted
            One value for each.
        fitted
            How many of the smallest enter the fit of the order.
        relative_to
            What the error is divided by; the size of `predicted` by default.
        domain
            Errors whose domain is reported, where it is not this one's.
        """
        errors = np.abs(measured - predicted) / (np.abs(predicted) if relative_to is None else relative_to)
        judged = errors if domain is None else domain
        return cls(
            float(measured[0]), float(predicted[0]), float(errors[0]), fitted_order(small[:fitted], errors[:fitted]),
            tuple(largest_within(small, judged, level) for level in LEVELS),
        )  # fmt: skip


@dataclass(frozen=True)
class Prediction:
    """A closed form with the simulation that could refute it.

    Parameters
    ----------
    name
        How it is asked for, such as "Q1 modes".
    statement
        The formula, in one line.
    where
        Which simulation measures it.
    source
        The derivation file that proves it, or the paper that claims it.
    measure
        Runs the simulation; what it raises makes the entry "not run".
    small_parameter
        The parameter whose power the error is; empty for identities.
    expected_order, band
        It holds only if the fitted order is within `band` of `expected_order`.
    tolerance
        It holds only if the error is at most this.
    relation
        "=", or "<" for a comparison of two measurements: its error is signed, measured/predicted − 1, and a
        tolerance below 0 is the margin it must have.

    Raises
    ------
    ValueError
        If nothing could refute it: neither an order with its band nor a tolerance.
    """

    name: str
    statement: str
    where: str
    source: str
    measure: Callable[[], Measurement]
    small_parameter: str = ""
    expected_order: float = _NAN
    band: float = _NAN
    tolerance: float = _NAN
    relation: Literal["=", "<"] = "="

    def __post_init__(self) -> None:
        if math.isnan(self.expected_order) != math.isnan(self.band):
            raise ValueError(f"band must be given with expected_order in {self.name!r}, and only then")
        if math.isnan(self.expected_order) and math.isnan(self.tolerance):
            raise ValueError(f"tolerance or expected_order must be given in {self.name!r}, got neither")

    def judge(self, measurement: Measurement) -> tuple[str, str]:
        """Return the verdict on a measurement, and the reason if it is not that it holds."""
        if not all(map(math.isfinite, (measurement.measured, measurement.predicted, measurement.error))):
            return (
                FAILS,
                f"not finite: measured {measurement.measured}, predicted {measurement.predicted}, "
                f"error {measurement.error}",
            )
        if not math.isnan(self.tolerance) and not measurement.error <= self.tolerance:
            return FAILS, f"error {measurement.error:.3g} is above {self.tolerance:.3g}"
        if (
            not math.isnan(self.expected_order)
            and not abs(measurement.order - self.expected_order) <= self.band
        ):
            return (
                FAILS,
                f"order {measurement.order:.3g} is not within {self.band:g} of {self.expected_order:g}",
            )
        return HOLDS, ""

    def run(self) -> Judged:
        """Measure and judge; an entry that raises is not run, and says why."""
        began = time.perf_counter()
        try:
            measurement = self.measure()
        except Exception as error:  # whatever goes wrong in one entry must not end the others
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return Judged(self, Measurement(_NAN, _NAN, _NAN), NOT_RUN, reason, time.perf_counter() - began)
        return Judged(self, measurement, *self.judge(measurement), time.perf_counter() - began)


@dataclass(frozen=True)
class Judged:
    """A prediction with its measurement, verdict, reason and seconds."""

    prediction: Prediction
    measurement: Measurement
    verdict: str
    reason: str
    seconds: float
