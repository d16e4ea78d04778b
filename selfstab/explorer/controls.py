"""The explorer's widgets: what changes a state, and what shows it."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
from bokeh.events import ButtonClick
from bokeh.layouts import column, row
from bokeh.models import Button, CustomJSTickFormatter, Div, NumericInput, Select, Slider, TextInput

from selfstab.explorer import exports
from selfstab.explorer.numbers import offered
from selfstab.explorer.plots import FRESH, STALE
from selfstab.explorer.presets import PRESETS
from selfstab.explorer.scales import Axis
from selfstab.explorer.setups import FORMULA, MODELS
from selfstab.explorer.state import MEASURES, PageState
from selfstab.explorer.template import DIV_STYLE, WIDGET_STYLE
from selfstab.losses.symbolic.toy import SliderRange

SHORT: Final = {
    "momentum": "momentum β",
    "excess": "excess ε",
    "lr": "lr η",
    "warmup": "warmup",
    "progressive_sharpening": "sharpening α",
    "stabilization": "stabiliz. b²",
}
"""Axes in few letters."""

_POWER: Final = "return Number(Math.pow(10, tick).toPrecision(3)).toString()"
_EXCESS: Final = "relative excess ε"
_PLAIN: Final = "return Number(tick.toPrecision(4)).toString()"


class Owner(Protocol):
    """What the widgets ask."""

    state: PageState
    quiet: bool

    def change(self, make: Callable[[], PageState]) -> None:
        """Take another state."""

    def save(self, kind: str) -> None:
        """Make a file."""


class Controls:
    """The column of widgets."""

    def __init__(self, page: Owner) -> None:
        self.page = page
        state = page.state
        wide: dict[str, Any] = {"sizing_mode": "stretch_width", "stylesheets": [WIDGET_STYLE]}
        plain: dict[str, Any] = {"sizing_mode": "stretch_width"}
        # Their titles have the value; a tooltip would hide the title above.
        slid = wide | {"tooltips": False}
        self.presets = []
        for label, preset in PRESETS.items():
            button = Button(label=label, css_classes=["preset"], **wide)
            button.on_event(ButtonClick, lambda _, preset=preset: page.change(lambda: preset))
            self.presets.append(button)
        self.model = Select(title="Model", value=state.model, options=list(MODELS), **wide)
        self.formula_shown = Div(stylesheets=[DIV_STYLE], **plain)
        self.formula = TextInput(title="Loss (SymPy)", value=state.formula, **wide)
        self.variables = TextInput(title="Weights", value=state.variables, **wide)
        self.at = TextInput(title="Start", value=state.at, **wide)
        self.own_formula = column(self.formula, row(self.variables, self.at, **plain), visible=False, **plain)
        self.momentum = Slider(
            title="momentum β",
            start=0.0,
            end=0.99,
            step=0.005,
            value=state.momentum,
            format=CustomJSTickFormatter(code=_PLAIN),
            **slid,
        )
        power = CustomJSTickFormatter(code=_POWER)
        self.method = Select(title="Optimizer", value=state.method, options=offered(), **wide)
        self.method.visible = len(self.method.options) > 1
        self.numbers, self.rules = column(**plain), column(**plain)
        self.excess = Slider(
            title=_EXCESS,
            start=-4.0,
            end=0.0,
            step=0.01,
            value=np.log10(state.excess),
            format=power,
            **slid,
        )
        self.flip = Slider(
            title="flip (swing at the start)",
            start=-8.0,
            end=0.0,
            step=0.1,
            value=np.log10(state.flip),
            format=power,
            **slid,
        )
        self.warmup = Slider(title="warmup (steps)", start=0, end=1000, step=5, value=0, **slid)
        self.steps = Slider(title="steps", start=50, end=5000, step=50, value=state.steps, **slid)
        self.settings = column(**plain)
        self.found = Div(stylesheets=[DIV_STYLE], **plain)
        self.message = Div(stylesheets=[DIV_STYLE], **plain)
        titles = {
            "across": "Diagram, horizontal",
            "up": "Diagram, vertical",
            "orbit": "Orbits, horizontal",
        }
        self.axes = {which: _AxisWidgets(self, which, title) for which, title in titles.items()}
        self.weight = Select(title="Orbits, weight", options=[""], value="", **wide)
        self.measure = Select(title="Diagram shows", options=list(MEASURES), value=state.measure, **wide)
        self.buttons = []
        for kind, known in exports.KINDS.items():
            button = Button(label=known.label, name=f"save-{kind}", **wide)
            button.on_event(ButtonClick, lambda _, kind=kind: page.save(kind))
            self.buttons.append(button)
        # By these classes a widget is found in the page.
        for name in (
            "model", "formula", "variables", "at", "method", "momentum", "excess", "flip", "warmup", "steps",
        ):  # fmt: skip
            getattr(self, name).css_classes = [f"widget-{name}"]
        self.rows_for = self.numbers_for = ""
        self._connect()

    def _connect(self) -> None:
        page = self.page

        def on(widget: Any, make: Callable[[Any], PageState], attribute: str = "value") -> None:
            widget.on_change(attribute, lambda _a, _o, new: page.change(lambda: make(new)))

        on(self.model, lambda new: page.state.with_model(new))
        for widget in (self.formula, self.variables, self.at):
            # All three: what was typed before may have been refused for want of this one.
            on(widget, lambda _: self._typed())
        on(self.method, lambda new: page.state.with_method(new))
        on(self.momentum, lambda new: replace(page.state, momentum=float(new)))
        on(self.excess, lambda new: replace(page.state, excess=float(f"{10.0**new:.4g}")))
        on(self.flip, lambda new: replace(page.state, flip=float(f"{10.0**new:.3g}")))
        on(self.warmup, lambda new: replace(page.state, warmup=float(new)))
        on(self.steps, lambda new: replace(page.state, steps=int(new)))
        on(self.weight, lambda new: replace(page.state, weight=new))
        on(self.measure, lambda new: replace(page.state, measure=new))

    def _typed(self) -> PageState:
        """Return the state of what is typed, also where the page went back to a model after a bad formula."""
        state = self.page.state
        if state.model != FORMULA:
            state = state.with_model(FORMULA)
        texts = {"formula": self.formula.value, "variables": self.variables.value, "at": self.at.value}
        return replace(state, weight="", **texts)

    def roots(self) -> list[Any]:
        """Return the parts that the template places."""
        wide: dict[str, Any] = {"sizing_mode": "stretch_width"}
        save = Div(text="Save the figure, the data, or the script", stylesheets=[DIV_STYLE], **wide)
        main = column(
            row(*self.presets[:3], **wide),
            row(*self.presets[3:], **wide),
            self.model,
            self.formula_shown,
            self.own_formula,
            self.settings,
            *(
                self.method,
                self.rules,
                self.momentum,
                self.numbers,
                self.excess,
                self.warmup,
                self.steps,
                self.flip,
            ),
            *(axis.row for axis in self.axes.values()),
            row(self.measure, self.weight, **wide),
            save,
            row(*self.buttons[:3], **wide),
            row(*self.buttons[3:], **wide),
            name="controls",
            **wide,
        )
        self.found.name, self.message.name = "found", "message"
        return [main, self.found, self.message]

    def say(self, words: str, *, bad: bool = False) -> None:
        """Show a line: what goes on, or what is wrong."""
        self.message.text = f'<span class="{"bad" if bad else "calm"}">{html.escape(words)}</span>'

    def tell(self, words: str) -> None:
        """Show what came of the run."""
        self.found.text = words

    def dim(self, *, stale: bool) -> None:
        """Pale what is told of the run, which is another model's, or bring it back."""
        self.found.styles = STALE if stale else FRESH

    def follow(self, state: PageState) -> None:
        """Bring the widgets to a state, without their asking for it again."""
        before, self.page.quiet = self.page.quiet, True
        try:
            self._follow(state)
        finally:
            self.page.quiet = before

    def _follow(self, state: PageState) -> None:
        self.model.value = state.model
        if state.model == FORMULA:
            self.formula.value, self.variables.value, self.at.value = (
                state.formula,
                state.variables,
                state.at,
            )
        self.measure.value = state.measure
        self.formula_shown.text = f"<i>L</i> = {html.escape(MODELS[state.model].formula)}"
        self.formula_shown.visible = state.model != FORMULA
        self.own_formula.visible = state.model == FORMULA
        _set(self.momentum, state.momentum)
        self.method.value, self.momentum.visible = state.method, state.has_momentum
        if self.numbers_for != state.method:
            self.numbers_for = state.method
            self.number_sliders = {
                number.name: self._slider(number, state.number(number.name), PageState.with_number)
                for number in state.own_numbers
            }
            self.numbers.children = list(self.number_sliders.values())
            self.rule_texts = {name: self._text(name, text) for name, text in state.optimizer_texts.items()}
            self.rules.children = list(self.rule_texts.values())
        for name, slider in self.number_sliders.items():
            _set(slider, state.number(name))
        low = 10.0**self.excess.start
        self.excess.title = (
            _EXCESS if state.excess >= low else f"{_EXCESS}, {state.excess:.3g}: below the slider"
        )
        _set(self.excess, np.log10(max(state.excess, low)))
        _set(self.flip, np.log10(state.flip))
        _set(self.warmup, state.warmup)
        _set(self.steps, state.steps)
        if self.rows_for != state.model:
            self.rows_for = state.model
            self.sliders = {
                s.name: self._slider(s, state.setting(s.name), PageState.with_setting)
                for s in state.own_settings
            }
            self.settings.children = list(self.sliders.values())
        for name, slider in self.sliders.items():
            _set(slider, state.setting(name))
        for which, widgets in self.axes.items():
            widgets.follow(state, getattr(state, which))
        try:
            names = list(state.start.weight_names)
            self.weight.options, self.weight.value = names, state.shown_weight
        except (ValueError, TypeError, OverflowError):
            return

    def _slider(
        self, setting: SliderRange, value: float, changed: Callable[[PageState, str, float], PageState]
    ) -> Slider:
        slider = Slider(
            title=setting.label, start=setting.low, end=setting.high, step=setting.step,
            value=value, sizing_mode="stretch_width", stylesheets=[WIDGET_STYLE], tooltips=False,
            format=CustomJSTickFormatter(code=_PLAIN),
        )  # fmt: skip
        page = self.page
        slider.on_change(
            "value",
            lambda _a, _o, new: page.change(lambda: changed(page.state, setting.name, new)),
        )
        return slider

    def _text(self, name: str, text: str) -> TextInput:
        title = name.replace("_", " ")
        widget = TextInput(
            title=title, value=text, sizing_mode="stretch_width", stylesheets=[WIDGET_STYLE],
            css_classes=[f"widget-{name.replace('_', '-')}"],
        )  # fmt: skip
        # All texts: one that was typed before may have been refused for want of this one.
        self._changed(
            widget, lambda: self.page.state.with_texts({n: w.value for n, w in self.rule_texts.items()})
        )
        return widget

    def _changed(self, widget: TextInput, make: Callable[[], PageState]) -> None:
        widget.on_change("value", lambda _a, _o, _n: self.page.change(make))


