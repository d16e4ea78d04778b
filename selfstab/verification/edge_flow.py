"""Predictions of the edge flow: its catapults on the cubic model, and on the handwritten digits."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Final

import numpy as np

from selfstab import theory
from selfstab.flows.edge import edge_flow
from selfstab.losses.base.starts import flip_start
from selfstab.losses.toys import CubicTaylor
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.validation import Array
from selfstab.verification.predicted import DISPLACEMENT, edge_start, network, optimizer
from selfstab.verification.registry import Measurement, Prediction

if TYPE_CHECKING:
    import xarray

_FLIP: Final = 1e-6  # of the excess
_DURATION: Final = 30.0  # of a catapult, in units of 1/(ηy₀/(1 − β))
_PIECES: Final = np.array([16, 8, 4, 2])  # of a step, the shortest first


def catapult(momentum: float, kappa: float) -> tuple[CubicTaylor, HeavyBall, Array, Array, float, int]:
    """Return a catapult of a κ on the cubic model: loss, optimizer, start, previous, y₀ and a number of steps."""
    excess = float(kappa / theory.inertia_number(1.0, momentum))
    loss, rate = CubicTaylor(1.0), HeavyBall(2.0 * (1.0 + momentum), momentum)
    start, previous = flip_start(loss, [0.0, excess], _FLIP * excess)
    slow = (1.0 - momentum) / (2.0 * (1.0 + momentum) * excess)
    return loss, rate, start, previous, excess, int(_DURATION * slow * (1.0 + 2.0 * np.sqrt(kappa)))


def _whole_steps() -> Measurement:
    """Compare c + (−1)^t ρu with the weights of a run, over the largest of them."""
    off, largest = [], []
    for momentum in (0.0, 0.5, 0.9):
        loss, rate, start, previous, _, steps = catapult(momentum, 0.3)
        flow = edge_flow(loss, rate, start, steps, previous=previous, keep=["weights", "direction"])
        run = simulate(loss, rate, start, steps, previous=previous, keep=["weights"])["weights"].values
        swing = (-1.0) ** flow["step"].values * flow["magnitude"].values
        ends = flow["weights"].values + swing[:, None] * flow["direction"].values
        off.append(float(np.abs(ends - run).max()))
        largest.append(float(np.abs(run).max()))
    return Measurement.worst(np.array(largest) + np.array(off), np.array(largest))


def _overshoot(momentum: float, kappa: float, order: int) -> Measurement:
    """Compare the flow's overshoot with the law's, or with 1 at first order, in the length of a substep."""
    loss, rate, start, previous, excess, steps = catapult(momentum, kappa)
    least = 1 if order == 2 else int(np.ceil((1.0 + momentum) / (1.0 - momentum)))
    drops = []
    for pieces in _PIECES:
        flow = edge_flow(
            loss,
            rate,
            start,
            steps,
            previous=previous,
            order=order,
            substeps=int(least * pieces),
            every=steps,
        )
        drops.append(float(flow["sharpness"][0] - flow["sharpness"][-1]) / (2.0 * excess))
    law = float(theory.overshoot(kappa)) if order == 2 else 1.0
    return Measurement.asymptotic(1.0 / _PIECES, np.array(drops), np.full(len(drops), law), fitted=3)


# -- on the digits ------------------------------------------------------------------------------------------------


def digits_start() -> Array:
    """Return the start of the runs on the digits: the edge, displaced along the top eigenvector."""
    weights, u = edge_start()
    return weights + DISPLACEMENT * u


@cache
def digits_run(momentum: float, steps: int) -> xarray.Dataset:
    """Return ``sharpness`` and ``weights`` at midpoints of consecutive iterates of a run on the digits."""
    import xarray

    loss = network()
    run = simulate(loss, optimizer(momentum), digits_start(), steps + 1, keep=["weights"])["weights"].values
    middles = 0.5 * (run[1:] + run[:-1])
    sharpness, guess = [], None
    for w in middles:
        pair = loss.sharpness_at(w, guess)
        guess = pair.vector
        sharpness.append(pair.value)
    data = {"sharpness": ("step", np.array(sharpness)), "weights": (("step", "weight"), middles)}
    return xarray.Dataset(data, {"step": np.arange(len(middles))})


@cache
def digits_flow(momentum: float, steps: int, order: int = 2) -> xarray.Dataset:
    """Return the edge flow on the digits."""
    return edge_flow(network(), optimizer(momentum), digits_start(), steps, order=order, keep=["weights"])


def error(flow: xarray.Dataset, run: xarray.Dataset) -> float:
    """Return the root mean square of a flow's error in the sharpness, over the run's own range of sharpness."""
    off = flow["sharpness"].values - run["sharpness"].values
    return float(np.sqrt(np.mean(off**2)) / np.ptp(run["sharpness"].values))


def _digits(momentum: float, steps: int) -> Measurement:
    run, flow = digits_run(momentum, steps), digits_flow(momentum, steps)
    return Measurement(float(run["sharpness"].min()), float(flow["sharpness"].min()), error(flow, run))


PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A14 whole steps",
        statement="with whole steps the edge flow is heavy ball: w_t = c + (−1)^t ρu",
        where="CubicTaylor, κ = 0.3, β = 0, 0.5, 0.9; 1 + distance divided by the largest weight",
        source="derivations/a14_edge_flow.py",
        measure=_whole_steps,
        tolerance=1e-9,
    ),
    *(
        Prediction(
            name=f"A14 overshoot κ = {kappa:g}",
            statement="the edge flow's sharpness drops by 2y₀G(κ) at every momentum, up to O(h²), h a substep",
            where=f"CubicTaylor, β = {momentum:g}, from a flip of 1e-6 of y₀, 2 to 16 substeps",
            source="derivations/a14_edge_flow.py",
            measure=partial(_overshoot, momentum, kappa, 2),
            small_parameter="h",
            expected_order=2.0,
            band=0.2,
        )
        for momentum, kappa in ((0.5, 1.0), (0.9, 10.0))
    ),
    Prediction(
        name="A14 first order",
        statement="without the second derivatives it drops by 2y₀ at every κ, up to O(h)",
        where="CubicTaylor, κ = 3, β = 0.5, from a flip of 1e-6 of y₀, 6 to 48 substeps",
        source="derivations/a14_edge_flow.py",
        measure=partial(_overshoot, 0.5, 3.0, 1),
        small_parameter="h",
        expected_order=1.0,
        band=0.2,
    ),
    *(
        Prediction(
            name=f"A14 digits β = {momentum:g}",
            statement="the edge flow through a large catapult: least sharpness at midpoints; error is the rms "
            "error of the sharpness, divided by its range",
            where=f"digits, parity, MLP 64-32-1 tanh, S* = 5, displaced by 0.025 along u, the first {steps} steps",
            source="derivations/a14_edge_flow.py",
            measure=partial(_digits, momentum, steps),
            tolerance=0.04,  # 0.013 and 0.017 over 100 steps
        )
        for momentum, steps in ((0.7, 60), (0.9, 45))
    ),
)
"""Entries of the registry."""
