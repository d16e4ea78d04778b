"""Formulas within the prose of a derivation, found and written as MathML.

Docstrings and claims have their formulas as Unicode text: ``x_{t+1} = (−1)^t A_t``. A run of letters, numbers and signs
is a formula; words are not. What is not understood stays text.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Collection, Iterator
from itertools import pairwise

FUNCTIONS = frozenset(
    re.split(
        " ",
        "arcosh arg cos cosh csch det diag exp lim ln log lr max min op sech sgn sin sinh span tan tanh tr",
    )
)
WORDS = frozenset(re.split(" ", "al an as at be by do et gd go if in is it my no of on or so to up us we"))
"""Words of two letters, and GD for gradient descent; other pairs of letters are products, such as ya."""
PRODUCTS = frozenset(("ktA", "xyu"))
"""Products of three letters."""
RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹ⁿᵗ⁻⁺ᵀᵏ", "0123456789nt−+Tk", strict=True))
LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₙⱼᵢₜ", "0123456789+−njit", strict=True))
FRACTIONS = {"½": "12", "⅓": "13", "⅔": "23", "¼": "14", "¾": "34", "⅙": "16"}
RELATIONS = frozenset("=<>≤≥≠≈~→←≪≫∝∈∋")
OPERATORS = RELATIONS | frozenset("+−±∓·×/∘")
TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<item>\((?:i{1,3}|i?v|vi{1,3})\)|(?<!\S)\([a-h]\)|(?<=[\w.])'s\b|(?<=\w)-th\b|\b[AMQ]\d+b?\b)"
    r"|(?P<dots>\.\.\.|…|⋯)"
    r"|(?P<number>\d+(?:[.,]\d+)*(?:e[−-]?\d+)?)"
    r"|(?P<word>[A-Za-z]{2,}(?![\u0300-\u036f])(?:[-'’][A-Za-z]+)*)"
    r"|(?P<letter>[A-Za-zͰ-Ͽ∇∂∞ℓ][\u0300-\u036f]*)"
    rf"|(?P<raised>[{''.join(RAISED)}]+)"
    rf"|(?P<lowered>[{''.join(LOWERED)}]+)"
    rf"|(?P<fraction>[{''.join(FRACTIONS)}])"
    r"|(?P<script>(?<=Σ)_\([^()]*\)|[_^](?:\{[^{}]*\}|[−-]?(?:max|min|on|sat|eff|[a-z]|[A-Z]+|\d+|[Ͱ-Ͽ])|†|\*))"
    r"|(?P<prime>'{1,3})"
    r"|(?P<side>(?<=\w)±(?![\w½(√]))"
    r"|(?P<sign><=|>=|.)",
    re.DOTALL,
)
SIGNS = {"<=": "≤", ">=": "≥"}
MARKS = {"\u0304": "‾", "\u0307": "˙", "\u0303": "~", "\u0302": "^", "\u0308": "¨"}
"""Combining marks, and the signs that MathML sets above a letter."""
PRIMES = {"'": "′", "''": "″", "'''": "‴"}
OPENING = {"(": ")", "[": "]", "{": "}", "⟨": "⟩"}
CLOSING = (".", ",", ";", ":", ")", "]", "'", "?")
THIN = "<mspace width='0.17em'/>"
"""The space around a function's name."""
JOINER = "\u2060"
"""Keeps a formula and the punctuation beside it on one line."""
LONG = 24
"""Letters and signs of a piece of a formula, beyond which a line may also end at a sum's signs."""
_Token = tuple[str, str]


def tokens(text: str) -> list[_Token]:
    """Return the kinds and texts of the pieces of a text."""
    out: list[_Token] = []
    text = text.replace("y0", "y₀")  # as predictions write it
    text = "".join(unicodedata.normalize("NFD", one) if one.isalpha() else one for one in text)
    for match in TOKEN.finditer(text):
        kind, piece = str(match.lastgroup), match[0]
        if kind == "word" and piece not in FUNCTIONS and _is_product(piece):
            out += [("letter", letter) for letter in piece]
        else:
            out.append(
                ("function" if kind == "word" and piece in FUNCTIONS else kind, SIGNS.get(piece, piece))
            )
    return out


def _is_product(word: str) -> bool:
    return word in PRODUCTS or (len(word) == 2 and word.lower() not in WORDS)


def _atom(token: _Token) -> bool:
    return token[0] in ("letter", "number", "fraction", "function", "dots") or token[1] in (
        "√",
        "Σ",
        "∫",
        "∏",
    )


