"""The manual: every result has a complete page, its examples run, and its numbers are of the registry's predictions."""

from __future__ import annotations

import doctest
import importlib
import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

import selfstab
from selfstab import theory, verification
from selfstab.reports.companions import companion

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path for path in (DOCS / "theory").glob("*.md") if path.stem != "index")
NAMES = [path.stem for path in PAGES]
SECTIONS = (
    "Statement",
    "Example",
    "Picture",
    "Proof",
    "Where it fails",
    "From the literature, and new here",
)
EMPIRICAL = "m4_flatter"


def text(name: str) -> str:
    return (DOCS / "theory" / f"{name}.md").read_text(encoding="utf-8")


def sections(name: str) -> dict[str, str]:
    """Return a page's sections by heading."""
    parts = re.split(r"^## (.+)$", text(name), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def numbers() -> dict[str, dict[str, object]]:
    data = json.loads((DOCS / "theory" / "predictions.json").read_text(encoding="utf-8"))
    names = data["coords"]["prediction"]["data"]
    return {
        name: {key: column["data"][k] for key, column in data["data_vars"].items()}
        for k, name in enumerate(names)
    }


def shown_rows(name: str) -> set[str]:
    """Return the predictions that a page's tables show."""
    prefixes = [
        prefix.strip()
        for listed in re.findall(r"^```\{predictions\} (.+)$", text(name), re.MULTILINE)
        for prefix in listed.split(";")
    ]
    found = {prefix: {row for row in numbers() if row.startswith(prefix)} for prefix in prefixes}
    assert all(found.values()), f"{name}: a prefix names no prediction"
    return set().union(*found.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_every_section(name):
    # Protects the manual's promise: a result without its failures or its source is not stated.
    found = sections(name)
    assert tuple(found) == SECTIONS
    assert all(len(body.split()) > 1 for body in found.values())


def test_each_derivation_has_a_page_that_renders_it():
    # Protects against a proof that no reader finds, and a page that shows another's.
    scripts = companion("derivations.__main__").scripts()
    assert {*scripts, EMPIRICAL} == set(NAMES)
    for name in scripts:
        assert f"```{{derivation}} {name}\n" in sections(name)["Proof"]


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_exists_and_its_command_makes_it(name):
    body = sections(name)["Picture"]
    pictures = re.findall(r"\{figure\} (\S+)", body)
    assert pictures
    for picture in pictures:
        path = (DOCS / "theory" / picture).resolve()
        assert path.exists()
        assert path.stat().st_size < 150_000
        assert f"`selfstab figure {path.stem}`" in body.replace("\n", " ")
    assert len(re.findall(r"^:alt: .{20}", body, re.MULTILINE)) == len(pictures)
    known = companion("figures").NAMES
    assert all(figure in known for figure in re.findall(r"selfstab figure (\w+)", body))


@pytest.mark.parametrize("name", NAMES)
def test_displayed_formulas_are_paragraphs(name):
    # Protects against a formula that is shown as its source: within a list's item $$ is not one.
    lines = text(name).splitlines()
    assert not [line for line in lines if line.startswith(" ") and "$$" in line]
    assert text(name).count("$$") % 2 == 0


# Pages of the manual that hold Python. Those of how_to need large libraries: tests/integrations runs them.
EXAMPLES = [
    path
    for path in sorted(DOCS.rglob("*.md"))
    if not {"_build", "examples", "generated", "how_to"} & {*path.relative_to(DOCS).parts}
    and "```python" in path.read_text(encoding="utf-8")
]

OWN_MODEL = DOCS / "tutorials" / "your_model.md"


@pytest.mark.parametrize(
    "page", ["index", "experiments", *(f"learn/{path.stem}" for path in (DOCS / "learn").glob("*.md"))]
)
def test_code_fits_a_laptops_page(page):
    # Protects who reads beside two menus: at 1280 pixels a line of code has 100 characters.
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    assert [line for line in code.splitlines() if len(line) > 100] == []


def test_every_page_of_results_and_every_tutorial_has_an_example():
    tutorials = set((DOCS / "tutorials").glob("*.md"))
    assert {*PAGES, *tutorials, DOCS / "index.md", DOCS / "learn" / "first_catapult.md"} <= set(EXAMPLES)
    assert len(tutorials) >= 4


def run_examples(source: str, path: Path) -> None:
    """Run a text's examples as one."""
    examples = "".join(re.findall(r"^```python\n(.*?)^```$", source, re.DOTALL | re.MULTILINE))
    test = doctest.DocTestParser().get_doctest(examples, {}, path.name, str(path), 0)
    assert test.examples
    failures: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=failures.append)
    assert not failures, "".join(failures)


@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if path != OWN_MODEL], ids=lambda path: str(path.relative_to(DOCS))
)
def test_examples_run(path):
    # Protects what a reader copies: every block is an example, with what it prints.
    run_examples(path.read_text(encoding="utf-8"), path)


