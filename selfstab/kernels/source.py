"""Source templates: a loss's formulas and the chosen measures become one readable module.

A module runs a grid of cells in blocks of LANES lanes. The state of a block is a table of rows, one row a name; the
loop over lanes has no branches, so that it vectorises, and takes two steps a pass (storing a selected value back to
where it was loaded from would become a masked store, which some processors do slowly). Whether a lane left the escape
radius is seen every CHUNK steps from the largest ‖w‖² since the last look; a lane that may have is run again from
there, one step at a time, to find the step. A cell's numbers depend on nothing but its own inputs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from selfstab.kernels.measures import FINISH, GROUPS, MEASURES, groups_of, needs_of

LANES = 32
CHUNK = 128

Rate = Literal["constant", "excess", "ramp", "table"]
"""How a kernel gets its lr: a number, from the relative excess, a linear ramp's three numbers, or a table by step."""

RATE_INPUTS: dict[Rate, tuple[str, ...]] = {
    "constant": ("lr",),
    "excess": ("excess",),
    "ramp": ("lr.start", "lr.end", "lr.steps"),
    "table": (),
}


class LossText(Protocol):
    """What a template asks of a loss: its formulas as text in the names of its weights and parameters."""

    @property
    def weights(self) -> Sequence[str]:
        """Names of the weights, such as w_x."""

    @property
    def parameters(self) -> Sequence[str]:
        """Names of the parameters, such as p_curvature."""

    @property
    def constants(self) -> Sequence[tuple[str, str]]:
        """Names and formulas of what depends on the parameters only."""

    @property
    def functions(self) -> str:
        """Source of functions that the formulas call."""

    def code(self, pieces: Sequence[str], prefix: str = "") -> tuple[list[str], dict[str, list[str]]]:
        """Return lines and, for each piece (value, gradient, sharpness), the names of its results.

        A prefix is put before the names of weights and temporaries.
        """


@dataclass(frozen=True)
class Variant:
    """Which kernel of a loss: its measures, how lr is given, whether it looks ahead, whether gradients are noisy.

    A kernel that `resumes` is given the velocity instead of the weights before the start: those would round it.
    """

    measures: tuple[str, ...]
    rate: Rate = "constant"
    lookahead: bool = False
    noise: bool = False
    resumes: bool = False

    def inputs(self, loss: LossText) -> list[str]:
        """Return the names of a cell's inputs: parameters, rate, momentum, lookahead, start, previous or velocity."""
        names = [*loss.parameters, *RATE_INPUTS[self.rate], "momentum"]
        names += ["lookahead"] if self.lookahead else []
        before = "velocity" if self.resumes else "previous"
        return names + [f"{word}.{w}" for word in ("start", before) for w in loss.weights]


def indented(lines: Sequence[str], depth: int) -> str:
    """Return the lines as text, `depth` levels in."""
    return "".join(f"{'    ' * depth}{line}\n" for line in lines)


def value_text(name: str) -> str:
    """Return the text of a measure's value, divergence included."""
    measure = MEASURES[name]
    if measure.diverged in (None, measure.value):
        return measure.value
    return f"choose(ended < 0, {measure.value}, {measure.diverged})"


WINDOWS = (
    "second_half = choose(2 * t >= steps, 1.0, 0.0)",
    "third_quarter = choose((2 * t >= steps) & (4 * t < 3 * steps), 1.0, 0.0)",
    "fourth_quarter = choose(4 * t >= 3 * steps, 1.0, 0.0)",
    "last_eighth = choose((8 * t >= 7 * steps) | (t + 1 == steps), 1.0, 0.0)",
)
"""Parts of the run, as factors that are 1 inside and 0 outside."""


