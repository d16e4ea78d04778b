"""Formulas that people write, of losses and of optimizers: text or SymPy, read by a whitelist.

``expressions`` reads text and ``conditions`` its comparisons; nothing is ever evaluated. ``vocabulary`` lists the
functions that formulas may use. ``functions`` are those that SymPy lacks, with stable derivatives, and ``kinks`` is the
one rule for abs, Max and the like. ``size`` bounds what a formula may grow to, ``deadline`` the time SymPy takes.

A function that formulas may use goes into ``vocabulary``. Where SymPy lacks it, it goes into ``functions``, too, and
its kernel into :mod:`selfstab.kernels.elementary`.
"""
