"""The page as HTML: each part is placed once, in a cell of the grid, on wide and on narrow windows."""

from __future__ import annotations

import re
from types import SimpleNamespace

import jinja2

from selfstab.explorer.controls import Controls
from selfstab.explorer.plots import Pictures
from selfstab.explorer.state import PageState
from selfstab.explorer.template import PAGE


def root_names():
    roots = [*Pictures().roots(), *Controls(SimpleNamespace(state=PageState(), quiet=True)).roots()]
    return [root.name for root in roots]


def rendered():
    """Return the page with each part's name in its place."""

    class Roots(dict):
        __getattr__ = dict.__getitem__

    roots = Roots({name: name for name in root_names()})
    return (
        jinja2.Environment(undefined=jinja2.StrictUndefined)
        .from_string(PAGE)
        .render(roots=roots, embed=lambda name: f"<part {name}>")
    )


def areas(text):
    """Return each layout as rows of names."""
    layouts = re.findall(r"grid-template-areas:((?:\s*\"[a-z ]+\")+)", text)
    return [[row.split() for row in re.findall(r'"([a-z ]+)"', layout)] for layout in layouts]


def test_each_part_is_placed_once():
    """Protects the page from a plot without a place, which Bokeh would leave out without a word."""
    assert sorted(re.findall(r"<part (\w+)>", rendered())) == sorted(root_names())


def test_cells_are_rectangles_in_both_layouts():
    """Protects the grid: CSS drops a layout whose areas are no rectangles, or that names an unknown one."""
    text = rendered()
    wide, narrow = areas(text)
    cells = {"aside", "head", *re.findall(r"style=\"grid-area: (\w+)\"", text)}
    for layout in (wide, narrow):
        assert len({len(row) for row in layout}) == 1
        places = {}
        for y, row in enumerate(layout):
            for x, name in enumerate(row):
                places.setdefault(name, []).append((y, x))
        assert set(places) == cells
        for at in places.values():
            rows, columns = {y for y, _ in at}, {x for _, x in at}
            assert len(at) == len(rows) * len(columns)
            assert max(rows) - min(rows) + 1 == len(rows)
            assert max(columns) - min(columns) + 1 == len(columns)


def test_the_page_loads_nothing_from_elsewhere():
    """Protects work without network: no address in what the template adds."""
    assert "//" not in rendered()
