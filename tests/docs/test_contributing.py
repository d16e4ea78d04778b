"""CONTRIBUTING and the recipes: the files, commands and protocols that they name exist."""

import re
from pathlib import Path

import pytest

from selfstab.sweeps.plan import protocols

ROOT = Path(__file__).parents[2]
PAGES = ("CONTRIBUTING.md", "docs/design.md", "docs/recipes.md")


def text(page):
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    """Protects a newcomer from a recipe that names a file of yesterday."""
    named = re.findall(r"`((?:selfstab|tests|docs|figures|derivations|\.ci|\.github)/[\w./]*)`", text(page))
    assert named
    missing = {path for path in named if "NAME" not in path and not (ROOT / path).exists()}
    assert missing <= {"docs/_build/html"}


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_are_named_exist(page):
    """Protects a newcomer from a target of make that is gone."""
    targets = set(re.findall(r"^([\w-]+):", text("Makefile"), re.MULTILINE))
    named = {
        word
        for line in re.findall(r"`make ([^`]+)`", text(page))
        for word in line.split()
        if not word.startswith("QUICK")
    }
    assert named
    assert named <= targets


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_project_exist(page):
    """Protects the reader on a page that is read as a file, outside the manual."""
    for target in re.findall(r"\]\(([^)]+)\)", text(page)):
        path, _, heading = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if heading:
            slugs = {
                re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-")
                for line in re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            }
            assert heading in slugs, target


def test_there_is_a_recipe_for_each_of_ten_tasks():
    """Protects the table at the top: each task has its section, in the same order."""
    listed = re.findall(r"^\| \[(.+?)\]\(#", text("docs/recipes.md"), re.MULTILINE)
    sections = re.findall(r"^## (.+)$", text("docs/recipes.md"), re.MULTILINE)
    assert len(listed) == 10
    assert [name.capitalize() for name in listed] == sections


@pytest.mark.parametrize("protocol", [protocols.Runner, protocols.Results])
def test_the_recipe_of_a_backend_names_the_protocols(protocol):
    """Protects who writes a backend: the members listed are those that the protocol has."""
    name = protocol.__name__
    sentence = re.findall(rf"\*\*`{name}`\*\* [^:]*: (.*?)\.(?: |\n)", text("docs/recipes.md"), re.DOTALL)[0]
    members = {member for member in vars(protocol) if not member.startswith("_")}
    assert set(re.findall(r"`(\w+)`", sentence)) == members
