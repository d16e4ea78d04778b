"""What every public function checks at its door.

Each function returns the value in the one form that the rest of the code relies on, or raises an error. It is a
``ValueError`` (a wrong value) or ``TypeError`` (a wrong kind of thing) of one line. The line names the argument, what
it was and what is allowed.
"""

from __future__ import annotations

import operator
from collections.abc import Container, Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from selfstab.notices import printable

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_NONE = "must be left out, for this has none"
_SHOWN = 8  # numbers of an array that a message has room for
_LISTED = 15  # names that a message has room for
_FIRST = 12  # names that it has of more


class ArgumentError(ValueError):
    """A wrong value of an argument, apart from what is wrong with it, so that a program can name it otherwise.

    Parameters
    ----------
    argument
        The argument's name.
    problem
        What must be, and what it was: the rest of the message.

    >>> error = ArgumentError("client", "must have workers, got none")
    >>> print(error)
    client must have workers, got none
    >>> print(error.named("--scheduler"))
    --scheduler must have workers, got none
    """

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(argument, problem)  # as arguments, from which a pickle is made again
        self.argument, self.problem = argument, problem

    def __str__(self) -> str:
        return f"{self.argument} {self.problem}"

    def named(self, name: str) -> ArgumentError:
        """Return the same error with the argument under another name."""
        return ArgumentError(name, self.problem)


def shown(value: object, limit: int = 60) -> str:
    """Return ``repr(value)`` on one line of printable characters, shortened to `limit` of them; its type if it fails.

    >>> shown(list(range(100)), limit=12)
    '[0, 1, 2,...'
    """
    try:
        text = one_line(repr(value))
    except Exception:  # an integer of more digits than Python prints, or a class of the user's
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def one_line(text: str) -> str:
    r"""Return a text with its lines joined and every other character that is not printable escaped.

    >>> print(one_line("red \x1b[31m\nthen more"))
    red \x1b[31m then more
    """
    return printable(" ".join(text.split()))


def floats(name: str, value: Any, *, shape: tuple[int | None, ...] | None = None, nan: bool = False) -> Array:
    """Return `value` as a new C-ordered float64 array of finite numbers.

    Parameters
    ----------
    name
        The argument's name, for the message.
    value
        Anything NumPy turns into an array of real numbers or booleans.
    shape
        The shape it must have; None stands for any length (and `shape=None` for any shape).
    nan
        Whether NaN is taken, too.

    Raises
    ------
    TypeError
        If the dtype is not real (object, complex, text, dates), or the array is masked.
    ValueError
        If the array is ragged, has another shape, or holds NaN or infinity.

    >>> floats("start", [1, 2], shape=(2,))
    array([1., 2.])
    """
    array = _real(name, value)
    if shape is not None:
        fits = array.ndim == len(shape) and all(
            want is None or want == got for want, got in zip(shape, array.shape, strict=True)
        )
        if not fits:
            expected = (
                "("
                + ", ".join("any" if n is None else str(n) for n in shape)
                + ("," * (len(shape) == 1))
                + ")"
            )
            raise ValueError(f"{name} must have shape {expected}, got shape {array.shape}")
    finite = ~np.isinf(array) if nan else np.isfinite(array)
    if not finite.all():
        raise ValueError(f"{name} must be finite, got {_not_finite(value, array, finite)}")
    return array


def _not_finite(value: Any, array: Array, finite: np.ndarray[Any, np.dtype[np.bool_]]) -> str:
    """Say what is not finite in an array, and where in one too large to be shown."""
    if array.size <= _SHOWN:
        return shown(value)
    bad = np.argwhere(~finite)
    first = tuple(int(k) for k in bad[0])
    others = f", the first of {len(bad)}" if len(bad) > 1 else ""
    return f"{float(array[first])} at {list(first)}{others}"


def _refuse_mask(name: str, value: Any) -> None:
    """Raise TypeError for a masked array, or a list of them: NumPy would drop the mask."""
    parts = value if isinstance(value, (list, tuple)) else (value,)
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        raise TypeError(f"{name} must not be masked, got {shown(value)}")


def _digits(value: Any) -> str:
    """Say how large an integer is that no message has room for."""
    return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else shown(value)


