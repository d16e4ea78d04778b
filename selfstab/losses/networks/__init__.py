"""Networks whose derivatives are written out, up to the fourth, and their explicit Hessians.

``mlp`` and ``diagonal`` are the networks; the other files are what they are made of. A new activation goes into
``activations``, a new criterion into ``criteria``, a new architecture is a new file.
"""
