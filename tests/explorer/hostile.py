"""Messages as a page sends them, damaged: of other kinds, models, values, lengths and bytes."""

from __future__ import annotations

import json

JUNK = [
    None, True, 0, -1, 1e308, 10**400, "", "x", "\x00", "\ud800", "é" * 5000, [], [[]] * 50, {}, {"id": "p1000"},
    {"type": "object", "name": "Button", "id": "x", "attributes": {"icon": "/etc/hostname"}},
    {"type": "number", "value": "nan"}, {"type": "map", "entries": []}, {"type": "bytes", "data": "AA=="},
    {"type": "ndarray", "array": {"type": "bytes", "data": {"id": "1"}}, "shape": [2**40], "dtype": "float64"},
    {"type": "value", "value": 1}, {"type": "slice", "start": 0, "stop": 1, "step": None}, "cosh(exp(exp(u)))",
]  # fmt: skip
KINDS = ["PATCH-DOC", "PULL-DOC-REQ", "PUSH-DOC", "SERVER-INFO-REQ", "OK", "ERROR", "ACK", "", "x"]
EVENTS = [
    "ModelChanged", "MessageSent", "ColumnDataChanged", "ColumnsStreamed", "ColumnsPatched", "RootAdded",
    "RootRemoved", "TitleChanged", "", "x",
]  # fmt: skip
ATTRIBUTES = [
    "value", "value_input", "value_throttled", "icon", "options", "label", "start", "end", "text", "html", "tags",
    "js_property_callbacks", "js_event_callbacks", "data", "stylesheets", "css_variables", "name", "visible", "code",
    "inner_width", "url", "image", "children",
]  # fmt: skip
GESTURES = ["button_click", "tap", "doubletap", "pan", "document_ready", "menu_item_click", "x"]


USUAL = {"Slider": 0.5, "NumericInput": 0.7, "TextInput": "u**2*v**2 + v**2", "Select": "a", "Button": None}
"""Controls by their kind, and a value of each."""


def _event(rng, models, canary):
    controls = [model for model in models if model[1] in USUAL]
    model, kind = rng.choice(controls if rng.random() < 0.6 else models)
    values = [rng.choice(JUNK), canary, {"type": "icon", "path": canary}, *[USUAL.get(kind, 0.5)] * 3]
    if rng.random() < 0.7:
        return {
            "kind": "ModelChanged" if rng.random() < 0.85 else rng.choice(EVENTS),
            "model": {"id": model} if rng.random() < 0.9 else rng.choice(JUNK),
            "attr": "value" if rng.random() < 0.4 else rng.choice(ATTRIBUTES),
            "new": rng.choice(values),
        }
    entries = [["model", {"id": model}], ["x", rng.choice([0.5, *JUNK])], ["y", rng.choice([0.5, *JUNK])]]
    return {
        "kind": "MessageSent",
        "msg_type": rng.choice(["bokeh_event", "bokeh_event", "x"]),
        "msg_data": {
            "type": "event",
            "name": rng.choice(GESTURES),
            "values": {"type": "map", "entries": entries} if rng.random() < 0.9 else rng.choice(JUNK),
        },
    }


def _damaged(rng, text):
    """Return a text with characters left out, doubled or put in."""
    for _ in range(rng.choice([1, 1, 3, 10])):
        at = rng.randrange(len(text) + 1)
        piece = rng.choice(
            ["", "{", "}", "[" * 300, '"', "NaN", "1e999", "\\u0000", "\ud83d", ",", "x" * 40000]
        )
        text = text[:at] + piece + text[at + rng.choice([0, 0, 1, 5]) :]
    return text.encode("utf-8", "replace").decode()


def message(rng, models, canary):
    """Return the parts of a message that may be of the page or may not.

    Parameters
    ----------
    rng
        A random.Random.
    models
        Ids and kinds of the document's models.
    canary
        A path that nothing may read.
    """
    header = {"msgid": "1", "msgtype": "PATCH-DOC" if rng.random() < 0.85 else rng.choice(KINDS)}
    if rng.random() < 0.05:
        header["num_buffers"] = rng.choice([1, -1, 2**40, "x"])
    content = {"events": [_event(rng, models, canary) for _ in range(rng.choice([1, 1, 1, 2, 5]))]}
    if rng.random() < 0.05:
        content["references"] = [rng.choice(JUNK)]
    if rng.random() < 0.03:
        content = rng.choice(JUNK)
    if header["msgtype"] == "PULL-DOC-REQ" and rng.random() < 0.8:
        content = {}
    parts = [
        json.dumps(header),
        "{}" if rng.random() < 0.95 else json.dumps(rng.choice(JUNK)),
        json.dumps(content),
    ]
    if rng.random() < 0.2:
        k = rng.randrange(3)
        parts[k] = _damaged(rng, parts[k])
    if rng.random() < 0.03:
        k = rng.randrange(3)
        parts[k] = bytes(rng.randrange(256) for _ in range(rng.choice([0, 3, 100])))
    if rng.random() < 0.03:
        parts = parts[: rng.randrange(3)]
    return parts
