"""Eigenpairs of symmetric matrices and operators.

``pairs`` finds the largest ones, densely or by iteration, with their residuals; ``krylov`` holds the iterations. What
knows nothing of losses and works on any symmetric operator goes here.
"""
