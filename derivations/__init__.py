"""One SymPy script per result, each step asserted: ``python -m derivations`` runs them all.

A script's docstring holds the statement, the assumptions and the steps, and running it prints it as
mathematics, as in ``python -m derivations.q1_modes``. `RESULTS` in each is a dict of named SymPy
expressions. Nothing here imports the library.
"""
