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
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from selfstab.kernels import elementary
from selfstab.kernels.careful import careful_lines
from selfstab.kernels.measures import GROUPS, MEASURES, PRECONDITIONED, groups_of, needs_of, of_update
from selfstab.kernels.preconditioned import PreconditionedText, size_of
from selfstab.kernels.rates import EXCESS
from selfstab.kernels.samples import LANES as LANES
from selfstab.kernels.samples import MeanFunctions, MeanLines, code_of, computed_before, words
from selfstab.kernels.variants import LossText, Variant

CHUNK = 128


def functions_of(loss: LossText, lines: Sequence[str]) -> str:
    """Return the source of the functions that a loss's formulas call, and those that lines of an optimizer call."""
    own = elementary.definitions("\n".join(lines))
    if not own:
        return loss.functions
    shared = elementary.definitions(f"{loss.functions}\n{own}")
    # A loss may bring functions that are none of the elementary ones.
    others = (text for text in loss.functions.split("\n\n\n") if text.strip() and text not in shared)
    return shared + "".join(f"{text}\n\n\n" for text in others)


def indented(lines: Sequence[str], depth: int) -> str:
    """Return the lines as text, `depth` levels in."""
    return "".join(f"{'    ' * depth}{line}\n" for line in lines)


def value_text(name: str, preconditions: bool = False) -> str:
    """Return the text of a measure's value, divergence included."""
    measure = MEASURES[name]
    value = measure.value
    if value == PRECONDITIONED and not preconditions:
        value = "sharpness"
    if measure.diverged in (None, value):
        return value
    return f"choose(ended < 0, {value}, {measure.diverged})"


