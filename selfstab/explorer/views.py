"""From a state to datasets: the run, the phase diagram and the orbit diagram, with what theory says of the run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import observables, theory
from selfstab.explorer.scales import Axis
from selfstab.explorer.setups import FLAT, Setup
from selfstab.explorer.state import MEASURES, PageState, drawn_axis
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.schedules import LinearWarmup
from selfstab.runs.simulate import simulate
from selfstab.sweeps.orbits import orbits
from selfstab.sweeps.sweep import sweep

if TYPE_CHECKING:
    import xarray

SIZE: Final = 256
"""Values along each axis of a phase diagram."""

COARSE: Final = 64
"""Values along each axis of the diagram that is shown first."""

ALONG: Final = 256
"""Values along the axis of an orbit diagram."""

LAST: Final = 32
"""States that an orbit diagram keeps of each run."""

STRIPS: Final = 2**26
"""Updates of a diagram between two looks at whether it is still wanted."""


@dataclass(frozen=True)
class Law:
    """What the overshoot law says of a run, or in `reason` why it says nothing."""

    reason: str = ""
    y0: float = math.nan
    kappa: float = math.nan
    stabilization: float = math.nan
    overshoot: float = math.nan
    final_sharpness: float = math.nan
    displacement: float = math.nan

    def drawn(self, data: xarray.Dataset) -> Law:
        """Return what is drawn of it beside a run: no sharpness below 0, and no swing far beyond the run's own."""
        swing = float(np.abs(data["displacement"]).max())
        return replace(
            self,
            final_sharpness=self.final_sharpness if self.final_sharpness > 0.0 else math.nan,
            displacement=self.displacement if self.displacement <= 4.0 * swing else math.nan,
        )


def law(state: PageState) -> Law:
    """Return what the overshoot law says of the state's run.

    Examples
    --------
    >>> found = law(PageState(excess=0.01, flip=1e-6))
    >>> round(found.kappa, 2), round(found.overshoot, 2)
    (3.61, 6.38)
    """
    setup = state.setup()
    loss, weights = setup.loss, setup.weights
    sharpness = float(loss.sharpness(weights)[0])
    if float(np.abs(loss.gradient(weights)).max()) > FLAT * sharpness:
        return Law("the law assumes a start at a minimum")
    b2 = _stabilization(setup, sharpness)
    if b2 <= FLAT * sharpness**2:
        return Law("the law assumes a flat direction that changes the sharpness, and there is none here")
    optimizer = state.optimizer()
    if not isinstance(optimizer, HeavyBall) or optimizer.lookahead != 0.0:
        return Law("the law assumes the heavy ball without lookahead")
    if state.warmup > 0.0:
        return Law("the law assumes a constant learning rate")
    threshold = optimizer.max_stable_sharpness()
    y0 = sharpness - threshold
    if y0 <= 0.0:
        return Law("the start is below the threshold, where it is stable")
    kappa = float(theory.inertia_number(y0 / threshold, state.momentum))
    return Law(
        "", y0, kappa, b2, float(theory.overshoot(kappa)), float(theory.final_sharpness(threshold, y0, kappa)),
        float(theory.max_displacement(y0, b2)),
    )  # fmt: skip


def _stabilization(setup: Setup, sharpness: float) -> float:
    """Return b²: the squared gradient of the sharpness along the flat directions of the minimum."""
    values, vectors = np.linalg.eigh(setup.loss.hessian(setup.weights))
    flat = vectors[:, np.abs(values) < FLAT * sharpness]
    slope = setup.loss.sharpness_gradient(setup.weights) @ flat
    return float(slope @ slope)


def run(state: PageState) -> xarray.Dataset:
    """Return the state's run: loss, sharpness, weights, velocity, and x along the top eigenvector of the start.

    Where the overshoot law holds, the run carries y₀, b² and the final sharpness predicted.
    """
    setup = state.setup()
    data = simulate(
        setup.loss, state.optimizer(), setup.start, state.steps, previous=setup.previous,
        keep=("loss", "sharpness", "weights", "velocity"),
    )  # fmt: skip
    # No product of BLAS: its bits depend on threads.
    data["displacement"] = ("step", ((data.weights.values - setup.weights) * setup.top).sum(axis=1))
    prediction = law(state)
    if not prediction.reason:
        data["peak_excess_sharpness"] = ((), prediction.y0)
        data["stabilization"] = ((), prediction.stabilization)
        data["predicted_final_sharpness"] = ((), prediction.final_sharpness)
    return data


