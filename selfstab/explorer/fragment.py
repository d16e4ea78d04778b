"""The state of the page in the fragment of its address, after the #: it can be kept, sent and gone back to."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

from selfstab import validation
from selfstab.explorer.numbers import offered
from selfstab.explorer.scales import Axis
from selfstab.explorer.setups import MODELS
from selfstab.explorer.state import PageState
from selfstab.optimizers.registry import optimizer_named
from selfstab.optimizers.settings import rule_fields_of

NUMBERS: Final = ("momentum", "excess", "warmup", "steps", "flip")
"""Fields of a state that are a number."""

TEXTS: Final = ("formula", "variables", "at", "weight", "measure")
"""Fields of a state that are a text."""

DIAGRAM_AXES: Final = ("across", "up", "orbit")
"""Fields of a state that are an axis."""

MOST_FIELDS: Final = 64
"""Fields of a fragment."""

_READABLE: Final = "*/(),:"
"""What stands for itself in a fragment, beside letters and digits."""


def fragment_of(state: PageState) -> str:
    """Return a state as the fragment of an address: the model, the optimizer, and what differs from their defaults.

    Numbers are written in full, so that the fragment gives the same run.

    Parameters
    ----------
    state
        What is looked at.

    Examples
    --------
    >>> fragment_of(PageState(momentum=0.5, steps=300).with_axis("up", "warmup"))
    'momentum=0.5&steps=300&up=warmup:1:1000'
    """
    usual = _defaults(state.model, state.method)
    first = PageState()
    fields = {
        name: value
        for name, value, default in (
            ("model", state.model, first.model),
            ("optimizer", state.method, first.method),
        )
        if value != default
    }
    fields |= {name: _written(value) for name, value in (*state.settings, *state.numbers)}
    fields |= dict(state.texts)
    for names, write in ((NUMBERS, _written), (TEXTS, str), (DIAGRAM_AXES, _written_axis)):
        for name in names:
            if getattr(state, name) != getattr(usual, name):
                fields[name] = write(getattr(state, name))
    # Half a character, which a keyboard does not type, cannot stand in an address.
    return urlencode(fields, safe=_READABLE, quote_via=quote, errors="replace")


def state_of(fragment: str) -> PageState:
    """Return the state that a fragment describes, whoever wrote it.

    Parameters
    ----------
    fragment
        Fields ``name=value`` joined by ``&``, with escapes such as ``%20``; empty: the first page's state.

    Raises
    ------
    TypeError, ValueError
        If a field is unknown, given twice, or out of its range; the message names it.

    Examples
    --------
    >>> state_of("model=Product&momentum=0.5").momentum
    0.5
    >>> state_of("momentum=1.5")
    Traceback (most recent call last):
    ...
    ValueError: momentum must be in [0, 1), got 1.5
    """
    fields = _fields(fragment)
    model = validation.one_of("model", fields.pop("model", PageState.model), MODELS)
    method = validation.one_of("optimizer", fields.pop("optimizer", PageState.method), offered())
    usual = _defaults(model, method)
    settings = [setting.name for setting in usual.own_settings]
    numbers = [number.name for number in usual.own_numbers]
    rule_texts = list(rule_fields_of(optimizer_named(method)))
    known = ["model", "optimizer", *settings, *numbers, *rule_texts, *NUMBERS, *TEXTS, *DIAGRAM_AXES]
    values: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {"settings": {}, "numbers": {}, "texts": {}}
    for name, text in fields.items():
        validation.one_of("field of the address", name, known)
        if name in settings:
            parts["settings"][name] = _number(name, text)
        elif name in numbers:
            parts["numbers"][name] = _number(name, text)
        elif name in rule_texts:
            parts["texts"][name] = text
        elif name in DIAGRAM_AXES:
            values[name] = _axis(name, text)
        elif name == "steps":
            values[name] = validation.whole(name, _number(name, text))
        else:
            values[name] = text if name in TEXTS else _number(name, text)
    values |= {name: tuple(pairs.items()) for name, pairs in parts.items()}
    return replace(usual, **values)


@lru_cache(maxsize=256)
def _defaults(model: str, method: str) -> PageState:
    return PageState().with_model(model).with_method(method)


def _fields(fragment: str) -> dict[str, str]:
    try:
        fragment.encode()  # refuses halves of characters
        pairs = parse_qsl(
            fragment, keep_blank_values=True, strict_parsing=bool(fragment), errors="strict",
            max_num_fields=MOST_FIELDS,
        )  # fmt: skip
    except ValueError:
        raise ValueError(
            f"address must hold at most {MOST_FIELDS} fields name=value joined by & after its #, "
            f"got {validation.shown(fragment)}"
        ) from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError(f"address must hold each field once, got {validation.shown(fragment)}")
    return fields


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, got {validation.shown(text)}") from None


def _axis(name: str, text: str) -> Axis:
    words = text.split(":")
    if len(words) != 3:
        raise ValueError(
            f"axis {name} must be a name and two ends, such as momentum:0:0.9, got {validation.shown(text)}"
        )
    low, high = (_number(f"axis {name}", word) for word in words[1:])
    return Axis(words[0], low, high)


def _written(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _written_axis(axis: Axis) -> str:
    return f"{axis.name}:{_written(axis.low)}:{_written(axis.high)}"
