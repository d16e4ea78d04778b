"""Eigenpairs of symmetric matrices, and the guard of BLAS threads that keeps their bits."""
