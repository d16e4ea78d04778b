"""What is minimized: the contract of a loss, and the losses.

``base`` is the contract and what every loss inherits; ``symbolic`` are formulas, ``networks`` models whose derivatives
are written out, ``functions`` anything given by its gradient. A new toy goes into ``toys``; a new kind of loss is a new
file in the folder of its kind.
"""
