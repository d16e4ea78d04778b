"""Predictions on the overshoot law's universality: one law for six losses, and what each loss adds to it.

The sharpness drops from the minimum where a catapult starts to the one where it ends. Divided by 2y₀, this drop is
G(κ) up to ε(σP(κ) + τQ(κ) + R(κ)) (``derivations/a5_deviation.py``). σ and τ are two numbers of the loss, P, Q and R
functions of κ alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

import numpy as np

from selfstab import phases, theory
from selfstab.datasets import digits, sparse_regression
from selfstab.eigen.blas import one_blas_thread
from selfstab.losses.base.loss import Loss
from selfstab.losses.base.starts import flip_start
from selfstab.losses.networks.diagonal import DiagonalNetwork
from selfstab.losses.networks.mlp import MLP
from selfstab.losses.symbolic.loss import SymbolicLoss
from selfstab.losses.toys import Chain, CubicTaylor, Minimalist, Product
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.validation import Array
from selfstab.verification.registry import Measurement, Prediction

# -- where a catapult starts ----------------------------------------------------------------------------------

_FLAT = 1e-8
"""Modes of the Hessian below this fraction of the sharpness lie along the manifold of minima."""


@dataclass(frozen=True)
class Start:
    """A minimum, with what theory takes of the loss there.

    Parameters
    ----------
    loss, weights
        The loss and its minimum, shape (dimension,).
    sharpness, second
        The two largest eigenvalues S and h of the Hessian.
    slope2
        b², the squared length of the sharpness's gradient ∇S along the manifold of minima, whose direction is s.
    sigma
        σ = S·S''/b², S'' the sharpness's second derivative along the manifold's geodesic in the direction s.
    tau
        τ = (S/b²)(L₄[u, u, u, u]/6 − ½∇S·H⁺∇S).
    coupling
        What the curved modes other than u add to τ.
    flip, quiet
        The flip at the start and the largest one at the end, over the slow limit's largest swing √2 y₀/b.
    most_steps
        A run that is not quiet by then is undecided.
    """

    loss: Loss
    weights: Array
    sharpness: float
    second: float
    slope2: float
    sigma: float
    tau: float
    coupling: float
    flip: float
    quiet: float
    most_steps: int

    @classmethod
    def at(
        cls, loss: Loss, weights: Any, *, flip: float = 1e-4, quiet: float = 1e-8, most_steps: int = 4_000_000
    ) -> Start:
        """Return the start at a minimum of a loss; the default flips resolve deviations down to 1e-8."""
        w = np.asarray(weights, dtype=np.float64)
        sharpness, u = loss.sharpness(w)
        curvatures, modes = np.linalg.eigh(loss.hessian(w))
        gradient = modes.T @ loss.sharpness_gradient(w)
        flat = curvatures < _FLAT * sharpness
        slope2 = float(gradient[flat] @ gradient[flat])
        s = modes[:, flat] @ gradient[flat] / math.sqrt(slope2)
        inverse = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, curvatures))
        mixed = (modes.T @ loss.third(w, u, s))[:-1]
        second_derivative = (
            _fourth(loss, w, u, s)
            - float(gradient @ (inverse * (modes.T @ loss.third(w, s, s))))
            + 2.0 * float(np.sum(mixed**2 / (sharpness - curvatures[:-1])))
        )
        pulls = 0.5 * inverse * gradient**2
        unit = sharpness / slope2
        return cls(
            loss, w, sharpness, float(curvatures[-2]), slope2,
            sigma=unit * second_derivative,
            tau=unit * (_fourth(loss, w, u, u) / 6.0 - float(pulls.sum())),
            coupling=-unit * float(pulls[:-1].sum()),
            flip=flip, quiet=quiet, most_steps=most_steps,
        )  # fmt: skip


def _fourth(loss: Loss, w: Array, u: Array, v: Array, step: float = 1e-2) -> float:
    """Return ∇⁴L(u, u, v, v) by central differences of the third derivative, of fourth order in `step`."""

    def third(at: float) -> float:
        return float(loss.third(w + at * v, u, u) @ v)

    near, far = third(step) - third(-step), third(2.0 * step) - third(-2.0 * step)
    return (8.0 * near - far) / (12.0 * step)


def centred(loss: SymbolicLoss, minimum: tuple[float, ...]) -> SymbolicLoss:
    """Return a loss in coordinates counted from a minimum, where small displacements are not rounded off."""
    import sympy

    shift = {}
    for name, value in zip(loss.weight_names, minimum, strict=True):
        symbol = sympy.Symbol(name, real=True)
        shift[symbol] = symbol + sympy.Rational(value)
    # Squares stay squares: a loss of 1e-20 is not the difference of terms of size 1.
    moved = loss.expression.subs(shift).replace(sympy.Pow, lambda base, power: sympy.expand(base) ** power)
    return SymbolicLoss(moved, loss.weight_names)


def _toy(loss: SymbolicLoss, minimum: tuple[float, ...]) -> Start:
    return Start.at(centred(loss, minimum), np.zeros(len(minimum)))


def _network(loss: Loss, weights: Array) -> Start:
    # A step costs as much as thousands of a toy's: larger flips at the start and the end save a third of them.
    # One BLAS thread: the bits of a product depend on the number of threads.
    with one_blas_thread():
        return Start.at(loss, loss.minimum(weights), flip=1e-3, quiet=1e-5, most_steps=20_000)


def diagonal_network() -> Start:
    """Return a minimum of a diagonal linear network of 200 weights on sparse regression."""
    loss = DiagonalNetwork(*sparse_regression(samples=40, features=100, nonzeros=5, seed=0))
    return _network(loss, loss.initial_weights())


def digits_network() -> Start:
    """Return a minimum of a network 64-8-1 of 529 weights that tells even digits from odd ones."""
    loss = MLP((64, 8, 1), *digits(20, "parity"))
    return _network(loss, loss.initial_weights(seed=0))


STARTS: Final[dict[str, Callable[[], Start]]] = {
    "CubicTaylor": cache(lambda: Start.at(CubicTaylor(curvature=1.0), (0.0, 0.0))),
    "Product": cache(lambda: _toy(Product(), (2.0, 0.5))),
    "Minimalist": cache(lambda: _toy(Minimalist(), (2.0, 0.5))),
    "Chain": cache(lambda: _toy(Chain(4), (0.5, 1.0, 1.0, 2.0))),
    "DiagonalNetwork": cache(diagonal_network),
    "MLP": cache(digits_network),
}
"""The six losses, each with the minimum at which its catapults start."""

NETWORKS: Final = ("DiagonalNetwork", "MLP")
"""Those of the six whose steps cost much."""


# -- one catapult between two minima --------------------------------------------------------------------------

_COMPILED_STEPS = 3_001
"""From here on symbolic losses run compiled; some steps more do no harm."""


@dataclass(frozen=True)
class Drop:
    """A catapult's drop of the sharpness, from minimum to minimum.

    Parameters
    ----------
    overshoot
        drop/(2y₀); NaN if the run diverged or was not quiet at its end.
    excess
        ε = y₀/S*.
    steps
        Length of the run.
    phase
        ``phases.CATAPULT``, ``DIVERGED`` or ``UNDECIDED``.
    """

    overshoot: float
    excess: float
    steps: int
    phase: int


def catapult(start: Start, momentum: float, kappa: float) -> Drop:
    """Run a catapult of inertia number κ until it is quiet, and measure the drop between its two minima.

    Closed forms choose only how long the first run is; one that is not quiet at its end is made four times as long.
    """
    excess = kappa / float(theory.inertia_number(1.0, momentum))
    lr = (1.0 + excess) * HeavyBall(1.0, momentum).max_stable_sharpness() / start.sharpness
    optimizer = HeavyBall(lr, momentum)
    y0 = start.sharpness - optimizer.max_stable_sharpness()
    swing = float(theory.max_displacement(y0, start.slope2))
    first, previous = flip_start(start.loss, start.weights, start.flip * swing)
    below = min(excess * (2.0 * theory.overshoot(kappa) - 1.0), 0.9)
    growth = math.log(theory.growth_factor(excess, momentum))
    decay = -math.log(theory.growth_factor(-below, momentum))
    needed = math.ceil(math.log(3.0 / start.flip) / growth + math.log(3.0 / start.quiet) / decay)
    if start.loss.kernel is not None:
        needed = max(needed, _COMPILED_STEPS)
    while True:
        steps = min(needed, start.most_steps)
        run = simulate(start.loss, optimizer, first, steps, previous=previous, every=steps)
        if run["diverged_at"] >= 0:
            return Drop(math.nan, excess, steps, phases.DIVERGED)
        begun, ended = run["loss"].values
        if ended <= begun * (start.quiet / start.flip) ** 2:
            drop = start.sharpness - float(run["sharpness"][-1])
            return Drop(drop / (2.0 * y0), excess, steps, phases.CATAPULT)
        if steps == start.most_steps:
            return Drop(math.nan, excess, steps, phases.UNDECIDED)
        needed = 4 * steps


# -- the deviation to first order -----------------------------------------------------------------------------


def deviation_parts(start: Start, excess: Any, kappa: Any) -> tuple[Any, Any, Any]:
    """Return overshoot/G(κ) − 1 to first order in ε by its causes: σ, τ and the map's finite steps."""
    unit = excess / np.asarray(theory.overshoot(kappa))
    of_map = np.asarray(theory.overshoot_deviation(kappa))
    of_sigma = np.asarray(theory.overshoot_deviation(kappa, start.sigma)) - of_map
    of_tau = np.asarray(theory.overshoot_deviation(kappa, 0.0, start.tau)) - of_map
    return unit * of_sigma, unit * of_tau, unit * of_map