def _tight(token: _Token) -> bool:
    """Return whether a piece belongs to what is before it."""
    return token[0] in ("raised", "lowered", "script", "prime", "side") or token[1] in ("*", "†", "⊥")


def _named(pieces: list[_Token], k: int) -> bool:
    """Return whether the pieces before k are a function's name with its scripts, such as tanh²."""
    while k and _tight(pieces[k - 1]):
        k -= 1
    return k > 0 and pieces[k - 1][0] == "function"


def _end(pieces: list[_Token], start: int) -> int:
    """Return where the formula that starts at a piece ends."""
    k, depth, end = start, 0, start
    expected: list[str] = []
    while k < len(pieces):
        kind, text = pieces[k]
        if kind in ("word", "item") or (kind == "sign" and text in '.;:"“”`'):
            break
        elif kind == "space":
            before, after = pieces[k - 1], pieces[k + 1] if k + 1 < len(pieces) else ("word", "")
            joined = before[1] in OPERATORS or after[1] in OPERATORS or _named(pieces, k)
            joined = (
                joined or (depth > 0 and before[1] == ",") or before[1] in ("Σ", "∫") or after[0] == "dots"
            )
            joined = (
                joined
                or (before[0] != "sign" and after[0] == "function")
                or (depth > 0 and (_atom(after) or after[1] == "|"))
            )
            if not joined or (len(text) > 1 and "\n" not in text):
                break
            k += 1
            continue
        elif kind == "sign" and text in OPENING:
            expected.append(OPENING[text])
            depth += 1
            k += 1
        elif expected and text == expected[-1]:
            expected.pop()
            depth -= 1
            k += 1
        elif (kind == "sign" and text in ")]}⟩") or (text == "," and depth == 0):
            break
        else:
            k += 1
        if depth == 0 and pieces[k - 1][1] not in OPERATORS:
            end = k
    return end


def formulas(text: str) -> Iterator[tuple[list[_Token], bool]]:
    """Yield the pieces of a text, and whether they are a formula."""
    pieces = tokens(text)
    plain: list[_Token] = []
    k = 0
    while k < len(pieces):
        kind, sign = pieces[k]
        begins = _atom(pieces[k]) or (sign in "([{⟨|‖−√ΣS∫~<" and kind != "space")
        follows = pieces[k - 1] if k else ("space", " ")
        free = follows[0] == "space" or follows[1] in "([“\"'–,;:/−-" or follows[0] == "sign"
        end = _end(pieces, k) if begins and free else k
        if end > k and _mathematical(pieces[k:end], pieces[end:]):
            yield plain, False
            yield pieces[k:end], True
            plain = []
            k = end
        else:
            plain.append(pieces[k])
            k += 1
    yield plain, False


def _mathematical(run: list[_Token], rest: list[_Token]) -> bool:
    """Return whether a run is a formula, and not a number, an article, or the number of an item."""
    signs = [text for kind, text in run if kind in ("raised", "lowered", "script", "fraction", "prime")]
    signs += [text for _, text in run if text in OPERATORS or text in ("√", "Σ", "∫", "‖", "∇", "∂", "∞")]
    letters = [text for kind, text in run if kind == "letter"]
    if signs and (letters or len(run) > 1):
        return True
    if len(run) == 1 and run[0][1] in "aAI":
        return (
            not rest
            or rest[0][0] != "space"
            or next((kind for kind, _ in rest[1:]), "") in ("function", "sign")
        )
    return bool(letters)


# -- MathML ------------------------------------------------------------------------------------------------------
def typeset(text: str) -> str:
    """Return prose as HTML whose formulas are MathML; a long one may be cut at its relations by the line's end."""
    out = ""
    for run, formula in formulas(text):
        if formula:
            out += JOINER if out.endswith(("(", "[")) else ""
            out += "".join(_math(piece, k > 0) for k, piece in enumerate(_pieces(run)))
        else:
            plain = html.escape("".join(piece for _, piece in run), quote=False)
            out += (JOINER if out and plain.startswith(CLOSING) else "") + plain
    return out


def _pieces(run: list[_Token]) -> Iterator[list[_Token]]:
    """Cut a run before its relations, and a long piece before its sums' signs, outside brackets."""
    for piece in _cut(run, RELATIONS):
        if sum(len(text) for kind, text in piece if kind != "space") > LONG:
            yield from _cut(piece, frozenset("+−"))
        else:
            yield piece


