"""What the manual takes from the project instead of copying it: derivations, and the table of predictions.

``{derivation} NAME`` renders derivations/NAME.py: running it asserts its steps, so that the build fails where one does
not hold. ``{predictions} PREFIX; ...`` shows the rows of theory/predictions.json whose names begin so, and the role
``{measured}`NAME | field``` gives one number of it, rounded to two digits (``field:4`` to four).
"""

from __future__ import annotations

import html
import importlib
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from derivations import pages, prose
from derivations.__main__ import scripts

ROOT = Path(__file__).parents[2]
PREDICTIONS = ROOT / "docs" / "theory" / "predictions.json"
FIELDS = {"within_1pct": "1%", "within_5pct": "5%", "within_20pct": "20%"}


@cache
def predictions() -> dict[str, dict[str, Any]]:
    """Return the rows of the table of predictions by name."""
    data = json.loads(PREDICTIONS.read_text(encoding="utf-8"))
    columns = {name: variable["data"] for name, variable in data["data_vars"].items()}
    names = data["coords"]["prediction"]["data"]
    return {name: {key: column[k] for key, column in columns.items()} for k, name in enumerate(names)}


def shown(value: Any, digits: int = 2) -> str:
    """Return a number as prose writes it: 0.01, 2.3 × 10⁻⁶."""
    number = math.nan if value is None else float(value)
    if math.isnan(number):
        return "–"
    if number == 0.0 or 1e-3 <= abs(number) < 1e4:
        return f"{number:.{digits}g}".replace("-", "−")
    mantissa, exponent = f"{number:.{digits - 1}e}".split("e")
    return (
        f"{mantissa} × 10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}".replace(
            "-", "−"
        )
    )


class Derivation(SphinxDirective):
    """A derivation's statement, assumptions and steps, its asserted formulas, and its results."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Import the script, which asserts each step, and render it."""
        name = self.arguments[0]
        if name not in scripts():
            raise self.error(f"no derivation is called {name!r}; there are {', '.join(scripts())}")
        for path in (ROOT / "derivations").glob("*.py"):  # scripts rest on one another
            self.env.note_dependency(str(path))
        script = importlib.import_module(f"derivations.{name}")
        return [nodes.raw("", _derivation(script), format="html")]


def _derivation(script: Any) -> str:
    known = scripts()
    lines = ['<div class="derivation">']
    for set_off, text in pages.blocks(script):
        written = pages.html_text(text, known)
        word = next((w for w in pages.HEADINGS if text.startswith(w)), "")
        if word:
            written = f"<b>{word}</b>{written.removeprefix(word)}"
        lines.append(f'<p class="set-off">{written}</p>' if set_off else f"<p>{written}</p>")
    lines += [f"<details><summary>The {len(script.PROOF.steps)} asserted steps</summary>", "<ol>"]
    for claim, formula in script.PROOF.shown():
        lines.append(
            f"<li>{pages.html_text(claim, known)}{'' if formula is None else pages.mathml(formula)}</li>"
        )
    lines += ["</ol></details>", "<details><summary>The results, as named expressions</summary>"]
    for key, value in script.RESULTS.items():
        lines.append(f"<p><code>{html.escape(key)}</code></p>{pages.mathml(value)}")
    return "\n".join([*lines, "</details></div>"])


class Predictions(SphinxDirective):
    """The rows of the table of predictions whose names begin with one of the prefixes, separated by semicolons."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Render the rows; a prefix without any is an error."""
        self.env.note_dependency(str(PREDICTIONS))
        rows: dict[str, dict[str, Any]] = {}
        for prefix in self.arguments[0].split(";"):
            found = {n: row for n, row in predictions().items() if n.startswith(prefix.strip())}
            if not found:
                raise self.error(f"no prediction's name begins with {prefix.strip()!r}")
            rows |= found
        return [nodes.raw("", _table(rows), format="html")]


def _table(rows: dict[str, dict[str, Any]]) -> str:
    head = "".join(f"<th>within {word}</th>" for word in FIELDS.values())
    lines = [
        '<div class="predictions"><table>',
        f"<thead><tr><th>claim and where it was measured</th><th>error</th><th>order</th>{head}</tr></thead><tbody>",
    ]
    for name, row in rows.items():
        order = shown(row["order"], 3)
        if order != "–":
            order = f"{order} ({shown(row['expected_order'])}) in {prose.typeset(row['small_parameter'])}"
        reach = [shown(row[field]) for field in FIELDS]
        verdict = (
            "" if row["verdict"] == "holds" else f' <span class="fails">{html.escape(row["verdict"])}</span>'
        )
        numbers = "".join(f'<td class="number">{text}</td>' for text in (shown(row["error"]), order, *reach))
        lines.append(
            f"<tr><td><b>{prose.typeset(name)}</b>{verdict}: {prose.typeset(row['statement'])}<br>"
            f"<small>{prose.typeset(row['where'])}</small></td>{numbers}</tr>"
        )
    return "\n".join([*lines, "</tbody></table></div>"])


class Measured(SphinxRole):
    """One number of the table of predictions: NAME | field, or NAME | field:digits."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the number as text."""
        self.env.note_dependency(str(PREDICTIONS))
        name, _, field = (part.strip() for part in self.text.partition("|"))
        field, _, digits = field.partition(":")
        try:
            value = predictions()[name][field]
        except KeyError:
            error = self.inliner.reporter.error(
                f"the table of predictions has no {self.text!r}", line=self.lineno
            )
            return [], [error]
        return [nodes.Text(shown(value, int(digits or 2)))], []


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives and the role."""
    app.add_directive("derivation", Derivation)
    app.add_directive("predictions", Predictions)
    app.add_role("measured", Measured())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
