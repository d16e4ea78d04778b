"""Source templates of single runs: trace a run, evaluate along it, read measures off recorded arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selfstab.kernels.careful import careful_lines
from selfstab.kernels.eigenvalues import matrix_shape
from selfstab.kernels.measures import FINISH, GROUPS, PRECONDITIONED, groups_of, of_update
from selfstab.kernels.preconditioned import PreconditionedText, size_of
from selfstab.kernels.samples import LANES, ZERO, MeanFunctions, code_of
from selfstab.kernels.updates import UpdateText
from selfstab.kernels.variants import LossText
from selfstab.kernels.writer import WINDOWS, functions_of, indented, value_text


def run_source(loss: LossText, update: UpdateText, title: str) -> str:
    """Return the module of one run and of values along it: entries ``trace`` and ``evaluate``.

    Where the loss is a mean over data, they are the first argument of both.
    """
    weights = list(loss.weights)
    states = [update.rows(k, weights) for k in range(len(update.state_names))]
    of_weights = list(zip(weights, *states, strict=True))
    ahead = [f"ahead_{w}" for w in weights]
    means = MeanFunctions(loss)
    lines, results = code_of(loss, ["gradient"], "ahead_", means.lines)
    parameters = [f"{p} = parameters[{k}]" for k, p in enumerate(loss.parameters)]
    parameters += [f"{name} = {formula}" for name, formula in loss.constants]
    points = [
        f"{a} = {update.conditional_point(w, own)}" for a, (w, *own) in zip(ahead, of_weights, strict=True)
    ]
    step = [*points, *lines]
    updates = list(points)
    for j, ((w, *own), g) in enumerate(zip(of_weights, results["gradient"], strict=True)):
        own_update = update.step(w, own, "force", lr="lr[t]", step="(first + t)", prefix=f"part{j}_")
        step += [f"force = {g}", f"force = choose(noisy, force + noise[noisy * t, {j}], force)", *own_update]
        updates += own_update
    carried = [*weights, *(name for rows in states for name in rows)]
    good = " and ".join(f"abs(next_{w}) <= escape" for w in weights)
    record = [f"records[k, {j}] = {name}" for j, name in enumerate(carried)]
    # Where the update reads the step, a run that is one part of a longer one is told which its first is.
    first = ["first"] if update.depends_on_step else []
    arguments = ", ".join(["start", *update.state_names, *first, "lr", *update.setting_rows, "parameters"])
    recorded = "velocities" if update.state_names == ("velocity",) else "states"
    begun_states = [
        f"{row} = {name}[{j}]"
        for name, rows in zip(update.state_names, states, strict=True)
        for j, row in enumerate(rows)
    ]
    value_lines, value = code_of(loss, ["value"], "", means.lines)
    sharp_lines, sharp = code_of(loss, ["sharpness"], "", means.lines)
    sharp_lines = [*sharp_lines, *careful_lines(loss.careful, sharp["sharpness"][0])]
    data, sums = "", ""
    if loss.sample is not None:
        data, sums = "data, ", f"    sums = np.empty({LANES * len(loss.sample.means)})\n    at = {ZERO}\n"
    evaluated, functions = "", functions_of(loss, updates)
    if update.preconditions:
        evaluated, called, sizes = _preconditioned(loss, update, means, sums)
        functions = functions_of(loss, [*updates, *sizes])
        functions += "" if called in functions else called
    return f'''\
"""{title}"""

inf = np.inf
nan = np.nan

{functions}{means.text}
@entry
def trace({data}{arguments}, noise, noisy, every, escape, records):
    """Record weights and {recorded} at steps 0, every, 2 every, ... and the last; return the step of divergence."""
{sums}\
{indented([f"{w} = start[{j}]" for j, w in enumerate(weights)], 1)}\
{indented(begun_states, 1)}\
{indented(parameters, 1)}\
    steps = lr.size
    k = 0
{indented(record, 1)}\
    for t in range(steps):
{indented(step, 2)}\
        if not ({good}):
            return t + 1
{indented([f"{name} = next_{name}" for name in carried], 2)}\
        if (t + 1) % every == 0 or t + 1 == steps:
            k += 1
{indented(record, 3)}\
    return -1


@entry
def evaluate({data}points, parameters, losses, sharpnesses):
    """Put the loss and the sharpness at each row of `points` into the arrays that are not empty."""
    matrix = np.empty({matrix_shape(len(weights))})
{sums}\
{indented(parameters, 1)}\
    for k in range(points.shape[0]):
{indented([f"{w} = points[k, {j}]" for j, w in enumerate(weights)], 2)}\
        if losses.size > 0:
{indented([*value_lines, f"losses[k] = {value['value'][0]}"], 3)}\
        if sharpnesses.size > 0:
{indented([*sharp_lines, f"sharpnesses[k] = {sharp['sharpness'][0]}"], 3)}\
{evaluated}'''


def _preconditioned(
    loss: LossText, update: UpdateText, means: MeanFunctions, sums: str
) -> tuple[str, str, list[str]]:
    """Return the entry that gives the preconditioned sharpness of recorded states, functions, and the lines of P.

    ``evaluate_preconditioned(data, records, steps, settings..., parameters, out, sizes)``: a row of `records` has the
    weights and what is carried after a number of updates.
    """
    weights = list(loss.weights)
    states = [update.rows(k, weights) for k in range(len(update.state_names))]
    lines, results = code_of(loss, ["gradient", "hessian"], "", means.lines)
    sizes: list[str] = []
    for j, (own, g) in enumerate(zip(zip(*states, strict=True), results["gradient"], strict=True)):
        sizes += update.preconditioner(own, g, name=size_of(j), prefix=f"own{j}_")
    text = PreconditionedText(results["hessian"], len(weights))
    carried = [*weights, *(name for rows in states for name in rows)]
    parameters = [f"{p} = parameters[{k}]" for k, p in enumerate(loss.parameters)]
    parameters += [f"{name} = {formula}" for name, formula in loss.constants]
    data = "" if loss.sample is None else "data, "
    arguments = ", ".join(["records", "steps", *update.setting_rows, "parameters", "out", "sizes"])
    entry = f'''

@entry
def evaluate_preconditioned({data}{arguments}):
    """Put the preconditioned sharpness of each row of weights and states into `out`, and P into `sizes`."""
    matrix = np.empty({matrix_shape(len(weights))})
{sums}\
{indented(parameters, 1)}\
    for k in range(records.shape[0]):
        t = steps[k]
{indented([f"{name} = records[k, {j}]" for j, name in enumerate(carried)], 2)}\
{indented([*lines, *sizes], 2)}\
        if sizes.shape[0] > 0:
{indented([f"sizes[k, {j}] = {size_of(j)}" for j in range(len(weights))], 3)}\
        if out.size > 0:
{indented([*text.lines(careful=True), f"out[k] = {PRECONDITIONED}"], 3)}\
'''
    return entry, text.functions, sizes


def state_names(measures: Sequence[str]) -> list[str]:
    """Return the names of what the measures carry along a run."""
    return [name for g in groups_of(measures) for name in GROUPS[g].state]


def observe_source(measures: Sequence[str], preconditions: bool = False) -> str:
    """Return the module that reads measures off recorded arrays, part by part; its entry is ``observe``.

    ``observe(sharpness, loss, threshold, step2, flip2, turn, first, steps, ended, state, out)``: the first three have
    an element per state from step `first` on, the next three per update. All parts but the last have as many states as
    updates; the last has one more, and it alone gets a place for the measures, `out`, that is not empty. `state`, an
    element for each of :func:`state_names`, is carried from part to part. `steps` counts the updates of the whole run.
    Of an optimizer that `preconditions` the preconditioned sharpness stands behind the sharpness.
    """
    groups = groups_of(measures)
    begin = [(g, f"{name} = {formula}") for g in groups for name, formula in GROUPS[g].state.items()]
    state = [line for g, start in begin for line in of_update(g, [start], preconditions)]
    places = [f"state[{k}]" for k in range(len(state))]
    carried = state_names(measures)

    def of(lines: Callable[[str], Sequence[str]]) -> list[str]:
        return [line for g in groups for line in of_update(g, lines(g), preconditions)]

    at_state = of(lambda g: (*GROUPS[g].at_state, *GROUPS[g].at_nan))
    at_update, ends = of(lambda g: GROUPS[g].at_update), of(lambda g: FINISH.get(g, ()))
    values = [f"out[{k}] = {value_text(name, preconditions)}" for k, name in enumerate(measures)]
    read = [
        "sharpness = sharpnesses[k]",
        "height = sharpness",
        "loss = losses[k]",
        "threshold = thresholds[k]",
        *([f"{PRECONDITIONED} = preconditioned[k]"] if preconditions else []),
    ]
    own = "preconditioned, " if preconditions else ""
    return f'''\
"""Measures read off recorded arrays."""

inf = np.inf
nan = np.nan


@entry
def observe(sharpnesses, {own}losses, thresholds, step2s, flip2s, turns, first, steps, ended, state, out):
    """Read the measures off one part of a run."""
    scale = 1.0
    if first == 0:
        k = 0
{indented([*read, *state], 2)}\
    else:
{indented([f"{name} = {place}" for name, place in zip(carried, places, strict=True)] or ["pass"], 2)}\
    for k in range(step2s.size):
        t = first + k
{indented([*WINDOWS, *read, *at_state], 2)}\
        step2 = step2s[k]
        flip2 = flip2s[k]
        turn = turns[k]
{indented(at_update, 2)}\
    if out.size > 0:
        k = step2s.size
        t = first + k
{indented([*read, *at_state, *ends, "returned = False", *values], 2)}\
{indented([f"{place} = {name}" for name, place in zip(carried, places, strict=True)], 1)}\
'''
