"""Losses written as formulas.

``loss`` is the loss, ``formulas`` derives gradient, Hessian and sharpness from the expression, ``printing`` writes
them as source, ``expressions`` reads text by a whitelist, ``size`` bounds what a formula may grow to. A function
that formulas may use goes into ``expressions`` and ``printing``. ``risk`` is a formula's mean over data: ``entries``
reads names such as x[0], ``graph`` derives one sample's formula, ``risk_formulas`` writes it and its means.
"""

from selfstab.losses.symbolic.loss import SymbolicLoss

__all__ = ["SymbolicLoss"]
