"""Names of version 0.1 and what they are now: modules, arguments and variables. The old ones go with version 0.4.

The modules' names were never public, but pickles hold them: that of a schedule says ``selfstab.schedules``.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from selfstab.notices import notify

if TYPE_CHECKING:
    import xarray

F = TypeVar("F", bound=Callable[..., Any])

# -- modules ------------------------------------------------------------------------------------------------------

MOVED: Final = {
    "analysis": "records.comparison.analyze",
    "answers": "cli.errors",
    "axes": "sweeps.plan.plan",
    "blocks": "sweeps.plan.blocks",
    "branches": "sweeps.continuation",
    "cells": "sweeps.runners.cells",
    "cli_companions": "cli.companions",
    "cluster": "sweeps.runners.cluster",
    "complementarity": "flows.complementarity",
    "constrained": "flows.constrained",
    "continuous": "flows.arguments",
    "curvatures": "runs.spectrum",
    "experiments.matched": "experiments.comparison",
    "explorer.kernels": "explorer.compilation",
    "finished": "reports.parts",
    "gradient_flow": "flows.gradient",
    "grid": "sweeps.sweep",
    "kernels.disk": "kernels.cache_files",
    "kernels.noise": "runs.noise",
    "kernels.pool": "sweeps.runners.pool",
    "kernels.records": "kernels.run_template",
    "kernels.source": "kernels.writer",
    "kernels.sweeps": "kernels.sweep_template",
    "krylov": "eigen.krylov",
    "lanes": "sweeps.runners.lanes",
    "layout": "sweeps.storage.layout",
    "losses.activations": "losses.networks.activations",
    "losses.autodiff": "losses.functions.autodiff",
    "losses.criteria": "losses.networks.criteria",
    "losses.diagonal": "losses.networks.diagonal",
    "losses.expressions": "formulas.expressions",
    "losses.formulas": "losses.symbolic.formulas",
    "losses.function": "losses.functions.function",
    "losses.growth": "formulas.size",
    "losses.hessian": "losses.networks.hessian",
    "losses.identity": "losses.base.fingerprint",
    "losses.mlp": "losses.networks.mlp",
    "losses.newton": "losses.base.newton",
    "losses.passes": "losses.networks.passes",
    "losses.printing": "losses.symbolic.printing",
    "losses.protocol": "losses.base.loss",
    "losses.regression": "losses.networks.regression",
    "losses.taylor": "losses.networks.series",
    "orbit_diagrams": "sweeps.orbits",
    "outcomes": "phases",
    "outputs": "records.outputs",
    "pages": "reports.pages",
    "plotting.cells": "plotting.refined",
    "plotting.diagrams": "plotting.phase_diagrams",
    "plotting.models": "plotting.predictions",
    "plotting.quadratic": "plotting.modes",
    "plotting.recorded": "plotting.analysis",
    "predicted": "flows.predicted",
    "projection": "flows.projection",
    "readings": "records.recording.training_loops",
    "recorded": "records.read",
    "recorder": "records.recording.recorder",
    "refinement": "sweeps.refinement",
    "report": "reports.reproduce",
    "rods": "flows.rod",
    "run_report": "reports.analysis",
    "schedules": "optimizers.schedules",
    "specification": "sweeps.storage.settings",
    "spectrum": "eigen.pairs",
    "store": "sweeps.storage.store",
    "tables": "records.columns.columns",
    "theory.broadcast": "theory.arguments",
    "theory.overshoot_coefficients": "theory.overshoot_table",
    "theory.spike_coefficients": "theory.spike_table",
    "trajectory": "runs.simulate",
    "tree": "sweeps.plan.cell_tree",
}
"""Module of version 0.1 and the module that it has become, both without the package's name.

