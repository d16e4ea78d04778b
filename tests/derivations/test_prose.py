"""Formulas within prose: which runs of signs are one, and how they are written as MathML."""

import ast
import html
import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from derivations import prose

DERIVATIONS = Path(prose.__file__).parent


def shown(text):
    """Return the formulas of a text, without their spaces."""
    return [
        "".join(piece for kind, piece in run if kind != "space")
        for run, formula in prose.formulas(text)
        if formula
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the orbit leaves (a, y) = (0, 1) on a manifold", ["(a,y)=(0,1)"]),
        ("In 28 steps, as in (i) or (b), the n-th is a fast one.", ["n"]),
        ("so that H is Damian et al.'s, and y's sign", ["H", "y"]),
        ("a' + κa'' = ya,    y' = −a²/2, with ρ = 1", ["a'+κa''=ya", "y'=−a²/2", "ρ=1"]),
        ("the drop is 2y₀G(κ) up to terms of order ρ²κ³.", ["2y₀G(κ)", "ρ²κ³"]),
        ("y = −y₀ tanh rt falls", ["y=−y₀tanhrt"]),
        ("by 2y0 G(κ), as in A1, is below GD's", ["2y₀", "G(κ)"]),
        ("No formula at all, and 3.5 percent of 12.", []),
    ],
)
def test_formulas_are_found(text, expected):
    """Protects prose from letters in italics, and formulas from upright ones."""
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("x_{t+1}", "<msub><mi>x</mi><mrow><mi>t</mi><mo>+</mo><mn>1</mn></mrow></msub>"),
        (
            "Σ_(j<=1)",
            "<msub><mi mathvariant='normal'>Σ</mi><mrow><mi>j</mi><mo>≤</mo><mn>1</mn></mrow></msub>",
        ),
        ("y_f²", "<msubsup><mi>y</mi><mrow><mi>f</mi></mrow><mrow><mn>2</mn></mrow></msubsup>"),
        ("√(2α)", "<msqrt><mn>2</mn><mi>α</mi></msqrt>"),
        ("S*", "<msup><mi>S</mi><mrow><mo>*</mo></mrow></msup>"),
        ("κ_e⁴", "<msubsup><mi>κ</mi><mrow><mi>e</mi></mrow><mrow><mn>4</mn></mrow></msubsup>"),
        (
            "−tanh² rt",
            f"<mo>−</mo><msup><mi>tanh</mi><mrow><mn>2</mn></mrow></msup>{prose.THIN}<mi>r</mi><mi>t</mi>",
        ),
        ("Ȧ", "<mover accent='true'><mi>A</mi><mo>˙</mo></mover>"),
        ("½a''", "<mfrac><mn>1</mn><mn>2</mn></mfrac><msup><mi>a</mi><mrow><mo>″</mo></mrow></msup>"),
    ],
)
def test_formulas_are_typeset(text, inner):
    """Protects scripts, roots, fractions and accents."""
    assert prose.typeset(text) == f"<math>{inner}</math>"


def test_punctuation_stays_beside_its_formula():
    """Protects the ends of lines: neither a stop begins one, nor an opening bracket ends one."""
    joiner = prose.JOINER
    written = re.sub(r"<math>.*?</math>", "F", prose.typeset("the drop (−½κ² there) is y₀."))
    assert written == f"the drop ({joiner}F there) is F{joiner}."


@pytest.mark.parametrize("path", sorted(DERIVATIONS.glob("[aqm]*_*.py")), ids=lambda path: path.stem)
def test_no_sign_is_lost(path):
    """Protects the proofs: what a page shows has the letters and digits of docstring and claims."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    claims = [call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)]
    texts = [str(ast.get_docstring(tree)), *(claim for claim in claims if isinstance(claim, str))]
    assert len(texts) > 2
    for text in texts:
        written = "".join(ET.fromstring(f"<p>{prose.typeset(text)}</p>").itertext())
        assert sorted(letters(written)) == sorted(letters(text))


def test_predictions_are_typeset():
    """Protects the tables of results: no sign is lost, and no script, root or y0 is left as plain text."""
    table = DERIVATIONS.parent / "docs" / "theory" / "predictions.json"
    columns = json.loads(table.read_text(encoding="utf-8"))["data_vars"]
    texts = {text for name in ("statement", "where", "small_parameter") for text in columns[name]["data"]}
    assert len(texts) > 100
    for text in texts:
        root = ET.fromstring(f"<p>{prose.typeset(text)}</p>")
        assert sorted(letters("".join(root.itertext()))) == sorted(letters(text))
        plain = "".join(piece for run, formula in prose.formulas(text) if not formula for _, piece in run)
        assert not re.search(r"(?<![a-z]{3})[_²³]|[√^]|y0|y₀", plain), text


def letters(text):
    """Return letters and digits, with raised, lowered and composed ones as plain ones."""
    text = unicodedata.normalize("NFKD", html.unescape(text).replace("<=", "≤").replace(">=", "≥"))
    return [one for one in text if one.isalnum()]