class _Writer:
    """The parts of one module's text; each method returns lines."""

    def __init__(self, loss: LossText, variant: Variant) -> None:
        self.loss, self.variant = loss, variant
        self.groups = groups_of(variant.measures)
        needs = needs_of(self.groups)
        self.pieces = [
            piece for piece, need in (("value", "loss"), ("sharpness", "sharpness")) if need in needs
        ]
        self.motion = "motion" in needs
        self.velocities = ["v" + w[1:] for w in loss.weights]
        self.rate_rows = {"ramp": ["lr_start", "lr_span", "lr_steps"], "table": []}.get(variant.rate, ["lr"])
        if variant.rate in ("constant", "excess") and "sharpness" in needs:
            self.rate_rows = ["lr", "threshold"]
        fixed = [*loss.parameters, *(name for name, _ in loss.constants), *self.rate_rows, "momentum"]
        fixed += ["lookahead"] if variant.lookahead else []
        self.moving = [
            *loss.weights,
            *self.velocities,
            *(name for g in self.groups for name in GROUPS[g].state),
        ]
        self.fixed = fixed
        read = set(re.findall(r"\w+", " ".join([*self.step(), *self.moved()])))
        self.fixed = [name for name in fixed if name in read]
        self.rows = [*self.moving, *self.fixed, "peak"]

    def load(self, names: Sequence[str], table: str) -> list[str]:
        return [f"{name} = {table}[{self.place(name, table)}]" for name in names]

    def store(self, names: Sequence[str], table: str) -> list[str]:
        return [f"{table}[{self.place(name, table)}] = {name}" for name in names]

    def place(self, name: str, table: str) -> str:
        """Where a name is kept: in one lane's vector, or in the block's rows of LANES numbers each.

        The rows are one flat array with literal offsets: only then does the vectoriser see that they do not overlap.
        """
        k = self.rows.index(name)
        return str(k) if table == "lane" else f"{k * LANES} + i"

    def windows(self) -> list[str]:
        return list(WINDOWS) if self.motion else []

    def rate(self) -> list[str]:
        if self.variant.rate == "ramp":
            lines = [
                "fraction = t / lr_steps",
                "fraction = choose(fraction < 1.0, fraction, 1.0)",
                "lr = lr_start + lr_span * fraction",
            ]
        elif self.variant.rate == "table":
            lines = ["lr = table[t]"]
        else:
            return []
        return lines + ([self.threshold()] if "sharpness" in self.pieces else [])

    def threshold(self) -> str:
        ahead = " * (1.0 + 2.0 * lookahead)" if self.variant.lookahead else ""
        return f"threshold = 2.0 * (1.0 + momentum) / (lr{ahead})"

    def state_names(self, results: dict[str, list[str]]) -> list[str]:
        lines = [f"loss = {results['value'][0]}"] if "value" in results else []
        return lines + ([f"sharpness = {results['sharpness'][0]}"] if "sharpness" in results else [])

    def at_state(self) -> list[str]:
        return [line for g in self.groups for line in GROUPS[g].at_state]

    def step(self) -> list[str]:
        """One step of one lane: the measures at w_t, the update, the measures of the update."""
        loss, variant = self.loss, self.variant
        ahead = variant.lookahead
        lines, results = loss.code([*self.pieces, *([] if ahead else ["gradient"])])
        out = [*self.rate(), *lines, *self.state_names(results), *self.at_state()]
        if ahead:
            out += [
                f"ahead_{w} = fma(lookahead, {v}, {w})"
                for w, v in zip(loss.weights, self.velocities, strict=True)
            ]
            lines, results = loss.code(["gradient"], prefix="ahead_")
            out += lines
        for j, (w, v, g) in enumerate(zip(loss.weights, self.velocities, results["gradient"], strict=True)):
            force = f"{g} + noise[t, {j}]" if variant.noise else g
            out += [f"next_{v} = fma(-lr, {force}, momentum * {v})", f"next_{w} = {w} + next_{v}"]
        return out

    def moved(self) -> list[str]:
        if not self.motion:
            return []
        vs = self.velocities
        change = [f"change_{v} = next_{v} - {v}" for v in vs]
        return [
            *change,
            "step2 = " + " + ".join(f"next_{v} * next_{v}" for v in vs),
            "flip2 = 0.0625 * (" + " + ".join(f"change_{v} * change_{v}" for v in vs) + ")",
            "turn = " + " + ".join(f"next_{v} * {v}" for v in vs),
            *(line for g in self.groups for line in GROUPS[g].at_update),
        ]

    def accept(self) -> list[str]:
        return [f"{name} = next_{name}" for name in [*self.loss.weights, *self.velocities]]

    def begin(self) -> list[str]:
        loss, variant = self.loss, self.variant
        inputs = variant.inputs(loss)
        read = {name: f"inputs[{k}]" for k, name in enumerate(inputs)}
        out = [f"{p} = {read[p]}" for p in loss.parameters]
        out += [f"{name} = {formula}" for name, formula in loss.constants]
        out += [f"momentum = {read['momentum']}"]
        out += [f"lookahead = {read['lookahead']}"] if variant.lookahead else []
        out += [f"{w} = {read['start.' + w]}" for w in loss.weights]
        for w, v in zip(loss.weights, self.velocities, strict=True):
            out += [
                f"{v} = {read['velocity.' + w]}"
                if variant.resumes
                else f"{v} = {w} - {read['previous.' + w]}"
            ]
        pieces = list(self.pieces)
        if variant.rate == "excess" and "sharpness" not in pieces:
            pieces.append("sharpness")
        lines, results = loss.code(pieces)
        out += [*lines, *self.state_names(results)]
        if variant.rate == "constant":
            out += [f"lr = {read['lr']}"]
        elif variant.rate == "excess":
            ahead = " * (1.0 + 2.0 * lookahead)" if variant.lookahead else ""
            out += [f"lr = (1.0 + {read['excess']}) * (2.0 * (1.0 + momentum)) / (sharpness{ahead})"]
        elif variant.rate == "ramp":
            out += [
                f"lr_start = {read['lr.start']}",
                f"lr_span = {read['lr.end']} - lr_start",
                f"lr_steps = {read['lr.steps']}",
                "t = 0",
            ]
        else:
            out += ["t = 0"]
        out += self.rate()
        out += [self.threshold()] if "threshold" in self.fixed else []
        out += [f"{name} = {formula}" for g in self.groups for name, formula in GROUPS[g].state.items()]
        return [*out, "peak = 0.0", *self.store(self.rows, "lane")]

    def finish(self) -> list[str]:
        lines, results = self.loss.code(self.pieces)
        out = [*self.load([*self.moving, *self.fixed], "lane"), "t = steps if ended < 0 else ended"]
        out += [*self.rate(), *lines, *self.state_names(results), *self.at_state()]
        out += [line for g in self.groups for line in FINISH.get(g, ())]
        return out + [f"out[{k}, cell] = {value_text(name)}" for k, name in enumerate(self.variant.measures)]


