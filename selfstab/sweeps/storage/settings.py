"""A sweep's settings as plain values, and back: what a store keeps to know its sweep again.

The settings are a flat dictionary: a name such as ``problem.optimizer.momentum``, and a number, a text, a list of
them, or what identifies an array. They are read off the plan's fields one by one, so that a field nobody thought of
is in them too, or refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from selfstab import notices, provenance, validation
from selfstab.losses.base.fingerprint import hash_of
from selfstab.losses.base.loss import Loss
from selfstab.losses.base.starts import Initialization
from selfstab.losses.family import LossFamily
from selfstab.losses.named import NamedMaker
from selfstab.losses.registry import REGISTRY, named_class
from selfstab.losses.symbolic.loss import SymbolicLoss
from selfstab.losses.symbolic.risk import EmpiricalRisk
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.registry import optimizer_named
from selfstab.optimizers.schedules import SCHEDULES, KnownSchedule, Schedule, rates
from selfstab.provenance import KERNELS, deciding_bits
from selfstab.sweeps.plan.axes import scheduled
from selfstab.sweeps.plan.plan import Plan
from selfstab.sweeps.plan.request import Request

Settings = dict[str, Any]
Arrays = dict[str, npt.NDArray[Any]]

_LISTED: Final = 64
"""Up to this many numbers an array is listed; a longer one is identified by its shape and hash."""

_RATES: Final = 2**16

_ALL_RATES: Final = 2**24
"""Up to this many learning rates along an axis are compared; of more, those at values spread over the axis."""

_TABLES: Final = 2**12
"""Up to this many values of an axis have their learning rates compared; of more, some spread over the axis."""

_LOSSES: Final = 256
"""Up to this many losses that a family makes along an axis are compared; of more, some spread over the axis."""


def settings_of(plan: Plan) -> tuple[Settings, Arrays]:
    """Return all of a plan's settings as plain values, and by the same names the arrays that are too long to list.

    Code of the user's own is known by a hash of it, and by what it gives along each axis. The other axes' numbers are
    then those of the plan's problem. It gives the learning rates, at no more than 4096 values and 2²⁴ rates. And it
    gives the losses that a family makes, at no more than 256 values.

    Raises
    ------
    TypeError
        If a setting is of a kind that has no plain values.
    """
    settings: Settings = {}
    arrays: Arrays = {}
    for name, value in _leaves("plan", plan, plan.problem.steps):
        short = name.removeprefix("plan.")
        if isinstance(value, np.ndarray):
            settings[short] = _identified(value)
            if isinstance(settings[short], dict):
                arrays[short] = value
        else:
            settings[short] = value
    return settings | dict(_along_axes(plan)), arrays


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Say what differs between two dictionaries of settings, the more telling first.

    >>> differences({"seed": 0, "lr": 0.0}, {"seed": 0, "lr": -0.0})
    ['lr is 0.0 there and -0.0 here']
    """
    lines = []
    for name in dict.fromkeys([*stored, *asked]):
        # As text: −0.0 is not 0.0, and 1 is not True.
        there, here = (json.dumps(side[name]) if name in side else "not set" for side in (stored, asked))
        if there != here:
            lines.append(f"{name.removeprefix('problem.')} is {_short(there)} there and {_short(here)} here")
    return lines


def made_by(plan: Plan, source: str) -> Settings:
    """Return what else decides the bits of a plan's results: versions, machine and the generated source's hash."""
    blas = plan.problem.loss.kernel is None
    text = hashlib.sha256(source.encode()).hexdigest()
    loss = plan.problem.loss
    rewritten = isinstance(loss, SymbolicLoss) and loss.formulas.rewritten
    formula = {"formula": "in stable functions"} if rewritten else {}
    return deciding_bits(blas) | {"kernels": KERNELS, "kernel": f"sha256 {text}"} | formula


def comparable(stored: Mapping[str, Any], asked: Settings) -> Settings:
    """Return what a store says decides its bits as it would say it today, if its kernel's text is of version 0.1.

    Where settings and libraries are equal, the text follows from the version: the hash says no more.
    """
    before = provenance.of_store(dict(stored))
    if "kernels" not in before and "kernel" in before:
        return before | {name: asked[name] for name in ("kernels", "kernel")}
    return before


@dataclass(frozen=True)
class Identity:
    """A plan with all of its settings, which tell it from any other.

    Parameters
    ----------
    plan
        What is run.
    settings, arrays
        What :func:`settings_of` returns for it; hashes of code and of rates take time.
    """

    plan: Plan
    settings: Settings
    arrays: Arrays

    @classmethod
    def of(cls, plan: Plan) -> Identity:
        """Return the identity of a plan."""
        return cls(plan, *settings_of(plan))


