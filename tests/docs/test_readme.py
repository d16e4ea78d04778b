"""README: what it shows runs, and what it links to exists."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_readme_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Protects the first lines a newcomer copies; what they write goes to a folder of the test's.
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(
        str(ROOT / "README.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert result.attempted > 0
    assert result.failed == 0


def test_readme_links_exist() -> None:
    # Protects the links and pictures.
    targets = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    files = [target for target in targets if not target.startswith("http")]
    assert files
    assert not [target for target in files if not (ROOT / target).exists()]


def test_links_are_absolute_in_the_package() -> None:
    """Protects PyPI's page, where relative links lead nowhere: the build writes the address of the file before each."""
    hook = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["metadata"][
        "hooks"
    ]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for one in hook["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(one["pattern"], one["replacement"], text)
    targets = re.findall(r"\]\(([^)]+)\)", text)
    ours = [
        target.split("/main/")[1]
        for target in targets
        if "/selfstab/selfstab/" in target and "/main/" in target
    ]
    assert all(target.startswith("https://") for target in targets)
    assert len(ours) > 20
    assert all((ROOT / target.partition("#")[0]).exists() for target in ours)
    assert "https://raw.githubusercontent.com/selfstab/selfstab/main/docs/images/film.gif" in targets
