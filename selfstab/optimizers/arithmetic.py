"""Functions that an optimizer's rule may use beside ``+ − * /`` and ``**``: of arrays, terms and SymPy expressions."""

from selfstab.kernels.terms import exp, log, sqrt, where

__all__ = ["exp", "log", "sqrt", "where"]
