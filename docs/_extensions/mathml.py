"""Formulas as MathML: browsers lay it out themselves, so that a page needs neither a network nor a script."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, tex2unichar
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

_LOGGER = logging.getLogger(__name__)

_ACCENTED = re.compile(r"<mover[^>]*>\s*<mi>(.)</mi>\s*<mo[^>]*>([˙~ˉ])</mo>\s*</mover>")
# docutils sets the index of an accented letter below it.
_INDEXED = re.compile(
    r"<munderover[^>]*>\s*<mi>(.)</mi>\s*(.*?)\s*<mo[^>]*>([˙~ˉ])</mo>\s*</munderover>", re.DOTALL
)
# Docstrings have formulas with letters and signs that LaTeX writes as commands.
_COMMANDS = str.maketrans(
    {
        character: f"\\{command} "
        for table in (tex2unichar.mathbin, tex2unichar.mathrel, tex2unichar.mathord)
        for command, character in table.items()
        if len(character) == 1 and not character.isascii()
    }
    | {
        "·": r"\cdot ", "‖": r"\| ", "√": r"\surd ", "⊥": r"\perp ", "−": "-", "½": r"\tfrac{1}{2}",
        "¼": r"\tfrac{1}{4}", "⟨": r"\langle ", "⟩": r"\rangle ", "²": "^2", "³": "^3",
    }
)  # fmt: skip
LONG = 26
"""Letters and signs of a formula within a line, beyond which it scrolls by itself on a phone."""
_COMBINING = {"˙": "\u0307", "~": "\u0303", "ˉ": "\u0304"}


def _written(node: nodes.Element, as_block: bool) -> str:
    try:
        written = str(tex2mathml(node.astext().translate(_COMMANDS), as_block=as_block))
    except (
        MathError
    ) as error:  # a warning has the formula's page and line, and fails the build like all warnings
        _LOGGER.warning("%s in the formula %s", error, node.astext(), location=node)
        return ""
    # Without a mathematical font browsers put an accent into the letter: a combining one stays above it.
    written = _INDEXED.sub(r"<msub><mover><mi>\1</mi><mo>\3</mo></mover>\2</msub>", written)
    return _ACCENTED.sub(lambda found: f"<mi>{found[1]}{_COMBINING[found[2]]}</mi>", written)


def _inline(writer: Any, node: nodes.math) -> None:
    written = _written(node, as_block=False)
    if len(re.sub(r"<[^>]*>|\s", "", written)) > LONG:
        written = f'<span class="long-formula">{written}</span>'
    writer.body.append(written)
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="formula">{_written(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer; html_math_renderer chooses it."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