A module with the name of a public function is not among them, since its import would hide the function: the tables of
``theory.deviation_coefficients`` are now in ``theory.deviation_table``.
"""

SPLIT: Final = {
    "tables": ("records.formats.base", "records.columns.roles"),
    "blocks": ("machine", "sweeps.plan.protocols"),
    "kernels.pool": ("machine",),
    "losses.protocol": ("losses.base.starts",),
    "trajectory": ("runs.problem", "runs.states", "runs.dataset", "provenance"),
}
"""Further modules that took names of a module of version 0.1."""


MEMBERS: Final = {"cli": "cli.program", "flows": "flows.averaged", "observables": "observables.measures"}
"""Modules of version 0.1 that are folders now, and where most of what they held is."""


def member_of(folder: str, name: str) -> Any:
    """Return what a module of version 0.1 held under a name, where the module has become a folder.

    Raises
    ------
    AttributeError
        If it is not there.
    """
    home = importlib.import_module(f"selfstab.{MEMBERS[folder]}")
    if name[:2] == "__" or name not in vars(home):
        raise AttributeError(f"module 'selfstab.{folder}' has no attribute {name!r}")
    return vars(home)[name]


class MovedModules(MetaPathFinder, Loader):
    """Finds a module of version 0.1 under its old name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module of version 0.1; None for any other name."""
        package, _, name = fullname.partition(".")
        return ModuleSpec(fullname, self) if package == "selfstab" and name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return a module with all names of those that took its place."""
        name = spec.name.partition(".")[2]
        warnings.warn(
            f"the module {spec.name} is now selfstab.{MOVED[name]}; the old name goes with version 0.4. "
            "A pickle is renewed by saving it again",
            DeprecationWarning,
            stacklevel=2,
        )
        module = ModuleType(spec.name)
        for home in (MOVED[name], *SPLIT.get(name, ())):
            vars(module).update(
                {n: v for n, v in vars(importlib.import_module(f"selfstab.{home}")).items() if n[:2] != "__"}
            )
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to run."""


# -- arguments and variables --------------------------------------------------------------------------------------

MEASURES: Final = {"peak_excess": "peak_excess_sharpness"}
"""Measures of sweeps, and variables of the catapults of a record."""

SWING: Final = {"initial_excess": "peak_excess_sharpness", "excess": "excess_sharpness"}
"""Variables of a run beside its swing."""

ANALYSIS: Final = MEASURES | {"excess": "excess_sharpness"}
"""Variables of an analysis."""

COMPARISON: Final = {"peak_excess": "peak_relative_excess"}
"""Variables of a comparison of optimizers."""

CELLS: Final = {"outcome": "phase"}
"""Variables of overshoots against inertia numbers."""


def notify_of(argument: str, word: str, names: Mapping[str, str]) -> None:
    """Warn at the caller's line if a word is an old name.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as record:
    ...     warnings.simplefilter("always")
    ...     notify_of("measure", "peak_excess", MEASURES)
    >>> print(record[0].message)
    measure 'peak_excess' is now called 'peak_excess_sharpness'; the old name goes with version 0.4
    """
    if word in names:
        notify(
            f"{argument} {word!r} is now called {names[word]!r}; the old name goes with version 0.4",
            DeprecationWarning,
        )


def takes_former_arguments(**names: str) -> Callable[[F], F]:
    """Return a decorator that lets a function take arguments by their former names, with a warning.

    >>> @takes_former_arguments(speed="velocity")
    ... def doubled(velocity):
    ...     return 2 * velocity
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     doubled(speed=3)
    6
    """

    def decorate(function: F) -> F:
        @wraps(function)
        def renaming(*args: Any, **kwargs: Any) -> Any:
            for old in names.keys() & kwargs.keys():
                notify_of("argument", old, names)
                kwargs[names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return cast("F", renaming)

    return decorate


def with_old_names(data: xarray.Dataset, names: Mapping[str, str]) -> xarray.Dataset:
    """Return a dataset in which variables stand under their old names, too.

    Parameters
    ----------
    data
        What holds the variables.
    names
        Today's name by the old one.

    Returns
    -------
    xarray.Dataset
        The attribute ``deprecated`` of an old name says what to read instead.

    Examples
    --------
    >>> import xarray
    >>> data = with_old_names(xarray.Dataset({"phase": 3}), CELLS)
    >>> int(data.outcome), data.outcome.attrs
    (3, {'deprecated': 'now called phase'})
    """
    twins = {old: data[new].copy() for old, new in names.items() if new in data}
    for old, twin in twins.items():
        twin.attrs["deprecated"] = f"now called {names[old]}"
    return data.assign(twins)


def with_names_of_today(data: Any, names: Mapping[str, str]) -> Any:
    """Return a dataset in which what stands under an old name alone stands under today's, too.

    Parameters
    ----------
    data
        A dataset, perhaps saved by version 0.1; what is none is returned as it is.
    names
        Today's name by the old one.

    Examples
    --------
    >>> import xarray
    >>> int(with_names_of_today(xarray.Dataset({"outcome": 3}), CELLS).phase)
    3
    """
    import xarray

    if not isinstance(data, xarray.Dataset):
        return data
    return data.assign({new: data[old] for old, new in names.items() if old in data and new not in data})