def _real(name: str, value: Any) -> Array:
    _refuse_mask(name, value)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        raise ValueError(f"{name} must be an array of numbers of equal lengths, got {shown(value)}") from None
    if array.dtype.kind == "O" and all(type(number) is int for number in array.flat):
        # Integers beyond 64 bits.
        try:
            array = np.array([float(number) for number in array.flat]).reshape(array.shape)
        except OverflowError:
            raise ValueError(
                f"{name} must be of magnitude at most 1.8e308, as float64 is, got {_digits(value)}"
            ) from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real numbers, got dtype {array.dtype} in {shown(value)}")
    # A longer float that is too large becomes infinite here, and is refused as such.
    with np.errstate(over="ignore"):
        return np.array(array, dtype=np.float64, order="C")


def broadcastable(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    finite: bool = True,
) -> Array:
    """Return `value` as a float64 array, each element within the bounds; NaN is refused always.

    >>> broadcastable("momentum", [0, 0.9], at_least=0, below=1)
    array([0. , 0.9])
    """
    array = _real(name, value)
    bad = np.isnan(array)
    if finite:
        bad |= np.isinf(array)
    if above is not None:
        bad |= array <= above
    if at_least is not None:
        bad |= array < at_least
    if below is not None:
        bad |= array >= below
    if at_most is not None:
        bad |= array > at_most
    if bad.any():
        first = float(array[bad][0])
        raise ValueError(f"{name} must be {interval(above, at_least, below, at_most, finite)}, got {first!r}")
    return array


def interval(
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    finite: bool = True,
) -> str:
    """Return a range as text.

    >>> interval(at_least=0, below=1)
    'in [0, 1)'
    """
    if above is None and at_least is None and below is None and at_most is None:
        return "a finite number" if finite else "a number"
    left = f"({above:g}" if above is not None else f"[{at_least:g}" if at_least is not None else "(-inf"
    right = f"{below:g})" if below is not None else f"{at_most:g}]" if at_most is not None else "inf)"
    return f"in {left}, {right}"


