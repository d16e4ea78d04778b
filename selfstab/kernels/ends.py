"""Lines of a run's ends: from a cell's inputs to a lane at step 0, and from a lane at its end to the measures."""

from __future__ import annotations

from collections.abc import Mapping

from selfstab.kernels.measures import FINISH, GROUPS
from selfstab.kernels.rates import EXCESS
from selfstab.kernels.writer import Writer, value_text


def begin(w: Writer) -> list[str]:
    """Return lines that make a lane from a cell's inputs."""
    loss, variant = w.loss, w.variant
    inputs = variant.inputs(loss)
    read = {name: f"inputs[{k}]" for k, name in enumerate(inputs)}
    out = [f"{p} = {read[p]}" for p in loss.parameters]
    out += [f"{name} = {formula}" for name, formula in loss.constants]
    update, rate = variant.update, variant.rate
    out += [f"{row} = {read[name]}" for row, name in zip(update.setting_rows, update.settings, strict=True)]
    out += [f"{weight} = {read['start.' + weight]}" for weight in loss.weights]
    begun, begun_by_lr = _begun(w, read)
    out += [] if begun_by_lr else begun
    lines, results = w.state(w.first_pieces, w.means_at_ends, begun=False)
    out += lines
    out += rate.begun({name: read[name] for name in rate.inputs})
    if rate is EXCESS:
        out += [f"lr = {update.rate_at_excess('sharpness', read['excess'])}"]
    out += ["t = 0"] if rate.changes or (w.preconditions and update.depends_on_step) else []
    out += w.rate()
    out += begun if begun_by_lr else []
    out += [w.threshold()] if "threshold" in w.fixed else []
    out += w.preconditioned(results) if "hessian" in results else []
    starts = [(g, f"{name} = {formula}") for g in w.groups for name, formula in GROUPS[g].state.items()]
    out += [line for g, start in starts for line in w.of(g, [start])]
    lost = f"lost = choose({w.checked}, 0.0, nan)" if w.checked else "lost = 0.0"
    out += ["peak = 0.0", *([lost] if "lost" in w.rows else [])]
    return [*out, *w.store(w.rows, "lane")]


def finish(w: Writer) -> list[str]:
    """Return lines that read the measures off a lane's end."""
    lines, _ = w.state(w.with_gradient(w.last_pieces), w.means_at_ends)
    out = [*w.load([*w.moving, *w.fixed], "lane"), "t = steps if ended < 0 else ended"]
    out += [*w.rate(), *lines, *w.at_state(), f"scale = {w.scale}"]
    out += [line for g in w.groups for line in w.of(g, FINISH.get(g, ()))]
    if "phase" in w.variant.measures:
        data = "" if w.loss.sample is None else "data, sums, "
        returned = f"returns({data}lane) if ended < 0 and not decided else False"
        out += [f"returned = {returned if w.returning else False}"]
    return out + [
        f"out[{k}, cell] = {value_text(name, w.preconditions)}" for k, name in enumerate(w.variant.measures)
    ]


def _begun(w: Writer, read: Mapping[str, str]) -> tuple[list[str], bool]:
    """Return the lines of the states at step 0, from the places of the inputs, and whether they read lr."""
    update, out, by_lr = w.variant.update, [], False
    for weight, *states in zip(w.loss.weights, *w.states, strict=True):
        if w.variant.resumes:
            texts = [read[f"{name}.{weight}"] for name in update.state_names]
        else:
            texts, by_lr = update.begin(weight, read[f"previous.{weight}"])
        out += [f"{name} = {text}" for name, text in zip(states, texts, strict=True)]
    return out, by_lr
