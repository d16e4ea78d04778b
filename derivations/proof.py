"""The steps of a proof: each is asserted when it is stated, and printed when the script is run."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping
from typing import Any

import sympy as sp


class Proof:
    """A statement and its asserted steps.

    Parameters
    ----------
    statement
        The script's docstring: statement, assumptions, steps in words.
    """

    def __init__(self, statement: str | None) -> None:
        self.statement = statement or ""
        self.steps: list[tuple[str, sp.Eq | None]] = []

    def equal(self, claim: str, left: Any, right: Any, where: Mapping[Any, Any] | None = None) -> None:
        """Assert that left − right simplifies to zero, and keep the step as it is given.

        ``where`` says what names in left and right stand for: SymPy would evaluate the expressions themselves, often
        to one and the same. The step is asserted with them inserted.
        """
        formula = sp.Eq(sp.sympify(left), sp.sympify(right), evaluate=False)
        inserted = [side.subs(dict(where or {})).doit() for side in formula.args]
        difference = (inserted[0] - inserted[1]).doit()
        if not _vanishes(difference):
            raise AssertionError(f"{claim}: left − right is {sp.simplify(difference)}, not 0")
        self.steps.append((claim, formula))

    def true(self, claim: str, fact: Any) -> None:
        """Assert a decidable fact, such as a sign under the symbols' assumptions, and keep the step."""
        if fact is not True and sp.sympify(fact) is not sp.true:
            raise AssertionError(f"{claim}: got {fact}, not True")
        self.steps.append((claim, None))

    def shown(self) -> list[tuple[str, sp.Basic | None]]:
        """Return each step's claim with the formula to print: one side if both are alike, none for a number."""
        return [
            (claim, f if f is None or f.lhs != f.rhs else f.lhs if f.free_symbols else None)
            for claim, f in self.steps
        ]

    def show(self, results: dict[str, Any] | None = None) -> None:
        """Print statement, steps and results as mathematics."""
        print("\n".join(map(_wrapped, self.statement.strip().splitlines())), "\n")
        for number, (claim, formula) in enumerate(self.shown(), 1):
            print(_wrapped(f"({number}) {claim}"))
            if formula is not None:
                print(textwrap.indent(_printed(formula), "    "))
            print()
        for name, value in (results or {}).items():
            print(f"{name}:")
            print(textwrap.indent(_printed(value), "    "), "\n")


def _vanishes(difference: sp.Expr) -> bool:
    for simplified in (sp.expand, lambda e: sp.cancel(sp.together(e)), sp.simplify, sp.radsimp):
        if simplified(difference) == 0:
            return True
    return bool(sp.simplify(sp.expand(sp.powdenest(difference.rewrite(sp.exp), force=True))) == 0)


def _columns() -> int:
    """Return the width of the terminal; 80 where there is none."""
    return max(shutil.get_terminal_size().columns, 40)


def _wrapped(line: str) -> str:
    """Return a line of text in as many lines as the terminal's width asks for, all indented alike."""
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.fill(line, _columns(), subsequent_indent=indent, break_long_words=False)


def _printed(value: Any) -> str:
    columns = _columns() - 4  # of which an indentation takes the rest
    return str(sp.pretty(value, use_unicode=True, wrap_line=True, num_columns=columns))
