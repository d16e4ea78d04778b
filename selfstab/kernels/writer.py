"""Source templates: a loss's formulas and the chosen measures become one readable module.

A module runs a grid of cells in blocks of LANES lanes. The state of a block is a table of rows, one row a name; the
loop over lanes has no branches, so that it vectorises, and takes two steps a pass (storing a selected value back to
where it was loaded from would become a masked store, which some processors do slowly). Whether a lane left the escape
radius is seen every CHUNK steps from the largest ‖w‖² so far; a lane that may have is run again from the last look, one
step at a time, to find the step. A block in which a chunk of steps changes no bit has come to rest, or repeats itself
(a cycle whose length divides CHUNK): steps up to where a measure reads another part of the run are left out. A cell's
numbers depend on nothing but its own inputs.
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

EDGES = ("(steps + 1) // 2", "(3 * steps + 3) // 4", "(7 * steps + 7) // 8", "steps - 1")
"""The steps at which one of WINDOWS changes."""


def _scaled(text: str) -> tuple[str, str]:
    """Return an expression without its leading factor ½, if it is a product with one, and that factor.

    >>> _scaled("0.5 * (a + sqrt(b))"), _scaled("0.5 * (a) + (b)")
    (('a + sqrt(b)', '0.5'), ('0.5 * (a) + (b)', '1.0'))
    """
    inner = text.removeprefix("0.5 * (").removesuffix(")")
    depth, least = 0, 0
    for sign in inner:
        depth += (sign == "(") - (sign == ")")
        least = min(least, depth)
    whole = text == f"0.5 * ({inner})" and least == 0
    return (inner, "0.5") if whole else (text, "1.0")


def _underflowing(line: str) -> str:
    """Return a line with squares of weights written as fma(w, w, 0.0).

    The bits are the same, but a product below the least normal number takes some processors longer than an fma, and the
    squares of an oscillation that dies out are the first to be there.

    >>> _underflowing("e0 = fma(2.0 * w_x * w_x, k0, w_x * w_x)")
    'e0 = fma(2.0 * w_x * w_x, k0, fma(w_x, w_x, 0.0))'
    """
    return re.sub(r"(?<![*/] )\b(w_\w+) \* \1\b", r"fma(\1, \1, 0.0)", line)


class Writer:
    """The parts of one module's text; each method returns lines."""

    def __init__(self, loss: LossText, variant: Variant) -> None:
        self.loss, self.variant = loss, variant
        self.groups = groups_of(variant.measures)
        needs, last_needs = needs_of(self.groups, at_steps=True), needs_of(self.groups)
        pieces = (("value", "loss"), ("sharpness", "sharpness"))
        self.pieces = [piece for piece, need in pieces if need in needs]
        self.last_pieces = [piece for piece, need in pieces if need in last_needs]
        self.motion = "motion" in needs
        self.scale = "1.0"
        # Whether a step depends on nothing but the state, so that a state that returns goes on as before.
        self.autonomous = variant.rate in ("constant", "excess") and not variant.noise
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
        last_lines, last_results = loss.code(self.last_pieces)
        ends = [*self.rate(), *last_lines, *(text for texts in last_results.values() for text in texts)]
        read_last = set(re.findall(r"\w+", " ".join(ends)))
        self.fixed = [name for name in fixed if name in read | read_last]
        self.stepping = [*self.moving, *(name for name in self.fixed if name in read)]
        self.rows = [*self.moving, *self.fixed, "peak"]

    def load(self, names: Sequence[str], table: str) -> list[str]:
        """Return lines that read names from where they are kept."""
        return [f"{name} = {table}[{self.place(name, table)}]" for name in names]

    def store(self, names: Sequence[str], table: str) -> list[str]:
        """Return lines that put names where they are kept."""
        return [f"{table}[{self.place(name, table)}] = {name}" for name in names]

    def place(self, name: str, table: str) -> str:
        """Where a name is kept: in one lane's vector, or in the block's rows of LANES numbers each.

        The rows are one flat array with literal offsets: only then does the vectoriser see that they do not overlap.
        """
        k = self.rows.index(name)
        return str(k) if table == "lane" else f"{k * LANES} + i"

    def repeated(self) -> str:
        """Text of the test whether a block repeats itself."""
        if not self.autonomous:
            return ""
        return '''\
@compiled
def repeated(rows, saved, ended, count):
    """Whether the last chunk changed no bit of the lanes that have not ended."""
    now, before = rows.view(np.int64), saved.view(np.int64)
    for i in range(count):
        if ended[i] < 0:
            for k in range(MOVING):
                if now[k * LANES + i] != before[k * LANES + i]:
                    return False
    return True


'''

    def onwards(self) -> list[str]:
        """Lines that end a chunk: how t goes on.

        If the chunk t, ..., last − 1 took the state (weights, velocities, measures) to itself, bit for bit, so does
        each chunk after it up to the next edge: a step is a function of that state and, by WINDOWS, of the part of the
        run. The first chunk is none to judge by, as the measures tell its first two steps from the others.
        """
        if not self.autonomous:
            return ["t = last"]
        stop = ["stop = steps"]
        for edge in EDGES if self.motion else ():
            stop += [f"edge = {edge}", "stop = edge if t < edge < stop else stop"]
        return [
            "if t > 0 and last - t == CHUNK and repeated(rows, saved, ended, count):",
            *(f"    {line}" for line in stop),
            "    last += (stop - last) // CHUNK * CHUNK if stop > last else 0",
            "t = last",
        ]

    def windows(self) -> list[str]:
        """Return the parts of the run, if a measure asks for them."""
        return list(WINDOWS) if self.motion else []

    def rate(self) -> list[str]:
        """Return lines that give lr at step t, where it changes, and its threshold."""
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
        """Return the line of S*."""
        ahead = " * (1.0 + 2.0 * lookahead)" if self.variant.lookahead else ""
        return f"threshold = 2.0 * (1.0 + momentum) / (lr{ahead})"

    def state(self, pieces: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
        """Return lines that compute the pieces at w_t, under the measures' names, and the names of all results."""
        lines, results = self.loss.code(pieces)
        if "sharpness" in results:
            top = results["sharpness"][0]
            height, self.scale = _scaled(lines[-1].removeprefix(f"{top} = "))
            lines = [
                *lines[:-1],
                f"height = {height}",
                f"{top} = height" if self.scale == "1.0" else f"{top} = {self.scale} * height",
            ]
            lines += [f"sharpness = {top}"]
        return lines + ([f"loss = {results['value'][0]}"] if "value" in results else []), results

    def one_step(self) -> list[str]:
        """One step of one lane in the loop over lanes: ‖w_t‖², the step, its measures."""
        lines = [*self.step(), *self.moved()]
        # It begins with a square that the formulas compute anyway, if there is one.
        first, *others = sorted(self.loss.weights, key=lambda w: f"{w} * {w}" not in " ".join(lines))
        radius2 = f"{first} * {first}"
        for w in others:
            radius2 = f"fma({w}, {w}, {radius2})"
        peak = [f"radius2 = {radius2}", "peak = choose(radius2 > peak, radius2, peak)"]
        return [*self.windows(), *map(_underflowing, [*peak, *lines]), *self.accept()]

    def at_state(self) -> list[str]:
        """Return the measures' lines at w_t."""
        return [line for g in self.groups for line in GROUPS[g].at_state]

    def step(self) -> list[str]:
        """One step of one lane: the measures at w_t, the update, the measures of the update."""
        loss, variant = self.loss, self.variant
        ahead = variant.lookahead
        lines, results = self.state([*self.pieces, *([] if ahead else ["gradient"])])
        out = [*self.rate(), *lines, *self.at_state()]
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
        """Return the measures' lines at the update t → t + 1."""
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
        """Return lines that make the next state the present one."""
        return [f"{name} = next_{name}" for name in [*self.loss.weights, *self.velocities]]

    def begin(self) -> list[str]:
        """Return lines that make a lane from a cell's inputs."""
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
        out += self.state(pieces)[0]
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
        """Return lines that read the measures off a lane's end."""
        lines, _ = self.state(self.last_pieces)
        out = [*self.load([*self.moving, *self.fixed], "lane"), "t = steps if ended < 0 else ended"]
        out += [*self.rate(), *lines, *self.at_state(), f"scale = {self.scale}"]
        out += [line for g in self.groups for line in FINISH.get(g, ())]
        return out + [f"out[{k}, cell] = {value_text(name)}" for k, name in enumerate(self.variant.measures)]
