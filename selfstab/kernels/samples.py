"""Means over a loss's data: the text of the loop over samples.

A loss that is a mean over samples has its data as an array of a kernel, one row a sample, and formulas of one sample.
Sums are in the order of the rows and divided by their number at the end, so that a mean has the same bits wherever it
is computed. They stand in an array `sums`, mean k of a lane at ``LANES * k + at``. Single runs have
a function with the loop. In a sweep the loop over samples stands around the loop over lanes: what is read of a sample
is a number, and the lanes vectorise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

LANES: Final = 32
"""Numbers that stand side by side in a row."""

SAMPLES: Final = "data.shape[0]"
"""Text of the number of samples."""


ZERO: Final = "0 * data.shape[0]"
"""Text of 0 beside the data."""


class SampleText(Protocol):
    """What a template asks of a loss that is a mean over samples: the formulas of one sample as text."""

    @property
    def entries(self) -> Mapping[str, int]:
        """Names of a sample's entries, such as d_x_0, and the column of the data that each is in."""

    @property
    def means(self) -> Sequence[str]:
        """Names of all means: mean0, mean1, ..."""

    def sums(self, pieces: Sequence[str], prefix: str = "") -> tuple[list[str], dict[str, str]]:
        """Return lines for one sample and, by the name of each mean that `pieces` read, its sum with this sample.

        A prefix is put before the names of weights and temporaries, not before those of means.
        """


class SampledText(Protocol):
    """A loss's formulas as text, those of one sample beside them."""

    @property
    def weights(self) -> Sequence[str]:
        """Names of the weights."""

    @property
    def parameters(self) -> Sequence[str]:
        """Names of the parameters."""

    @property
    def constants(self) -> Sequence[tuple[str, str]]:
        """Names and formulas of what depends on the parameters only."""

    @property
    def sample(self) -> SampleText | None:
        """The formulas of one sample; None for a loss without data."""

    def code(self, pieces: Sequence[str], prefix: str = "") -> tuple[list[str], dict[str, list[str]]]:
        """Return lines and results of pieces, at names with a prefix."""


MeanLines = Callable[[Sequence[str], str], list[str]]
"""What gives the lines before those of pieces of a loss, which compute the means that they read."""


def words(lines: Iterable[str]) -> set[str]:
    """Return the names that lines hold."""
    return set(re.findall(r"\w+", " ".join(lines)))


def placed(text: str) -> str:
    """Return a text with each mean read from where it stands.

    >>> placed("mean3 + w_x")
    'sums[96 + at] + w_x'
    """
    return re.sub(r"\bmean(\d+)\b", lambda match: f"sums[{LANES * int(match[1])} + at]", text)


def summed(sums: Mapping[str, str]) -> list[str]:
    """Return the lines that add one sample to the sums."""
    return [placed(f"{mean} = {text}") for mean, text in sums.items()]


def entry_lines(entries: Mapping[str, int], lines: Iterable[str]) -> list[str]:
    """Return lines that read those entries of a sample that `lines` hold."""
    read = words(lines)
    return [f"{name} = data[sample, {column}]" for name, column in entries.items() if name in read]


def ranges_of(sums: Iterable[str]) -> list[tuple[int, int]]:
    """Return the first place and the one behind the last of each run of means that stand side by side.

    >>> ranges_of(["mean1", "mean2", "mean5"])
    [(1, 3), (5, 6)]
    """
    places = sorted(int(mean.removeprefix("mean")) for mean in sums)
    firsts = [k for k in places if k - 1 not in places]
    return [(first, next(k for k in range(first, places[-1] + 2) if k not in places)) for first in firsts]


def loop_lines(entries: Mapping[str, int], lines: Sequence[str], sums: Mapping[str, str]) -> list[str]:
    """Return the loop over samples of one lane, and the divisions that make means of its sums."""
    if not sums:
        return []
    body = [*lines, *summed(sums)]
    at = f"sums[{LANES} * k + at]"
    return [
        *(line for a, b in ranges_of(sums) for line in (f"for k in range({a}, {b}):", f"    {at} = 0.0")),
        f"for sample in range({SAMPLES}):",
        *(f"    {line}" for line in [*entry_lines(entries, body), *body]),
        *(
            line
            for a, b in ranges_of(sums)
            for line in (f"for k in range({a}, {b}):", f"    {at} = {at} / {SAMPLES}")
        ),
    ]


def arguments_of(loss: SampledText, lines: Iterable[str]) -> list[str]:
    """Return the weights, the parameters and what depends on these alone, by name, that `lines` read."""
    read = words(lines)
    names = [*loss.weights, *loss.parameters, *(name for name, _ in loss.constants)]
    return [name for name in names if name in read]


class MeanFunctions:
    """Functions of a generated module, each of which computes a set of means at one point."""

    def __init__(self, loss: SampledText) -> None:
        self._loss = loss
        self._functions: dict[tuple[str, ...], tuple[str, list[str]]] = {}

    @property
    def text(self) -> str:
        """Source of the functions that were called for."""
        return "".join(text for text, _ in self._functions.values())

    def lines(self, pieces: Sequence[str], prefix: str = "") -> list[str]:
        """Return the line that computes all means that `pieces` read, at the names with a prefix."""
        sample = self._loss.sample
        if sample is None:
            return []
        lines, sums = sample.sums(pieces)
        if not sums:
            return []
        names = tuple(sums)
        if names not in self._functions:
            arguments = arguments_of(self._loss, [*lines, *sums.values()])
            title = f"means{len(self._functions)}"
            body = "".join(f"    {line}\n" for line in loop_lines(sample.entries, lines, sums))
            text = (
                f"@compiled\ndef {title}({', '.join(['data', 'sums', 'at', *arguments])}):\n"
                f'    """Compute means over the samples at one point."""\n{body}\n\n'
            )
            self._functions[names] = text, [title, *arguments]
        title, *arguments = self._functions[names][1]
        at = [f"{prefix}{name}" if name in self._loss.weights else name for name in arguments]
        return [f"{title}({', '.join(['data', 'sums', 'at', *at])})"]


def code_of(
    loss: SampledText, pieces: Sequence[str], prefix: str, means: MeanLines
) -> tuple[list[str], dict[str, list[str]]]:
    """Return lines and results of pieces of a loss, the lines of the means that they read before them."""
    lines, results = loss.code(pieces, prefix)
    if loss.sample is None:
        return lines, results
    lines = [*means(pieces, prefix), *map(placed, lines)]
    return lines, {piece: [*map(placed, texts)] for piece, texts in results.items()}


def computed_before(_pieces: Sequence[str], _prefix: str) -> list[str]:
    """Return no lines: the means are there already."""
    return []
