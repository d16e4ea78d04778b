"""Measures: what is computed along a run, as source text with an init, a step and a finish.

A measure sees one run through a few numbers a step: at each recorded state w_t its `sharpness`, `loss` and `threshold`
(S*_t), and its `height` = sharpness / `scale`, where the constant `scale` is left to the end; at each update t → t + 1
the squared step `step2` = ‖v_{t+1}‖², the squared flip `flip2` = ‖v_{t+1} − v_t‖²/16 (the square of the amplitude A
when w swings as (−1)^t A) and the product `turn` = v_{t+1}·v_t. The same text runs in the lanes of a sweep and on
recorded arrays, so a word has one meaning everywhere.

Smoothing: the sharpness at the two sides of a flip differs by the third derivative along it, so the excess over the
threshold is taken from the mean (1, 2, 1)/4 of three consecutive steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from selfstab import former_names, validation
from selfstab.phases import (
    CATAPULT,
    CYCLE,
    DIVERGED,
    EDGE,
    MONOTONE,
    OSCILLATING,
    STATIONARY,
    UNDECIDED,
    UNDEFINED,
)

SETTLED: Final = 1e-3
"""A run has settled when its largest step in the last eighth is below this fraction of its largest step of all."""

REVERSAL: Final = 1e-6
"""A reversal counts as one when v_{t+1}·v_t < −(REVERSAL · largest step so far)²."""

STEADY: Final = 1.21
"""A flip is steady when its largest squares in the third and fourth quarter differ by at most this factor."""


NEAR: Final = 0.1
"""Cycling at the threshold means that the smoothed sharpness comes within this fraction of it."""


PRECONDITIONED: Final = "preconditioned_sharpness"
"""Name of λ_max(P^{-1/2} H P^{-1/2}) in kernels, runs and sweeps."""


def which_sharpness(variable: Any) -> str:
    """Return the name of the sharpness that a threshold, or a measure of a sweep, is of, by its attributes."""
    return str(variable.attrs.get("sharpness", "sharpness"))


def _kept(word: str, relation: str) -> str:
    """Return the text of an extreme of the preconditioned sharpness, with the one of now."""
    return (
        f"choose({PRECONDITIONED} {relation} {word}_preconditioned, {PRECONDITIONED}, {word}_preconditioned)"
    )


@dataclass(frozen=True)
class Group:
    """State carried along a run, and how it changes.

    Parameters
    ----------
    needs
        Which of sharpness, loss and motion the lines read.
    state
        Names carried, with the expression that starts each (it may read sharpness, loss and threshold at step 0).
    at_state
        Lines run at each state w_t, the last one included.
    at_update
        Lines run at each update t → t + 1, after the lines at w_t.
    at_nan
        Lines run after those at w_t where the sharpness or the loss may be NaN: a comparison leaves it out.
    compares
        Whether its sharpness is compared with the threshold: where an optimizer has a preconditioner, it is the
        preconditioned one.

    A group without lines reads what it needs at the last state only.
    """

    needs: tuple[str, ...]
    state: dict[str, str]
    at_state: tuple[str, ...] = ()
    at_update: tuple[str, ...] = ()
    at_nan: tuple[str, ...] = ()
    compares: bool = False


@dataclass(frozen=True)
class Measure:
    """A number per run: the groups it reads, the expression of its value, how to store it and its attributes."""

    groups: tuple[str, ...]
    value: str
    dtype: str = "float64"
    diverged: str | None = None
    """The value for a run that diverged, where it is not that of the steps before."""
    attributes: dict[str, str] = field(default_factory=dict)


GROUPS: Final[dict[str, Group]] = {
    "end": Group((), {}),
    "end_loss": Group(("loss",), {}),
    "end_sharpness": Group(("sharpness",), {}),
    # Multiplying by a positive number keeps the order and rounds equal numbers alike: scale · least height is the least
    # sharpness, to the bit.
    "least_sharpness": Group(
        ("sharpness",),
        {"least_height": "inf"},
        ("least_height = choose(height < least_height, height, least_height)",),
        at_nan=("least_height = choose(height == height, least_height, nan)",),
    ),
    "most_sharpness": Group(
        ("sharpness",),
        {"most_height": "-inf"},
        ("most_height = choose(height > most_height, height, most_height)",),
        at_nan=("most_height = choose(height == height, most_height, nan)",),
    ),
    "most_loss": Group(
        ("loss",),
        {"most_loss": "-inf"},
        ("most_loss = choose(loss > most_loss, loss, most_loss)",),
        at_nan=("most_loss = choose(loss == loss, most_loss, nan)",),
    ),
    # The swing: from the step at which the smoothed excess rises above 0 to the next such step.
    "swing": Group(
        ("sharpness", "motion"),
        {
            "excess1": "sharpness - threshold",
            "excess2": "sharpness - threshold",
            "sharpness1": "sharpness",
            "sharpness2": "sharpness",
            "smooth_excess": "sharpness - threshold",
            "smooth_sharpness": "sharpness",
            "above": "0.0",
            "rises_late": "0.0",
            # this swing: flips at its onset, its peak, and the least after the peak
            "onset_flip2": "inf",
            "peak_flip2": "0.0",
            "least_flip2": "inf",
            # whether a step has reversed in this swing: a drift of the sharpness through the threshold swings nowhere
            "turned": "0.0",
            "after_sharpness": "sharpness",
            # the largest excess so far; and as it was when the squared flip was a tenth of its last level
            "level_flip2": "inf",
            "top_excess": "0.0",
            "top_sharpness": "sharpness",
            "recent_excess": "0.0",
            "recent_sharpness": "sharpness",
            "before_excess": "0.0",
            "before_sharpness": "sharpness",
            # the largest swing so far
            "best_flip2": "0.0",
            "best_excess": "nan",
            "best_drop": "nan",
        },
        (
            "excess = sharpness - threshold",
            # A single value cannot be smoothed: the first state is no onset, the second has the mean of two.
            "smooth_excess = choose(t > 1, 0.25 * (excess + 2.0 * excess1 + excess2), 0.5 * (excess + excess1))",
            "smooth_excess = choose(t > 0, smooth_excess, -inf)",
            "smooth_sharpness = 0.25 * (sharpness + 2.0 * sharpness1 + sharpness2)",
            "smooth_sharpness = choose(t > 1, smooth_sharpness, 0.5 * (sharpness + sharpness1))",
            "excess2 = excess1",
            "excess1 = excess",
            "sharpness2 = sharpness1",
            "sharpness1 = sharpness",
        ),
        (
            "inside = smooth_excess > 0.0",
            "rises = inside & (above == 0.0)",
            # Where the sharpness is nan nothing is known: what comes after it is no rise.
            "above = choose(smooth_excess <= 0.0, 0.0, 1.0)",
            "rises_late = rises_late + choose(rises, second_half, 0.0)",
            # a rise ends the swing before it
            "better = rises & (peak_flip2 > onset_flip2) & (peak_flip2 > best_flip2) & (turned > 0.0)",
            "best_flip2 = choose(better, peak_flip2, best_flip2)",
            "best_excess = choose(better, before_excess, best_excess)",
            "best_drop = choose(better, before_sharpness - after_sharpness, best_drop)",
            "onset_flip2 = choose(rises, flip2, onset_flip2)",
            "level_flip2 = choose(rises, flip2, level_flip2)",
            "higher = rises | (inside & (smooth_excess > top_excess))",
            "top_excess = choose(higher, smooth_excess, top_excess)",
            "top_sharpness = choose(higher, smooth_sharpness, top_sharpness)",
            "grown = inside & (flip2 > 10.0 * level_flip2)",
            "before_excess = choose(grown, recent_excess, before_excess)",
            "before_sharpness = choose(grown, recent_sharpness, before_sharpness)",
            "recent_excess = choose(grown | rises, top_excess, recent_excess)",
            "recent_sharpness = choose(grown | rises, top_sharpness, recent_sharpness)",
            "before_excess = choose(rises, top_excess, before_excess)",
            "before_sharpness = choose(rises, top_sharpness, before_sharpness)",
            "level_flip2 = choose(grown, flip2, level_flip2)",
            "swells = rises | (flip2 > peak_flip2)",
            "peak_flip2 = choose(swells, flip2, peak_flip2)",
            f"turned = choose(turn < -{REVERSAL * REVERSAL!r} * peak_flip2, 1.0, choose(rises, 0.0, turned))",
            "calmer = swells | (flip2 < least_flip2)",
            "least_flip2 = choose(calmer, flip2, least_flip2)",
            "after_sharpness = choose(calmer, smooth_sharpness, after_sharpness)",
        ),
        compares=True,
    ),
    "settling": Group(
        ("motion",),
        {
            "most_step2": "0.0",
            "late_step2": "0.0",
            "third_flip2": "0.0",
            "fourth_flip2": "0.0",
            "reversed": "0.0",
            "reversed_late": "0.0",
            "near_late": "0.0",
        },
        (),
        (
            "most_step2 = choose(step2 > most_step2, step2, most_step2)",
            "late = last_eighth * step2",
            "late_step2 = choose(late > late_step2, late, late_step2)",
            "quarter = third_quarter * flip2",
            "third_flip2 = choose(quarter > third_flip2, quarter, third_flip2)",
            "quarter = fourth_quarter * flip2",
            "fourth_flip2 = choose(quarter > fourth_flip2, quarter, fourth_flip2)",
            f"back = turn < -{REVERSAL * REVERSAL!r} * most_step2",
            "reversed = choose(back, 1.0, reversed)",
            "reversed_late = choose(back & (last_eighth > 0.0), last_eighth, reversed_late)",
            f"near = smooth_excess > -{NEAR!r} * threshold",
            "near_late = choose(near & (fourth_quarter > 0.0), fourth_quarter, near_late)",
        ),
        compares=True,
    ),
    "end_preconditioned": Group((PRECONDITIONED,), {}),
    "least_preconditioned": Group(
        (PRECONDITIONED,),
        {"least_preconditioned": "inf"},
        (f"least_preconditioned = {_kept('least', '<')}",),
        at_nan=(
            f"least_preconditioned = choose({PRECONDITIONED} == {PRECONDITIONED}, least_preconditioned, nan)",
        ),
    ),
    "most_preconditioned": Group(
        (PRECONDITIONED,),
        {"most_preconditioned": "-inf"},
        (f"most_preconditioned = {_kept('most', '>')}",),
        at_nan=(
            f"most_preconditioned = choose({PRECONDITIONED} == {PRECONDITIONED}, most_preconditioned, nan)",
        ),
    ),
}

# What the last swing of a run leaves, judged as the rises judge those before it.
_SWING_ENDS = (
    "last_swing = (smooth_excess <= 0.0) & (peak_flip2 > onset_flip2) & (peak_flip2 > best_flip2) & (turned > 0.0)",
    "swung_excess = choose(last_swing, before_excess, best_excess)",
    "swung_drop = choose(last_swing, before_sharpness - after_sharpness, best_drop)",
    "swung = swung_drop > 0.0",
)
_ENDS = (
    f"settled = late_step2 <= {SETTLED * SETTLED!r} * most_step2",
    f"steady = (fourth_flip2 <= {STEADY!r} * third_flip2) & (third_flip2 <= {STEADY!r} * fourth_flip2)",
    "cycling = (near_late > 0.0) & ((rises_late >= 2.0) | (steady & (reversed_late > 0.0)))",
    "decided = settled | cycling",
    "at_rest = (most_step2 == 0.0) | ((late_step2 == 0.0) & (sharpness > threshold))",
    "stationary = at_rest & (t > 0)",
)

FINISH: Final[dict[str, tuple[str, ...]]] = {"swing": _SWING_ENDS, "settling": _ENDS}
"""Lines run once at the end, for a group."""

_SWINGS = ("swing", "settling")

_PHASE_SETTLED = (
    f"choose(stationary, {STATIONARY}.0, choose(swung, {CATAPULT}.0, choose(reversed > 0.0, {OSCILLATING}.0, "
    f"{MONOTONE}.0)))"
)
_PHASE = (
    f"choose(loss != loss, {UNDEFINED}.0, choose(not decided, choose(returned, {CYCLE}.0, {UNDECIDED}.0), "
    f"choose(not settled, {EDGE}.0, {_PHASE_SETTLED})))"
)
_PHASE_DIVERGED = f"choose(loss != loss, {UNDEFINED}.0, {DIVERGED}.0)"


class _Measures(dict[str, Measure]):
    """Measures by today's names; one is found by its name of version 0.1, too."""

    def __missing__(self, name: str) -> Measure:
        return self[former_names.MEASURES[name]]