def _set(slider: Slider, value: float) -> None:
    """Move a slider, and its end where the value is beyond it."""
    value = max(float(value), slider.start)
    usual = next(iter(slider.tags), slider.end)
    slider.tags, slider.end = [usual], max(usual, value)
    if abs(value - slider.value) > 0.51 * slider.step:
        slider.value = value


class _AxisWidgets:
    """What an axis is, and its ends."""

    def __init__(self, controls: Controls, which: str, title: str) -> None:
        self.page, self.which = controls.page, which
        self.name = Select(title=title, options=[], sizing_mode="stretch_width", stylesheets=[WIDGET_STYLE])
        self.low = NumericInput(
            title="from", mode="float", width=54, margin=(5, 2, 5, 2), stylesheets=[WIDGET_STYLE]
        )
        self.high = NumericInput(
            title="to", mode="float", width=54, margin=(5, 2, 5, 2), stylesheets=[WIDGET_STYLE]
        )
        self.row = row(self.name, self.low, self.high, sizing_mode="stretch_width")
        page = self.page
        self.name.on_change(
            "value", lambda _a, _o, new: page.change(lambda: page.state.with_axis(which, new))
        )
        for widget in (self.low, self.high):
            widget.on_change("value", lambda _a, _o, _n: page.change(self._ends))

    def _ends(self) -> PageState:
        axis = Axis(self.name.value, self.low.value, self.high.value)
        return replace(self.page.state, **{self.which: axis})  # type: ignore[arg-type]

    def follow(self, state: PageState, axis: Axis) -> None:
        """Show an axis."""
        self.name.options = [(key, SHORT.get(key, label)) for key, label in state.axis_names.items()]
        self.name.value = axis.name
        self.low.value, self.high.value = float(f"{axis.low:.6g}"), float(f"{axis.high:.6g}")
