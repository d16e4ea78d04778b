"""The sentences of pages and docstrings, with their numbers of words.

``python -m tests.docs.sentences 30`` lists the sentences of pages and public docstrings that have more than 30 words.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "docs").rglob("*.md")
        if not {"_build", "examples", "generated"} & {*path.relative_to(ROOT).parts}
    ),
)
WITH_PROSE = ("figure", "note", "tip", "warning", "admonition", "important", "seealso", "dropdown")
CODE = "\ue000"
"""Stands for each character of code and formulas, so that places in the text stay what they are."""
BREAK = "\ue001"
_END = re.compile(rf"[.!?][\"”)\]*]*(?=\s+(?:[\"“\[*]*[A-Z0-9Ͱ-Ͽ{CODE}]|\(|[\"“]))|{BREAK}")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|al|vs|cf|Eq|eq|Fig|No|resp)\.\Z")
_MATHEMATICAL = re.compile(r"[=+−·/^_<>≤≥≠≈±∓×²³¹⁻ᵀ∇‖|√∂Σ∫∞½¼⅓†∈Ͱ-Ͽ0-9]|^[\W\d_]*[A-Za-z]?[\W\d_]*$")


@dataclass(frozen=True)
class Sentence:
    """A sentence: where it is from, its place there, its text, and its number of words."""

    where: str
    start: int
    end: int
    text: str
    words: int


def _code(found: re.Match[str]) -> str:
    return CODE * len(found[0])


def _blank(found: re.Match[str]) -> str:
    return BREAK + " " * (len(found[0]) - 1)


def _inline(text: str) -> str:
    """Return the text with code, formulas and addresses masked."""
    text = re.sub(r"(?:\{[\w:]+\})?(?::[\w:]+:)?(`+)[^`].*?\1_?", _code, text, flags=re.DOTALL)
    text = re.sub(r"\$[^$]+\$", _code, text)
    return re.sub(r"(?<=\])\([^)\s]*\)", lambda found: " " * len(found[0]), text)


def masked_page(text: str) -> str:
    """Return a page of Markdown, of the same length, with code masked and a break between its paragraphs."""
    out: list[str] = []
    fences: list[tuple[str, bool]] = []
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        fence = re.match(r"(`{3,}|:{3,})\s*(?:\{([\w-]+)\})?", bare)
        if fence and fences and bare == fences[-1][0]:
            fences.pop()
            out.append(BREAK + " " * (len(line) - 1))
        elif fence and (not fences or fences[-1][1]):
            fences.append((fence[1], fence[2] in WITH_PROSE))
            out.append(BREAK + " " * (len(line) - 1))
        elif (fences and (not fences[-1][1] or bare.startswith(":"))) or not bare or bare.startswith("#"):
            out.append(BREAK + " " * (len(line) - 1))
        elif bare.startswith("|"):
            out.append(re.sub(r"\||\n", BREAK, _inline(line)))
        elif bare.startswith(("![", "[![", "<")):
            out.append(BREAK + " " * (len(line) - 1))
        else:
            out.append(re.sub(r"^ *(?:[-*]|\d+\.) ", _blank, line))
    return _inline(re.sub(r"\$\$.*?\$\$", _blank, "".join(out), flags=re.DOTALL))


def masked_docstring(text: str) -> str:
    """Return a docstring, of the same length, with code masked and a break between its paragraphs."""
    out: list[str] = []
    lines = text.splitlines(keepends=True)
    depth, code, formula = -1, False, -1
    for k, line in enumerate(lines):
        bare = line.strip()
        indent = len(line) - len(line.lstrip())
        if formula >= 0 and bare and indent <= formula:
            formula = -1
        code = bool(bare) and (code or bare.startswith(">>>"))
        if bare.startswith((".. math::", ".. code")):
            formula = indent
        title = k + 1 < len(lines) and re.fullmatch(r" *-{3,}\s*", lines[k + 1])
        table = bare.startswith(("===", "---"))
        if not bare or code or formula >= 0 or title or table or bare.startswith("|"):
            out.append(BREAK + " " * (len(line) - 1) if line else line)
            depth = -1
            continue
        line = re.sub(r"^ *(?:[-*]|\d+\.) ", _blank, line)
        # Where the indent changes, another paragraph begins: a parameter's name, or what it is.
        out.append(BREAK + line[1:] if indent != depth and line[:1] == " " else line)
        if indent != depth and line[:1] != " " and depth >= 0 and out[-2:]:
            out[-2] = out[-2][:-1] + BREAK
        depth = indent
    return _inline("".join(out))


def words(sentence: str) -> int:
    """Return the number of words; a formula, or several with nothing but signs between, is one word."""
    count, formula = 0, False
    for word in sentence.split():
        mathematical = CODE in word or bool(_MATHEMATICAL.search(word.strip(".,;:()")))
        count += not (mathematical and formula)
        formula = mathematical and not word.endswith((",", ";", ":")) and CODE not in word
    return count


def sentences(where: str, text: str, masked: str) -> Iterator[Sentence]:
    """Yield the sentences of a text, given its masked copy."""
    start = 0
    for end in [*(found.end() for found in _END.finditer(masked)), len(masked)]:
        piece = masked[start:end]
        if _ABBREVIATION.search(piece):
            continue
        bare = piece.strip(f" \n{BREAK}")
        if len(bare.split()) > 2:
            first = start + piece.index(bare[0])
            last = first + len(bare)
            yield Sentence(where, first, last, text[first:last], words(bare))
        start = end


def of_page(page: str) -> list[Sentence]:
    """Return a page's sentences."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return list(sentences(page, text, masked_page(text)))


def of_docstring(name: str, docstring: str) -> list[Sentence]:
    """Return a docstring's sentences."""
    return list(sentences(name, docstring, masked_docstring(docstring)))


def public_docstrings() -> Iterator[tuple[str, str]]:
    """Yield the names of docs/api.md with their docstrings: of modules, functions, classes, and their members."""
    api = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    parts = re.split(r"^\.\. currentmodule:: (\S+)$", api, flags=re.MULTILINE)
    seen: set[int] = set()
    for room, body in zip(parts[1::2], parts[2::2], strict=True):
        module = importlib.import_module(room)
        if module.__doc__ and id(module) not in seen:
            seen.add(id(module))
            yield room, inspect.cleandoc(module.__doc__)
        for name in re.findall(r"^   (\w+)$", body, re.MULTILINE):
            value = getattr(module, name)
            if value.__doc__ and id(value) not in seen:
                seen.add(id(value))
                yield f"{room}.{name}", inspect.cleandoc(value.__doc__)
                for member, attribute in vars(value).items() if inspect.isclass(value) else ():
                    function = getattr(attribute, "__func__", getattr(attribute, "fget", attribute))
                    if not member.startswith("_") and inspect.isfunction(function) and function.__doc__:
                        yield f"{room}.{name}.{member}", inspect.cleandoc(function.__doc__)


def main() -> None:
    """Print the sentences of pages and public docstrings that have more words than the first argument."""
    most = int(sys.argv[1])
    pages = [one for page in PAGES for one in of_page(page)]
    docstrings = [one for name, text in public_docstrings() for one in of_docstring(name, text)]
    for one in pages + docstrings:
        if one.words > most:
            print(f"{one.where}, {one.words}: {' '.join(one.text.split())}")


if __name__ == "__main__":
    main()
