"""The table of benchmarks/README.md: what it shows of stored runs, and that README's equals them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import comparisons, harness, machine, readme_table
from benchmarks.harness import Row, Target

LOAD = {"others_before": 0.01, "others_during": 0.3, "load_average_per_core_before": 0.0}


def stored(folder: Path, name: str, rows: list[Row], quick: bool = False) -> None:
    load = {**LOAD, "loaded": True, "quiet": False}
    harness.write_json(folder / f"{name}.json", rows, quick=quick, load=load, complete=True)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_column_for_each_stored_run(tmp_path: Path) -> None:
    """Protects the table's cells: ratio and medians in their columns, misses bold, gaps empty, targets of today."""
    fast = harness.judged("a / b", "1/s", [(30000.0, 10000.0)], Target(2.0))
    missed = harness.judged("a / b", "1/s", [(1.0, 10.0)], Target(2.0))
    shown = harness.judged("c / d", "s", [(1.0, 3.0)], Target(1.0, at_least=False), judge=False)
    absent = Row("e / f", "s", ">= 1", "not measured", note="no JAX")
    stored(tmp_path, "one", [fast, shown, absent])
    stored(tmp_path, "two", [missed])
    targets = {
        "a / b": ("1/s", ">= 2"),
        "c / d": ("s", "<= 1"),
        "e / f": ("s", ">= 0.667"),
        "new / g": ("s", "<= 3"),
    }
    lines = readme_table.table(readme_table.runs(tmp_path), targets).splitlines()
    about = machine.processor_line(machine.description())
    assert cells(lines[0]) == ["ours / baseline", "unit", "target", about, about]
    assert [cells(line) for line in lines[2:6]] == [
        ["a / b", "1/s", "≥ 2", "3 (30000 / 10000)", "**0.1** (1 / 10)"],
        ["c / d", "s", "not judged", "0.333 (1 / 3)", ""],
        ["e / f", "s", "≥ 0.667", "not measured", ""],
        ["new / g", "s", "≤ 3", "", ""],
    ]
    assert "LOADED MACHINE" in lines[7]
    assert "30% during" in lines[7]
    assert len(lines) == 9


def test_a_processor_without_a_run_has_its_place(tmp_path: Path) -> None:
    """Protects the column of a processor that is still to be measured: it says so, and holds no number."""
    stored(tmp_path, "one", [])
    text = readme_table.table(readme_table.runs(tmp_path), {"a / b": ("s", ">= 1")})
    head, _, line, _, conditions = text.splitlines()
    assert head.endswith(": to be measured |")
    assert cells(line)[3:] == [""]
    assert conditions.endswith("to be measured when the machine is quiet.")


def test_quick_runs_are_not_stored(tmp_path: Path) -> None:
    """Protects the table from numbers of sizes too small to carry one."""
    stored(tmp_path, "small", [], quick=True)
    with pytest.raises(ValueError, match=r"results must be measured without --quick, got small\.json"):
        readme_table.runs(tmp_path)


def test_the_table_goes_between_its_marks_and_nothing_else_changes() -> None:
    """Protects README's prose from the command that writes the table, and the command from a README without marks."""
    text = f"before\n{readme_table.BEGIN}\nold\n{readme_table.END}\nafter\n"
    written = readme_table.with_table(text, "new")
    assert written == f"before\n{readme_table.BEGIN}\n\nnew\n\n{readme_table.END}\nafter\n"
    assert readme_table.with_table(written, "new") == written
    with pytest.raises(ValueError, match=r"README\.md must hold the lines"):
        readme_table.with_table(f"before {readme_table.END}", "new")


def test_readme_holds_the_stored_runs() -> None:
    """Protects README from numbers that no stored run has; `make bench-table` mends it."""
    text = readme_table.README.read_text(encoding="utf-8")
    assert text == readme_table.with_table(text, readme_table.of_this_code())


def test_stored_rows_are_lines_that_are_still_measured() -> None:
    """Protects stored numbers from being left out in silence when a line gets another name or unit."""
    units = {case.name: case.unit for case in comparisons.cases(False)}
    for document in readme_table.runs():
        for row in document["rows"]:
            assert units[row["name"]] == row["unit"]


def test_stored_ratios_are_those_of_their_medians() -> None:
    """Protects the table from a slip in a stored number: the ratio of medians is near the median of the ratios."""
    rows: list[dict[str, Any]] = [row for document in readme_table.runs() for row in document["rows"]]
    measured = [row for row in rows if row["ratio"] is not None]
    assert len(measured) > 30
    for row in measured:
        assert row["ratio"] == pytest.approx(row["ours"] / row["baseline"], rel=0.2, abs=1e-3), row["name"]


def test_a_stored_run_has_a_line_for_each_row(tmp_path: Path) -> None:
    """Protects comparing two stored runs by their lines: each row is one, and the file is JSON with or without rows."""
    rows = [Row("a / b", "s", ">= 1", "met", 2.0, 1.0, 2.0, samples=((2.0, 1.0), (4.0, 2.0)))] * 2
    for name, count in (("none", 0), ("two", 2)):
        stored(tmp_path, name, rows[:count])
        text = (tmp_path / f"{name}.json").read_text(encoding="utf-8")
        assert len(json.loads(text)["rows"]) == count
        assert sum('"name": "a / b"' in line for line in text.splitlines()) == count