WINDOWS = (
    "second_half = choose(2 * t >= steps, 1.0, 0.0)",
    "third_quarter = choose((2 * t >= steps) & (4 * t < 3 * steps), 1.0, 0.0)",
    "fourth_quarter = choose(4 * t >= 3 * steps, 1.0, 0.0)",
    "last_eighth = choose((8 * t >= 7 * steps) | (t + 1 == steps), 1.0, 0.0)",
)
"""Parts of the run, as factors that are 1 inside and 0 outside."""


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

    The bits are the same. Where a processor keeps subnormal numbers in a kernel (see :mod:`.subnormals`), a product of
    one can take longer than an fma, and the squares of an oscillation that dies out are the first to be there.

    >>> _underflowing("e0 = fma(2.0 * w_x * w_x, k0, w_x * w_x)")
    'e0 = fma(2.0 * w_x * w_x, k0, fma(w_x, w_x, 0.0))'
    """
    return re.sub(r"(?<![*/] )\b(w_\w+) \* \1\b", r"fma(\1, \1, 0.0)", line)


class Writer:
    """The parts of one module's text; each method returns lines."""

    def __init__(self, loss: LossText, variant: Variant) -> None:
        self.loss, self.variant = loss, variant
        self.groups = groups_of(variant.measures)
        self.preconditions = variant.update.preconditions
        needs = needs_of(self.groups, at_steps=True, preconditions=self.preconditions)
        last_needs = needs_of(self.groups, preconditions=self.preconditions)
        pieces = (("value", "loss"), ("sharpness", "sharpness"), ("hessian", PRECONDITIONED))
        self.pieces = [piece for piece, need in pieces if need in needs]
        self.last_pieces = [piece for piece, need in pieces if need in last_needs]
        self.motion = "motion" in needs
        self.means = MeanFunctions(loss)
        self.preconditioner_lines: list[str] = []
        self.scale = "1.0"
        update, rate = variant.update, variant.rate
        # Whether a step depends on nothing but the state, so that a state that returns goes on as before.
        self.autonomous = not (rate.changes or variant.noise or update.depends_on_step)
        self.states = [update.rows(k, loss.weights) for k in range(len(update.state_names))]
        self.displacements = self.states[0]
        rate_rows = [row for row, _ in rate.begin] if rate.changes else ["lr"]
        # Whether a measure may compare a sharpness with the threshold.
        self.compares = not {"sharpness", "hessian"}.isdisjoint(self.pieces)
        if not rate.changes and self.compares:
            rate_rows.append("threshold")
        fixed = [*loss.parameters, *(name for name, _ in loss.constants), *rate_rows, *update.setting_rows]
        self.returning = self.autonomous and "phase" in variant.measures
        self.carried = [*loss.weights, *(name for rows in self.states for name in rows)]
        self.moving = [*self.carried, *(name for g in self.groups for name in GROUPS[g].state)]
        self.fixed = fixed
        # Numbers that a lane's fast step may not see: it is taken again, one step at a time, where they may be there.
        # Beside a loop over samples the careful step is not the slower one: each is careful.
        self.always_careful = loss.sample is not None
        careful = None if self.always_careful else loss.careful
        smooth = careful is not None and careful.smooth
        self.checked = careful.in_range if careful is not None and "sharpness" in self.pieces else ""
        self.watched = []
        if not (smooth or self.always_careful) and "sharpness" in self.pieces:
            test = f"choose({self.checked}, lost, nan)" if self.checked else "fma(0.0, height, lost)"
            self.watched.append(f"lost = {test}")
        if not (smooth or self.always_careful) and "value" in self.pieces:
            self.watched.append("lost = fma(0.0, loss, lost)")
        if not self.always_careful and "hessian" in self.pieces:
            self.watched.append(self.preconditioned_text.watched)
        read = words([*self.step(), *self.moved()])
        last_lines, last_results = code_of(loss, self.with_gradient(self.last_pieces), "", self.means_at_ends)
        ends = [
            *self.rate(),
            *last_lines,
            *careful_lines(loss.careful, "top"),
            *(text for texts in last_results.values() for text in texts),
        ]
        read_last = words(ends)
        self.fixed = [name for name in fixed if name in read | read_last]
        self.stepping = [*self.moving, *(name for name in self.fixed if name in read)]
        self.rows = [*self.moving, *self.fixed, "peak", *(["lost"] if self.checked or self.watched else [])]

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

    def windows(self) -> list[str]:
        """Return the parts of the run, if a measure asks for them."""
        return list(WINDOWS) if self.motion else []

    @property
    def tracked(self) -> list[str]:
        """Names that a fast step carries beside the moving ones, for the test of its lane at the chunk's end."""
        return ["peak", *(["lost"] if self.watched else [])]

    def rate(self) -> list[str]:
        """Return lines that give lr at step t, where it changes, and its threshold."""
        if not self.variant.rate.changes:
            return []
        return [*self.variant.rate.lines, *([self.threshold()] if self.compares else [])]

    def threshold(self) -> str:
        """Return the line of S*."""
        return f"threshold = {self.variant.update.threshold('lr')}"

    @property
    def functions(self) -> str:
        """Source of the functions that the module's formulas call."""
        own = functions_of(self.loss, [*self.update_lines, *self.preconditioner_lines])
        text = self.preconditioned_text.functions if self.preconditioner_lines else ""
        return own if text in own else own + text

    @property
    def first_pieces(self) -> list[str]:
        """The pieces of the loss that are read at the start."""
        excess = self.variant.rate is EXCESS and "sharpness" not in self.pieces
        return self.with_gradient([*self.pieces, *(["sharpness"] if excess else [])])

    @staticmethod
    def with_gradient(pieces: Sequence[str]) -> list[str]:
        """Return pieces of a loss with the gradient beside the Hessian: a preconditioner may read it."""
        more = "hessian" in pieces and "gradient" not in pieces
        return [*pieces, *(["gradient"] if more else [])]

    def means_at_ends(self, _pieces: Sequence[str] = (), _prefix: str = "") -> list[str]:
        """Return lines of the means that are read at the start or at the end: one function for both."""
        pieces = [*self.first_pieces, *self.with_gradient(self.last_pieces)]
        if "sharpness" in self.pieces:
            pieces += self.parts()[0][0]
        return self.means.lines([*dict.fromkeys(pieces)])

    def means_at_step(self, pieces: Sequence[str], prefix: str) -> list[str]:
        """Return lines of the means that one lane's step reads; with a Hessian the same function serves the ends."""
        if "sharpness" in pieces:
            return self.means_at_ends()
        return self.means.lines(pieces, prefix)

    @cached_property
    def preconditioned_text(self) -> PreconditionedText:
        """The preconditioned sharpness as text."""
        _, results = code_of(self.loss, ["hessian"], "", computed_before)
        return PreconditionedText(results["hessian"], len(self.loss.weights))

    def preconditioners(self, results: Mapping[str, Sequence[str]]) -> list[str]:
        """Return the lines of each weight's preconditioner, from the gradient in `results`."""
        lines = []
        for k, (states, g) in enumerate(zip(self.states_read, results["gradient"], strict=True)):
            lines += self.variant.update.preconditioner(states, g, name=size_of(k), prefix=f"own{k}_")
        self.preconditioner_lines = lines
        return lines

    @property
    def states_read(self) -> list[list[str]]:
        """Names of the states that each weight's step reads: those that all have in common are the first weight's."""
        common = self.variant.update.common
        return [
            [rows[0 if k in common else j] for k, rows in enumerate(self.states)]
            for j in range(len(self.loss.weights))
        ]

    def state(
        self,
        pieces: Sequence[str],
        means: MeanLines,
        *,
        careful: bool = True,
        iterated: bool = False,
        begun: bool = True,
    ) -> tuple[list[str], dict[str, list[str]]]:
        """Return lines that compute the pieces at w_t, under the measures' names, and the names of all results.

        Without `careful` the sharpness is right only where its formula is, see :class:`Careful`. Unless the states have
        `begun`, the preconditioned sharpness is left out; `iterated` as for step.
        """
        lines, results = code_of(self.loss, pieces, "", means)
        if "top" in results:
            results["sharpness"] = results["top"]
        if "sharpness" in results:
            top = results["sharpness"][0]
            height, self.scale = _scaled(lines[-1].removeprefix(f"{top} = "))
            lines = [
                *lines[:-1],
                f"height = {height}",
                f"{top} = height" if self.scale == "1.0" else f"{top} = {self.scale} * height",
            ]
            if careful and (more := careful_lines(self.loss.careful, top)):
                height = top if self.scale == "1.0" else f"{top} / {self.scale}"
                lines += [*more, f"    height = {height}"]
            lines += [f"sharpness = {top}"]
        lines = lines + ([f"loss = {results['value'][0]}"] if "value" in results else [])
        if "hessian" in results and begun:
            lines += self.preconditioned(results, careful=careful, iterated=iterated)
        return lines, results

    def preconditioned(
        self, results: Mapping[str, Sequence[str]], *, careful: bool = True, iterated: bool = False
    ) -> list[str]:
        """Return the lines of the preconditioned sharpness, from the gradient and the Hessian in `results`."""
        text = self.preconditioned_text
        top = "top_of_preconditioned" if iterated and text.iterated else ""
        return [*([] if top else self.preconditioners(results)), *text.lines(careful=careful, top=top)]

    def one_step(self, means: MeanLines | None = None, *, iterated: bool = False) -> list[str]:
        """One step of one lane in the loop over lanes: ‖w_t‖², the step, its measures; `iterated` as for step."""
        lines = [*self.step(means, iterated=iterated), *self.watched, *self.moved()]
        # It begins with a square that the formulas compute anyway, if there is one.
        first, *others = sorted(self.loss.weights, key=lambda w: f"{w} * {w}" not in " ".join(lines))
        radius2 = f"{first} * {first}"
        for w in others:
            radius2 = f"fma({w}, {w}, {radius2})"
        peak = [f"radius2 = {radius2}", "peak = choose(radius2 > peak, radius2, peak)"]
        return [*self.windows(), *map(_underflowing, [*peak, *lines]), *self.accept()]

    @property
    def iterated(self) -> int:
        """How many rows the matrix has whose top eigenvalue each step finds by an iteration; 0 if there is none."""
        return self.loss.iterated if "sharpness" in self.pieces else 0

    @property
    def iterated_preconditioned(self) -> int:
        """The same of the preconditioned Hessian."""
        return self.preconditioned_text.iterated if "hessian" in self.pieces else 0

    def at_state(self, *, careful: bool = True) -> list[str]:
        """Return the measures' lines at w_t."""
        return [
            line
            for g in self.groups
            for line in self.of(g, (*GROUPS[g].at_state, *(GROUPS[g].at_nan if careful else ())))
        ]

    def of(self, group: str, lines: Iterable[str]) -> list[str]:
        """Return lines of a group, with the sharpness that is compared with the threshold."""
        return of_update(group, lines, self.preconditions)

    def check(self) -> str:
        """Text of the function that marks lanes whose sharpness has left its formula's range."""
        if not self.checked:
            return ""
        lines, _ = self.state(["sharpness"], self.means.lines, careful=False)
        test = f"lost = choose({self.checked}, lost, nan)"
        read = set(re.findall(r"\w+", " ".join([*lines, test])))
        names = [*self.loss.weights, *(name for name in self.fixed if name in read), "lost"]
        return f'''\
@compiled
def check(rows, matrix):
    """Put nan into the last row of lanes whose sharpness must be computed with care."""
    for i in range(LANES):
{indented([*self.load(names, "rows"), *lines, test, *self.store(["lost"], "rows")], 2)}

'''

    def ahead(self) -> list[str]:
        """Return lines that give the point of the gradient; none where it is at the weights."""
        of_weights = zip(self.loss.weights, *self.states, strict=True)
        points = [(w, self.variant.update.point(w, states)) for w, *states in of_weights]
        return [f"ahead_{w} = {point}" for w, point in points if point]

    def parts(self) -> list[tuple[list[str], str]]:
        """Return the pieces of the loss that a step reads at each point, and the prefix of the point's names."""
        if self.ahead():
            return [(self.with_gradient(self.pieces), ""), (["gradient"], "ahead_")]
        return [([*self.pieces, "gradient"], "")]

    def step(
        self, means: MeanLines | None = None, *, careful: bool = False, iterated: bool = False
    ) -> list[str]:
        """One step of one lane: the measures at w_t, the update, the measures of the update.

        `iterated`: the top eigenvalue of the Hessian's matrix is there already, under the name top_of_matrix, and that
        of the preconditioned one under top_of_preconditioned.
        """
        means = self.means_at_step if means is None else means
        careful = careful or self.always_careful
        tops = iterated and self.iterated
        pieces = ["top" if tops and piece == "sharpness" else piece for piece in self.parts()[0][0]]
        lines, results = self.state(pieces, means, careful=careful, iterated=iterated)
        return [*self.rate(), *lines, *self.at_state(careful=careful), *self.update(results, means)]

    def update(self, results: Mapping[str, Sequence[str]], means: MeanLines) -> list[str]:
        """Return the lines of the update, from the gradient in `results` if it is taken at the weights."""
        loss, variant = self.loss, self.variant
        of_weights = list(zip(loss.weights, self.states_read, strict=True))
        ahead = self.ahead()
        out = [*ahead]
        if ahead:
            lines, results = code_of(loss, ["gradient"], "ahead_", means)
            out += lines
        self.update_lines = list(ahead)
        for j, ((w, states), g) in enumerate(zip(of_weights, results["gradient"], strict=True)):
            force = f"{g} + noise[t, {j}]" if variant.noise else g
            self.update_lines += variant.update.step(w, states, force, lr="lr", prefix=f"part{j}_")
        for k in variant.update.common:
            first, *others = self.states[k]
            self.update_lines += [f"next_{name} = next_{first}" for name in others]
        return out + self.update_lines[len(ahead) :]

    def moved(self) -> list[str]:
        """Return the measures' lines at the update t → t + 1."""
        if not self.motion:
            return []
        vs = self.displacements
        change = [f"change_{v} = next_{v} - {v}" for v in vs]
        return [
            *change,
            "step2 = " + " + ".join(f"next_{v} * next_{v}" for v in vs),
            "flip2 = 0.0625 * (" + " + ".join(f"change_{v} * change_{v}" for v in vs) + ")",
            "turn = " + " + ".join(f"next_{v} * {v}" for v in vs),
            *(line for g in self.groups for line in self.of(g, GROUPS[g].at_update)),
        ]

    def accept(self) -> list[str]:
        """Return lines that make the next state the present one."""
        return [f"{name} = next_{name}" for name in self.carried]
