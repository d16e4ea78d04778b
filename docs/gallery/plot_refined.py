"""
A boundary, refined
===================

Only the cells that differ from a neighbour are halved: the stability threshold of heavy ball to 1/512 of the box, at a
small part of the full grid's runs.
"""

import selfstab as ss

box = {"momentum": (0.0, 0.96, 8), "lr": (0.2, 4.2, 8)}
fine = ss.refine(
    ss.Quadratic([1.0]),
    ss.HeavyBall(lr=1.0),
    box,
    start=[1.0],
    steps=2000,
    measure=["phase"],
    levels=6,
    progress=False,
)
ax = ss.plotting.draw_refined(fine, edges=True, sharpness=1.0)
ss.plotting.legend(ax, loc="upper left")
