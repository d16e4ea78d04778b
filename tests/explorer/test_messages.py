"""What a page may send: changes of its own controls, and nothing that makes the server read or make anything."""

from __future__ import annotations

import json
import random

import pytest

pytest.importorskip("bokeh", reason="not run: Bokeh (extra 'explore') is missing")

from bokeh.document import Document
from bokeh.models import Button, Div, NumericInput, Select, Slider, TextInput
from bokeh.plotting import figure
from bokeh.protocol import Protocol

from selfstab.explorer.messages import LONGEST, LONGEST_TEXT, MOST_EVENTS, Messages, Refusal
from tests.explorer.hostile import message


class Widgets:
    """A document with a control of each kind."""

    def __init__(self):
        self.select = Select(value="a", options=["a", ("b", "the second")])
        self.slider = Slider(start=-1.0, end=2.0, value=0.0, step=0.1)
        self.number = NumericInput(value=1.0, mode="float")
        self.text = TextInput(value="u")
        self.button = Button(label="PNG")
        self.clicks = []
        self.button.on_event("button_click", self.clicks.append)
        self.words = Div(text="words")
        self.diagram, self.plane = figure(name="diagram"), figure(name="plane")
        self.document = Document()
        for model in (self.select, self.slider, self.number, self.text, self.button, self.words):
            self.document.add_root(model)
        for plot in (self.diagram, self.plane):
            self.document.add_root(plot)


@pytest.fixture
def widgets():
    return Widgets()


def read(document, content, kind="PATCH-DOC", header=None, metadata="{}"):
    """Return the content that is passed on of one message; None: nothing is."""
    messages = Messages()
    header = json.dumps({"msgid": "1", "msgtype": kind} if header is None else header)
    content = content if isinstance(content, str) else json.dumps(content)
    assert messages.take(header, document) == []
    assert messages.take(metadata, document) == []
    parts = messages.take(content, document)
    assert len(parts) in (0, 3)
    return json.loads(parts[2]) if parts else None


def change(model, attribute, value):
    return {"events": [{"kind": "ModelChanged", "model": {"id": model.id}, "attr": attribute, "new": value}]}


def event(name, *entries):
    values = {"type": "map", "entries": [list(entry) for entry in entries]}
    return {
        "events": [
            {
                "kind": "MessageSent",
                "msg_type": "bokeh_event",
                "msg_data": {"type": "event", "name": name, "values": values},
            }
        ]
    }


@pytest.mark.parametrize(
    ("control", "value", "taken"),
    [
        ("select", "b", "b"), ("slider", 1.5, 1.5), ("slider", -7, -1.0), ("slider", 1e300, 2.0),
        ("number", None, None), ("number", 3, 3.0), ("text", "v**2", "v**2"),
        ("text", "é" * LONGEST_TEXT, "é" * LONGEST_TEXT),
    ],
)  # fmt: skip
def test_a_controls_value_is_passed_on_and_applied(widgets, control, value, taken):
    """Protects the page: what its widgets send reaches them, by Bokeh's own reader."""
    model = getattr(widgets, control)
    content = read(widgets.document, change(model, "value", value))
    assert content == change(model, "value", taken)
    header = json.dumps({"msgid": "1", "msgtype": "PATCH-DOC"})
    Protocol().assemble(header, "{}", json.dumps(content)).apply_to_document(widgets.document)
    assert model.value == taken


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("select", "c"), ("select", ["a"]), ("select", None), ("slider", "1"), ("slider", True), ("slider", None),
        ("slider", 10**400), ("slider", {"type": "number", "value": "nan"}), ("number", "1"), ("number", [1]),
        ("text", 1), ("text", None), ("text", "u" * (LONGEST_TEXT + 1)), ("text", {"type": "bytes", "data": "AA=="}),
    ],
)  # fmt: skip
def test_a_value_that_the_control_cannot_have_is_refused(widgets, control, value):
    """Protects what is behind a control from values that no browser sends."""
    with pytest.raises(Refusal):
        read(widgets.document, change(getattr(widgets, control), "value", value))


def test_gestures_of_buttons_and_of_the_diagram_are_passed_on(widgets):
    """Protects clicks: the button and the point arrive, without what else the browser tells of them."""
    own = ("model", {"id": widgets.diagram.id})
    for name in ("tap", "doubletap", "pan"):
        sent = event(name, own, ("sx", 3), ("x", 0.25), ("y", 0.5), ("modifiers", {"type": "map"}))
        assert read(widgets.document, sent) == event(name, own, ("x", 0.25), ("y", 0.5))
    click = event("button_click", ("model", {"id": widgets.button.id}))
    assert read(widgets.document, click) == click
    header = json.dumps({"msgid": "1", "msgtype": "PATCH-DOC"})
    Protocol().assemble(header, "{}", json.dumps(click)).apply_to_document(widgets.document)
    assert [one.model for one in widgets.clicks] == [widgets.button]


