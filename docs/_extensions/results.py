"""The map of the results: ``{map}`` draws which result rests on which, as the derivations say it.

A derivation rests on an earlier one that it imports or names. Results stand in columns: each is to the
right of all that it rests on.
"""

from __future__ import annotations

import html
import re
from itertools import pairwise
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from derivations.__main__ import scripts

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, COLUMN = 130, 26, 176
"""Pixels: a box, and the distance between columns."""
BOX_ROW, LINE_ROW = 36, 14
"""Pixels: the height that a box takes in its column, and that of a line which passes through the column."""
COLOURS = {"q": "#4477aa", "a": "#228833", "m": "#aa3377"}
"""Of the borders, by part of the theory."""

Node = str | tuple[str, str, int]
"""A result, or the place where the line between two results passes through a column."""


def foundations() -> dict[str, list[str]]:
    """Return, for each derivation, the earlier ones that it rests on."""
    names = scripts()
    out: dict[str, list[str]] = {}
    for k, name in enumerate(names):
        text = (ROOT / "derivations" / f"{name}.py").read_text(encoding="utf-8")
        out[name] = [other for other in names[:k] if re.search(rf"\b{other}\b", text)]
    return out


def columns(rests_on: dict[str, list[str]]) -> dict[str, int]:
    """Return each result's column: one more than the largest of what it rests on."""
    out: dict[str, int] = {}
    for name, earlier in rests_on.items():
        out[name] = 1 + max((out[other] for other in earlier), default=-1)
    return out


def reduced(rests_on: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the map without what a result rests on by way of another one, too."""
    behind: dict[str, set[str]] = {}
    for name, earlier in rests_on.items():
        behind[name] = {*earlier}.union(*(behind[other] for other in earlier))
    return {
        name: [other for other in earlier if not any(other in behind[via] for via in earlier)]
        for name, earlier in rests_on.items()
    }


def ordered(lines: list[list[Node]], levels: list[list[Node]]) -> None:
    """Sort each column by the mean place of its nodes' neighbours, forth and back, so that few lines cross."""
    before: dict[Node, list[Node]] = {}
    after: dict[Node, list[Node]] = {}
    for line in lines:
        for node, following in pairwise(line):
            after.setdefault(node, []).append(following)
            before.setdefault(following, []).append(node)
    for sweep in range(8):
        neighbours = before if sweep % 2 == 0 else after
        for level in levels if sweep % 2 == 0 else levels[::-1]:
            place = {node: k / len(nodes) for nodes in levels for k, node in enumerate(nodes)}
            level.sort(
                key=lambda node: (
                    sum(place[other] for other in neighbours[node]) / len(neighbours[node])
                    if node in neighbours
                    else place[node]
                )
            )


def layout(rests_on: dict[str, list[str]]) -> tuple[list[list[Node]], dict[Node, tuple[float, float]], float]:
    """Return the lines as the nodes they visit, the left upper corner of each node, and the height of the map."""
    rests_on = reduced(rests_on)
    column = columns(rests_on)
    lines: list[list[Node]] = [
        [other, *((other, name, k) for k in range(column[other] + 1, column[name])), name]
        for name, earlier in rests_on.items()
        for other in earlier
    ]
    connected = {node for line in lines for node in line}
    levels: list[list[Node]] = [
        [node for node in connected if (node[2] if isinstance(node, tuple) else column[node]) == k]
        for k in range(max(column.values()) + 1)
    ]
    for level in levels:
        level.sort(key=str)
    ordered(lines, levels)
    places: dict[Node, tuple[float, float]] = {}
    tallest = max(sum(LINE_ROW if isinstance(n, tuple) else BOX_ROW for n in level) for level in levels)
    for k, level in enumerate(levels):
        y = 4 + (tallest - sum(LINE_ROW if isinstance(n, tuple) else BOX_ROW for n in level)) / 2
        for node in level:
            places[node] = (k * COLUMN + 4, y)
            y += LINE_ROW if isinstance(node, tuple) else BOX_ROW
    # What neither rests on another result nor carries one stands in rows below.
    alone = [name for name in rests_on if name not in connected]
    for k, name in enumerate(alone):
        row, place = divmod(k, len(levels))
        places[name] = (place * COLUMN + 4, tallest + 34 + row * BOX_ROW)
    rows = -(-len(alone) // len(levels))
    return lines, places, tallest + (34 + rows * BOX_ROW if alone else 8)


def drawing(rests_on: dict[str, list[str]]) -> str:
    """Return the map as SVG, each box a link to its page."""
    lines, places, height = layout(rests_on)
    width = max(x for x, _ in places.values()) + WIDTH + 8
    parts = [
        f'<svg role="img" aria-label="Which result rests on which" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg">'
    ]
    for line in lines:
        path = ""
        for node, following in pairwise(line):
            half = HEIGHT / 2 if isinstance(node, str) else LINE_ROW / 2
            from_x, from_y = places[node][0] + WIDTH, places[node][1] + half
            to_x, to_y = places[following][0], places[following][1]
            to_y += HEIGHT / 2 if isinstance(following, str) else LINE_ROW / 2
            bend = 0.5 * (to_x - from_x)
            path += f"M{from_x},{from_y} C{from_x + bend},{from_y} {to_x - bend},{to_y} {to_x},{to_y}"
            if isinstance(following, tuple):
                path += f" L{to_x + WIDTH},{to_y}"
        parts.append(f'<path d="{path}" fill="none" stroke="#999" stroke-width="1.2"/>')
    for name, (x, y) in places.items():
        if isinstance(name, tuple):
            continue
        part, _, title = name.partition("_")
        label = part[0].upper() + part[1:].replace("5b", "5\N{PRIME}")
        text = html.escape(f"{label} {title.replace('_', ' ')}")
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
        return [
            nodes.raw(
                "", f'<div class="scroll">{drawing(foundations() | {"m4_flatter": []})}</div>', format="html"
            )
        ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("map", Map)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
