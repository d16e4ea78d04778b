"""The map of the results: ``{map}`` draws which result rests on which, as the derivations say it.

A derivation rests on another if it imports it, or if its docstring names it. Results stand in columns: each is to the
right of all that it rests on.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from derivations.__main__ import scripts

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, COLUMN, ROW = 126, 26, 150, 38
"""Pixels: a box, and the distances between columns and rows."""
COLOURS = {"q": "#4477aa", "a": "#228833", "m": "#aa3377"}
"""Of the borders, by part of the theory."""


def foundations() -> dict[str, list[str]]:
    """Return, for each derivation, the earlier ones that it rests on."""
    names = scripts()
    out: dict[str, list[str]] = {}
    for k, name in enumerate(names):
        text = (ROOT / "derivations" / f"{name}.py").read_text(encoding="utf-8")
        docstring = text.split('"""')[1]
        imports = "\n".join(re.findall(r"^from \. ?import .*|^from \.\w+ import", text, re.MULTILINE))
        out[name] = [
            other for other in names[:k] if re.search(rf"\b{other}\b", docstring + imports) and other != name
        ]
    return out


def columns(rests_on: dict[str, list[str]]) -> dict[str, int]:
    """Return each result's column: one more than the largest of what it rests on."""
    out: dict[str, int] = {}
    for name, earlier in rests_on.items():
        out[name] = 1 + max((out[other] for other in earlier), default=-1)
    return out


def drawing(rests_on: dict[str, list[str]]) -> str:
    """Return the map as SVG, each box a link to its page."""
    column = columns(rests_on)
    places: dict[str, tuple[int, int]] = {}
    filled: dict[int, int] = {}
    for name, k in column.items():
        filled[k] = filled.get(k, 0) + 1
        places[name] = (k * COLUMN + 4, (filled[k] - 1) * ROW + 4)
    width = (max(column.values()) + 1) * COLUMN - COLUMN + WIDTH + 8
    height = max(filled.values()) * ROW
    parts = [
        f'<svg role="img" aria-label="Which result rests on which" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg">'
    ]
    for name, earlier in rests_on.items():
        x, y = places[name]
        for other in earlier:
            from_x, from_y = places[other][0] + WIDTH, places[other][1] + HEIGHT / 2
            to_y, bend = y + HEIGHT / 2, 0.5 * (x - from_x)
            parts.append(
                f'<path d="M{from_x},{from_y} C{from_x + bend},{from_y} {x - bend},{to_y} {x},{to_y}" '
                'fill="none" stroke="#999" stroke-width="1.2"/>'
            )
    for name, (x, y) in places.items():
        part, _, title = name.partition("_")
        text = html.escape(f"{part.upper()} {title.replace('_', ' ')}")
        parts.append(
            f'<a href="../theory/{name}.html"><rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5" '
            f'fill="var(--color-background-primary, #fff)" stroke="{COLOURS[name[0]]}" stroke-width="1.5"/>'
            f'<text x="{x + WIDTH / 2}" y="{y + 17.5}" text-anchor="middle" font-size="12.5" '
            f'fill="var(--color-foreground-primary, #000)">{text}</text></a>'
        )
    return "".join([*parts, "</svg>"])


class Map(SphinxDirective):
    """The map, and the same in words."""

    def run(self) -> list[nodes.Node]:
        """Read the derivations."""
        for name in scripts():
            self.env.note_dependency(str(ROOT / "derivations" / f"{name}.py"))
        return [nodes.raw("", f'<div class="scroll">{drawing(foundations())}</div>', format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("map", Map)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
