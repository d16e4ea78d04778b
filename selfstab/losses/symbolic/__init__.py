"""Losses written as formulas.

``loss`` is the loss, ``formulas`` derives gradient, Hessian and sharpness from the expression, ``printing`` writes
them as source, ``expressions`` reads text by a whitelist and ``conditions`` its comparisons, ``size`` bounds what a
formula may grow to. ``vocabulary`` lists the functions that formulas may use. ``functions`` are those that SymPy
lacks, with stable derivatives; ``stable`` puts them in the place of what people type. ``kinks`` is the one rule for
abs, Max and the like.

``risk`` is a formula's mean over data: ``entries`` reads names such as x[0], ``graph`` derives one sample's formula,
``risk_formulas`` writes it and its means.

A function that formulas may use goes into ``vocabulary``. Where SymPy lacks it, it goes into ``functions``, too, and
its kernel into :mod:`selfstab.kernels.elementary`.
"""

from selfstab.losses.symbolic.loss import SymbolicLoss

__all__ = ["SymbolicLoss"]
