"""Cautions: why the overshoot law should not be trusted for a catapult of a recorded run, and by which number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from selfstab import validation

if TYPE_CHECKING:
    import xarray
    from numpy.typing import NDArray

CAUTIONS: Final = {
    "large_drop": "the drop, or the law's, is more than a tenth of the sharpness: the loss's own curvature enters",
    "settings_moved": "lr or momentum changed during the swing by more than a tenth of y0 in the threshold",
    "sharpening": "progressive sharpening during the swing is more than a tenth of y0: the law assumes there is none",
    "coarse": "fewer than 8 records between onset and crossing",
    "one_sided": "sharpness is recorded at even strides: only one side of the flip is seen, y0 and drop may be off",
    "cut_short": "the swing had not died when the record ended",
    "several_unstable": "a second eigenvalue was above the threshold",
    "no_loss": "without a loss, the oscillation's own share of the sharpness is in y0 and in the drop",
    "lookahead_series": "the series with lookahead is used beyond small inertia numbers",
    "begun": "the swing was under way where the record begins: y0 and the growth miss its beginning",
    "noisy": "noise of the recorded sharpness is more than a twentieth of y0, which as a maximum it raises",
    "beyond_sharpness": "the law's drop is larger than the sharpness, so that its predictions are left out",
    "growth_differs": "the swing did not grow as the recorded sharpness and lr predict",
    "sharpening_unknown": "too few records beside the swing show whether the sharpness rises by itself",
    "other_scale": "the sharpness levels off away from the threshold: one of the two is of another scale",
    "gap": "the sharpness is not recorded during a part of the swing: y0, crossing and drop may be off",
}
"""Reasons not to trust the law's prediction for a catapult; a catapult may have several."""

WORDS: Final = {
    "large_drop": "large drop",
    "settings_moved": "lr or momentum changed",
    "sharpening": "sharpening",
    "coarse": "few records",
    "one_sided": "even strides",
    "cut_short": "cut short",
    "several_unstable": "several unstable directions",
    "no_loss": "no loss",
    "lookahead_series": "series with lookahead",
    "begun": "begun before the record",
    "noisy": "noise",
    "beyond_sharpness": "the law does not apply",
    "growth_differs": "growth differs",
    "sharpening_unknown": "sharpening unknown",
    "other_scale": "another scale",
    "gap": "gap in the swing",
}
"""What a caution is called in a report."""

MEASURED: Final = {
    "large_drop": "{:.0%} of the sharpness",
    "settings_moved": "{:.0%} of y0",
    "sharpening": "{:.0%} of y0",
    "coarse": "{:.0f} records",
    "one_sided": "{:.0%} of the strides",
    "cut_short": "{:.0f} records after the crossing",
    "several_unstable": "at {:.0f} records",
    "no_loss": "",
    "lookahead_series": "an inertia number of {:.2g}",
    "begun": "at {:.1%} of its spike",
    "noisy": "{:.0%} of y0",
    "beyond_sharpness": "{:.3g} times the sharpness",
    "growth_differs": "{:.2g} times the predicted rate",
    "sharpening_unknown": "{:.0f} records before the onset",
    "other_scale": "at {:.3g} times the threshold",
    "gap": "of {:.0f} steps",
}
"""How the number that a caution goes by is written."""


def cautions_of(data: xarray.Dataset, catapult: int) -> list[str]:
    """Return the names of the cautions of one catapult.

    Parameters
    ----------
    data
        What :func:`analyze` returns.
    catapult
        Its number, from 0.

    Returns
    -------
    list of str
        Keys of CAUTIONS.

    Examples
    --------
    >>> import xarray
    >>> cautions_of(xarray.Dataset({"cautions": ("catapult", [5])}), 0)
    ['large_drop', 'sharpening']
    """
    bits = int(data["cautions"][validation.integer("catapult", catapult, at_least=0)])
    return [name for k, name in enumerate(CAUTIONS) if bits >> k & 1]


def law_applies(data: xarray.Dataset) -> NDArray[np.bool_]:
    """Return for which catapults the law applies: its drop leaves a sharpness above 0.

    Parameters
    ----------
    data
        What :func:`analyze` returns.

    Returns
    -------
    ndarray of bool, shape (catapult,)
        False where the caution beyond_sharpness says so.

    Examples
    --------
    >>> import xarray
    >>> law_applies(xarray.Dataset({"cautions": ("catapult", [5, 2048])}))
    array([ True, False])
    """
    bit = list(CAUTIONS).index("beyond_sharpness")
    return np.asarray(data["cautions"].values.astype(np.int64) >> bit & 1 == 0, dtype=np.bool_)


def measured_by(data: xarray.Dataset, catapult: int, name: str) -> str:
    """Return the number that a caution of a catapult goes by, in words.

    Parameters
    ----------
    data
        What :func:`analyze` returns.
    catapult
        Its number, from 0.
    name
        Of the caution.

    Returns
    -------
    str
        Such as "23% of the sharpness"; empty where there is no number.

    Examples
    --------
    >>> import numpy as np, xarray
    >>> numbers = xarray.Dataset({"caution_numbers": (("catapult", "caution"), np.full((1, len(CAUTIONS)), 0.23))})
    >>> measured_by(numbers, 0, "large_drop")
    '23% of the sharpness'
    """
    if "caution_numbers" not in data:
        return ""
    number = float(data["caution_numbers"][catapult, list(CAUTIONS).index(name)])
    if not math.isfinite(number):
        return ""
    if name == "large_drop" and "predicted_drop" in data and "drop" in data:
        return _drops(data, catapult, number)
    return MEASURED[name].format(number)


def _drops(data: xarray.Dataset, catapult: int, share: float) -> str:
    """Return the measured drop and the law's as shares of the sharpness; where the law does not apply no number."""
    drop, law = float(data["drop"][catapult]), float(data["predicted_drop"][catapult])
    if not math.isfinite(law):
        return f"measured {share:.0%} of the sharpness"
    beyond = "beyond_sharpness" in cautions_of(data, catapult)
    of_law = "beyond it" if beyond else f"{share * law / drop:.0%}"
    return f"measured {share:.0%} of the sharpness, the law's {of_law}"
