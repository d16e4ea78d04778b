"""Pictures of a page's own examples: ``{picture}`` runs the Python above it and shows the figure that it draws.

A picture has the caption that stands in it and an alternative text, ``:alt:``. With ``:file: NAME`` it shows a file
that the examples write, such as a film, in place of the newest figure. Tests compare what the examples print.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import matplotlib.pyplot as plt
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
FOLDER = "generated/pictures"
"""Where pictures stand, below docs/."""
PIXELS_PER_INCH = 150
"""Of the page; the file has twice as many."""

_PICTURE = re.compile(r"^```\{picture\}", re.MULTILINE)
_EXAMPLES = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Page:
    """The examples of a page, run as far as its pictures need."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        self.ends = [match.start() for match in _PICTURE.finditer(self.text)]
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.folder = tempfile.TemporaryDirectory()
        self.position = 0
        self.pictures = 0

    def run(self) -> None:
        """Run the examples between the last picture and the next."""
        end = self.ends[self.pictures]
        source = "".join(_EXAMPLES.findall(self.text[self.position : end]))
        self.position, self.pictures = end, self.pictures + 1
        plt.close("all")
        with (
            contextlib.chdir(self.folder.name),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            for example in doctest.DocTestParser().get_examples(source):
                raises = contextlib.suppress(Exception) if example.exc_msg else contextlib.nullcontext()
                with raises:
                    exec(compile(example.source, "<example>", "single"), self.names)


class Picture(SphinxDirective):
    """The figure that the page's examples draw above this place."""

    has_content = True
    option_spec: ClassVar = {"alt": directives.unchanged_required, "file": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Run the examples, save the picture, and return it with its caption."""
        if not self.options.get("alt"):
            raise self.error("a picture needs an alternative text, :alt:")
        name = self.env.docname
        if self.env.current_document.get("examples") is None:
            self.env.current_document["examples"] = Page(Path(self.env.doc2path(name)))
        page = self.env.current_document["examples"]
        try:
            page.run()
        except Exception as error:  # whatever the example raises is the page's error
            raise self.error(f"an example above picture {page.pictures} of {name}: {error!r}") from error
        suffix = Path(self.options.get("file", ".png")).suffix or ".png"
        stem = f"{name.replace('/', '_')}_{page.pictures}"
        path = ROOT / "docs" / FOLDER / f"{stem}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nodes.image(uri=f"/{FOLDER}/{path.name}", alt=self.options["alt"])
        if "file" in self.options:
            shutil.copy(Path(page.folder.name) / self.options["file"], path)
        elif plt.get_fignums():
            figure = plt.gcf()
            figure.savefig(path, dpi=2 * PIXELS_PER_INCH)
            image["width"] = f"{round(figure.get_figwidth() * PIXELS_PER_INCH)}px"
            plt.close("all")
        else:
            raise self.error(f"the examples above picture {page.pictures} of {name} draw nothing")
        image["uri"], _ = self.env.relfn2path(image["uri"])
        image["uri"] = "/" + image["uri"]
        out = nodes.figure("", image)
        if self.content:
            out += nodes.caption("", "", *self.parse_inline(" ".join(self.content))[0])
        return [out]


def without_blank_lines(app: Sphinx, document: nodes.document) -> None:
    """Take the empty line from the end of a block of code, where doctest needs it and a reader does not."""
    for block in document.findall(nodes.literal_block):
        text = block.astext().rstrip()
        if block.rawsource == block.astext():
            block.rawsource = text
            block.children = []
            block += nodes.Text(text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and the change of blocks."""
    app.add_directive("picture", Picture)
    app.connect("doctree-read", without_blank_lines)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
