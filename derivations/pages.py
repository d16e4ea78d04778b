"""A derivation as LaTeX text and as an HTML page whose formulas are MathML: neither needs a network or a script."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import sympy as sp
from sympy.printing.mathml import MathMLPresentationPrinter

from . import prose

WANTED = {
    "<msub><mi>S</mi><mi>star</mi></msub>": "<msup><mi>S</mi><mo>*</mo></msup>",  # S_star
    "<mi>epsilondot</mi>": "<mover accent='true'><mi>&#949;</mi><mo>&#729;</mo></mover>",
    "<mi>log</mi>": "<mi>ln</mi>",
    "<mo>-</mo>": "<mo>&#8722;</mo>",  # a hyphen
    "&ExponentialE;": "e",
}
HEADINGS = ("Statement.", "Assumptions.", "Steps.")
CHARACTER = re.compile(r".[\u0300-\u036f]*", re.DOTALL)  # with its combining marks
ITEM = re.compile(r"\([ivx]+\) *")
PARTS = re.compile(
    r"(?P<name>\b[aqm]\d+b?_[a-z_]+\b)"  # another derivation, as prose cites it
    r"|(?P<code>``[^`]+``)"
    r"|(?P<kind>[_^])(?P<body>\{[^{}]*\}|[−-]?\w+|†|\*)"  # x_t, e^{−rt}, w^†
)
CITED = re.compile(r"(?P<name>\b[aqm]\d+b?_[a-z_]+\b)|(?P<code>``[^`]+``)")

MATH = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau",
    "φ": "varphi", "χ": "chi", "ψ": "psi", "ω": "omega",
    "Γ": "Gamma", "Δ": "Delta", "Λ": "Lambda", "Σ": "Sigma", "Ω": "Omega", "Φ": "Phi", "Π": "Pi",
    "∇": "nabla", "∂": "partial", "√": "surd", "∫": "textstyle\\int", "∞": "infty", "±": "pm", "×": "times",
    "·": "cdot", "≪": "ll", "≫": "gg", "≤": "le", "≥": "ge", "≠": "ne", "→": "to", "⟨": "langle", "⟩": "rangle",
    "∈": "in", "∋": "ni", "∝": "propto", "≈": "approx", "⊥": "perp", "†": "dagger", "∘": "circ", "∏": "prod",
    "←": "leftarrow", "⋯": "cdots", "‖": "Vert", "∓": "mp", "ℓ": "ell", "…": "dots", "ϕ": "phi",
}  # fmt: skip
RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹ⁿᵗ⁻⁺ᵀᵏ", "0123456789nt-+Tk", strict=True))
LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₙⱼᵢₜ", "0123456789+-njit", strict=True))
FRACTIONS = {"½": "12", "⅓": "13", "⅔": "23", "¼": "14", "¾": "34", "⅙": "16"}
OVER = {
    "\u0304": "bar",
    "\u0307": "dot",
    "\u0303": "tilde",
    "\u0302": "hat",
    "\u0308": "ddot",
}  # combining marks
PLAIN = {
    "−": "\\ensuremath{-}",
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
}


# -- the statement's text ----------------------------------------------------------------------------------------
def title(script: ModuleType) -> str:
    """Return the first line of a script's docstring."""
    return str(script.__doc__).strip().partition("\n")[0]


def blocks(script: ModuleType) -> list[tuple[bool, str]]:
    """Return the docstring after its title as paragraphs (False) and lines set off by their indent (True)."""
    out: list[tuple[bool, str]] = []
    for paragraph in str(script.__doc__).strip().split("\n\n")[1:]:
        indent, fresh = 4, True  # a set-off line's indent; within an item of a list it is further in
        for line in paragraph.splitlines():
            item = ITEM.match(line)
            if item:
                indent = 4 + item.end()
            set_off = not fresh and line.startswith(" " * indent)
            if fresh or item or set_off or out[-1][0]:
                out.append((set_off, line.strip()))
            else:
                out[-1] = (False, f"{out[-1][1]} {line.strip()}")
            fresh = False
    return out


def marked(
    text: str, plain: Callable[[str], str], name: Callable[[str], str], script: Callable[[str, str], str]
) -> str:
    """Return the text with its names of derivations and its sub- and superscripts marked up, the rest by `plain`."""
    out, end = "", 0
    for match in PARTS.finditer(text):
        out += plain(text[end : match.start()])
        if match["name"]:
            out += name(match["name"])
        elif match["code"]:
            out += plain(match["code"].strip("`"))
        else:
            out += script(match["kind"], match["body"].strip("{}"))
        end = match.end()
    return out + plain(text[end:])