MEASURES: Final = _Measures({
    "final_loss": Measure(("end_loss",), "loss", attributes={
        "long_name": "loss at the last step (before divergence)"}),
    "max_loss": Measure(("most_loss",), "most_loss", attributes={"long_name": "largest loss of the run"}),
    "final_sharpness": Measure(("end_sharpness",), "sharpness", attributes={
        "long_name": "sharpness at the last step (before divergence)"}),
    "min_sharpness": Measure(("least_sharpness",), "scale * least_height", attributes={
        "long_name": "least sharpness of the run"}),
    "max_sharpness": Measure(("most_sharpness",), "scale * most_height", attributes={
        "long_name": "largest sharpness of the run"}),
    "peak_excess_sharpness": Measure(_SWINGS, "choose(settled & swung, swung_excess, nan)", diverged="nan", attributes={
        "long_name": "y0, the largest smoothed S - S* before the largest swing"}),
    "drop": Measure(_SWINGS, "choose(settled & swung, swung_drop, nan)", diverged="nan", attributes={
        "long_name": "fall of the sharpness from before the largest swing to after it has died"}),
    "overshoot": Measure(_SWINGS, "choose(settled & swung, swung_drop / (2.0 * swung_excess), nan)", diverged="nan",
        attributes={"long_name": "drop / (2 y0), nondimensional"}),
    "diverged_at": Measure(("end",), "ended", dtype="int64", diverged="ended", attributes={
        "long_name": "first step beyond the escape radius or not finite, -1 if none"}),
    "phase": Measure(("end_loss", *_SWINGS), _PHASE, dtype="int8", diverged=_PHASE_DIVERGED, attributes={
        "long_name": "how the run ends"}),
    "final_preconditioned_sharpness": Measure(("end_preconditioned",), PRECONDITIONED, attributes={
        "long_name": "preconditioned sharpness at the last step (before divergence)"}),
    "min_preconditioned_sharpness": Measure(("least_preconditioned",), "least_preconditioned", attributes={
        "long_name": "least preconditioned sharpness of the run"}),
    "max_preconditioned_sharpness": Measure(("most_preconditioned",), "most_preconditioned", attributes={
        "long_name": "largest preconditioned sharpness of the run"}),
})  # fmt: skip
"""Every measure of :func:`selfstab.sweep` by name, in the order in which kernels compute them."""


