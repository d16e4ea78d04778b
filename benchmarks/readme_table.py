"""The table of README.md: the stored runs of `results`, a column for each processor.

`python -m benchmarks.readme_table` writes it, `selfstab bench --json benchmarks/results/NAME.json` stores a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from . import comparisons
from .harness import number
from .machine import load_line, processor_line, versions_line

BEGIN: Final = "<!-- written by python -m benchmarks.readme_table -->"
END: Final = "<!-- end of what it writes -->"
README: Final = Path(__file__).with_name("README.md")
RESULTS: Final = Path(__file__).with_name("results")

Run = Mapping[str, Any]
"""A run as `--json` writes it."""


def runs(folder: Path = RESULTS) -> list[Run]:
    """Return the stored runs, in the order of their files' names.

    Raises
    ------
    ValueError
        If a run is a quick one, whose sizes are too small to compare.
    """
    documents = []
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["quick"]:
            raise ValueError(f"results must be measured without --quick, got {path.name}")
        documents.append(document)
    return documents


def table(documents: Sequence[Run], targets: Mapping[str, tuple[str, str]]) -> str:
    """Return the table in Markdown, and below it what each processor's numbers were measured with.

    Parameters
    ----------
    documents
        Runs, a column each. One without rows is a processor that is still to be measured.
    targets
        Unit and target of each line by its name, in the order of the table. A stored row of another name is left out.

    Returns
    -------
    str
        Each cell holds the ratio, and in parentheses ours / baseline. A ratio that misses its target is bold.
    """
    heads = [_head(one) for one in documents]
    lines = [_cells(["ours / baseline", "unit", "target", *heads]), _cells(["---"] * (3 + len(heads)))]
    columns = [{row["name"]: row for row in one["rows"]} for one in documents]
    for name, (unit, target) in targets.items():
        rows = [column.get(name) for column in columns]
        verdicts = {row["verdict"] for row in rows if row is not None}
        bound = "not judged" if verdicts == {"not judged"} else target.replace(">=", "≥").replace("<=", "≤")
        lines.append(_cells([name, unit, bound, *map(_ratio, rows)]))
    return "\n".join([*lines, "", *map(_conditions, documents)])


def with_table(text: str, written: str) -> str:
    """Return README's text with the table between its two marks.

    Raises
    ------
    ValueError
        If a mark is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md must hold the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{written}\n\n{END}{after}"


def of_this_code() -> str:
    """Return the table of the stored runs, with the lines that `selfstab bench` measures."""
    return table(runs(), {case.name: (case.unit, str(case.target)) for case in comparisons.cases(False)})


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _head(document: Run) -> str:
    head = processor_line(document["machine"])
    return head if document["rows"] else f"{head}: to be measured"


def _ratio(row: Mapping[str, Any] | None) -> str:
    if row is None or row["ratio"] is None:
        return "" if row is None else str(row["verdict"])
    ratio = number(row["ratio"])
    strong = f"**{ratio}**" if row["verdict"] == "MISSED" else ratio
    return f"{strong} ({number(row['ours'])} / {number(row['baseline'])})"


def _conditions(document: Run) -> str:
    about = document["machine"]
    if not document["rows"]:
        return f"- {about['processor']}: to be measured when the machine is quiet."
    measured = (
        f"- {about['processor']}: measured on {document['date'][:10]}. Versions: {versions_line(about)}."
    )
    return f"{measured} It was a {load_line(document['load'])}.{document.get('remark', '')}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8"), of_this_code()), encoding="utf-8")
