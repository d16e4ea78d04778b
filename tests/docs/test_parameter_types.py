"""Types in the reference: each documented parameter has one, in words."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

from tests.docs.sentences import public_docstrings

EXTENSIONS = Path(__file__).parents[2] / "docs" / "_extensions"


@pytest.fixture(scope="module")
def extension():
    sys.path.insert(0, str(EXTENSIONS))
    try:
        yield importlib.import_module("parameter_types")
    finally:
        sys.path.remove(str(EXTENSIONS))


def value_of(name):
    """Return what a dotted name means."""
    room = name
    while room not in sys.modules:
        room = room.rpartition(".")[0]
    value = sys.modules[room]
    for part in name.removeprefix(room).strip(".").split("."):
        value = inspect.getattr_static(value, part) if inspect.isclass(value) else getattr(value, part)
    return getattr(value, "__func__", value)


def test_every_parameter_has_a_type(extension):
    """Protects the reader of the reference: no parameter without a type, but lines that refer to another function."""
    count = 0
    for name, text in public_docstrings():
        if name in sys.modules:
            continue
        before = text.splitlines()
        after = extension.typed(name, value_of(name), before)
        section = ""
        for line, typed, following in zip(before, after, [*before[1:], ""], strict=True):
            section = line.strip() if re.fullmatch(r"-{3,}", following.strip()) else section
            is_name = re.fullmatch(r"\*{0,2}\w+(?:, \*{0,2}\w+)*", line) and following.startswith("    ")
            if section == "Parameters" and is_name and not re.match(r" +As (?:in|for) ", following):
                assert typed != line, f"{name}: {line}"
                assert "Any" not in typed, f"{name}: {typed}"
                count += 1
    assert count > 400


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("float | Schedule", "float or Schedule"),
        ("Mapping[str, int] | Iterable[str]", "mapping of str to int, or iterable of str"),
        ("tuple[float, ...]", "tuple of float"),
        ("Callable[[Array], Array] | None", "callable"),
        ("Mapping[str, Any]", "mapping of str to array_like"),
        ("Client | str | None", "dask.distributed.Client or str"),
    ],
)
def test_annotations_in_words(extension, annotation, words):
    """Protects the words of types: None is said by "optional"."""
    assert extension.written(annotation, "array_like") == words


def test_a_parameter_without_a_value_is_optional(extension):
    """Protects who leaves an argument out."""

    def function(lr: float, name: str | None = None) -> None: ...

    lines = ["One line.", "", "Parameters", "----------", "lr", "    Rate.", "name", "    Name."]
    typed = extension.typed("selfstab.function", function, lines)
    assert typed[4::2] == ["lr : float", "name : str, optional"]
