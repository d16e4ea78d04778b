"""Losses written as formulas.

``loss`` is the loss, ``formulas`` derives gradient, Hessian and sharpness from the expression, ``printing`` writes
them as source. :mod:`selfstab.formulas` reads expressions; ``stable`` puts functions with stable derivatives in the
place of what people type.

``risk`` is a formula's mean over data: ``entries`` reads names such as x[0], ``graph`` derives one sample's formula,
``risk_formulas`` writes it and its means.
"""

from selfstab.losses.symbolic.loss import SymbolicLoss

__all__ = ["SymbolicLoss"]
