"""
The overshoot law on a loss of your own
=======================================

Any loss written in SymPy, started on its minima: its measured overshoots against the inertia number, on the universal
curve. No constant is fitted.
"""

import matplotlib.pyplot as plt
import numpy as np

import selfstab as ss
from selfstab import theory

loss = ss.SymbolicLoss("(tanh(u)*v - c)**2/2", ["u", "v"], {"c": 1.0})
minimum = loss.minimum([0.6, 1.8])
start, previous = ss.flip_start(loss, minimum, size=1e-8)
beta = 0.9
kappa = np.geomspace(0.01, 3.0, 12)
sweep = ss.sweep(
    loss, ss.HeavyBall(lr=1.0, momentum=beta), {"excess": kappa / theory.inertia_number(1.0, beta)},
    start=start, previous=previous, steps=60_000, measure=["overshoot", "phase"], progress=False,
)  # fmt: skip

with ss.plotting.paper():
    _, ax = plt.subplots(figsize=(3.37, 2.4), dpi=150, layout="constrained")
    ax.plot(
        kappa, sweep.overshoot, "o", color=ss.plotting.methods.METHOD_COLOURS["PHB"], label=rf"$\beta={beta}$"
    )
    fine = np.geomspace(0.008, 4.0, 200)
    ax.plot(fine, theory.overshoot(fine), color=ss.plotting.style.THEORY_COLOUR, label=r"theory, $G(\kappa)$")
    ax.set(xscale="log", yscale="log", xlabel=r"inertia number, $\kappa$", ylabel="overshoot, drop/(2$y_0$)")
    ss.plotting.legend(ax)
