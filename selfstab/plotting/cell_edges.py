"""Edges of a heat map's cells, and the scale that their centres ask for."""

from __future__ import annotations

from typing import Any

import numpy as np

from selfstab import validation
from selfstab.validation import Array


def is_geometric(values: Any) -> bool:
    """Whether three or more numbers above 0 have equal ratios, to a thousandth, rather than equal differences.

    >>> is_geometric([0.1, 1.0, 10.0]), is_geometric([1.0, 1.1, 1.2]), is_geometric([0.0, 1.0, 10.0])
    (True, False, False)
    """
    at = np.asarray(values, dtype=np.float64)
    if at.size < 3 or at.min() <= 0.0:
        return False
    ratios, differences = np.diff(np.log(at)), np.diff(at)
    uneven = np.ptp(ratios) / np.abs(ratios).max()
    return bool(uneven < min(1e-3, np.ptp(differences) / np.abs(differences).max()))


def cell_edges(centres: Any, *, log: bool = False) -> Array:
    """Return the edges of a heat map's cells, for pcolormesh.

    Inner edges are halfway between centres (on a log axis: at geometric means), outer edges as far beyond the
    outer centres as the next inner edges are before them.

    Parameters
    ----------
    centres
        Increasing or decreasing, shape (n,), n >= 2; above 0 if log.
    log
        Whether the axis is logarithmic.

    Returns
    -------
    ndarray
        Shape (n + 1,).

    Raises
    ------
    ValueError
        If there are fewer than two.

    Examples
    --------
    >>> cell_edges([0.0, 1.0, 3.0])
    array([-0.5,  0.5,  2. ,  4. ])
    >>> cell_edges([1.0, 100.0], log=True).round(6)
    array([1.e-01, 1.e+01, 1.e+03])
    """
    at = np.asarray(centres, dtype=np.float64)
    if at.size < 2:
        raise ValueError(f"centres must be at least two, got {validation.shown(at.tolist())}")
    if log:
        at = np.log(at)
    inner = 0.5 * (at[1:] + at[:-1])
    edges = np.concatenate([[2.0 * at[0] - inner[0]], inner, [2.0 * at[-1] - inner[-1]]])
    return np.exp(edges) if log else edges
