"""The door: what is let in comes in one form, all else is a ValueError or TypeError of one line."""

from __future__ import annotations

import re
import warnings
from fractions import Fraction

import numpy as np
import pytest
import sympy
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import selfstab as ss
from selfstab import validation


@pytest.mark.parametrize(
    "value", [3, 3.0, np.float32(3), np.int8(3), np.array(3.0), np.longdouble(3), xr.DataArray(3)]
)
def test_numbers_of_every_kind(value):
    """Protects callers with NumPy's scalars or labelled numbers."""
    got = validation.real("x", value)
    assert type(got) is float
    assert got == 3.0


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_integers_of_every_kind(value):
    """Protects callers with NumPy's integers."""
    assert type(validation.integer("n", value, at_least=0)) is int


def test_arrays_come_as_new_ordered_float64():
    """Protects callers' arrays from change, and kernels from other layouts."""
    for value in (
        np.asfortranarray(np.ones((2, 3))),
        np.ones((2, 3), np.float32),
        [[1, 1, 1], [1, 1, 1]],
        np.ones((2, 3), bool),
    ):
        got = validation.floats("x", value, shape=(2, None))
        assert got.dtype == np.float64
        assert got.flags.c_contiguous
        assert not np.shares_memory(got, value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: validation.real("x", np.nan), "x must be a finite number, got nan"),
        (lambda: validation.real("x", 2, above=0, at_most=1), "x must be in (0, 1], got 2.0"),
        (lambda: validation.real("x", 0, above=0), "x must be in (0, inf), got 0.0"),
        (lambda: validation.real("x", 1, below=1), "x must be in (-inf, 1), got 1.0"),
        (
            lambda: validation.real("x", 10**400),
            "x must be of magnitude at most 1.8e308, as float64 is, got an integer",
        ),
        (lambda: validation.real("x", [1]), "x must be a single number, got [1]"),
        (lambda: validation.real("x", np.True_), f"x must be a single number, got {np.True_!r}"),
        (lambda: validation.real("x", b"1"), "x must be a single number, got b'1'"),
        (
            lambda: validation.real("x", Fraction(1, 2)),
            "x must be real numbers, got dtype object in Fraction(1, 2)",
        ),
        (lambda: validation.real("x", sympy.pi), "x must be real numbers, got dtype object in pi"),
        (
            lambda: validation.real("x", np.datetime64("2020")),
            "x must be real numbers, got dtype datetime64[Y] in ",
        ),
        (lambda: validation.integer("n", 1.0, at_least=0), "n must be an integer >= 0, got 1.0"),
        (
            lambda: validation.integer("n", 9, at_least=0, at_most=8),
            "n must be an integer >= 0 and <= 8, got 9",
        ),
        (lambda: validation.integer("n", np.True_, at_least=0), "n must be an integer >= 0, got "),
        (lambda: validation.floats("w", [1, 2], shape=(3,)), "w must have shape (3,), got shape (2,)"),
        (lambda: validation.floats("w", 1, shape=(None, 2)), "w must have shape (any, 2), got shape ()"),
        (
            lambda: validation.floats("w", [[1], [1, 2]]),
            "w must be an array of numbers of equal lengths, got [[1], [1, 2]]",
        ),
        (lambda: validation.floats("w", np.array([np.longdouble("1e4000")])), "w must be finite, got "),
        (lambda: validation.one_of("word", "c", ["a", "b"]), "word must be one of a, b, got 'c'"),
        (lambda: validation.one_of("word", 1, ["a", "b"]), "word must be one of a, b, got 1"),
        (
            lambda: validation.some_of("words", ["a", "a"], ["a", "b"]),
            "words must not repeat a name, got ['a', 'a']",
        ),
        (lambda: validation.some_of("words", 5, ["a", "b"]), "words must be names among a, b, got 5"),
        (
            lambda: validation.one_of("word", "Envelop", ["envelope", *"abcdefghijklmno"], listing="words()"),
            "word must be one of 16 names, got 'Envelop'; did you mean envelope? Known: envelope, a, b, c, d, e, "
            "f, g, h, i, j, k, ...; words() lists all",
        ),
        (
            lambda: validation.one_of("word", 1, "abcdefghijklmnop"),
            "word must be one of 16 names, got 1; known: a, b, c, d, e, f, g, h, i, j, k, l, ...",
        ),
        (lambda: validation.one_of("word", "c", []), "word must be left out, for this has none, got 'c'"),
        (lambda: validation.one_of("word", 1, []), "word must be left out, for this has none, got 1"),
        (
            lambda: validation.some_of("words", ["c"], {}),
            "words must be left out, for this has none, got 'c'",
        ),
        (lambda: validation.some_of("words", 5, []), "words must be left out, for this has none, got 5"),
    ],
)
def test_messages_name_argument_value_and_what_is_allowed(call, message):
    """Protects the wording users act on."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "call",
    [
        lambda: validation.floats("x", np.ma.array([1.0, 2.0], mask=[False, True])),
        lambda: validation.floats("x", [np.ma.array([1.0, 2.0], mask=[False, True])]),
        lambda: validation.floats("x", [1.0, np.ma.masked]),
        lambda: validation.broadcastable("x", np.ma.array([1.0])),
        lambda: validation.real("x", np.ma.masked),
        lambda: validation.integer("x", np.ma.array(3, mask=True), at_least=0),
    ],
)
def test_masked_arrays_are_refused(call):
    """Protects against values that a mask hides, which NumPy would bring back."""
    with pytest.raises(TypeError, match=r"^x must not be masked, got "):
        call()


def test_shown_is_one_short_line():
    """Protects messages from whatever they show."""

    class Tall:
        def __repr__(self):
            return "a\nb\r\n  c"

    assert validation.shown(Tall()) == "a b c"
    assert len(validation.shown("x" * 10**6)) == 60
    assert "\n" not in validation.shown(np.ones((50, 50)))
    assert len(validation.shown(10**5000)) <= 60


# -- a fuzz over every public call ---------------------------------------------------------------------------

STRANGE = [
    None, 10**30, -(10**30), 10**400, (), [], {}, set(), object(), int, len, sympy.pi, np.nan, np.inf,
    [[1.0], [1.0, 2.0]], [None], ["a"], [[0.1, 0.2]], np.ones((2, 2)), np.array([None]), np.ones(2) * 1j,
    xr.DataArray([1.0, 2.0]), xr.Dataset(), np.float32(0.5), np.datetime64("2020"), Fraction(1, 3),
    "loss", "phase", "x", "u*v", "lr", ["phase"], ("loss",), {"lr": [0.1]}, {"lr": []}, {"excess": [0.1, 1e308]},
    ss.LinearWarmup(0.0, 0.1, 3), ss.LinearWarmup, ss.Constant(1e308), ss.HeavyBall(0.1), ss.Product(),
    1e-320, 1e308, -1e308, [1e308, -1e308], [1e-320, 0.0], [1e5, 1e5],
]  # fmt: skip
odd = st.one_of(
    st.sampled_from(STRANGE), st.booleans(), st.integers(-3, 3), st.floats(), st.complex_numbers(), st.text(max_size=3),
    st.binary(max_size=3), st.lists(st.floats(-3, 3), max_size=3), st.lists(st.floats(), max_size=3),
)  # fmt: skip

CALLS = {
    "HeavyBall": (lambda **k: ss.HeavyBall(**k).max_stable_sharpness(), {"lr": 0.1, "momentum": 0.5, "lookahead": 0.0}),
    "matched": (ss.HeavyBall(0.1, 0.9).matched, {"momentum": 0.5, "lookahead": 0.0}),
    "threshold": (ss.HeavyBall(0.1, 0.9).max_stable_sharpness, {"step": 1}),
    "Constant": (ss.Constant, {"lr": 0.1}),
    "LinearWarmup": (ss.LinearWarmup, {"start": 0.0, "end": 0.1, "steps": 3}),
    "Quadratic": (ss.Quadratic, {"curvatures": [1.0, 2.0]}),
    "CubicTaylor": (ss.CubicTaylor, {"curvature": 1.0, "progressive_sharpening": 0.0, "stabilization": 1.0}),
    "Chain": (ss.Chain, {"depth": 2}),
    "Coupled": (ss.Coupled, {"zeta": 1.0, "eps": 0.1}),
    "SymbolicLoss": (
        ss.SymbolicLoss, {"expression": "a*x**2", "variables": ["x"], "parameters": {"a": 1.0}}),
    "flip_start": (ss.flip_start, {"loss": ss.Product(), "weights": [1.0, 2.0], "size": 0.1}),
    "value": (ss.Product().value, {"w": [1.0, 2.0]}),
    "third": (ss.Product().third, {"w": [1.0, 2.0], "u": [1.0, 2.0], "v": [1.0, 2.0]}),
    "sharpness": (ss.Product().sharpness_gradient, {"w": [1.0, 2.0]}),
    "minimum": (ss.Product().minimum, {"start": None, "sharpness": 4.0}),
    "initial_weights": (ss.Product().initial_weights, {"seed": 0, "scale": 1.0}),
    "catapults": (ss.catapults, {
        "sharpness": [1.0, 3.0, 1.0], "threshold": 2.0, "loss": [0.0, 1.0, 0.0], "step": [0, 1, 2]}),
    "measure": (ss.observables.measure, {"run": None, "measures": ["phase"]}),
    "simulate": (ss.simulate, {
        "loss": ss.Product(), "optimizer": ss.HeavyBall(0.1, 0.5), "start": [1.0, 2.0], "steps": 3,
        "previous": [1.0, 2.0], "every": 1, "keep": ["loss", "sharpness", "top_eigenvector", "gradient_norm"],
        "escape": 1e6, "noise": 0.0, "seed": 0}),
    "sweep": (ss.sweep, {
        "loss": ss.Product(), "optimizer": ss.HeavyBall(0.1, 0.5), "axes": {"lr": [0.1]}, "start": [1.0, 2.0],
        "steps": 3, "previous": [1.0, 2.0], "measure": ["phase", "overshoot"], "escape": 1e6, "noise": 0.0, "seed": 0,
        "repeats": 1, "threads": 1, "progress": False}),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_malformed_calls_are_value_or_type_errors(name, plain_engine, data):
    """Protects every door: one or two arguments replaced by anything give a result or a one-line error; no warning."""
    function, good = CALLS[name]
    chosen = data.draw(st.lists(st.sampled_from(sorted(good)), min_size=1, max_size=2, unique=True))
    changed = {argument: data.draw(odd) for argument in chosen}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            plain_engine(function, **(good | changed))
        except (ValueError, TypeError) as error:
            message = str(error)
    if "message" in locals():
        assert "\n" not in message
        assert len(message) < 1000
        assert "Traceback" not in message
        # One of the arguments is to blame, by its name or by a name inside it.
        blamed = [
            *good,
            "axes",
            "a must",
            "weights",
            "w must",
            "expression",
            "variables",
            "parameters",
            "excess",
            "lr",
        ]
        assert re.search(rf"\b({'|'.join(map(re.escape, blamed))})\b", message), message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({(2, 1): np.nan}, r"x must be finite, got nan at \[2, 1\]$"),
        ({(0, 3): -np.inf, (4, 0): np.nan}, r"x must be finite, got -inf at \[0, 3\], the first of 2$"),
    ],
)
def test_where_a_large_array_is_not_finite(changes, message):
    """Protects the message: of data of any size it says where to look."""
    data = np.zeros((5, 4))
    for at, value in changes.items():
        data[at] = value
    with pytest.raises(ValueError, match=message):
        validation.floats("x", data)


def test_integers_beyond_64_bits_are_numbers():
    """Protects from dtype object: an integer of any length is a number if float64 holds it."""
    assert validation.real("x", 10**30) == 1e30
    assert validation.floats("x", [10**30, 1]).tolist() == [1e30, 1.0]


class _Lines:
    def __repr__(self):
        return "first\nsecond\r\x1b[31m\u2028third"


class _Silent:
    def __repr__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize("check", [validation.one_of, validation.some_of])
def test_words_of_a_file_are_shown_with_escapes_and_long_ones_are_cut(check):
    """Protects terminals: the words may be names of a dataset of somebody else's."""
    with pytest.raises(ValueError, match=r"^y must be .*, got 'aaa") as caught:
        check("y", "a" * 10**4, ["x\n\x1b[1m"])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "value",
    [
        _Lines(),
        [_Lines()],
        {"a": _Lines()},
        xr.DataArray(np.ones((2, 2))),
        np.ones((3, 3)),
        _Silent(),
        10**5000,
        "a\nb",
    ],
    ids=["lines", "list", "mapping", "labelled", "array", "silent", "digits", "text"],
)
def test_what_is_shown_is_one_line_of_printable_characters(value):
    """Protects terminals and logs: whatever an argument is, its message is one line without escape sequences."""
    text = validation.shown(value)
    assert text
    assert text.isprintable()
    assert len(text.splitlines()) == 1