# -- LaTeX -------------------------------------------------------------------------------------------------------
def latex(scripts: Mapping[str, ModuleType]) -> str:
    """Return a document of plain ASCII that any LaTeX with amsmath and amssymb compiles."""
    return "\n".join([LATEX_HEAD, *(_latex_section(s) for s in scripts.values()), "\\end{document}"])


def _latex_section(script: ModuleType) -> str:
    lines = [f"\\section*{{{latex_text(title(script))}}}", ""]
    for set_off, text in blocks(script):
        written = latex_text(text)
        lines += [f"\\begin{{quote}}{written}\\end{{quote}}" if set_off else written, ""]
    lines.append("\\begin{enumerate}")
    for claim, formula in script.PROOF.shown():
        lines.append(f"\\item {latex_text(claim)}")
        if formula is not None:
            lines.append(f"\\[ {latex_formula(formula)} \\]")
    lines += ["\\end{enumerate}", "\\paragraph{Results}", ""]
    for name, value in script.RESULTS.items():
        lines += [f"\\noindent\\texttt{{{_code(name)}}}:", f"\\[ {latex_formula(value)} \\]"]
    return "\n".join([*lines, ""])


def latex_formula(value: sp.Basic) -> str:
    """Return a formula for math mode, in ASCII: symbols named by a Unicode letter get its command."""
    written = sp.latex(value, ln_notation=True).replace("S_{star}", "S^{*}")
    return "".join(c if c.isascii() else f"{{{_latex_character(c)}}}" for c in written)


def latex_text(text: str) -> str:
    """Return prose with its formulas, which are written in Unicode, as LaTeX."""

    def script(kind: str, body: str) -> str:
        return f"\\ensuremath{{{kind}{{{latex_text(body)}}}}}" if body != "*" else "\\ensuremath{^{*}}"

    return marked(
        text,
        lambda part: "".join(
            map(_latex_character, CHARACTER.findall(part.replace("<=", "≤").replace(">=", "≥")))
        ),
        lambda name: f"\\texttt{{{_code(name)}}}",
        script,
    )


def _code(name: str) -> str:
    return name.replace("_", "\\_")


def _latex_character(character: str) -> str:
    if character in MATH:
        return f"\\ensuremath{{\\{MATH[character]}}}"
    for table, kind in ((RAISED, "^"), (LOWERED, "_")):
        if character in table:
            return f"\\ensuremath{{{kind}{{{table[character]}}}}}"
    if character in FRACTIONS:
        over, under = FRACTIONS[character]
        return f"\\ensuremath{{\\tfrac{{{over}}}{{{under}}}}}"
    if character in PLAIN:
        return PLAIN[character]
    letter, *marks = unicodedata.normalize("NFD", character)
    if marks:
        core = f"\\{MATH[letter]}" if letter in MATH else letter
        return f"\\ensuremath{{\\{OVER[marks[0]]}{{{core}}}}}"
    return f"\\{character}" if character in "_&%#${}" else character


LATEX_HEAD = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{amsmath,amssymb}
\usepackage[margin=2.5cm]{geometry}
\allowdisplaybreaks
\sloppy
\begin{document}
"""


# -- HTML --------------------------------------------------------------------------------------------------------
def write_html(scripts: Mapping[str, ModuleType], folder: Path) -> Path:
    """Write a page for each script and index.html, which lists them; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, script in scripts.items():
        page = HTML.format(title=html.escape(title(script)), body=_html_body(name, script, tuple(scripts)))
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    listed = "\n".join(
        f'<li><a href="{name}.html">{html_text(title(script), ())}</a> '
        f"<small>{name}, {len(script.PROOF.steps)} steps</small></li>"
        for name, script in scripts.items()
    )
    body = (
        f"<h1>Derivations</h1>\n<p>Every step was asserted when this was written.</p>\n<ul>\n{listed}\n</ul>"
    )
    index = folder / "index.html"
    index.write_text(HTML.format(title="Derivations", body=body), encoding="utf-8")
    return index


