"""Predictions of flows: the averaged flow at the edge, and the rod flow."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from itertools import product
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from selfstab import theory
from selfstab.datasets import digits
from selfstab.flows.averaged import averaged_flow as averaged
from selfstab.flows.edge import edge_flow
from selfstab.flows.rod import FullRod, Step, rod_flow
from selfstab.losses.base.loss import Loss
from selfstab.losses.base.starts import flip_start
from selfstab.losses.networks.mlp import MLP
from selfstab.losses.toys import DoubleWell, Quadratic
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.validation import Array
from selfstab.verification.constrained import CURVATURE, slow_loss, slow_start
from selfstab.verification.cycles import settled_cycle
from selfstab.verification.fits import recurrence_roots
from selfstab.verification.registry import Measurement, Prediction

if TYPE_CHECKING:
    import xarray

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
    flow = solve_ivp(velocity, (0.0, SPAN), start, "DOP853", dense_output=True, rtol=1e-10, atol=1e-13)
    return cast("Callable[[Array], Array]", flow.sol)


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

    rates = []
    for m in _MOMENTA:
        edge = 2.0 * (1.0 + m)  # within 1e-6 below it modes are real at every β here
        rates.append(brentq(_rate, (1.0 - 1e-6) * edge, 1.1 * edge, args=(m,), xtol=1e-15, rtol=1e-15))
    predicted = np.array(
        [float(theory.max_stable_sharpness(lr, m)) for lr, m in zip(rates, _MOMENTA, strict=True)]
    )
    return Measurement.worst(np.ones(len(rates)), predicted)


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
        solution = root(partial(_velocity_at, lr, momentum), guess, tol=1e-14)
        predicted.append(solution.x[2])
    return Measurement.worst(np.array(measured), np.array(predicted))


def _velocity_at(lr: float, momentum: float, state: Array) -> Array:
    return rod_velocity(DoubleWell(), lr, momentum, state)


# -- on the digits ------------------------------------------------------------------------------------------------

DIGITS_THRESHOLD: Final = 3.0
"""S* of the runs on the digits."""
DIGITS_STEPS: Final = 150
"""Steps without momentum of the runs on the digits: two swings at the edge. With momentum, as much effective time."""
FLIP: Final = 0.0125
"""Half the distance of start and previous, along the top eigenvector, of the runs on the digits."""
_FLOW_MOMENTUM = 0.5  # the averaged flow is the same for all, three times as fast a step as without momentum


@cache
def digits_edge() -> tuple[MLP, Array]:
    """Return the 64-32-1 network on 500 digits by parity, and weights just below the edge: S = 2.988."""
    inputs, targets = digits(500, target="parity")
    loss = MLP((64, 32, 1), inputs, targets)
    descent = simulate(loss, HeavyBall(0.1), loss.initial_weights(seed=0), 690, every=690, keep=["weights"])
    return loss, descent["weights"].values[-1]


def digits_optimizer(momentum: float) -> HeavyBall:
    """Return the optimizer of that momentum with the threshold of the runs on the digits."""
    return HeavyBall(2.0 / DIGITS_THRESHOLD).matched(momentum)


def digits_time(momentum: float) -> float:
    """Return the effective time of a step, in steps without momentum."""
    return (1.0 + momentum) * float(theory.stabilization_weight(np.inf, momentum))


@cache
def digits_averaged() -> xarray.Dataset:
    """Return the averaged flow on the digits over effective time, dimension ``time``."""
    loss, w = digits_edge()
    steps = round(DIGITS_STEPS / digits_time(_FLOW_MOMENTUM))
    flow = averaged(loss, digits_optimizer(_FLOW_MOMENTUM), w, steps, directions=1, keep=["weights"])
    flow = flow.assign_coords(time=flow["step"] * digits_time(_FLOW_MOMENTUM)).swap_dims(step="time")
    return flow.drop_vars("step")


@cache
def digits_run(momentum: float) -> xarray.Dataset:
    """Return what a run on the digits shows of midpoints of consecutive iterates, over effective time.

    ``weights`` and ``sharpness`` at the midpoint, ``averaged_loss`` of both ends and their ``variance``.
    """
    import xarray

    loss, w = digits_edge()
    start, previous = flip_start(loss, w, FLIP)
    steps = int(DIGITS_STEPS / digits_time(momentum))
    run = simulate(
        loss, digits_optimizer(momentum), start, steps + 1, previous=previous, keep=["weights", "loss"]
    )
    weights, losses = run["weights"].values, run["loss"].values
    middles = 0.5 * (weights[1:] + weights[:-1])
    return xarray.Dataset(
        {
            "weights": (("time", "weight"), middles),
            "sharpness": ("time", np.array([loss.sharpness(at)[0] for at in middles])),
            "averaged_loss": ("time", 0.5 * (losses[1:] + losses[:-1])),
            "variance": ("time", 0.25 * (np.diff(weights, axis=0) ** 2).sum(axis=1)),
        },
        {"time": np.arange(len(middles)) * digits_time(momentum)},
    )


@cache
def digits_rod(momentum: float, share: float = 1.0) -> xarray.Dataset:
    """Return the rod flow on the digits over effective time, over the first share of the time of the runs."""
    loss, w = digits_edge()
    start, previous = flip_start(loss, w, FLIP)
    steps = int(share * DIGITS_STEPS / digits_time(momentum))
    rod = rod_flow(loss, digits_optimizer(momentum), start, steps, previous=previous, keep=["weights"])
    rod = rod.assign_coords(time=rod["step"] * digits_time(momentum)).swap_dims(step="time")
    return rod.drop_vars("step")


@cache
def digits_edge_flow(momentum: float) -> xarray.Dataset:
    """Return the edge flow on the digits over effective time."""
    loss, w = digits_edge()
    start, previous = flip_start(loss, w, FLIP)
    steps = int(DIGITS_STEPS / digits_time(momentum))
    flow = edge_flow(loss, digits_optimizer(momentum), start, steps, previous=previous, keep=["weights"])
    flow = flow.assign_coords(time=flow["step"] * digits_time(momentum)).swap_dims(step="time")
    return flow.drop_vars("step")


_DIGITS_MOMENTA: Final = (0.0, 0.5)


def _digits_loss() -> Measurement:
    measured, predicted = [], []
    for momentum in _DIGITS_MOMENTA:
        run = digits_run(momentum)
        measured.append(float(run["averaged_loss"].mean()))
        predicted.append(float(digits_averaged()["averaged_loss"].interp(time=run["time"]).mean()))
    return Measurement.worst(np.array(measured), np.array(predicted))


def _digits_path() -> Measurement:
    """Compare how far the mean weights of run and flow are apart with how far they have moved."""
    _, start = digits_edge()
    apart, moved = [], []
    for momentum in _DIGITS_MOMENTA:
        run = digits_run(momentum)
        flow = digits_averaged()["weights"].interp(time=run["time"]).values.mean(axis=0)
        apart.append(float(np.linalg.norm(run["weights"].values.mean(axis=0) - flow)))
        moved.append(float(np.linalg.norm(flow - start)))
    return Measurement.worst(np.array(moved) + np.array(apart), np.array(moved))


def _digits_directions() -> Measurement:
    """Compare as :func:`_digits_path` on ten classes, where two and three eigenvalues reach the threshold."""
    inputs, targets = digits(100)
    loss = MLP((64, 8, 10), inputs, targets)
    descent = simulate(
        loss, HeavyBall(0.2), loss.initial_weights(seed=0, scale=0.5), 200, every=200, keep=["weights"]
    )
    w = descent["weights"].values[-1]
    plain, fast, steps = HeavyBall(2.0 / (1.005 * loss.sharpness(w)[0])), 0.8, 60
    flow = averaged(loss, plain.matched(fast), w, steps, directions=5, keep=["weights"])
    if int(flow["active"].max()) < 2 or (flow["invalid"] != 0).any():
        raise ValueError("two directions or more must swing, none beyond those carried, and they did not")
    start, previous = flip_start(loss, w, FLIP)
    speed = round(digits_time(fast))
    run = simulate(
        loss, plain, start, speed * steps + 1, previous=previous, keep=["weights"], noise=_DIGITS_NOISE
    )["weights"].values
    middles = 0.5 * (run[1:] + run[:-1])[::speed]
    apart = float(np.linalg.norm((middles - flow["weights"].values).mean(axis=0)))
    moved = float(np.linalg.norm(flow["weights"].values.mean(axis=0) - w))
    return Measurement(moved + apart, moved, apart / moved)


_DIGITS_NOISE = 1e-4  # so that directions other than the start's can begin to swing

_SWING: Final = 0.25
"""Share of the time of the runs on the digits in which the sharpness rises above the threshold and turns."""


def _digits_rod() -> Measurement:
    """Compare the sharpness at midpoints where run and flow differ most; the error is over its largest excess."""
    measured, predicted, excess = [], [], []
    for momentum in _DIGITS_MOMENTA:
        rod = digits_rod(momentum, _SWING)["sharpness"].values
        run = digits_run(momentum)["sharpness"].values[: len(rod)]
        k = int(np.argmax(np.abs(rod - run)))
        measured.append(run[k])
        predicted.append(rod[k])
        excess.append(np.abs(run - DIGITS_THRESHOLD).max())
    return Measurement.worst(np.array(measured), np.array(predicted), np.array(excess))


_DIGITS_WHERE = (
    "digits, parity, MLP 64-32-1 tanh, S* = 3, from S = 2.988, displaced by 0.0125 along u; β = 0 and 0.5, "
)

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
    Prediction(
        name="M2 averaged digits",
        statement="the mean loss of the iterates is that of L + ½tr(HΣ) along the averaged flow",
        where=_DIGITS_WHERE + "150 and 50 steps, two swings",
        source="derivations/m2_averaged_flow.py",
        measure=_digits_loss,
        tolerance=0.02,  # 0.010 and 0.008
    ),
    Prediction(
        name="M2 averaged path digits",
        statement="midpoints of the iterates move as the averaged flow: 1 + distance of the means, divided "
        "by the path length of one",
        where=_DIGITS_WHERE + "150 and 50 steps, two swings",
        source="derivations/m2_averaged_flow.py",
        measure=_digits_path,
        tolerance=0.1,  # 0.015 and 0.066: momentum's κ is nine times as large
    ),
    Prediction(
        name="M2 averaged directions digits",
        statement="likewise with two and three unstable directions, Σ by semidefinite complementarity",
        where="100 digits, one-hot, MLP 64-8-10 tanh, from just below the edge, noise 1e-4, β = 0, 541 steps",
        source="derivations/m2_averaged_flow.py",
        measure=_digits_directions,
        tolerance=0.03,
    ),
    Prediction(
        name="M2 rod digits",
        statement="the sharpness at midpoints overshoots as the rod flow's does: largest error divided by "
        "the largest excess",
        where=_DIGITS_WHERE + "37 and 12 steps, the first rise and turn; Σ of rank one",
        source="derivations/m2_rod_flow.py",
        measure=_digits_rod,
        tolerance=0.2,  # 0.13 and 0.04; 1 of the averaged flow
    ),
)
"""Entries of the registry."""
