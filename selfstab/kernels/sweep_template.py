"""Source template of a sweep: a grid of cells in blocks of lanes."""

from __future__ import annotations

from collections.abc import Iterator

from selfstab.kernels import ends, repetition
from selfstab.kernels.eigenvalues import TOPS_OF_ROWS, matrix_shape, rows_of
from selfstab.kernels.sample_template import SHORT_CHUNK, SampleLoop
from selfstab.kernels.samples import ZERO, words
from selfstab.kernels.variants import LossText, Variant
from selfstab.kernels.writer import CHUNK, LANES, Writer, indented


def sweep_source(loss: LossText, variant: Variant, title: str) -> str:
    """Return the module that runs a grid of cells of one loss; its entry is ``run``.

    ``run(inputs, table, noise, steps, escape, out, ends)`` runs a cell for each row of `inputs`, whose columns are
    those of :meth:`Variant.inputs`. out has shape (measures, cells); ends, unless it is empty, (cells, weights and
    states): it gets the last of them. Where the loss is a mean over data, these come first.
    """
    w = Writer(loss, variant)
    loop = SampleLoop(w)
    data, lane, rows, sums, chunk, zero = "", "", "ROWS", "", CHUNK, "0"
    if loss.sample is not None:
        data, lane, zero, chunk = "data, sums, ", f"    at = {ZERO}\n", ZERO, SHORT_CHUNK
        rows = f"(ROWS + {len(loop.rows)})"
        # What a single lane is summed in.
        sums = f"    sums = np.empty({len(loss.sample.means)} * LANES)\n"
    elif w.iterated or w.iterated_preconditioned:
        rows = f"(ROWS + {rows_of(w.iterated) + rows_of(w.iterated_preconditioned)})"
        zero = "0 * steps"  # a number like any other: a literal would compile `advance` twice
    weights = len(loss.weights)
    good = " and ".join(f"abs(next_{name}) <= escape" for name in loss.weights)
    argument = "" if loss.sample is None else "data, "
    lost = "lost" in w.rows
    alone = w.rows[len(w.rows) - (2 if lost else 1) :]
    calm = f" and rows[{w.place('lost', 'rows')}] == 0.0" if lost else ""
    check = ["check(rows, matrix)"] if w.checked else []
    returns = repetition.returns(w)  # before the functions of means, which it may call for
    own_advance = _advance_iterated if w.iterated or w.iterated_preconditioned else _advance
    advance = own_advance(w) if loss.sample is None else loop.advance()
    return f'''\
"""{title}"""

LANES = {LANES}
CHUNK = {chunk}
ROWS = {len(w.rows)}
MOVING = {len(w.moving)}
inf = np.inf
nan = np.nan

{w.functions}{w.means.text}
@compiled
def begin({data}lane, inputs, table, matrix):
    """Put a cell's inputs and its state at step 0 into `lane`."""
{lane}\
{indented(ends.begin(w), 1)}

{advance}
@compiled
def locate({data}lane, first, last, steps, table, noise, escape, matrix):
    """Take one lane through the same updates up to the escape; return the step at which it is out."""
{lane}\
{indented(w.load([*w.moving, *w.fixed], "lane"), 1)}\
    for t in range(first, last):
{indented(w.windows(), 2)}\
{indented(w.step(careful=True), 2)}\
        if not ({good}):
{indented([*w.store(w.moving, "lane"), "return t + 1"], 3)}\
{indented([*w.moved(), *w.accept()], 2)}\
{indented(w.store(w.moving, "lane"), 1)}\
    return -1


{returns}@compiled
def finish({data}lane, ended, steps, table, matrix, out, cell):
    """Write a cell's measures; `ended` is the step at which it diverged, or -1."""
{lane}\
{indented(ends.finish(w), 1)}

{w.check()}{repetition.repeated(w)}\
@compiled
def run_block({data}rows, saved, final, lane, ended, count, steps, table, noise, escape, matrix):
    """Run one block of lanes, already begun, to its end; put each lane's last state into `final`."""
    left = count
    t = {zero}
    while t < steps and left > 0:
        last = t + CHUNK if t + CHUNK < steps else steps
        even = last - (last - t) % 2
        for k in range(MOVING * LANES):
            saved[k] = rows[k]
        advance({argument}rows, t, even, steps, table, noise, matrix)
{indented([*check, *(["taken = False"] if check else [])], 2)}\
        for i in range(count):
            if ended[i] >= 0:
                continue
            # The peak of ‖w‖² is over the states before `even`. A weight that is not finite stays so.
            inside = rows[{w.place("peak", "rows")}] < 0.999 * escape * escape{calm}
            for k in range({weights}):
                inside = inside and abs(rows[k * LANES + i]) <= escape
            if inside and even == last:
                continue
            # An escape is found again from the chunk's start, and so is what a fast step may not see; an odd last step
            # is taken from where the lane is.
            for k in range(ROWS):
                lane[k] = rows[k * LANES + i] if inside or k >= MOVING else saved[k * LANES + i]
            ended[i] = locate({data}lane, even if inside else t, last, steps, table, noise, escape, matrix)
{indented([f"lane[{w.rows.index(name)}] = 0.0" for name in alone], 3)}\
            for k in range(ROWS):
                rows[k * LANES + i] = lane[k]
                final[k * LANES + i] = lane[k]
            left -= 1 if ended[i] >= 0 else 0
{indented(["taken = True"] if check else [], 3)}\
{indented(["if taken:", "    check(rows, matrix)"] if check else [], 2)}\
{indented(repetition.onwards(w), 2)}\
    for i in range(count):
        if ended[i] < 0:
            for k in range(ROWS):
                final[k * LANES + i] = rows[k * LANES + i]


@entry
def run({argument}inputs, table, noise, steps, escape, out, ends):
    """Run a cell for each row of inputs."""
{sums}\
    rows = np.empty({rows} * LANES)
    saved = np.empty(MOVING * LANES)
    final = np.empty(ROWS * LANES)
    lane = np.empty(ROWS)
    ended = np.empty(LANES, np.int64)
    matrix = np.empty({matrix_shape(len(loss.weights))})
    for first in range(0, inputs.shape[0], LANES):
        lanes = inputs.shape[0] - first if inputs.shape[0] - first < LANES else LANES
        for i in range(LANES):
            # Lanes beyond the last cell repeat it, so that every lane computes with numbers.
            begin({data}lane, inputs[first + (i if i < lanes else lanes - 1)], table, matrix)
            for k in range(ROWS):
                rows[k * LANES + i] = lane[k]
            ended[i] = -1
        run_block({data}rows, saved, final, lane, ended, lanes, steps, table, noise, escape, matrix)
        for i in range(lanes):
            for k in range(ROWS):
                lane[k] = final[k * LANES + i]
            finish({data}lane, ended[i], steps, table, matrix, out, first + i)
            if ends.shape[0] > 0:
                for k in range({len(w.carried)}):
                    ends[first + i, k] = lane[k]
'''


