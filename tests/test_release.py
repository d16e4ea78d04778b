"""Versions: the places that state one agree, and a tag is released only if they and the address do."""

import importlib.util
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import selfstab

ROOT = Path(__file__).parents[1]


def loaded():
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


release = loaded()
VERSION = selfstab.__version__
ADDRESS = "https://github.com/selfstab/selfstab"


def test_the_places_that_state_the_version_agree():
    """Protects a citation and a changelog from being of another version than the code."""
    assert release.version() == release.cited_version() == release.sections()[0][0] == VERSION


def test_the_package_is_built_with_the_version_of_the_code():
    """Protects a build from a plain clone, or from the source archive: it needs no tag of git."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["hatch"]["version"] == {"path": "selfstab/__init__.py"}
    assert settings["project"]["dynamic"] == ["version", "readme"]
    assert "version" not in settings["project"]


def test_the_sections_of_the_changelog_descend():
    """Protects the reader who looks for the newest version at the top."""
    numbers = [tuple(map(int, name.split("."))) for name, _ in release.sections()]
    assert numbers == sorted(set(numbers), reverse=True)
    assert len(numbers) > 1


def test_the_addresses_agree():
    """Protects a citation from leading to another address than the package's metadata."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert all(url.startswith(ADDRESS) for url in urls.values())
    assert f'repository-code: "{release.address()}"\n' in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.fixture
def dated(tmp_path):
    """Return a copy of the files that a release reads, with a day in the changelog."""
    for name in ("selfstab/__init__.py", "CITATION.cff", "CHANGELOG.md", "pyproject.toml", ".ci/release.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    replaced(
        tmp_path / "CHANGELOG.md",
        f"## [{VERSION}] - {release.sections()[0][1]}",
        f"## [{VERSION}] - 2027-01-31",
    )
    return tmp_path


def replaced(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_tag_that_agrees_is_released(dated):
    """Protects the release from objecting to everything."""
    assert release.objections(f"v{VERSION}", ADDRESS, dated) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "objection"),
    [
        ("selfstab/__init__.py", f'"{VERSION}"', '"9.9.9"', "the tag is"),
        ("CITATION.cff", f"version: {VERSION}", "version: 9.9.9", "CITATION.cff states 9.9.9"),
        ("CHANGELOG.md", f"## [{VERSION}]", "## [9.9.9]", "newest section is 9.9.9"),
        ("CHANGELOG.md", "2027-01-31", "unreleased", "the day of the release"),
        ("pyproject.toml", ADDRESS, "https://example.org/x", "the project is at https://example.org/x"),
    ],
)
def test_a_tag_that_disagrees_is_not_released(dated, path, old, new, objection):
    """Protects users from a release whose version, changelog or address is wrong."""
    replaced(dated / path, old, new)
    assert any(objection in line for line in release.objections(f"v{VERSION}", ADDRESS, dated))


def test_the_script_exits_as_the_workflow_reads_it(dated):
    """Protects the workflow, which stops at an exit code that is not 0."""
    for tag, code in ((f"v{VERSION}", 0), ("v9.9.9", 1), (VERSION, 1)):
        command = [sys.executable, str(dated / ".ci" / "release.py"), tag, ADDRESS]
        assert subprocess.run(command, capture_output=True, check=False).returncode == code, tag