def measure_names(argument: str, value: Any) -> tuple[str, ...]:
    """Return names of measures, each once; one of version 0.1 is taken with a DeprecationWarning.

    Raises
    ------
    TypeError, ValueError
        If one is not known; the message names the argument.

    >>> measure_names("measure", "drop")
    ('drop',)
    """
    names = validation.some_of(argument, value, MEASURES, also=former_names.MEASURES)
    for name in names:
        former_names.notify_of(argument, name, former_names.MEASURES)
    return names


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of measures in the order in which kernels compute them, whatever the version of the name."""
    places = {name: place for place, name in enumerate(MEASURES)}

    def place(name: str) -> int:
        return places[former_names.MEASURES.get(name, name)]

    return tuple(sorted(names, key=place))


def groups_of(measures: Iterable[str]) -> list[str]:
    """Return the groups that `measures` read, each once, in the order of GROUPS."""
    read = {group for name in measures for group in MEASURES[name].groups}
    return [name for name in GROUPS if name in read]


def of_update(group: str, lines: Iterable[str], preconditions: bool) -> list[str]:
    """Return lines of a group; what is compared with the threshold is the preconditioned sharpness if there is one.

    Without a preconditioner the preconditioned sharpness is the sharpness.

    >>> of_update("swing", ["excess = sharpness - threshold"], True)
    ['excess = preconditioned_sharpness - threshold']
    """
    if not preconditions:
        return [line.replace(PRECONDITIONED, "sharpness") for line in lines]
    if not GROUPS[group].compares:
        return list(lines)
    return [re.sub(r"\bsharpness\b", PRECONDITIONED, line) for line in lines]


def needs_of(groups: Iterable[str], *, at_steps: bool = False, preconditions: bool = False) -> set[str]:
    """Return which of sharpness, loss, motion and the preconditioned sharpness the groups read.

    `at_steps`: not only at the last state; `preconditions`: of an optimizer that has a preconditioner.
    """

    def own(group: str, need: str) -> str:
        if not preconditions and need == PRECONDITIONED:
            return "sharpness"
        return PRECONDITIONED if need == "sharpness" and preconditions and GROUPS[group].compares else need

    return {
        own(name, need)
        for name in groups
        for need in GROUPS[name].needs
        if not at_steps or GROUPS[name].at_state or GROUPS[name].at_update
    }