def test_everything_else_is_dropped(widgets, tmp_path):
    """Protects files of the user: a property that names one is never set, nor any but the controls' values."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"\x89PNG")
    for content in (
        change(widgets.button, "icon", str(secret)),
        change(widgets.button, "label", "x"),
        change(widgets.select, "options", ["x"]),
        change(widgets.slider, "end", 1e9),
        change(widgets.text, "value_input", "x"),
        change(widgets.words, "text", "<script>"),
        change(widgets.words, "value", "x"),
        change(widgets.plane, "inner_width", 5),
        event("tap", ("model", {"id": widgets.plane.id}), ("x", 0.5), ("y", 0.5)),
        event("button_click", ("model", {"id": widgets.words.id})),
        event("document_ready"),
        event("selectiongeometry", ("model", {"id": widgets.diagram.id})),
        change(Slider(start=0, end=1, value=0, step=1), "value", 1),  # of no page
    ):
        assert read(widgets.document, content) is None, content
    # What is good in a message with others is kept.
    mixed = {
        "events": change(widgets.button, "icon", str(secret))["events"]
        + change(widgets.text, "value", "v")["events"]
    }
    assert read(widgets.document, mixed) == change(widgets.text, "value", "v")


def test_what_no_page_sends_is_refused(widgets):
    """Protects Bokeh's reader: no new models, no data, no bytes, no other kinds, nothing longer than a page sends."""
    slider = {"id": widgets.slider.id}
    events = change(widgets.slider, "value", 1.0)["events"]
    for content in (
        "[]", "{", "nan", '{"events": NaN}', "[" * LONGEST, '{"events": {}}', {}, {"events": events, "references": []},
        {"events": events * (MOST_EVENTS + 1)}, {"events": [1]}, {"events": [{}]},
        {"events": [events[0] | {"model": {"type": "object", "name": "ImageURL", "id": widgets.slider.id}}]},
        {"events": [events[0] | {"model": slider | {"attributes": {}}}]}, {"events": [events[0] | {"model": "p1"}]},
        {"events": [events[0] | {"model": {"id": ["p1"]}}]}, {"events": [events[0] | {"kind": ["ModelChanged"]}]},
        {"events": [{"kind": "ColumnDataChanged", "model": slider, "attr": "data", "data": {}}]},
        {"events": [{"kind": "ColumnsStreamed", "model": slider, "attr": "data", "data": {}}]},
        {"events": [{"kind": "RootAdded", "model": slider}]}, {"events": [{"kind": "TitleChanged", "title": "x"}]},
        {"events": [{"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": None}]},
        {"events": [{"kind": "MessageSent", "msg_data": {"type": "event", "name": ["tap"], "values": 1}}]},
        event("tap", ("model", {"id": widgets.diagram.id}), ("x", "0"), ("y", 0)),
        event("tap", ("model", {"id": widgets.diagram.id}), ("x", 10**400), ("y", 0)),
        event("tap", ("x", 1), ("y", 0)),
    ):  # fmt: skip
        with pytest.raises(Refusal):
            read(widgets.document, content)
    good = {"events": events}
    for kind in (
        "PUSH-DOC",
        "SERVER-INFO-REQ",
        "OK",
        "ERROR",
        "ACK",
        "PULL-DOC-REPLY",
        "",
        None,
        ["PATCH-DOC"],
    ):
        with pytest.raises(Refusal):
            read(widgets.document, good, kind=kind)
    for header in ([], {}, {"msgid": "1"}, {"msgid": 1, "msgtype": "PATCH-DOC"},
                   {"msgid": "1", "msgtype": "PATCH-DOC", "num_buffers": 1},
                   {"msgid": "1" * 65, "msgtype": "PATCH-DOC"}):  # fmt: skip
        with pytest.raises(Refusal):
            read(widgets.document, good, header=header)
    with pytest.raises(Refusal):
        read(widgets.document, good, metadata='{"a": 1}')
    for part in (b"{}", "x" * (LONGEST + 1), None):
        with pytest.raises(Refusal):
            Messages().take(part, widgets.document)


def test_the_document_is_asked_for_once_a_connection(widgets):
    """Protects memory: the whole document is the largest answer that there is."""
    messages = Messages()
    parts = json.dumps({"msgid": "1", "msgtype": "PULL-DOC-REQ"}), "{}", "{}"
    for _ in range(2):  # a second time where the first was cut
        assert [len(messages.take(part, widgets.document)) for part in parts] == [0, 0, 3]
    assert [messages.take(part, widgets.document) for part in parts[:2]] == [[], []]
    with pytest.raises(Refusal):
        messages.take(parts[2], widgets.document)


def test_mutated_messages_set_values_of_controls_or_nothing(widgets):
    """Protects by numbers: of 3,000 damaged messages each is refused, dropped, or a value of a control."""
    rng, counts = random.Random(0), {"refused": 0, "dropped": 0, "kept": 0}
    models = [(model.id, type(model).__name__) for model in widgets.document.models]
    for _ in range(3000):
        messages = Messages()
        try:
            parts = []
            for part in message(rng, models, "/secret.png"):
                parts = messages.take(part, widgets.document)
        except Refusal:
            counts["refused"] += 1
            continue
        if not parts:
            counts["dropped"] += 1
            continue
        counts["kept"] += 1
        for one in json.loads(parts[2]).get("events", []):
            assert one["kind"] == "MessageSent" or one["attr"] == "value"
        if json.loads(parts[0])["msgtype"] == "PATCH-DOC":
            Protocol().assemble(*parts).apply_to_document(widgets.document)
    assert min(counts.values()) > 100, counts
    assert widgets.button.icon is None
