"""What processes of tabs find done: imported once, by the process that they are forked from."""

from __future__ import annotations

import loky
import numba
import psutil
import scipy.sparse
import xarray

from selfstab.explorer import tasks

MODULES = (loky, numba, psutil, scipy.sparse, xarray, tasks)
"""Imported here, so that they need not be later."""

# The first compilation loads Numba's own tables, which takes longer than to load a kernel.
numba.njit(lambda x: x + 1.0)(1.0)
xarray.Dataset({"phase": ("lr", [1.0])}).isel(lr=0)
