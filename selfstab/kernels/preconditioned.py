"""Lines that compute the preconditioned sharpness λ_max(P^{-1/2} H P^{-1/2}) of one lane.

P is one number for each weight. Two weights need no root of it, since P^{-1/2} H P^{-1/2} has the eigenvalues of
P^{-1} H. From three weights on the matrix is scaled, and its top eigenvalue iterated for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from selfstab.kernels.eigenvalues import TOP_EIGENVALUES, tops_line
from selfstab.kernels.measures import PRECONDITIONED
from selfstab.kernels.top_of_two import LEAST_SQUARE, TOP_OF_TWO

_IN_RANGE: Final = f"(pre_square >= {LEAST_SQUARE!r}) & (abs({PRECONDITIONED}) < inf)"


def size_of(weight: int) -> str:
    """Return the name of a weight's preconditioner."""
    return f"pre{weight}"


@dataclass(frozen=True)
class PreconditionedText:
    """The preconditioned sharpness as text.

    Parameters
    ----------
    entries
        Texts of the Hessian's lower triangle, row by row.
    weights
        How many weights there are; the names of their preconditioners are those of :func:`size_of`.
    """

    entries: Sequence[str]
    weights: int

    def _entry(self, i: int, j: int) -> str:
        return self.entries[i * (i + 1) // 2 + j]

    @property
    def _diagonal(self) -> bool:
        return all(self._entry(i, j) in ("0", "0.0") for i in range(self.weights) for j in range(i))

    @property
    def iterated(self) -> int:
        """How many rows the matrix has whose top eigenvalue is iterated for; 0 if there is none."""
        return self.weights if self.weights > 2 and not self._diagonal else 0

    @property
    def functions(self) -> str:
        """Source of the functions that the lines call."""
        if self.iterated:
            return TOP_EIGENVALUES
        return TOP_OF_TWO if self.weights == 2 and not self._diagonal else ""

    @property
    def inverses(self) -> list[str]:
        """The lines of 1/P."""
        return [f"inverse{k} = 1.0 / {size_of(k)}" for k in range(self.weights)]

    @property
    def triangle(self) -> tuple[list[str], list[str]]:
        """Lines, and the texts of the scaled matrix's lower triangle."""
        roots = [f"root{k} = sqrt(inverse{k})" for k in range(self.weights)]
        places = [(i, j) for i in range(self.weights) for j in range(i + 1)]
        return [*self.inverses, *roots], [f"({self._entry(i, j)}) * (root{i} * root{j})" for i, j in places]

    def lines(self, *, careful: bool, top: str = "") -> list[str]:
        """Return the lines of the preconditioned sharpness.

        Without `careful` they are right only where :attr:`watched` says so; `top` is the name of the eigenvalue that is
        iterated for, if that has been done already.
        """
        if top:
            return [f"{PRECONDITIONED} = {top}"]
        if self.iterated:
            lines, entries = self.triangle
            places = [(i, j) for i in range(self.weights) for j in range(i + 1)]
            lines += [f"matrix[{i}, {j}, 0] = {e}" for (i, j), e in zip(places, entries, strict=True)]
            return [*lines, tops_line(self.weights), f"{PRECONDITIONED} = matrix[{self.weights}, 0, 0]"]
        lines = self.inverses
        if self._diagonal:
            lines += [f"{PRECONDITIONED} = ({self._entry(0, 0)}) * inverse0"]
            for k in range(1, self.weights):
                lines += [
                    f"pre_other = ({self._entry(k, k)}) * inverse{k}",
                    f"{PRECONDITIONED} = choose(pre_other > {PRECONDITIONED}, pre_other, {PRECONDITIONED})",
                ]
            return lines
        lines += [
            f"pre_first = ({self._entry(0, 0)}) * inverse0",
            f"pre_second = ({self._entry(1, 1)}) * inverse1",
            f"pre_mixed = {self._entry(1, 0)}",
            "pre_apart = pre_first - pre_second",
            "pre_square = fma(pre_apart, pre_apart, 4.0 * ((pre_mixed * inverse0) * (pre_mixed * inverse1)))",
            f"{PRECONDITIONED} = 0.5 * (pre_first + pre_second + sqrt(pre_square))",
        ]
        if careful:
            mixed = "pre_mixed * sqrt(inverse0) * sqrt(inverse1)"
            call = f"top_of_two(pre_first, pre_second, {mixed})"
            lines += [f"if not ({_IN_RANGE}):", f"    {PRECONDITIONED} = {call}"]
        return lines

    @property
    def watched(self) -> str:
        """The line that makes `lost` nan where the lines without care have lost something."""
        if self._diagonal or self.iterated:
            return f"lost = fma(0.0, {PRECONDITIONED}, lost)"
        return f"lost = choose({_IN_RANGE}, lost, nan)"
