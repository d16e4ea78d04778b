"""Derivations as LaTeX and as HTML: complete, well formed, self-contained; and what the command line does with them."""

import html
import importlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import sympy as sp
from click.testing import CliRunner

import derivations
from derivations import pages
from derivations.__main__ import scripts
from selfstab.cli.program import main

HOME = Path(derivations.__file__).parent


@pytest.fixture(scope="module")
def modules():
    return {name: importlib.import_module(f"derivations.{name}") for name in scripts()}


def test_latex_of_all(modules):
    """Protects the document: ASCII only, braces and environments balanced, an item for every step."""
    text = pages.latex(modules)
    assert text.isascii(), sorted({c for c in text if not c.isascii()})
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text.replace(r"\\", "")):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    for environment in ("document", "enumerate", "quote"):
        assert text.count(f"\\begin{{{environment}}}") == text.count(f"\\end{{{environment}}}")
    assert text.count("\\[") == text.count("\\]")
    assert text.count("\\item ") == sum(len(script.PROOF.steps) for script in modules.values())
    prose = without_math(text.partition("\\begin{document}")[2])
    assert not re.search(r"(?<!\\)[_^&#$%]", prose)


def without_math(text):
    """Return LaTeX without its displayed formulas and what stands in math mode within prose."""
    text, out, depth = re.sub(r"\\\[.*?\\\]", "", text, flags=re.DOTALL), "", 0
    for part in re.split(r"(\\ensuremath\{|\\[{}]|[{}])", text):
        if part == "\\ensuremath{" or (depth and part == "{"):
            depth += 1
        elif depth and part == "}":
            depth -= 1
        elif not depth:
            out += part
    return out


def test_html_of_all(modules, tmp_path):
    """Protects the pages: well formed, every step and result with its formula, links that lead somewhere, no net."""
    index = pages.write_html(modules, tmp_path / "pages")
    assert {path.stem for path in index.parent.iterdir()} == {"index", *modules}
    for path in index.parent.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?:|<script|<img|@import|url\(", text)
        body = re.search(r"<body>.*</body>", text, re.DOTALL)[0]
        root = ET.fromstring(re.sub(r"&(?!lt;|gt;|amp;|quot;|#)\w+;", lambda m: html.unescape(m[0]), body))
        assert all((path.parent / link.get("href")).is_file() for link in root.iter("a"))
        if path == index:
            continue
        script = modules[path.stem]
        shown = [formula for _, formula in script.PROOF.shown()]
        assert len(list(root.iter("li"))) == len(shown)
        displayed = [formula for formula in root.iter("math") if formula.get("display") == "block"]
        assert len(displayed) == sum(f is not None for f in shown) + len(script.RESULTS)
        assert [code.text for code in root.findall("p/code") if code.text in script.RESULTS] == list(
            script.RESULTS
        )


def test_marks_in_prose():
    """Protects sub- and superscripts, fractions and names of derivations in prose."""
    text = "x_{t+1} = (−1)^t A_t, ½κ² <= ȧ (a4_inertia)"
    written = pages.html_text(text, {"a4_inertia"})
    assert written.endswith('(<a href="a4_inertia.html"><code>a4_inertia</code></a>)')
    assert "<msub><mi>x</mi><mrow><mi>t</mi><mo>+</mo><mn>1</mn></mrow></msub>" in written
    assert "<mfrac><mn>1</mn><mn>2</mn></mfrac><msup><mi>κ</mi><mrow><mn>2</mn></mrow></msup>" in written
    assert "<mo form='infix'>≤</mo><mover accent='true'><mi>a</mi><mo>˙</mo></mover>" in written
    assert pages.latex_text(text).replace("\\ensuremath", "") == (
        r"x{_{t+1}} = ({-}1){^{t}} A{_{t}}, {\tfrac{1}{2}}{\kappa}{^{2}} {\le} {\dot{a}} (\texttt{a4\_inertia})"
    )


def test_blocks_of_a_docstring(modules):
    """Protects the layout of statements: paragraphs, set-off lines, items of lists with lines of their own."""
    found = pages.blocks(modules["a5_deviation"])
    assert (True, "σ = S·S''/b²,    τ = (S/b²)·(L₄[u, u, u, u]/6 − ½∇S·H⁺∇S),") in found
    items = [text for set_off, text in found if not set_off and pages.ITEM.match(text)]
    assert [item.partition(" ")[0] for item in items] == ["(i)", "(ii)", "(iii)", "(iv)"]
    assert items[2].endswith("gives the series.")  # its second line belongs to it


def test_formulas_have_the_threshold_as_it_is_written():
    """Protects S*: SymPy's S_star is shown so in both forms."""
    threshold = sp.Symbol("S_star")
    assert pages.latex_formula(threshold) == "S^{*}"
    assert "<msup><mi>S</mi><mo>*</mo></msup>" in pages.mathml(threshold)


def test_formulas_that_sympy_prints_amiss():
    """Protects d²Z/ds² and Z(s): SymPy writes d²/d²s and a function's name in small letters."""
    s = sp.Symbol("s")
    function = sp.Function("Z")(s)
    written = re.sub(r"</?(?:mrow|math|div)[^>]*>", "", pages.mathml(sp.diff(function, s, 2)))
    name = "<mi>Z</mi><mo>(</mo><mi>s</mi><mo>)</mo>"
    over = "<msup><mi>d</mi><mn>2</mn></msup>"
    assert written == f"<mfrac>{over}<mi>d</mi><msup><mi>s</mi><mn>2</mn></msup></mfrac>{name}"
    assert "<mo>|</mo>" in pages.mathml(sp.diff(function, s).subs(s, -s))
    assert pages.mathml(sp.exp(s)).count("<mi>e</mi>") == 1


def test_command(tmp_path):
    """Protects `selfstab derive`: LaTeX on standard output, pages in a folder, bad input in one line."""
    run = CliRunner().invoke
    printed = run(main, ["derive", "q1", "--latex"])
    assert printed.exit_code == 0
    assert printed.output.startswith("\\documentclass{article}\n")
    assert printed.output.endswith("\\end{document}\n")
    written = run(main, ["derive", "q1", "--html", str(tmp_path / "pages")])
    assert written.exit_code == 0
    assert (tmp_path / "pages" / "q1_modes.html").is_file()
    for arguments, message in (
        (["--latex", "--html", str(tmp_path)], "latex and html must not be given both"),
        (["--html", str(tmp_path / "no" / "pages")], "html must be in a folder that exists, got "),
    ):
        refused = run(main, ["derive", "q1", *arguments])
        assert refused.exit_code == 2
        assert refused.stderr.startswith(f"Error: {message}")
        assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["derivations"], ["selfstab.cli", "derive"]])
def test_a_reader_that_leaves_early(command):
    """Protects `| head`: no traceback, no message."""
    run = subprocess.Popen(
        [sys.executable, "-m", *command, "q1"], cwd=HOME.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )  # fmt: skip
    run.stdout.readline()
    run.stdout.close()
    message = run.stderr.read()
    run.stderr.close()
    assert run.wait() in (0, 1)
    assert message == b""
