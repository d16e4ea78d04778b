"""Say whether a tag may be released: it is the version, the changelog has its section, the address is the project's.

usage: python .ci/release.py v0.2.0 https://github.com/OWNER/NAME
"""

from __future__ import annotations

import ast
import datetime
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def version(root: Path = ROOT) -> str:
    """Return the version that the package's source states; nothing is imported."""
    tree = ast.parse((root / "selfstab/__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise ValueError("selfstab/__init__.py states no __version__")


def cited_version(root: Path = ROOT) -> str:
    """Return the version that CITATION.cff states."""
    return re.findall(r"^version: (\S+)$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)[
        0
    ]


def sections(root: Path = ROOT) -> list[tuple[str, str]]:
    """Return the changelog's versions, newest first, each with its date."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    return re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\S+)$", text, re.MULTILINE)


def address(root: Path = ROOT) -> str:
    """Return the repository's address in the package's metadata."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Repository"])


def objections(tag: str, repository: str, root: Path = ROOT) -> list[str]:
    """Return why a tag must not be released from the repository at this address; empty if it may be."""
    lines = []
    if tag != f"v{version(root)}":
        lines.append(f"the tag is {tag}, selfstab/__init__.py states {version(root)}")
    if cited_version(root) != version(root):
        lines.append(f"CITATION.cff states {cited_version(root)}, selfstab/__init__.py {version(root)}")
    newest, date = sections(root)[0]
    if newest != version(root):
        lines.append(
            f"the changelog's newest section is {newest}, selfstab/__init__.py states {version(root)}"
        )
    try:
        datetime.date.fromisoformat(date)
    except ValueError:
        lines.append(f"the changelog's section {newest} must have the day of the release, got {date}")
    if repository != address(root):
        lines.append(f"pyproject.toml says that the project is at {address(root)}, this is {repository}")
    return lines


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit("\n".join(objections(*sys.argv[1:])) or None)