def _cut(run: list[_Token], at: Collection[str]) -> Iterator[list[_Token]]:
    depth, cuts = 0, [0]
    for k, (_, text) in enumerate(run):
        depth += (text in OPENING) - (text in OPENING.values())
        if k and depth == 0 and text in at and run[k - 1][0] == "space":
            cuts.append(k)
    for first, last in pairwise([*cuts, len(run)]):
        yield run[first:last]


def _math(run: list[_Token], goes_on: bool) -> str:
    """Return a piece of a formula as an element; one that goes on begins with a sign between what it joins."""
    return f"<math>{_row([piece for piece in run if piece[0] != 'space'], goes_on)}</math>"


def _row(pieces: list[_Token], goes_on: bool = False) -> str:
    out: list[str] = []
    k = 0
    while k < len(pieces):
        function = pieces[k][0] == "function"
        if function and out and pieces[k - 1][1] not in OPERATORS and pieces[k - 1][1] not in OPENING:
            out.append(THIN)
        base, k = _base(pieces, k, first=not out, goes_on=goes_on)
        above, below = "", ""
        while k < len(pieces) and _tight(pieces[k]):
            kind, text = pieces[k]
            k += 1
            if kind == "raised":
                above += _row(tokens("".join(RAISED[c] for c in text)))
            elif kind == "lowered":
                below += _row(tokens("".join(LOWERED[c] for c in text)))
            elif kind == "side":
                below += "<mo>±</mo>"
            elif kind == "script":
                inner = _row([one for one in tokens(text[1:].strip("{}()")) if one[0] != "space"])
                above, below = (above, below + inner) if text[0] == "_" else (above + inner, below)
            else:
                above += f"<mo>{PRIMES.get(text, text)}</mo>"
        scripts = [f"<mrow>{one}</mrow>" for one in (below, above) if one]
        tag = {(True, True): "msubsup", (True, False): "msub", (False, True): "msup"}.get(
            (bool(below), bool(above))
        )
        out.append(f"<{tag}>{base}{''.join(scripts)}</{tag}>" if tag else base)
        if function and k < len(pieces) and pieces[k][1] not in "([{)]}⟩,":
            out.append(THIN)
    return "".join(out)


def _base(pieces: list[_Token], k: int, first: bool, goes_on: bool) -> tuple[str, int]:
    """Return one element of a row, and where the next one begins."""
    kind, text = pieces[k]
    written = html.escape(text, quote=False)
    if kind == "letter" and len(text) > 1:
        return f"<mover accent='true'><mi>{text[0]}</mi><mo>{MARKS.get(text[1], text[1])}</mo></mover>", k + 1
    if kind == "letter" and text in "ΓΔΛΞΠΣΦΨΩ":
        return f"<mi mathvariant='normal'>{text}</mi>", k + 1
    if kind in ("letter", "word"):
        return f"<mi>{written}</mi>", k + 1
    if kind == "function":
        return f"<mi>{written}</mi>", k + 1
    if kind == "number":
        return f"<mn>{written}</mn>", k + 1
    if kind == "fraction":
        over, under = FRACTIONS[text]
        return f"<mfrac><mn>{over}</mn><mn>{under}</mn></mfrac>", k + 1
    if text == "√" and k + 1 < len(pieces):
        if pieces[k + 1][1] == "(":
            last = _closing(pieces, k + 1)
            return f"<msqrt>{_row(pieces[k + 2 : last])}</msqrt>", last + 1
        last = k + 2
        while last < len(pieces) and pieces[last][0] in ("lowered", "raised"):
            last += 1
        if pieces[k + 1][0] == "letter" and pieces[last : last + 1] == [("sign", "(")]:
            last = _closing(pieces, last) + 1
        return f"<msqrt>{_row(pieces[k + 1 : last])}</msqrt>", last
    if text in "|‖/":
        return f"<mo stretchy='false' lspace='0' rspace='0'>{written}</mo>", k + 1
    if text in OPENING or text in OPENING.values():
        return f"<mo stretchy='false'>{written}</mo>", k + 1
    if text in OPERATORS and first and (goes_on or text in RELATIONS):
        return f"<mo form='infix'>{written}</mo>", k + 1
    return f"<mo>{written}</mo>", k + 1


def _closing(pieces: list[_Token], k: int) -> int:
    depth = 0
    for j in range(k, len(pieces)):
        depth += (pieces[j][1] in OPENING) - (pieces[j][1] in OPENING.values())
        if depth == 0:
            return j
    return len(pieces)
