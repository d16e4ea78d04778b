"""What processes of tabs find done: imported once, by the process that they are forked from."""

from __future__ import annotations

import llvmlite.binding
import loky
import psutil
import scipy.sparse
import xarray

from selfstab.explorer import tasks

MODULES = (llvmlite.binding, loky, psutil, scipy.sparse, xarray, tasks)
"""Imported here, so that they need not be later."""

xarray.Dataset({"phase": ("lr", [1.0])}).isel(lr=0)
