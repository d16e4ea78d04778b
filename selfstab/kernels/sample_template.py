"""Source template of a sweep's steps where the loss is a mean over data: samples around lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from selfstab.kernels.samples import LANES, SAMPLES, computed_before, entry_lines, ranges_of, summed, words
from selfstab.kernels.writer import Writer, indented

SHORT_CHUNK: Final = 16
"""Steps between two looks whether a lane is out: each then has as many again, one lane at a time, at most."""


class SampleLoop:
    """The sums of a block of lanes, and the function that takes all lanes through a chunk of updates.

    A step is three loops over lanes: the sums begin, each sample is added to them, the step is taken from the means.
    Means, and the points of the gradient where it is not taken at the weights, are rows of the block behind the lanes'
    own.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer, sample = writer, writer.loss.sample
        self._ahead = [] if sample is None else writer.ahead()
        self._points = [line.partition(" = ")[0] for line in self._ahead]
        parts = [] if sample is None else [sample.sums(*part) for part in writer.parts()]
        self._entries = {} if sample is None else sample.entries
        self._lines = [line for lines, sums in parts for line in [*lines, *summed(sums)]]
        self._ranges = ranges_of(mean for _, sums in parts for mean in sums)
        self.rows = [] if sample is None else [*sample.means, *self._points]
        """Names of the rows behind the lanes' own."""

    def _place(self, name: str) -> str:
        if name in self.rows:
            return f"rows[{LANES * (len(self._writer.rows) + self.rows.index(name))} + i]"
        return f"rows[{self._writer.place(name, 'rows')}]"

    def _load(self, lines: Sequence[str]) -> list[str]:
        """Return lines that read what `lines` hold, means apart, from the block's rows."""
        read = words(lines)
        names = [*self._writer.rows, *self._points]
        return [f"{name} = {self._place(name)}" for name in names if name in read]

    def _store(self, names: Sequence[str]) -> list[str]:
        return [f"{self._place(name)} = {name}" for name in names]

    def _for_each_sum(self, text: str) -> list[str]:
        return [
            line
            for first, behind in self._ranges
            for line in (
                f"for k in range((ROWS + {first}) * LANES, (ROWS + {behind}) * LANES):",
                f"    {text}",
            )
        ]

    def advance(self) -> str:
        """Return the text of the function."""
        w, points = self._writer, {*self._points}
        ahead = [line for line in self._load(self._ahead) if line.partition(" = ")[0] not in points]
        ahead += [*self._ahead, *self._store(self._points)]
        at = [f"at = {LANES * len(w.rows)} + i"]
        return f'''\
@compiled
def advance(data, rows, first, last, steps, table, noise, matrix):
    """Take all lanes through the updates first -> first + 1, ..., last - 1 -> last."""
    sums = rows
    for t in range(first, last):
{indented(self._for_each_sum("rows[k] = 0.0"), 2)}\
{indented(["for i in range(LANES):", *(f"    {line}" for line in ahead)] if points else [], 2)}\
        for sample in range({SAMPLES}):
{indented(entry_lines(self._entries, self._lines), 3)}\
            for i in range(LANES):
{indented([*at, *self._load(self._lines), *self._lines], 4)}\
{indented(self._for_each_sum(f"rows[k] = rows[k] / {SAMPLES}"), 2)}\
        for i in range(LANES):
{indented([*at, *w.load([*w.stepping, "peak"], "rows"), *w.one_step(computed_before)], 3)}\
{indented(w.store([*w.moving, "peak"], "rows"), 3)}
'''
