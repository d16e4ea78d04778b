"""Cell-steps per second of a sweep with each optimizer against the heavy ball's of the same run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np

from .harness import PAIRS, Case, Row, Target, cpu_seconds, interleaved, judged

UNIT: Final = "G cell-steps/CPU s"
_EQUATIONS: Final = "v = beta*v + (1 - beta)*g; w = w - lr*((1 - nu)*g + nu*v)"


def cases(quick: bool) -> list[Case]:
    """Return a line for each optimizer; quick ones run a small grid and are not judged."""
    side, steps = (48, 400) if quick else (256, 2000)

    def against_the_heavy_ball(make: Callable[[], Any]) -> Callable[[Case], Row]:
        def measure(case: Case) -> Row:
            import selfstab as ss

            one, ball = make(), ss.HeavyBall(1.0, 0.9)
            _swept(one, side, 2)  # compiles
            _swept(ball, side, 2)
            cell_steps = side * side * steps
            samples = interleaved(
                lambda: cell_steps / cpu_seconds(lambda: _swept(one, side, steps)) / 1e9,
                lambda: cell_steps / cpu_seconds(lambda: _swept(ball, side, steps)) / 1e9,
                PAIRS,
            )
            return judged(case.name, case.unit, samples, case.target, judge=not quick)

        return measure

    return [
        Case(f"sweep with {name} / heavy ball", UNIT, Target(bound), against_the_heavy_ball(make))
        for name, (make, bound) in _OPTIMIZERS.items()
    ]


def _averaged() -> Any:
    import selfstab as ss

    return ss.AveragedHeavyBall(1.0, 0.9)


def _quasi_hyperbolic() -> Any:
    import selfstab as ss

    return ss.QuasiHyperbolic(1.0, 0.9, 0.7)


def _aggregated() -> Any:
    import selfstab as ss

    return ss.AggregatedMomentum(1.0, (0.0, 0.9, 0.95))


def _by_transfer_function() -> Any:
    import selfstab as ss

    return ss.LinearOptimizer(1.0, [1.3, -0.3], [1.0, -1.9, 0.9])


def _written() -> Any:
    import selfstab as ss

    return ss.SymbolicOptimizer(1.0, _EQUATIONS, "v", {"beta": 0.9, "nu": 0.7})


_OPTIMIZERS: Final[dict[str, tuple[Callable[[], Any], float]]] = {
    "averaged momentum": (_averaged, 0.9),
    "quasi-hyperbolic momentum": (_quasi_hyperbolic, 0.9),
    "three aggregated momenta": (_aggregated, 0.8),
    "an optimizer by its transfer function": (_by_transfer_function, 0.9),
    "an optimizer by its equations": (_written, 0.9),
}
"""By name in a line: the optimizer, and the least share of the heavy ball's rate."""


# The loss is derived before the clock starts.
@cache
def _loss() -> Any:
    import selfstab as ss

    return ss.CubicTaylor(curvature=1.0, progressive_sharpening=0.0, stabilization=1.0)


def _swept(optimizer: Any, side: int, steps: int) -> None:
    import selfstab as ss

    axes = {"stabilization": np.linspace(0.5, 2.0, side), "excess": np.geomspace(1e-3, 2e-2, side)}
    ss.sweep(
        _loss(), optimizer, axes, start=np.array([1e-3, 0.0]), previous=np.array([-1e-3, 0.0]), steps=steps,
        measure=("min_sharpness", "max_sharpness", "diverged_at"), threads=1, progress=False,
    )  # fmt: skip
