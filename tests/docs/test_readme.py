"""README: what it shows runs, and what it links to exists."""

from __future__ import annotations

import doctest
import re
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