def identity_of(settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Identity:
    """Return the plan with these settings, and the settings; nothing in them is evaluated.

    Raises
    ------
    ValueError
        If the settings are not a sweep's, or hold code of the user's own, which only the user's call can give.
    """
    try:
        known = _Reader(settings, arrays)
        request = Request(
            loss=known.loss(),
            optimizer=known.optimizer(),
            axes={name: known.array(f"axes.{name}") for name in settings["axes"]},
            start=known.start(),
            steps=settings["problem.steps"],
            previous=None if settings["moves_with_start"] is True else known.array("problem.previous"),
            measure=settings["measures"],
            escape=settings["problem.escape"],
            noise=settings["problem.noise"],
            seed=settings["problem.seed"],
            repeats=settings["repeats"],
        )
        with notices.unheard():  # an old name in a store is no mistake of its reader
            plan = Plan.checked(request)
        plan.check_sharpness_at_start()
        identity = Identity.of(plan)
        changed = differences(settings, identity.settings)
    except KeyError as error:
        raise ValueError(f"settings lack {error}") from None
    except (
        TypeError,
        AttributeError,
        IndexError,
        ArithmeticError,
        RecursionError,
        MemoryError,
        NotImplementedError,
    ) as error:
        raise ValueError(f"settings are not a sweep's: {' '.join(str(error).split())}") from None
    if changed:
        raise ValueError(f"settings are not those of one sweep: {changed[0]}")
    return identity


def _leaves(name: str, value: Any, steps: int) -> Iterator[tuple[str, Any]]:
    """Yield the plain values and the arrays that make up `value`, by name."""
    if value is None or isinstance(value, (bool, int, str)):
        yield name, value
    elif isinstance(value, float):
        yield name, float(value) if np.isfinite(value) else str(value)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        yield name, value
    elif isinstance(value, (tuple, list)) and all(isinstance(v, (int, float, str)) for v in value):
        yield name, list(value)
    elif isinstance(value, Mapping):
        yield name, list(value)
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner, steps)
    elif isinstance(value, Loss):
        yield name, type(value).__name__
        for key, inner in value.state().items():
            yield from _own(f"{name}.{key}", inner, steps)
    elif isinstance(value, Schedule) and not _is_ours(value):
        yield name, f"{type(value).__name__}, a schedule of your own"
        if is_dataclass(value):
            for given in [field.name for field in fields(value) if field.init]:
                yield from _own(f"{name}.{given}", getattr(value, given), steps)
        yield f"{name}.rates", _hash_of_rates([value], steps)
        yield f"{name}.code", hash_of(type(value))
    elif is_dataclass(value) and not isinstance(value, type):
        yield name, type(value).__name__
        for field in fields(value):
            yield from _leaves(f"{name}.{field.name}", getattr(value, field.name), steps)
        if isinstance(value, Optimizer) and not _is_ours(value):
            yield f"{name}.code", hash_of(type(value))
    else:
        raise TypeError(f"store cannot keep {name.removeprefix('plan.')} = {validation.shown(value)}")


def _own(name: str, value: Any, steps: int) -> Iterator[tuple[str, Any]]:
    """Yield what makes up a value of the user's own, by name, or where it is of another kind its hash."""
    try:
        yield from [*_leaves(name, value, steps)]
    except TypeError:
        try:
            yield name, hash_of(value)
        except TypeError as error:
            raise TypeError(
                f"store cannot keep {name.removeprefix('plan.')}: {validation.one_line(str(error))}"
            ) from None