def ghost(state: PageState) -> xarray.Dataset | None:
    """Return gradient descent's run from the state's start, at the same thresholds; None where the state is its own.

    Examples
    --------
    >>> found = ghost(PageState(momentum=0.9))
    >>> round(float(found.sharpness[-1]), 3), ghost(PageState(momentum=0.0)) is None
    (0.96, True)
    """
    optimizer = state.optimizer()
    if isinstance(optimizer, HeavyBall) and optimizer.momentum == optimizer.lookahead == 0.0:
        return None
    setup = state.setup()
    lr = float(HeavyBall(1.0).at_excess(setup.sharpness, state.excess))
    descent = HeavyBall(LinearWarmup(0.0, lr, state.warmup) if state.warmup > 0.0 else lr)
    data = simulate(
        setup.loss, descent, setup.start, state.steps, previous=setup.previous,
        keep=("loss", "sharpness", "weights"),
    )  # fmt: skip
    data["displacement"] = ("step", ((data.weights.values - setup.weights) * setup.top).sum(axis=1))
    return data


def measured(data: xarray.Dataset) -> dict[str, float]:
    """Return the phase and the overshoot of a run, as a cell of the diagram has them."""
    return observables.measure(data, MEASURES)


@dataclass(frozen=True)
class Grid:
    """What a sweep needs beside the loss and its start: the optimizer and the axes, by the sweep's names."""

    ramp: bool
    axes: tuple[tuple[str, Axis], ...]
    excess: float | None
    """Held fixed as an axis of one value, where neither lr nor the excess is an axis: the lr follows the momentum."""

    def values(self, *counts: int) -> dict[str, Any]:
        """Return the axes' values."""
        out: dict[str, Any] = {
            name: axis.values(count) for (name, axis), count in zip(self.axes, counts, strict=True)
        }
        return out if self.excess is None else out | {"excess": [self.excess]}

    def texts(self, *counts: int) -> dict[str, str]:
        """Return the Python expressions that make them."""
        out = {name: axis.text(count) for (name, axis), count in zip(self.axes, counts, strict=True)}
        return out if self.excess is None else out | {"excess": f"[{self.excess!r}]"}


_RAMP_NAMES: Final = {"lr": "lr.end", "warmup": "lr.steps"}


def grid_of(state: PageState, *axes: Axis) -> Grid:
    """Return the grid over some axes; with a warmup, the learning rate's axes are those of its schedule."""
    ramp = state.warmup > 0.0 or any(axis.name == "warmup" for axis in axes)
    drawn = [drawn_axis(state, axis) if ramp else axis for axis in axes]
    names = [axis.name for axis in drawn]
    excess = None if ramp or {"lr", "excess"} & {*names} else state.excess
    named = [(_RAMP_NAMES.get(axis.name, axis.name) if ramp else axis.name, axis) for axis in drawn]
    return Grid(ramp, tuple(named), excess)


def diagram_grid(state: PageState) -> Grid:
    """Return the grid of the phase diagram."""
    return grid_of(state, state.up, state.across)


def orbit_grid(state: PageState) -> Grid:
    """Return the grid of the orbit diagram."""
    return grid_of(state, state.orbit)


def diagram(
    state: PageState, size: int = SIZE, *, part: slice | None = None, threads: int | None = None
) -> xarray.Dataset:
    """Return how runs end over the two axes of the diagram: phase and overshoot.

    Parameters
    ----------
    state
        What is looked at.
    size
        Values along each axis.
    part
        The rows to run, of the axis upwards; by default all.
    threads
        As of :func:`selfstab.sweep`.
    """
    setup, grid = state.setup(), diagram_grid(state)
    axes = grid.values(size, size)
    if part is not None:
        first = grid.axes[0][0]
        axes[first] = axes[first][part]
    return sweep(
        setup.loss, state.optimizer(ramp=grid.ramp), axes, start=setup.start, steps=state.steps,
        previous=setup.previous, measure=MEASURES, threads=threads, progress=False,
    )  # fmt: skip


