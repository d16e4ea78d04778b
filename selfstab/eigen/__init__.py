"""Eigenpairs of Hessians, and the guard of BLAS threads."""
