"""Predictions of flows: the averaged flow at the edge, and the rod flow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Final, cast

import numpy as np

from selfstab import theory
from selfstab.losses.protocol import Loss
from selfstab.losses.toys import DoubleWell, Quadratic
from selfstab.optimizers import HeavyBall
from selfstab.rods import FullRod, Step
from selfstab.trajectory import simulate
from selfstab.validation import Array
from selfstab.verification.constrained import CURVATURE, slow_loss, slow_start
from selfstab.verification.cycles import settled_cycle
from selfstab.verification.fits import recurrence_roots
from selfstab.verification.registry import Measurement, Prediction

SPAN: Final = 1.5
"""Duration of runs at the edge, in units of q's relaxation by gradient flow at the speed η/(1 − β)."""


def edge_run(momentum: float, scale: float, samples: int) -> tuple[Array, Array]:
    """Return times, in the units of ``SPAN``, and weights of a run at the edge on the slow loss, from the balance.

    The times have shape (n,), the weights (n, 3); n is about `samples`.
    """
    loss, w, lr = slow_loss(scale), slow_start(), 2.0 * (1.0 + momentum)
    unit = (1.0 - momentum) / (lr * CURVATURE * scale**2)
    steps = int(SPAN * unit)
    x = np.array([_balance(loss, w), 0.0, 0.0])
    run = simulate(
        loss, HeavyBall(lr, momentum), w + x, steps, previous=w - x, keep=["weights"],
        every=max(1, steps // samples),
    )  # fmt: skip
    return np.asarray(run["step"].values / unit), run["weights"].values


def averaged_flow() -> Callable[[Array], Array]:
    """Return ẇ = −∇L − ½σ²∇S, σ² = δ², on the slow loss: y and q, shape (2, n), at n of the times of :func:`edge_run`.

    In these units it is the same at every scale.
    """
    from scipy.integrate import solve_ivp

    loss = slow_loss()

    def velocity(_: float, slow: Array) -> Array:
        w = np.array([0.0, *slow])
        force = loss.gradient(w) + 0.5 * _balance(loss, w) ** 2 * loss.sharpness_gradient(w)
        return np.asarray(-force[1:] / CURVATURE)

    start = slow_start()[1:]
    found = solve_ivp(velocity, (0.0, SPAN), start, "DOP853", dense_output=True, rtol=1e-10, atol=1e-13)
    return cast("Callable[[Array], Array]", found.sol)


def _balance(loss: Loss, w: Array) -> float:
    """Return δ on x = 0, where ∇S has no share along u."""
    slope = loss.sharpness_gradient(w)
    return float(theory.edge_displacement(max(-float(loss.gradient(w) @ slope), 0.0), float(slope @ slope)))


_SCALES: Final = np.geomspace(0.08, 0.32, 4)


def _averaged(momentum: float) -> Measurement:
    follow, worst = averaged_flow(), []
    for scale in _SCALES:
        time, weights = edge_run(momentum, float(scale), 400)
        flow = follow(time)[1]
        k = int(np.argmax(np.abs(weights[:, 2] - flow)))
        worst.append((weights[k, 2], flow[k]))
    measured, predicted = np.array(worst).T
    return Measurement.asymptotic(_SCALES, measured, predicted, fitted=3)


def rod_velocity(loss: Loss, lr: float, momentum: float, state: Array) -> Array:
    """Return the rod flow's velocity: of z̄, which is w or (w, v), and of the elements of Σ."""
    return FullRod.velocity(Step(loss, lr, momentum), state)


def _rate(lr: float, momentum: float) -> float:
    """Return the rate at which the rod flow changes Σ = ddᵀ about a minimum of curvature 1, d along the flip's mode."""
    step = np.array([[1.0 - lr, momentum], [-lr, momentum]])  # z ↦ z + G(z)
    if momentum == 0.0:
        step = step[:1, :1]
    roots, modes = np.linalg.eig(step)
    d = modes[:, int(np.argmin(roots.real))].real
    spread = np.outer(d, d).ravel()
    moved = rod_velocity(Quadratic([1.0]), lr, momentum, np.concatenate([np.zeros(len(d)), spread]))
    return float(moved[len(d) :] @ spread / (spread @ spread))


_MOMENTA: Final = (0.0, 0.5, 0.9, 0.99)


def _threshold() -> Measurement:
    """Bisect for the learning rate at which Σ starts to grow; there S = 1 is the threshold."""
    from scipy.optimize import brentq

    found = []
    for m in _MOMENTA:
        edge = 2.0 * (1.0 + m)  # within 1e-6 below it modes are real at every β here
        found.append(brentq(_rate, (1.0 - 1e-6) * edge, 1.1 * edge, args=(m,), xtol=1e-15, rtol=1e-15))
    predicted = np.array(
        [float(theory.max_stable_sharpness(lr, m)) for lr, m in zip(found, _MOMENTA, strict=True)]
    )
    return Measurement.worst(np.ones(len(found)), predicted)


def _flow_rate() -> Measurement:
    excess = np.array([0.003, 0.03, 0.1])
    measured = [[_rate(2.0 * (1.0 + m) * (1.0 + e), m) for e in excess] for m in _MOMENTA]
    growth = np.array([theory.growth_factor(excess, m) for m in _MOMENTA])
    return Measurement.worst(np.array(measured), 0.5 * (growth + 1.0) ** 2 - 2.0)


def _run_rate() -> Measurement:
    """Compare the iterates' rate, from the modes of a run, with the flow's."""
    momentum, excess = 0.5, np.geomspace(1e-4, 0.1, 10)
    measured, flow = [], []
    for e in excess:
        lr = float(2.0 * (1.0 + momentum) * (1.0 + e))
        run = simulate(Quadratic([1.0]), HeavyBall(lr, momentum), [1.0], 8, previous=[-0.9], keep=["weights"])
        measured.append(2.0 * np.log(np.abs(recurrence_roots(run["weights"].values[:, 0])[0])))
        flow.append(_rate(lr, momentum))
    return Measurement.asymptotic(excess, np.array(measured), np.array(flow), fitted=6)


def _fixed_point() -> Measurement:
    """Compare Σ's first element at the rod flow's fixed point with the swing of a run that has settled."""
    from scipy.optimize import root

    measured, predicted = [], []
    for excess, momentum in product((0.02, 0.05), (0.3, 0.6, 0.9)):
        lr = (1.0 + momentum) * (1.0 + excess)  # the double well has curvature 2 at 1
        half = float(theory.two_cycle_half_amplitude(excess, 2.0, 6.0, 6.0))
        points = settled_cycle(DoubleWell(), 1.0, half, excess, momentum)
        measured.append(0.25 * (points[0] - points[1]) ** 2)
        # A swing of ±a in w is one of ±2a in v.
        guess = np.concatenate([[1.0 - half**2, 0.0], half**2 * np.array([1.0, 2.0, 2.0, 4.0])])
        found = root(partial(_velocity_at, lr, momentum), guess, tol=1e-14)
        predicted.append(found.x[2])
    return Measurement.worst(np.array(measured), np.array(predicted))


def _velocity_at(lr: float, momentum: float, state: Array) -> Array:
    return rod_velocity(DoubleWell(), lr, momentum, state)


PREDICTIONS: Final[tuple[Prediction, ...]] = (
    *(
        Prediction(
            name=f"M2 averaged flow β = {momentum:g}",
            statement="ẇ = −η/(1 − β)·[∇L + ½σ²∇S], σ² = −2∇L·∇S/‖∇S‖², up to O(σ²)",
            where=f"S = 1 + y + q²/2, β = {momentum:g}, from the balance, 1.5 relaxations of q; q's largest error",
            source="derivations/m2_averaged_flow.py",
            measure=partial(_averaged, momentum),
            small_parameter="scale of σ",
            expected_order=2.0,
            band=0.2,
        )
        for momentum in (0.0, 0.5)
    ),
    Prediction(
        name="M2 rod threshold",
        statement="the rod flow's Σ starts to grow at S* = 2(1 + β)/η",
        where="Quadratic, Σ along the flip's mode, η bisected, β = 0 to 0.99",
        source="derivations/m2_rod_flow.py",
        measure=_threshold,
        tolerance=1e-13,
    ),
    Prediction(
        name="M2 rod rate",
        statement="Σ along a mode λ changes at the rate ½(λ − 1)² − 2",
        where="Quadratic, e = 0.003 to 0.1, β = 0 to 0.99",
        source="derivations/m2_rod_flow.py",
        measure=_flow_rate,
        tolerance=1e-12,
    ),
    Prediction(
        name="M2 rod growth",
        statement="beyond the threshold the iterates' variance grows as the rod flow's, up to O(e)",
        where="Quadratic, β = 0.5, modes of a run",
        source="derivations/m2_rod_flow.py",
        measure=_run_rate,
        small_parameter="e",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="M2 rod fixed point",
        statement="Σ's fixed point is the two-cycle's squared half-difference",
        where="DoubleWell, runs settled on the cycle, e = 0.02 and 0.05, β = 0.3, 0.6, 0.9",
        source="derivations/m2_rod_flow.py",
        measure=_fixed_point,
        tolerance=1e-12,
    ),
)
"""Entries of the registry."""