@pytest.mark.parametrize("library", ["NumPy", "JAX", pytest.param("PyTorch", marks=pytest.mark.integrations)])
def test_examples_of_a_model_of_ones_own_run(library):
    # Protects the way in from other libraries; each section stands alone, and no other holds an example.
    parts = re.split(r"^## (.+)$", OWN_MODEL.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert [name for name, body in found.items() if "```python" in body] == ["NumPy", "JAX", "PyTorch"]
    run_examples(found[library], OWN_MODEL)


def test_the_numbers_are_of_the_registrys_predictions():
    # Protects against a table of results that no longer exist, or that lacks new ones: make predictions.
    assert list(numbers()) == [prediction.name for prediction in verification.PREDICTIONS]
    for prediction in verification.PREDICTIONS:
        row = numbers()[prediction.name]
        assert row["verdict"] == "holds"
        assert (row["statement"], row["where"]) == (prediction.statement, prediction.where)


def test_every_prediction_stands_on_a_page():
    # Protects against a claim that is verified and not explained.
    shown = {name: shown_rows(name) for name in NAMES}
    assert set().union(*shown.values()) == set(numbers())
    assert all(shown.values())


@pytest.mark.parametrize("name", NAMES)
def test_numbers_in_prose_are_in_the_table(name):
    # Protects the sentences on where a result holds: a number that is not finite would read as a dash.
    for cited in re.findall(r"\{measured\}`([^`]+)`", text(name)):
        row, _, field = (part.strip() for part in cited.partition("|"))
        value = numbers()[row][field.partition(":")[0]]
        assert isinstance(value, float), cited
        assert value == value, cited


@pytest.mark.parametrize("name", NAMES)
def test_citations_are_in_the_references(name):
    keys = set(
        re.findall(r"^@\w+\{(\w+),", (DOCS / "references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    )
    cited = re.findall(r"\{cite:[tp]\}`([^`]+)`", text(name))
    assert set(cited) <= keys
    literature = sections(name)["From the literature, and new here"]
    assert "New here" in literature or "Nothing here" in literature or "written down here" in literature


def test_the_table_of_results_is_complete():
    # Protects the way in: each page, each script and each closed form is named, in the table and once only.
    table = text("index").partition("## The results")[2].partition("## References")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| {doc}")]
    pages = [re.findall(r"<(\w+)>", row[0])[0] for row in rows]
    scripts = [code for row in rows for code in re.findall(r"`(\w+)`", row[3])]
    functions = [code for row in rows for code in re.findall(r"`(\w+)`", row[4])]
    assert sorted(pages) == NAMES
    assert sorted(scripts) == sorted(set(NAMES) - {EMPIRICAL})
    assert sorted(functions) == sorted(name for name in theory.__all__ if callable(getattr(theory, name)))


def test_the_notation_names_what_exists():
    # Protects the table of symbols.
    table = text("index").partition("## Notation")[2].partition("## The results")[0]
    names = {
        name
        for row in re.findall(r"^\| \$.*? \| (.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    source = "".join(
        path.read_text(encoding="utf-8") for path in Path(selfstab.__file__).parent.rglob("*.py")
    )
    assert len(names) > 12
    assert {name for name in names if not re.search(rf"\b{name}\b", source)} == set()


ROOMS = {"selfstab", "selfstab.theory", "selfstab.plotting", "selfstab.observables", "selfstab.datasets"}


def public(room):
    """Return the callables that a room lists as public or, without a list, defines."""
    module = importlib.import_module(room)
    listed = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items() if getattr(value, "__module__", "") == room
    ]
    return [name for name in listed if not name.startswith("_") and callable(getattr(module, name))]


def test_the_reference_lists_every_public_name():
    # Protects against a public function without a page.
    parts = re.split(
        r"^\.\. currentmodule:: (\S+)$", (DOCS / "api.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    listed: dict[str, list[str]] = {}
    for room, body in zip(parts[1::2], parts[2::2], strict=True):
        listed.setdefault(room, []).extend(re.findall(r"^   (\w+)$", body, re.MULTILINE))
    assert set(listed) >= ROOMS
    for room, names in listed.items():
        # A name of the package itself has its page there.
        own = [name for name in public(room) if room == "selfstab" or name not in listed["selfstab"]]
        assert sorted(set(names) & {*own}) == sorted(own), room
        assert set(names) <= {*public(room)}, room
    callables = {name for name in selfstab.__all__ if callable(getattr(selfstab, name))}
    assert callables == set(listed["selfstab"])


def test_pages_are_within_reach():
    # Protects against a page that no menu shows.
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")} - {"index"}
    pages = {page for page in pages if page.split("/")[0] not in ("_build", "examples", "generated")}
    menus = (DOCS / "index.md", DOCS / "theory" / "index.md")
    shown = {
        str((menu.parent / line).relative_to(DOCS))
        for menu in menus
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", menu.read_text(encoding="utf-8"), re.DOTALL)
        for line in tree.splitlines()
        if line and not line.startswith(":")
    }
    assert {page for page in pages if not any(fnmatch(page, line) for line in shown)} == set()


@pytest.mark.parametrize("name", companion("figures").NAMES)
def test_every_figure_has_a_small_picture(name):
    """Protects the manual's list of figures: each is shown, by a file a page can carry."""
    assert 0 < (DOCS / "images" / f"{name}.png").stat().st_size <= 150_000
