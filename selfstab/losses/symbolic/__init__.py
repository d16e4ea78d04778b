"""Losses written as formulas.

``loss`` is the loss, ``formulas`` derives gradient, Hessian and sharpness from the expression, ``printing`` writes
them as source, ``expressions`` reads text by a whitelist, ``size`` bounds what a formula may grow to. A function
that formulas may use goes into ``expressions`` and ``printing``.
"""

from selfstab.losses.symbolic.loss import SymbolicLoss

__all__ = ["SymbolicLoss"]
