"""What a page may send: the messages of its own controls, and nothing else.

Bokeh applies whatever a client sends. Some properties of its models name files, which it reads and sends back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final

from bokeh.document import Document
from bokeh.models import Button, NumericInput, Plot, Select, Slider, TextInput

LONGEST: Final = 2**15
"""Characters of a part of a message."""

LONGEST_TEXT: Final = 4096
"""Characters of a text that is typed."""

MOST_EVENTS: Final = 512
"""Events of a message."""

MOST_PULLS: Final = 2
"""How often a connection may ask for the whole document, which it does once."""

PARTS: Final = 3
"""A message is a header, metadata and content; no control sends bytes in addition."""

POINTED: Final = "diagram"
"""Name of the plot that can be clicked."""

_GESTURES: Final = ("tap", "doubletap", "pan")


class Refusal(ValueError):
    """Why a message is none of the page's; its connection is closed."""


class Messages:
    """The messages of a connection, put together of their parts and read.

    What remains of a message are events that a control of the document sends. Each is written anew, so that nothing
    reaches Bokeh that was not read here. Other changes are dropped: a page also reports sizes and ranges of its plots.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._pulls = 0

    def take(self, part: Any, document: Document) -> list[str]:
        """Return the parts of a message that is complete and asks for something; else nothing.

        Parameters
        ----------
        part
            A text.
        document
            The page's.

        Raises
        ------
        Refusal
            If no page of ours sends this.
        """
        if not isinstance(part, str) or len(part) > LONGEST:
            raise Refusal(f"a part of a message must be a text of at most {LONGEST} characters")
        self._parts.append(part)
        if len(self._parts) < PARTS:
            return []
        parts, self._parts = self._parts, []
        header, metadata, content = (_parsed(one) for one in parts)
        number, kind = header.get("msgid"), header.get("msgtype")
        if set(header) != {"msgid", "msgtype"} or not isinstance(number, str) or len(number) > 64 or metadata:
            raise Refusal("header must hold msgid and msgtype, metadata nothing")
        if kind == "PULL-DOC-REQ" and not content and self._pulls < MOST_PULLS:
            self._pulls += 1
            return _written(number, kind, {})
        if kind == "PATCH-DOC" and set(content) == {"events"}:
            events = content["events"]
            if not isinstance(events, list) or len(events) > MOST_EVENTS:
                raise Refusal(f"events must be a list of at most {MOST_EVENTS}")
            written = [one for one in (_event(event, document) for event in events) if one is not None]
            return _written(number, kind, {"events": written}) if written else []
        raise Refusal("msgtype must be PULL-DOC-REQ, once, or PATCH-DOC with events only")


def _written(number: str, kind: str, content: dict[str, Any]) -> list[str]:
    return [json.dumps({"msgid": number, "msgtype": kind}), "{}", json.dumps(content)]


def _parsed(text: str) -> dict[str, Any]:
    def constant(name: str) -> None:
        raise Refusal(f"a number must be finite, got {name}")

    try:
        value = json.loads(text, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"a part must be JSON: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise Refusal("a part must be an object")
    return value


def _event(event: Any, document: Document) -> dict[str, Any] | None:
    """Return an event of a control, written anew; None: another one."""
    if not isinstance(event, dict):
        raise Refusal("an event must be an object")
    if event.get("kind") == "ModelChanged":
        return _change(event, document)
    if event.get("kind") == "MessageSent":
        return _gesture(event.get("msg_data"), document)
    raise Refusal("an event must be a changed model or a sent message")


def _model(reference: Any, document: Document) -> Any:
    """Return the model of a reference by its id alone: others would make a new one."""
    if not isinstance(reference, dict) or set(reference) != {"id"} or not isinstance(reference["id"], str):
        raise Refusal("a model must be named by its id alone")
    return document.models.get_by_id(reference["id"])


def _change(event: dict[str, Any], document: Document) -> dict[str, Any] | None:
    model = _model(event.get("model"), document)
    if event.get("attr") != "value":
        return None
    read = next((read for kind, read in _READ.items() if isinstance(model, kind)), None)
    if read is None:
        return None
    value = read(model, event.get("new"))
    return {"kind": "ModelChanged", "model": {"id": model.id}, "attr": "value", "new": value}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refusal("a number must be one")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Refusal("a number must be finite")
    return number


def _chosen(model: Any, value: Any) -> str:
    names = [option if isinstance(option, str) else option[0] for option in model.options]
    if value not in names:
        raise Refusal("a choice must be one of those offered")
    return str(value)


def _slid(model: Any, value: Any) -> float:
    # A slider that has just been given other ends may still send a value of the former ones.
    return min(max(_number(value), float(model.start)), float(model.end))


def _typed(_model: Any, value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise Refusal(f"a text must have at most {LONGEST_TEXT} characters")
    return value


def _entered(_model: Any, value: Any) -> float | None:
    return None if value is None else _number(value)


_READ: Final[dict[type, Callable[[Any, Any], Any]]] = {
    Select: _chosen, Slider: _slid, NumericInput: _entered, TextInput: _typed,
}  # fmt: skip
"""How the value of a control is read, by its kind; all controls of a document are the page's own."""


def _gesture(data: Any, document: Document) -> dict[str, Any] | None:
    """Return a click of a button, or a gesture in the diagram, written anew."""
    if not isinstance(data, dict) or data.get("type") != "event":
        raise Refusal("a message must be an event of the page")
    name, values = data.get("name"), data.get("values")
    entries = values.get("entries", []) if isinstance(values, dict) else None
    if not isinstance(entries, list) or not all(
        isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) for entry in entries
    ):
        raise Refusal("an event must hold pairs of name and value")
    fields = dict(entries)
    if name != "button_click" and name not in _GESTURES:
        return None
    model = _model(fields.get("model"), document)
    pairs: list[list[Any]] = [["model", {"id": getattr(model, "id", "")}]]
    if name == "button_click":
        if not isinstance(model, Button):
            return None
    else:
        if not isinstance(model, Plot) or model.name != POINTED:
            return None
        pairs += [
            [axis, None if fields.get(axis) is None else _number(fields.get(axis))] for axis in ("x", "y")
        ]
    return {
        "kind": "MessageSent", "msg_type": "bokeh_event",
        "msg_data": {"type": "event", "name": name, "values": {"type": "map", "entries": pairs}},
    }  # fmt: skip