def orbit_diagram(state: PageState, along: int = ALONG) -> xarray.Dataset:
    """Return the last states of runs over the axis of the orbit diagram."""
    setup, grid = state.setup(), orbit_grid(state)
    return orbits(
        setup.loss, state.optimizer(ramp=grid.ramp), grid.values(along), start=setup.start, steps=state.steps,
        last=min(LAST, state.steps + 1), previous=setup.previous, progress=False,
    )  # fmt: skip


def _optimizer_key(state: PageState, names: set[str]) -> tuple[Any, ...]:
    """Return the optimizer and its numbers that are no axes."""
    numbers = tuple(pair for pair in state.optimizer_numbers.items() if pair[0] not in names)
    return state.method, numbers, state.texts


def diagram_key(state: PageState) -> tuple[Any, ...]:
    """Return what a diagram depends on: the same key, the same diagram."""
    grid = diagram_grid(state)
    names = {name for name, _ in grid.axes}
    fixed = [
        *_optimizer_key(state, names),
        state.lr if grid.ramp and "lr.end" not in names else None,
        state.warmup if grid.ramp and "lr.steps" not in names else None,
    ]
    settings = tuple(pair for pair in state.settings if pair[0] not in names)
    return (
        state.model,
        settings,
        state.formula,
        state.variables,
        state.at,
        state.flip,
        state.steps,
        grid,
        *fixed,
    )


def orbit_key(state: PageState) -> tuple[Any, ...]:
    """Return what an orbit diagram depends on."""
    grid = orbit_grid(state)
    fixed = [
        *_optimizer_key(state, {state.orbit.name}),
        state.lr if grid.ramp and grid.axes[0][0] != "lr.end" else None,
        state.warmup if grid.ramp and grid.axes[0][0] != "lr.steps" else None,
    ]
    settings = tuple(pair for pair in state.settings if pair[0] != state.orbit.name)
    return (
        state.model,
        settings,
        state.formula,
        state.variables,
        state.at,
        state.flip,
        state.steps,
        grid,
        *fixed,
    )


def pictures(
    state: PageState,
    keys: dict[str, Any],
    current: Callable[[], bool] = lambda: True,
    *,
    size: int = SIZE,
    coarse: int = COARSE,
    along: int = ALONG,
) -> Iterator[tuple[str, xarray.Dataset]]:
    """Yield what the page shows, the quickest first; what `keys` has already is left out.

    Parameters
    ----------
    state
        What is looked at.
    keys
        Keys of the diagrams shown; it is brought up to date.
    current
        Asked between parts; where it says no, the rest is not run.
    size, coarse, along
        Values along the axes of the phase diagram, of its first look, and of the orbit diagram.

    Yields
    ------
    str, Dataset
        ``run``; ``diagram``; ``orbits``; of long runs the diagram twice, first coarse, at last fine.
    """
    yield "run", run(state)
    key = diagram_key(state)
    new = keys.get("diagram") != key
    small = size * size * state.steps <= STRIPS
    if new and current():
        keys["diagram"] = None
        # A small diagram takes a tenth of a second: a coarse one before it would only delay it.
        yield "diagram", diagram(state, size if small else coarse)
        keys["diagram"] = key if small else None
    orbit = orbit_key(state)
    if keys.get("orbits") != orbit and current():
        keys["orbits"] = None
        yield "orbits", orbit_diagram(state, along)
        keys["orbits"] = orbit
    if new and not small and current():
        fine = _in_strips(state, size, current)
        if fine is not None:
            yield "diagram", fine
            keys["diagram"] = key


def _in_strips(state: PageState, size: int, current: Callable[[], bool]) -> xarray.Dataset | None:
    """Return the diagram, or None if it is no longer wanted before it is done."""
    import xarray

    strips = min(max(1, size * size * state.steps // STRIPS), size)
    cuts = np.linspace(0, size, strips + 1).astype(int)
    parts: list[xarray.Dataset] = []
    for first, last in itertools.pairwise(cuts.tolist()):
        if parts and not current():
            return None
        parts.append(diagram(state, size, part=slice(first, last) if strips > 1 else None))
    if len(parts) == 1:
        return parts[0]
    return xarray.concat(parts, dim=diagram_grid(state).axes[0][0], combine_attrs="drop_conflicts")