def sweep_source(loss: LossText, variant: Variant, title: str) -> str:
    """Return the module that runs a grid of cells of one loss; its entry is ``run``.

    ``run(inputs, table, noise, steps, escape, out, ends)`` runs a cell for each row of `inputs`, whose columns are
    those of :meth:`Variant.inputs`. out has shape (measures, cells); ends, unless it is empty, (cells, 2 · weights): it
    gets the last weights and velocities.
    """
    w = _Writer(loss, variant)
    good = " and ".join(f"abs(next_{name}) <= escape" for name in loss.weights)
    radius2 = f"next_{loss.weights[0]} * next_{loss.weights[0]}"
    for name in loss.weights[1:]:
        radius2 = f"fma(next_{name}, next_{name}, {radius2})"
    peak = [f"radius2 = {radius2}", "peak = choose(radius2 > peak, radius2, peak)"]
    one = [*w.windows(), *w.step(), *w.moved(), *peak, *w.accept()]
    return f'''\
"""{title}"""

LANES = {LANES}
CHUNK = {CHUNK}
ROWS = {len(w.rows)}
MOVING = {len(w.moving)}
inf = np.inf
nan = np.nan

{loss.functions}
@compiled
def begin(lane, inputs, table, matrix):
    """Put a cell's inputs and its state at step 0 into `lane`."""
{indented(w.begin(), 1)}

@compiled
def advance(rows, first, last, steps, table, noise, matrix):
    """Take all lanes through the updates first -> first + 1, ..., last - 1 -> last, two a pass; their count is even."""
    for pair in range(first, last, 2):
        for i in range(LANES):
{indented(w.load(w.rows, "rows"), 3)}\
{indented(["t = pair", *one, "t = pair + 1", *one], 3)}\
{indented(w.store([*w.moving, "peak"], "rows"), 3)}

@compiled
def locate(lane, first, last, steps, table, noise, escape, matrix):
    """Take one lane through the same updates up to the escape; return the step at which it is out."""
{indented(w.load([*w.moving, *w.fixed], "lane"), 1)}\
    for t in range(first, last):
{indented(w.windows(), 2)}\
{indented(w.step(), 2)}\
        if not ({good}):
{indented([*w.store(w.moving, "lane"), "return t + 1"], 3)}\
{indented([*w.moved(), *w.accept()], 2)}\
{indented(w.store(w.moving, "lane"), 1)}\
    return -1


@compiled
def finish(lane, ended, steps, table, matrix, out, cell):
    """Write a cell's measures; `ended` is the step at which it diverged, or -1."""
{indented(w.finish(), 1)}

@compiled
def run_block(rows, saved, final, lane, ended, count, steps, table, noise, escape, matrix):
    """Run one block of lanes, already begun, to its end; put each lane's last state into `final`."""
    left = count
    t = 0
    while t < steps and left > 0:
        last = t + CHUNK if t + CHUNK < steps else steps
        even = last - (last - t) % 2
        for k in range(MOVING * LANES):
            saved[k] = rows[k]
        advance(rows, t, even, steps, table, noise, matrix)
        for i in range(count):
            if ended[i] >= 0:
                continue
            # A weight that is not finite stays so; one that left and came back shows in the peak of ‖w‖².
            inside = rows[{w.place("peak", "rows")}] < 0.999 * escape * escape
            for k in range({len(loss.weights)}):
                inside = inside and abs(rows[k * LANES + i]) <= escape
            if inside and even == last:
                continue
            # An escape is found again from the chunk's start; an odd last step is taken from where the lane is.
            for k in range(ROWS):
                lane[k] = rows[k * LANES + i] if inside or k >= MOVING else saved[k * LANES + i]
            ended[i] = locate(lane, even if inside else t, last, steps, table, noise, escape, matrix)
            for k in range(ROWS):
                rows[k * LANES + i] = lane[k]
                final[k * LANES + i] = lane[k]
            left -= 1 if ended[i] >= 0 else 0
        t = last
    for i in range(count):
        if ended[i] < 0:
            for k in range(ROWS):
                final[k * LANES + i] = rows[k * LANES + i]


@entry
def run(inputs, table, noise, steps, escape, out, ends):
    """Run a cell for each row of inputs."""
    rows = np.empty(ROWS * LANES)
    saved = np.empty(MOVING * LANES)
    final = np.empty(ROWS * LANES)
    lane = np.empty(ROWS)
    ended = np.empty(LANES, np.int64)
    matrix = np.empty(({len(loss.weights)}, {len(loss.weights)}))
    for first in range(0, inputs.shape[0], LANES):
        lanes = inputs.shape[0] - first if inputs.shape[0] - first < LANES else LANES
        for i in range(LANES):
            # Lanes beyond the last cell repeat it, so that every lane computes with numbers.
            begin(lane, inputs[first + (i if i < lanes else lanes - 1)], table, matrix)
            for k in range(ROWS):
                rows[k * LANES + i] = lane[k]
            ended[i] = -1
        run_block(rows, saved, final, lane, ended, lanes, steps, table, noise, escape, matrix)
        for i in range(lanes):
            for k in range(ROWS):
                lane[k] = final[k * LANES + i]
            finish(lane, ended[i], steps, table, matrix, out, first + i)
            if ends.shape[0] > 0:
                for k in range({2 * len(loss.weights)}):
                    ends[first + i, k] = lane[k]
'''