def _along_axes(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield a hash of what the user's own code gives along each axis that sets its numbers, by name."""
    loss, optimizer, steps = plan.problem.loss, plan.problem.optimizer, plan.problem.steps
    for axis, values in plan.axes.items():
        if isinstance(loss, LossFamily) and axis in loss.parameters:
            hashes = [_hash_of_loss(loss.replace(**{axis: v}).made, steps) for v in _spread(values, _LOSSES)]
            yield f"problem.loss.made along {axis}", hash_of(hashes)
        elif axis.startswith("lr.") and not (isinstance(optimizer.lr, float) or _is_ours(optimizer.lr)):
            sample = _spread(values, min(_TABLES, max(2, _ALL_RATES // (steps + 1))))
            schedules = (scheduled(optimizer, {axis: v}).schedule for v in sample)
            yield f"problem.optimizer.lr.rates along {axis}", _hash_of_rates(schedules, steps)


def _is_ours(value: object) -> bool:
    """Whether a schedule or an optimizer is of this package, whose version a store keeps."""
    known = isinstance(value, (KnownSchedule, Optimizer))
    return known and type(value).__module__.partition(".")[0] == "selfstab"


def _spread(values: npt.NDArray[np.float64], most: int) -> list[float]:
    at = np.linspace(0, values.size - 1, min(values.size, most)).astype(int)
    spread: list[float] = values[at].tolist()
    return spread


def _hash_of_loss(loss: Loss, steps: int) -> str:
    parts = [(n, _identified(v) if isinstance(v, np.ndarray) else v) for n, v in _leaves("loss", loss, steps)]
    return hash_of(parts)


def _hash_of_rates(schedules: Iterable[Schedule], steps: int) -> str:
    digest = hashlib.sha256()
    for schedule in schedules:
        for first in range(0, steps + 1, _RATES):
            table = rates(schedule, first, min(first + _RATES, steps + 1))
            digest.update(table.astype("<f8").tobytes())
    return f"sha256 {digest.hexdigest()}"


def _identified(array: npt.NDArray[Any]) -> Any:
    """Return a short array's numbers, or a longer one's shape, type and hash."""
    if array.dtype == np.float64 and array.ndim == 1 and array.size <= _LISTED and np.isfinite(array).all():
        return array.tolist()
    return {"shape": list(array.shape), "dtype": array.dtype.str, "sha256": sha256(array)}


def sha256(array: npt.NDArray[Any]) -> str:
    """Return the hash of an array's numbers, the same on machines of either byte order."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.tobytes()).hexdigest()


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:60]}...{text[-16:]}"


class _Reader:
    """Makes objects of settings again, from known classes only."""

    def __init__(self, settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self._settings, self._arrays = settings, arrays

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return an array, listed or kept beside the settings."""
        value = self._settings[name]
        if isinstance(value, dict):
            return self._arrays[name]
        return validation.floats(name, value, shape=(None,))

    def start(self) -> Initialization | npt.NDArray[Any]:
        """Return the start, or what draws it."""
        if self._settings["initialization"] is None:
            return self.array("problem.start")
        return Initialization(self._settings["initialization.seed"], self._settings["initialization.scale"])

    def optimizer(self) -> Optimizer:
        """Return the optimizer with its schedule."""
        name = "problem.optimizer"
        lr = self._settings[f"{name}.lr"]
        if isinstance(lr, str):
            if lr not in SCHEDULES:
                raise ValueError(f"settings hold {validation.shown(lr)}: call sweep again as before")
            schedule = SCHEDULES[lr]
            lr = schedule(**{field: self._settings[f"{name}.lr.{field}"] for field in schedule.settings})
        try:
            kind = optimizer_named(self._settings[name])
        except ValueError as error:
            raise ValueError(f"settings hold an optimizer that is not defined here: {error}") from None
        others = [field.name for field in fields(kind) if field.name != "lr"]
        return kind(lr, **{field: self._field(f"{name}.{field}") for field in others})

    def _field(self, name: str) -> Any:
        """Return a plain value, or a mapping whose names are listed and whose values stand below it."""
        value = self._settings[name]
        if isinstance(value, list) and value and all(f"{name}.{key}" in self._settings for key in value):
            return {key: self._settings[f"{name}.{key}"] for key in value}
        return {} if value == [] and name.endswith(".parameters") else value

    def loss(self) -> Loss:
        """Return the loss: a formula, a toy by its name, or one with its data, kept beside the settings."""
        name = "problem.loss"
        kind = self._settings[name]
        if kind == "LossFamily" and f"{name}.settings" in self._settings:
            return self._family()
        if kind == "SymbolicLoss":
            return self._formula(self._loss_state())
        if kind == "EmpiricalRisk":
            return self._risk(self._loss_state())
        if kind not in REGISTRY:
            what = "a LossFamily: the same sweep(...) call goes on"
            if kind != "LossFamily":
                what = f"{validation.shown(kind)}, a loss of your own: call sweep again as before"
            raise ValueError(f"settings hold {what}")
        return named_class(kind).from_state(self._loss_state())

    def _loss_state(self) -> dict[str, Any]:
        """Return the state of a loss as :meth:`Loss.state` told it."""
        name = "problem.loss."
        state: dict[str, Any] = {}
        for key, value in self._settings.items():
            word, _, inner = key.removeprefix(name).partition(".")
            if key.startswith(name) and not inner:
                state[word] = self.array(key) if isinstance(value, dict) else value
        names = self._settings[f"{name}parameters"] if "parameters" in state else []
        return state | {"parameters": {n: self._settings[f"{name}parameters.{n}"] for n in names}}

    def _risk(self, state: Mapping[str, Any]) -> EmpiricalRisk:
        name = "problem.loss.data"
        data = {key: self.array(f"{name}.{key}") for key in state["data"]}
        if not isinstance(state["expression"], str) or not isinstance(state["weights"], list):
            raise ValueError("settings must hold a formula as text and its weights as a list")
        try:
            return EmpiricalRisk.from_state({**state, "data": data})
        except ValueError as error:
            raise ValueError(
                f"settings hold a formula that is no plain text: call sweep again as before ({error})"
            ) from None

    def _family(self) -> LossFamily:
        name = "problem.loss"
        settings, numbers = (
            {n: self._settings[f"{name}.{word}.{n}"] for n in self._settings[f"{name}.{word}"]}
            for word in ("settings", "parameters")
        )
        make = NamedMaker(self._settings[f"{name}.maker"], tuple(settings.items()))
        return LossFamily(make, **numbers)

    @staticmethod
    def _formula(state: Mapping[str, Any]) -> SymbolicLoss:
        text, variables = state["expression"], state["variables"]
        if not isinstance(text, str) or not isinstance(variables, list):
            raise ValueError("settings must hold a formula as text and its variables as a list")
        try:
            return SymbolicLoss(text, variables, state["parameters"])
        except ValueError as error:
            raise ValueError(
                f"settings hold a formula that is no plain text: call sweep again as before ({error})"
            ) from None
