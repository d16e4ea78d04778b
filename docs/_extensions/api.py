"""What the API's pages need: citations in docstrings, films of the gallery's scripts, and a list of the figures.

``{figures}`` lists the paper-style figures with their titles and captions.
"""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx_gallery.scrapers import figure_rst

ROOT = Path(__file__).parents[2]


_CITED = re.compile(r"\[([A-Z][A-Za-z]+\d{4}[a-z]?)\]_")
_BAR = re.compile(r"(``.*?``)|(?<!\\)\|")


def written(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn the citations of a docstring, [Key]_, into the bibliography's, and keep |λ| from being a substitution."""
    code = formula = False
    for k, line in enumerate(lines):
        text = line.strip()
        code = text.startswith(">>>") or (code and bool(text))
        formula = text.startswith(".. math::") or (formula and (not text or line.startswith("   ")))
        if not code and not formula:
            line = _BAR.sub(lambda found: found[1] or r"\|", line)
        lines[k] = line if code else _CITED.sub(r":cite:t:`\1`", line)


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the film that a script's variables name; pictures are pyplot's, which Sphinx-Gallery saves by itself."""
    paths: list[str] = []
    for value in list(block_vars["example_globals"].values()):
        if isinstance(value, Path) and value.suffix == ".gif" and value.exists():
            paths.append(str(Path(next(block_vars["image_path_iterator"])).with_suffix(".gif")))
            value.rename(paths[-1])
    return figure_rst(paths, gallery_conf["src_dir"])


class Figures(SphinxDirective):
    """Every figure of figures/: small pictures of all, then each with its title, caption and command."""

    def run(self) -> list[nodes.Node]:
        """Read the scripts' docstrings."""
        overview = nodes.container(classes=["thumbnails"])
        out: list[nodes.Node] = [overview]
        for name in _names():
            script = ROOT / "figures" / f"{name}.py"
            self.env.note_dependency(str(script))
            title, _, caption = (
                ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
            ).partition("\n")
            anchor = f"figure-{name.replace('_', '-')}"
            heading = nodes.rubric(text=title.rstrip("."), ids=[anchor])
            out.append(heading)
            picture = ROOT / "docs" / "images" / f"{name}.png"
            if picture.exists():
                with Image.open(picture) as opened:  # all at one scale, whatever their width
                    width = f"{opened.width // 2}px"
                out.append(nodes.image(uri=f"images/{name}.png", alt=title, width=width))
                paragraph = nodes.paragraph()
                link = nodes.reference("", "", refid=anchor)
                link += nodes.image(uri=f"images/{name}.png", alt="")
                link += nodes.inline(text=title.rstrip("."))
                paragraph += link
                overview += paragraph
            paragraph = nodes.paragraph(text=" ".join(caption.split()) + " ")
            paragraph += nodes.literal(text=f"selfstab figure {name}")
            out.append(paragraph)
        return out


def _names() -> list[str]:
    return list(importlib.import_module("figures").NAMES)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register what is above."""
    app.add_directive("figures", Figures)
    app.connect("autodoc-process-docstring", written)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