def _html_body(name: str, script: ModuleType, known: tuple[str, ...]) -> str:
    lines = [f"<h1>{html_text(title(script), known)}</h1>"]
    for set_off, text in blocks(script):
        written = html_text(text, known)
        word = next((w for w in HEADINGS if text.startswith(w)), "")
        if word:
            written = f"<b>{word}</b>{written.removeprefix(word)}"
        lines.append(f'<p class="formula">{written}</p>' if set_off else f"<p>{written}</p>")
    lines += ["<h2>Steps, each asserted</h2>", "<ol>"]
    for claim, formula in script.PROOF.shown():
        lines.append(f"<li>{html_text(claim, known)}{'' if formula is None else mathml(formula)}</li>")
    lines += ["</ol>", "<h2>Results</h2>"]
    for key, value in script.RESULTS.items():
        lines.append(f"<p><code>{html.escape(key)}</code></p>{mathml(value)}")
    lines.append(f'<p><small>derivations/{name}.py · <a href="index.html">all derivations</a></small></p>')
    return "\n".join(lines)


def html_text(text: str, known: Collection[str]) -> str:
    """Return prose with its formulas as HTML; names of `known` derivations become links to their pages."""
    out, end = "", 0
    for match in CITED.finditer(text):
        out += prose.typeset(text[end : match.start()])
        code = f"<code>{html.escape(match['name'] or match['code'].strip('`'))}</code>"
        out += f'<a href="{match["name"]}.html">{code}</a>' if match["name"] in known else code
        end = match.end()
    return out + prose.typeset(text[end:])


def mathml(value: sp.Basic) -> str:
    """Return a formula as a block of MathML."""
    inner = _Printer().doprint(value)
    for printed, wanted in WANTED.items():
        inner = inner.replace(printed, wanted)
    return f'<div class="scroll"><math display="block">{inner}</math></div>'


class _Printer(MathMLPresentationPrinter):
    """SymPy's printer, with functions by their own names and d²/dt² for second derivatives."""

    def _element(self, tag: str, *children: Any) -> Any:
        out = self.dom.createElement(tag)
        for child in children:
            out.appendChild(self.dom.createTextNode(child) if isinstance(child, str) else child)
        return out

    def _bracketed(self, *arguments: sp.Basic) -> Any:
        inner: list[Any] = []
        for argument in arguments:
            inner += [self._element("mo", ","), self._print(argument)]
        return self._element("mrow", self._element("mo", "("), *inner[1:], self._element("mo", ")"))

    def _print_AppliedUndef(self, e: Any) -> Any:
        return self._element("mrow", self._print(sp.Symbol(e.func.__name__)), self._bracketed(*e.args))

    def _print_Derivative(self, e: Any) -> Any:
        sign = "d" if len(e.expr.free_symbols) == 1 else "∂"

        def power(base: list[Any], exponent: sp.Basic) -> Any:
            row = self._element("mrow", *base)
            return row if exponent == 1 else self._element("msup", row, self._print(exponent))

        below = [
            part
            for variable, count in e.variable_count
            for part in (self._element("mi", sign), power([self._print(variable)], count))
        ]
        above = power([self._element("mi", sign)], sp.Integer(e.derivative_count))
        fraction = self._element("mfrac", self._element("mrow", above), self._element("mrow", *below))
        plain = isinstance(e.expr, sp.core.function.AppliedUndef)
        return self._element("mrow", fraction, self._print(e.expr) if plain else self._bracketed(e.expr))

    def _print_Subs(self, e: Any) -> Any:
        at = []
        for variable, value in zip(e.variables, e.point, strict=True):
            at += [self._print(variable), self._element("mo", "="), self._print(value)]
        bar = self._element("msub", self._element("mo", "|"), self._element("mrow", *at))
        return self._element("mrow", self._print(e.expr), bar)


HTML = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 17px/1.55 Georgia, "DejaVu Serif", serif; color: #222;
  max-width: 54rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; line-height: 1.25; }}
h2 {{ font-size: 1.15rem; margin-top: 2rem; }}
p.formula {{ margin: 0.3rem 0 0.3rem 2rem; white-space: pre-wrap; }}
li {{ margin: 0.5rem 0; }}
.scroll {{ overflow-x: auto; overflow-y: hidden; padding: 0.35rem 0; }}
math {{ font-size: 1.05rem; font-family: "STIX Two Math", "Latin Modern Math", "Cambria Math", math; }}
sub, sup {{ font-size: 0.72em; line-height: 0; }}
code {{ font-size: 0.85em; }}
a {{ color: #0a58a5; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
