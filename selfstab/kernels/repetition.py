"""Text that finds where a run repeats itself: blocks whose steps can be left out, and lanes on a cycle."""

from __future__ import annotations

from selfstab.kernels.samples import ZERO, code_of, words
from selfstab.kernels.writer import CHUNK, Writer, indented

EDGES = ("(steps + 1) // 2", "(3 * steps + 3) // 4", "(7 * steps + 7) // 8", "steps - 1")
"""The steps at which one of WINDOWS changes."""


def repeated(w: Writer) -> str:
    """Return the text of the test whether a block repeats itself."""
    if not w.autonomous:
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


def onwards(w: Writer) -> list[str]:
    """Return lines that end a chunk: how t goes on.

    If the chunk t, ..., last − 1 took the state (weights, velocities, measures) to itself, bit for bit, so does
    each chunk after it up to the next edge: a step is a function of that state and, by WINDOWS, of the part of the
    run. The first chunk is none to judge by, as the measures tell its first two steps from the others.
    """
    if not w.autonomous:
        return ["t = last"]
    stop = ["stop = steps"]
    for edge in EDGES if w.motion else ():
        stop += [f"edge = {edge}", "stop = edge if t < edge < stop else stop"]
    return [
        "if t > 0 and last - t == CHUNK and repeated(rows, saved, ended, count):",
        *(f"    {line}" for line in stop),
        "    last += (stop - last) // CHUNK * CHUNK if stop > last else 0",
        "t = last",
    ]


def returns(w: Writer) -> str:
    """Return the text of the function that tells whether a lane's state is one of a cycle."""
    if not w.returning:
        return ""
    means = w.means.lines
    lines, results = code_of(w.loss, [] if w.ahead() else ["gradient"], "", means)
    step = [*lines, *w.update(results, means), *w.accept()]
    read = words(step)
    names = [*w.carried, *(name for name in w.fixed if name in read)]
    same = " and ".join(f"{name} == lane[{w.rows.index(name)}]" for name in w.carried)
    sampled = w.loss.sample is not None
    count = CHUNK if sampled else "CHUNK"
    return f'''\
@compiled
def returns({"data, sums, " if sampled else ""}lane):
    """Whether the updates take a lane's weights and states to themselves within {count} steps, bit for bit."""
{indented([*([f"at = {ZERO}"] if sampled else []), *w.load(names, "lane")], 1)}\
    for _ in range({count}):
{indented(step, 2)}\
        if {same}:
            return True
    return False


'''
