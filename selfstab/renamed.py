"""Names of version 0.1 that arguments still take and datasets still carry, and what they are called now.

Both go with version 0.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from selfstab.notices import notify

if TYPE_CHECKING:
    import xarray

MEASURES: Final = {"peak_excess": "peak_excess_sharpness"}
"""Measures of sweeps, and variables of the catapults of a record."""

SWING: Final = {"initial_excess": "peak_excess_sharpness", "excess": "excess_sharpness"}
"""Variables of a run beside its swing."""

ANALYSIS: Final = MEASURES | {"excess": "excess_sharpness"}
"""Variables of an analysis."""

COMPARISON: Final = {"peak_excess": "peak_relative_excess"}
"""Variables of a comparison of optimizers."""

CELLS: Final = {"outcome": "phase"}
"""Variables of overshoots against inertia numbers."""


def notify_of(argument: str, word: str, names: Mapping[str, str]) -> None:
    """Warn at the caller's line if a word is an old name.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as record:
    ...     warnings.simplefilter("always")
    ...     notify_of("measure", "peak_excess", MEASURES)
    >>> print(record[0].message)
    measure 'peak_excess' is now called 'peak_excess_sharpness'; the old name goes with version 0.4
    """
    if word in names:
        notify(
            f"{argument} {word!r} is now called {names[word]!r}; the old name goes with version 0.4",
            DeprecationWarning,
        )


def with_old_names(data: xarray.Dataset, names: Mapping[str, str]) -> xarray.Dataset:
    """Return a dataset in which variables stand under their old names, too.

    Parameters
    ----------
    data
        What holds the variables.
    names
        Today's name by the old one.

    Returns
    -------
    xarray.Dataset
        The attribute ``deprecated`` of an old name says what to read instead.

    Examples
    --------
    >>> import xarray
    >>> data = with_old_names(xarray.Dataset({"phase": 3}), CELLS)
    >>> int(data.outcome), data.outcome.attrs
    (3, {'deprecated': 'now called phase'})
    """
    twins = {old: data[new].copy() for old, new in names.items() if new in data}
    for old, twin in twins.items():
        twin.attrs["deprecated"] = f"now called {names[old]}"
    return data.assign(twins)


def with_names_of_today(data: Any, names: Mapping[str, str]) -> Any:
    """Return a dataset in which what stands under an old name alone stands under today's, too.

    Parameters
    ----------
    data
        A dataset, perhaps saved by version 0.1; what is none is returned as it is.
    names
        Today's name by the old one.

    Examples
    --------
    >>> import xarray
    >>> int(with_names_of_today(xarray.Dataset({"outcome": 3}), CELLS).phase)
    3
    """
    import xarray

    if not isinstance(data, xarray.Dataset):
        return data
    return data.assign({new: data[old] for old, new in names.items() if old in data and new not in data})