# -- predictions ----------------------------------------------------------------------------------------------

_KAPPA = 1.0
_FITTED = 4
_LARGER_DROPS = (0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)
_MOMENTA: Final = {
    False: (0.995, 0.99, 0.98, 0.97, 0.95, *_LARGER_DROPS),
    True: (0.98, 0.97, 0.96, 0.95, *_LARGER_DROPS),
}
"""By whether the loss is a network, whose steps cost more: momenta of the order's fit, then more for the domains."""


def _law(name: str) -> Measurement:
    start = STARTS[name]()
    drops = [catapult(start, momentum, _KAPPA) for momentum in _MOMENTA[name in NETWORKS]]
    law = theory.overshoot(_KAPPA)
    relative_drop = 2.0 * law * np.array([drop.excess for drop in drops])
    measured = np.array([drop.overshoot for drop in drops])
    return Measurement.asymptotic(relative_drop, measured, np.full(measured.size, law), fitted=_FITTED)


_WHERE: Final = {
    "CubicTaylor": "CubicTaylor",
    "Product": "Product from (2, ½)",
    "Minimalist": "Minimalist from (2, ½)",
    "Chain": "Chain of depth 4 from (½, 1, 1, 2)",
    "DiagonalNetwork": "200 weights fitting 40 samples of sparse regression",
    "MLP": "64-8-1, tanh, fitting the parity of 20 digits",
}

PREDICTIONS: Final[tuple[Prediction, ...]] = tuple(
    Prediction(
        name=f"A5 universality {name}",
        statement="drop/(2y0) = G(κ) + O(2εG) at fixed κ = 1, from minimum to minimum",
        where=f"{where}; order from β = {momenta[_FITTED - 1]:g} to {momenta[0]:g}, domains down to {momenta[-1]:g}",
        source="derivations/a5_deviation.py",
        measure=partial(_law, name),
        small_parameter="2εG",
        expected_order=1.0,
        band=0.1,
    )
    for name, where in _WHERE.items()
    for momenta in [_MOMENTA[name in NETWORKS]]
)
"""Entries of the registry."""