def _advance(w: Writer) -> str:
    """Return the function that takes all lanes through a chunk of updates."""
    one = w.one_step()
    return f'''\
@compiled
def advance(rows, first, last, steps, table, noise, matrix):
    """Take all lanes through the updates first -> first + 1, ..., last - 1 -> last, two a pass; their count is even."""
{indented(["wide_vectors()"] if w.motion else [], 1)}\
    for pair in range(first, last, 2):
        for i in range(LANES):
{indented(w.load([*w.stepping, *w.tracked], "rows"), 3)}\
{indented(["t = pair", *one, "t = pair + 1", *one], 3)}\
{indented(w.store([*w.moving, *w.tracked], "rows"), 3)}
'''


def _advance_iterated(w: Writer) -> str:
    """Return that function where a step iterates for the sharpness: Hessians, eigenvalues, steps of all lanes in turn.

    Triangles of Hessians and their top eigenvalues are rows of the block behind the lanes' own.
    """
    first, before, tops = len(w.rows), "", []
    for name, size, (lines, entries) in _triangles(w):
        place = "ROWS" if first == len(w.rows) else f"{first}"
        read = words([*lines, *entries])
        fill = [*w.load([row for row in w.stepping if row in read], "rows"), *lines]
        fill += [f"rows[{LANES * (first + k)} + i] = {entry}" for k, entry in enumerate(entries)]
        before += f"""\
        for i in range(LANES):
{indented(fill, 3)}\
        tops_of_rows(rows, {place} + 0 * steps, matrix, {size} + 0 * steps)
"""
        tops.append(f"{name} = rows[{LANES * (first + len(entries))} + i]")
        first += rows_of(size)
    step = [*w.load([*w.stepping, *w.tracked], "rows"), *w.one_step(iterated=True)]
    return f'''\
{TOPS_OF_ROWS}@compiled
def advance(rows, first, last, steps, table, noise, matrix):
    """Take all lanes through the updates first -> first + 1, ..., last - 1 -> last."""
    for t in range(first, last):
{before}\
        for i in range(LANES):
{indented([*tops, *step], 3)}\
{indented(w.store([*w.moving, *w.tracked], "rows"), 3)}
'''


def _triangles(w: Writer) -> Iterator[tuple[str, int, tuple[list[str], list[str]]]]:
    """Yield the name of each eigenvalue that a step iterates for, its matrix's rows, and the triangle's text."""
    if w.iterated:
        lines, results = w.loss.code(["matrix"])
        yield "top_of_matrix", w.iterated, (lines, results["matrix"])
    if w.iterated_preconditioned:
        lines, results = w.loss.code(["gradient", "hessian"])
        more, entries = w.preconditioned_text.triangle
        yield (
            "top_of_preconditioned",
            w.iterated_preconditioned,
            ([*lines, *w.preconditioners(results), *more], entries),
        )
