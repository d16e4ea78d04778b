"""The explorer's widgets: each changes its own part of the state, and following a state asks for nothing."""

from __future__ import annotations

import numpy as np
import pytest

from selfstab.explorer import exports
from selfstab.explorer.controls import Controls
from selfstab.explorer.scales import Axis
from selfstab.explorer.setups import FORMULA
from selfstab.explorer.state import PageState
from tests.explorer.conftest import STATES


class Owner:
    """A page without pictures, which counts what is asked of it."""

    def __init__(self, state=None):
        self.state, self.quiet, self.changes, self.requests = state or PageState(), False, 0, []
        self.controls = Controls(self)
        self.controls.follow(self.state)

    def change(self, make):
        if not self.quiet:
            self.changes += 1
            self.state = make()

    def save(self, kind):
        self.requests.append(kind)


def changed(before, after):
    """Return the fields in which two states differ."""
    return {name: value for name, value in vars(after).items() if value != vars(before)[name]}


@pytest.mark.parametrize(
    ("widget", "value", "difference"),
    [
        ("momentum", 0.5, {"momentum": 0.5}),
        ("excess", -1.0, {"excess": 0.1}),
        ("flip", -2.0, {"flip": 0.01}),
        ("warmup", 25, {"warmup": 25.0}),
        ("steps", 1250, {"steps": 1250}),
        ("formula", "u**2/2", {"formula": "u**2/2"}),
        ("variables", "c,d", {"variables": "c,d"}),
        ("at", "1,2", {"at": "1,2"}),
    ],
)
def test_a_widget_changes_its_own_part(widget, value, difference):
    """Protects the state from a slider wired to another's number, or read in another scale."""
    typed = widget in ("formula", "variables", "at")
    page = Owner(PageState(model=FORMULA, variables="a,b", formula="a**2+b**2", at="1,1") if typed else None)
    before = page.state
    getattr(page.controls, widget).value = value
    assert changed(before, page.state) == difference
    assert page.changes == 1


def test_sliders_of_a_model_and_of_an_optimizer_change_their_numbers():
    """Protects sliders that are made anew for each model: they set a setting, or a number, by its name."""
    page = Owner()
    page.controls.sliders["stabilization"].value = 2.0
    assert page.state.setting("stabilization") == 2.0
    page.controls.number_sliders["lookahead"].value = 0.5
    assert page.state.number("lookahead") == 0.5
    page.controls.model.value = "Product"
    page.controls.follow(page.state)
    assert list(page.controls.sliders) == [setting.name for setting in page.state.own_settings]
    assert page.controls.settings.children == list(page.controls.sliders.values())


def test_axes_are_changed_by_name_and_by_their_ends():
    """Protects the three axes: a name takes its usual range, an end keeps the other one."""
    page = Owner()
    page.controls.axes["up"].name.value = "lr"
    page.controls.follow(page.state)
    assert page.state.up == PageState().usual_axis("lr")
    orbit = page.state.orbit
    page.controls.axes["orbit"].high.value = 0.5
    assert page.state.orbit == Axis("excess", float(f"{orbit.low:.6g}"), 0.5)


@pytest.mark.parametrize("name", STATES)
def test_following_a_state_shows_it_and_asks_for_nothing(name):
    """Protects against a loop of widget and state: each widget stands at the state's value, without a change."""
    page, state = Owner(), STATES[name]
    page.state = state
    page.controls.follow(state)
    controls = page.controls
    assert page.changes == 0
    assert not page.quiet
    assert (controls.model.value, controls.method.value) == (state.model, state.method)
    assert controls.own_formula.visible == (state.model == FORMULA)
    assert controls.momentum.value == pytest.approx(state.momentum, abs=controls.momentum.step)
    assert 10.0**controls.excess.value == pytest.approx(max(state.excess, 1e-4), rel=0.02)
    assert controls.steps.value == max(state.steps, controls.steps.start)
    for which, widgets in controls.axes.items():
        axis = getattr(state, which)
        assert (widgets.name.value, widgets.low.value) == (axis.name, pytest.approx(axis.low, rel=1e-5))
        assert {key for key, _ in widgets.name.options} == set(state.axis_names)
    assert controls.weight.value == state.shown_weight


def test_buttons_save_and_the_measure_is_chosen():
    """Protects the six buttons: each asks for its own kind."""
    page = Owner()
    for button in page.controls.buttons:
        (callback,) = button._event_callbacks["button_click"]
        callback(None)
    assert page.requests == list(exports.KINDS)
    assert page.changes == 0
    page.controls.measure.value = "overshoot"
    assert page.state.measure == "overshoot"


def test_what_is_said_is_text():
    """Protects the page from words that look like its own HTML: a formula may hold < and &."""
    controls = Owner().controls
    controls.say("u < 1 & <b>", bad=True)
    assert controls.message.text == '<span class="bad">u &lt; 1 &amp; &lt;b&gt;</span>'
    controls.say("running")
    assert controls.message.text == '<span class="calm">running</span>'


def test_a_sliders_end_follows_a_value_beyond_it():
    """Protects the reader of a slider: it stands at the state's value, and goes back to its usual end afterwards."""
    page = Owner()
    usual = page.controls.excess.end, page.controls.steps.end
    page.controls.follow(PageState(excess=3.0, steps=20_000))
    assert page.controls.excess.value == page.controls.excess.end == pytest.approx(np.log10(3.0))
    assert page.controls.steps.value == page.controls.steps.end == 20_000
    page.controls.follow(PageState())
    assert (page.controls.excess.end, page.controls.steps.end) == usual
    assert np.isclose(page.controls.flip.value, np.log10(PageState().flip))


def test_an_excess_below_the_slider_is_said():
    """Protects the reader of a start below the threshold, which a slider of powers cannot show."""
    page = Owner()
    page.controls.follow(PageState(excess=-0.1))
    assert page.controls.excess.title == "relative excess ε, -0.1: below the slider"
    assert page.controls.excess.value == page.controls.excess.start
    page.controls.follow(PageState())
    assert page.controls.excess.title == "relative excess ε"


def test_a_typed_formula_is_one_whatever_model_the_page_went_back_to():
    """Protects the second try: after a first formula that was refused, the next is not taken for a model's."""
    page = Owner()
    page.controls.variables.value = "a,b"
    page.controls.formula.value = "a**2 + b**2"
    assert (page.state.model, page.state.formula, page.state.variables) == (FORMULA, "a**2 + b**2", "a,b")
