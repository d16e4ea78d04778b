"""Many runs of a loss: a grid, a refined grid, branches and orbits.

``plan`` says what is run and how it is cut, ``runners`` run it, and ``storage`` keeps it. The modules beside them are
the functions that a user calls. A new way to run many cells is a new module here, on the same plan and runners.
"""