def real(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> float:
    """Return `value` as one finite float within the bounds; booleans are refused.

    >>> real("lr", 0.1, above=0)
    0.1
    >>> real("lr", -1, above=0)
    Traceback (most recent call last):
    ...
    ValueError: lr must be in (0, inf), got -1.0
    """
    if isinstance(value, (str, bytes)) or _real(name, value).ndim != 0 or np.asarray(value).dtype.kind == "b":
        raise TypeError(f"{name} must be a single number, got {shown(value)}")
    array = broadcastable(name, value, above=above, at_least=at_least, below=below, at_most=at_most)
    return float(array)


def integer(name: str, value: Any, *, at_least: int, at_most: int | None = None) -> int:
    """Return `value` as an int within the bounds; floats and booleans are refused.

    >>> integer("steps", 10, at_least=0)
    10
    """
    allowed = f"an integer >= {at_least}" + ("" if at_most is None else f" and <= {at_most}")
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be {allowed}, got {value!r}")
    _refuse_mask(name, value)
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be {allowed}, got {shown(value)}") from None
    if number < at_least or (at_most is not None and number > at_most):
        raise ValueError(f"{name} must be {allowed}, got {shown(number)}")
    return number


def whole(name: str, value: float, *, at_least: int | None = None) -> int:
    """Return a float that is a whole number as an int.

    >>> whole("seed", 3.0)
    3
    >>> whole("seed", 1.5)
    Traceback (most recent call last):
    ...
    ValueError: seed must be a whole number, got 1.5
    """
    if not float(value).is_integer() or abs(value) > 2.0**53:
        raise ValueError(f"{name} must be a whole number, got {float(value)!r}")
    if at_least is not None and value < at_least:
        raise ValueError(f"{name} must be a whole number >= {at_least}, got {int(value)}")
    return int(value)


def one_of(name: str, value: Any, known: Iterable[str], *, listing: str = "") -> str:
    """Return `value` if it is among the `known` words; the message lists them.

    Of many words it names the most like one before the first dozen. `listing` says what lists all of them.

    >>> one_of("activation", "tanh", ["tanh", "relu"])
    'tanh'
    >>> one_of("letter", "B", "abcdefghijklmnop", listing="string.ascii_lowercase")
    Traceback (most recent call last):
    ...
    ValueError: letter must be one of 16 names, got 'B'; did you mean b? Known: a, b, c, d, e, f, g, h, i, j, k, l, ...;
    string.ascii_lowercase lists all
    """
    words = list(known)
    if isinstance(value, str) and value in words:
        return value
    error = ValueError if isinstance(value, str) else TypeError
    got = f"got {shown(value, 200)}" if isinstance(value, str) else f"got {shown(value)}"
    hint = like(value, words) if isinstance(value, str) else ""
    if len(words) > _LISTED:
        raise error(f"{name} must be one of {len(words)} names, {got}{known_names(hint, words, listing)}")
    allowed = f"must be one of {printable(', '.join(words))}" if words else _NONE
    raise error(f"{name} {allowed}, {got}{hint}")


def known_names(hint: str, words: Sequence[str], listing: str = "") -> str:
    """Return a hint and, behind it, the known words: of many the first dozen, and what lists all.

    >>> known_names("; did you mean tanh?", ["sin", "tanh"])
    '; did you mean tanh? Known: sin, tanh'
    >>> known_names("", ["sin", "tanh"])
    '; known: sin, tanh'
    """
    listed = _listed(words)
    if len(words) > _LISTED and listing:
        listed += f"; {listing} lists all"
    return f"{hint} Known: {listed}" if hint else f"; known: {listed}"


def _listed(words: Sequence[str]) -> str:
    """Return words as a list, of many the first dozen."""
    if len(words) <= _LISTED:
        return printable(", ".join(words))
    return printable(", ".join([*words[:_FIRST], "..."]))


SYNONYMS: Final = {
    "beta": "momentum",
    "β": "momentum",
    "mu": "momentum",
    "learning_rate": "lr",
    "step_size": "lr",
    "stepsize": "lr",
    "eta": "lr",
    "η": "lr",
    "nesterov": "lookahead",
    "gamma": "lookahead",
    "γ": "lookahead",
    "epsilon": "excess",
    "ε": "excess",
    "betas": "beta1",
    "n_steps": "steps",
    "iterations": "steps",
}
"""Words of other libraries and of papers, and the word used here."""


def like(word: str, known: Iterable[str]) -> str:
    """Return what a message says of the known word most like an unknown one; nothing where none is like it.

    >>> like("overshot", ["overshoot", "drop"]), like("x", ["overshoot", "drop"])
    ('; did you mean overshoot?', '')
    >>> like("learning_rate", ["lr", "momentum"])
    '; did you mean lr?'
    >>> like("tahn", ["tan", "tanh"])  # letters in another order come first
    '; did you mean tanh?'
    """
    lower = {name.lower(): name for name in known}
    if (ours := SYNONYMS.get(word.lower())) in lower:
        return f"; did you mean {ours}?"
    close = most_like(word, lower.values(), count=1)
    return f"; did you mean {printable(close[0])}?" if close else ""


def most_like(word: str, known: Iterable[str], *, count: int, cutoff: float = 0.7) -> list[str]:
    """Return at most `count` of the known words that are like another one, the most like first.

    Case does not count. `cutoff` is difflib's least likeness, from 0 to 1.

    >>> most_like("q1 regons", ["Q1 regions", "Q1 modes", "A5"], count=3, cutoff=0.4)
    ['Q1 regions', 'Q1 modes']
    """
    import difflib

    text = word[:200].lower()
    lower = {name.lower(): name for name in known}
    swapped = [name for name in lower if sorted(name) == sorted(text)]
    others = difflib.get_close_matches(
        text, [name for name in lower if name not in swapped], n=count, cutoff=cutoff
    )
    return [lower[name] for name in (*swapped, *others)][:count]


def some_of(
    name: str, value: Any, known: Iterable[str], *, also: Container[str] = (), listing: str = ""
) -> tuple[str, ...]:
    """Return `value` as a tuple of distinct words, each among the `known`; one word alone is a tuple of one.

    What is in `also` is taken too, without a word of it in the message. `listing` says what lists all words.

    >>> some_of("keep", "loss", ["loss", "sharpness"])
    ('loss',)
    """
    words = list(known)
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, Sequence):
        allowed = f"must be names among {_listed(words)}" if words else _NONE
        raise TypeError(f"{name} {allowed}, got {shown(value)}")
    names = tuple(
        word if isinstance(word, str) and word in also else one_of(name, word, words, listing=listing)
        for word in value
    )
    if len(set(names)) != len(names):
        raise ValueError(f"{name} must not repeat a name, got {shown(list(names))}")
    return names
