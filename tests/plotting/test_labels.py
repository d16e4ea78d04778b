"""One name, one symbol and one unit for each quantity: the table, the manual's vocabulary, and what sources write."""

import ast
import re
from pathlib import Path

import pytest

import selfstab
from selfstab.plotting.labels import QUANTITIES, every_label, label_of
from selfstab.reports.companions import companion

SOURCES = [
    *sorted((Path(selfstab.__file__).parent / "plotting").glob("*.py")),
    *sorted(Path(companion("figures").__file__).parent.glob("*.py")),
]
PROPERTIES = ("xlabel", "ylabel")
SETTERS = ("set_xlabel", "set_ylabel", "supxlabel", "supylabel")
LABELLERS = ("label_of", "axis_label", "_name")
"""Functions that return labels of the table, or what a user's dataset says of itself."""


def vocabulary():
    """Return symbol, word and unit by name in code, as the manual's tables have them."""
    pages = Path(__file__).parents[2] / "docs" / "design.md"
    rows = re.findall(
        r"^\| (.*?) ?\| (.+?) \| `(\w+)` \| (.*?) ?\|", pages.read_text(encoding="utf-8"), re.MULTILINE
    )
    first = {}
    for symbol, word, name, unit in rows:  # a name that has a second meaning elsewhere keeps its first
        first.setdefault(name, (symbol, word, unit))
    return first


def test_no_two_quantities_have_one_name():
    """Protects readers from one word for two things."""
    names = [quantity.name for quantity in QUANTITIES.values()]
    assert sorted(set(names)) == sorted(names)
    assert len(every_label()) > len(names)


def test_labels_are_those_of_the_vocabulary():
    """Protects one language: word, symbol and unit of what the manual's vocabulary defines are the same at axes."""
    known = vocabulary()
    shared = set(known) & set(QUANTITIES)
    assert {"lr", "momentum", "sharpness", "excess", "excess_sharpness", "batch_sharpness"} <= shared
    for name in shared:
        symbol, word, unit = known[name]
        quantity = QUANTITIES[name]
        assert word in quantity.name, name
        # An overshoot's label is its definition: G is the law's.
        if symbol and quantity.symbol and name != "overshoot":
            assert quantity.symbol == symbol
        if quantity.unit:
            assert unit in ("", quantity.unit), name


@pytest.mark.parametrize("name", [name for name in QUANTITIES if QUANTITIES[name].symbol.startswith("$")])
def test_a_form_keeps_the_symbol(name):
    """Protects against a second symbol: a scaled quantity is still written with its own."""
    quantity = QUANTITIES[name]
    core = re.match(r"\$(\|?[A-Za-z]|\\\w+)", quantity.symbol)
    for form in quantity.forms if name != "effective_time" else ():
        if "$" in form and name not in ("start", "mean_sharpness"):
            assert core.group(1).strip("|") in form, form


def written(source):
    """Yield line and text of each string that a source gives an axis, labels of the table left out."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        values = [word.value for word in node.keywords if word.arg in PROPERTIES]
        values += node.args[:1] if called in SETTERS else []
        values += [word.value for word in node.keywords if word.arg == "label" and called == "colorbar"]
        for value in values:
            calls = [c for c in ast.walk(value) if isinstance(c, ast.Call)]
            if any(getattr(c.func, "id", "") in LABELLERS for c in calls):
                continue
            for part in ast.walk(value):
                if (
                    isinstance(part, ast.Constant)
                    and isinstance(part.value, str)
                    and part.value not in ("", "step")
                ):
                    yield part.lineno, part.value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_axis_label_is_of_the_table(path):
    """Protects figures from labels of their own: drawings and figures write none at an axis."""
    assert not list(written(path.read_text(encoding="utf-8")))


def test_a_label_of_its_own_is_found():
    """Protects the test above against finding nothing."""
    source = """
ax.set(xlabel="step, $t$", ylabel=label_of("loss"))
ax.set_ylabel(f"start, {name}")
figure.colorbar(mesh, label="steps")
ax.set(xlabel=TIMES["step"], ylabel="")
"""
    assert [text for _, text in written(source)] == ["step, $t$", "start, ", "steps"]
    with pytest.raises(KeyError):
        label_of("swiftness")
