"""Put the playable story beside the manual's pages, with links to them: docs/catapults.html, as ``catapults.html``."""

from __future__ import annotations

from pathlib import Path

import story_page
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the story into a finished HTML manual."""
    if error is not None or app.builder.format != "html":
        return
    if missing := [page for page in story_page.LINKS if page not in app.env.found_docs]:
        raise ExtensionError(f"the story links to pages that the manual does not have: {', '.join(missing)}")
    addresses = {page: app.builder.get_target_uri(page) for page in story_page.LINKS}
    text = story_page.linked(story_page.PAGE.read_text(encoding="utf-8"), addresses)
    (Path(app.outdir) / story_page.PAGE.name).write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register what is written at the end."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
