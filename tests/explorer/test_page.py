"""The explorer's page without a server: states, messages, files, and what it says of a run."""

from __future__ import annotations

import base64
import math
import re
import threading
from types import SimpleNamespace

import pytest
from bokeh.document import Document
from bokeh.events import ButtonClick

from selfstab import phases, theory
from selfstab.explorer import compilation, exports, page, setups, tasks, views
from selfstab.explorer import state as state_module
from selfstab.explorer.presets import PRESETS
from selfstab.explorer.process import WorkError
from selfstab.explorer.setups import FORMULA
from selfstab.explorer.state import PageState


class Requests:
    """Takes the place of the thread: what is asked of it is kept."""

    def __init__(self, work):
        self.work, self.states = work, []

    def ask(self, state):
        self.states.append(state)

    def close(self, seconds):
        """Nothing runs."""


class Here:
    """Takes the place of the process: tasks run in the thread that asks."""

    def __init__(self, limit):
        self.interrupts = 0

    def answers(self, task, *arguments, current=lambda: True):
        try:
            return (yield from task(*arguments, current))
        except Exception as error:
            raise WorkError(str(error) or type(error).__name__) from None

    def interrupt(self):
        self.interrupts += 1

    def close(self):
        self.interrupts = -1


@pytest.fixture
def tab(monkeypatch):
    """Return a tab whose thread is asked and does nothing, and whose document acts at once."""
    monkeypatch.setattr(page, "Latest", Requests)
    monkeypatch.setattr(page, "TabProcess", Here)
    document = Document()
    monkeypatch.setattr(document, "add_next_tick_callback", lambda act: act())
    tab = page._Page(document)
    tab.loop = None
    return tab


def test_a_click_is_the_state_there(tab):
    """Protects the map: the point that is clicked is asked for once, and a click beside the plot is none."""
    tab._point(SimpleNamespace(x=0.5, y=0.25))
    assert tab.state == PageState().at_point(0.5, 0.25)
    assert tab.worker.states == [PageState(), tab.state]
    tab._point(SimpleNamespace(x=None, y=0.25))
    assert len(tab.worker.states) == 2
    assert tab.controls.momentum.value == pytest.approx(tab.state.momentum, abs=0.005)


def test_arrow_keys_choose_a_run(tab):
    """Protects readers without a mouse: a place is the state there, and anything else is refused in words."""
    tab.place.value = "0.5,0.25"
    assert tab.state == PageState().at_point(0.5, 0.25)
    for hostile in ("0.5", "a,b", "nan,0", "0,1,2", ""):
        tab.place.value = hostile
        assert 'class="bad"' in tab.controls.message.text
    assert tab.state == PageState().at_point(0.5, 0.25)


def test_a_state_that_cannot_be_is_said_and_not_taken(tab):
    """Protects the page from numbers out of range: words in its message, the state and its pictures stay."""
    tab.change(lambda: PageState(steps=0))
    assert 'class="bad"' in tab.controls.message.text
    assert tab.state == PageState()
    tab.quiet = True
    tab.change(lambda: pytest.fail("it was asked"))
    assert len(tab.worker.states) == 1


@pytest.fixture
def elsewhere(monkeypatch):
    """Have typed formulas checked by processes only, as in the server, which knows none yet."""
    starts = setups.Starts()
    starts.elsewhere = True
    for module in (setups, page, state_module):
        monkeypatch.setattr(module, "STARTS", starts)
    return starts


def test_a_formula_is_checked_elsewhere_and_a_bad_one_is_not_taken(monkeypatch, tab, elsewhere):
    """Protects the server's thread from SymPy, and the page from a bad formula, whose text stays to be mended."""
    monkeypatch.setattr(setups, "setup_of", lambda key: pytest.fail("it was derived here"))
    bad = PageState(model=FORMULA, formula="u +")
    tab.change(lambda: bad)
    assert "checking" in tab.controls.message.text
    assert (tab.state, tab.valid, tab.worker.states[-1]) == (bad, PageState(), bad)
    with pytest.raises(ValueError, match="still being checked"):
        _ = bad.lr
    monkeypatch.undo()


def test_what_a_check_says_is_followed_or_told(monkeypatch, tab, elsewhere):
    """Protects both ends of a check: words and the former state, or the formula with its pictures."""
    monkeypatch.setattr(tab, "_draw", lambda state, current: drawn.append(state))
    drawn = []
    bad = PageState(model=FORMULA, formula="u +")
    tab.change(lambda: bad)
    tab._work(bad, lambda: True)
    assert "expression must be a formula" in tab.controls.message.text
    assert (tab.state, tab.worker.states[-1], drawn) == (PageState(), PageState(), [])
    tab._report("run 1 ms")
    assert "expression must be a formula" in tab.controls.message.text
    good = PageState(model=FORMULA, variables="p,q", formula="p**2*q**2 + q**2", at="1,1")
    tab.change(lambda: good)
    tab._work(good, lambda: True)
    assert (tab.valid, drawn) == (good, [good])
    assert tab.controls.weight.options == ["p", "q"]
    assert elsewhere.knows(good.start_key)
    # What was checked for a formula that is no longer the latest changes nothing.
    late = PageState(model=FORMULA, formula="v**2 + u**2", at="1,1")
    tab._accept(late)
    tab._refuse(late, "late")
    assert tab.valid == good


def test_another_loss_ends_what_is_under_way_for_the_former(tab):
    """Protects the page from a formula that takes for ever; a slider ends nothing, whose kernel is compiled once."""
    tab.change(lambda: PageState(momentum=0.5))
    assert tab.process.interrupts == 0
    tab.change(lambda: PageState(model=FORMULA))
    assert tab.process.interrupts == 1
    tab.change(lambda: PageState(model=FORMULA, formula="u**2 + v**2"))
    assert tab.process.interrupts == 2
    tab.close()
    assert (tab.process.interrupts, tab.exporter.interrupts) == (-1, -1)


def test_a_closed_tab_is_left_alone(monkeypatch, tab):
    """Protects the terminal from tracebacks: what comes after the tab has gone is not put into its document."""
    monkeypatch.setattr(tab.document, "add_next_tick_callback", lambda act: pytest.fail("it is gone"))
    tab.close()
    tab._later(lambda: None)


def test_the_wait_for_a_kernel_is_announced(tab):
    """Protects the first seconds: compiling is said where it is needed, running otherwise."""
    assert "compiling the kernels" in tab.controls.message.text
    tab.ready.add(compilation.key(PageState()))
    tab.update(PageState(momentum=0.3))
    assert "running" in tab.controls.message.text
    tab.update(PageState(model="Product"))
    assert "compiling the kernels" in tab.controls.message.text


def test_a_file_reaches_the_browser_whole(monkeypatch, tab):
    """Protects each download: name, kind and bytes, as base64 gives them back; an error is said in words."""
    content, done = bytes(range(256)), threading.Event()

    def later(act):
        act()
        done.set()

    monkeypatch.setattr(tab, "_later", later)
    monkeypatch.setattr(
        exports, "export", lambda state, kind: exports.File("a.png", f"image/{kind}", content)
    )
    tab.save("png")
    assert done.wait(10)
    data = tab.file.data
    assert (data["name"], data["media_type"]) == (["a.png"], ["image/png"])
    assert base64.b64decode(data["content"][0]) == content
    assert "saved a.png" in tab.controls.message.text
    done.clear()

    def failing(state, kind):
        raise ImportError("NetCDF needs netCDF4 <4>")

    monkeypatch.setattr(exports, "export", failing)
    tab.save("nc")
    assert done.wait(10)
    assert "NetCDF needs netCDF4 &lt;4&gt;" in tab.controls.message.text


def test_pictures_are_drawn_as_they_come_and_an_error_is_said(monkeypatch, tab, plain_engine):
    """Protects the thread's work: run and words appear, the times are told, and an error leaves no stale key."""
    monkeypatch.setattr(compilation, "compile_for", lambda state: None)
    state = PageState(steps=20)
    data = plain_engine(views.run, state)
    monkeypatch.setattr(views, "pictures", lambda *_: iter([("run", data)]))
    tab._work(state, lambda: True)
    assert compilation.key(state) in tab.ready
    assert len(tab.pictures.run_source.data["step"]) == 21
    assert "final sharpness" in tab.controls.found.text
    assert re.search(r"run \d+ ms", tab.controls.message.text)

    tab.drawn_keys["diagram"] = "old"

    def failing(*_):
        raise MemoryError

    monkeypatch.setattr(views, "pictures", failing)
    tab._work(state, lambda: True)
    assert "MemoryError" in tab.controls.message.text
    assert tab.drawn_keys == {}


def pale(tab):
    """Return the names of what is pale."""
    return {root.name for root in tab.document.roots if root.styles.get("opacity", "1") != "1"}


def test_what_shows_another_model_is_pale(monkeypatch, tab, plain_engine):
    """Protects the reader from numbers of the former model: all is pale until the new run is there."""
    monkeypatch.setattr(compilation, "compile_for", lambda state: None)
    assert pale(tab) == set()
    tab.change(lambda: tab.state.with_model("Product"))
    assert pale(tab) == {*page.PLOTS, "found"}
    state = PageState(steps=20)
    data = plain_engine(views.run, state)
    monkeypatch.setattr(views, "pictures", lambda *_: iter([("run", data)]))
    tab._work(state, lambda: False)
    assert pale(tab) == {"diagram", "orbits"}
    tab._work(state, lambda: True)
    assert pale(tab) == set()
    tab.change(lambda: PageState(momentum=0.5))
    tab.change(lambda: PageState(momentum=0.6))
    tab._work(state, lambda: True)
    assert pale(tab) == set()


def test_a_bad_formula_does_not_stand_beside_the_former_models_numbers(monkeypatch, tab, plain_engine):
    """Protects the reader from a formula with another one's run: it stays pale until something valid is asked for."""
    monkeypatch.setattr(compilation, "compile_for", lambda state: None)
    tab.change(lambda: PageState(model=FORMULA, formula="u +"))
    assert pale(tab) == {*page.PLOTS, "found"}
    state = PageState(steps=20)
    data = plain_engine(views.run, state)
    monkeypatch.setattr(views, "pictures", lambda *_: iter([("run", data)]))
    tab._work(state, lambda: True)
    assert pale(tab) == {*page.PLOTS, "found"}
    tab.change(lambda: PageState(momentum=0.5))
    tab._work(state, lambda: True)
    assert pale(tab) == set()


def test_a_preset_is_the_state_of_its_button(tab):
    """Protects the five experiments: a button asks for its state once, and the widgets follow."""
    assert [button.label for button in tab.controls.presets] == list(PRESETS)
    for button, preset in zip(tab.controls.presets, PRESETS.values(), strict=True):
        count = len(tab.worker.states)
        button._trigger_event(ButtonClick(button))
        assert tab.state == preset
        assert len(tab.worker.states) == count + 1
        assert tab.controls.momentum.value == pytest.approx(preset.momentum)
        assert tab.controls.warmup.value == preset.warmup


def test_parts_are_those_of_the_template(tab):
    """Protects the document: every widget and plot is a root of it, with the file among its models."""
    assert [root.name for root in tab.document.roots] == [
        "controls", "found", "message", "plane", "sharpness", "loss", "legend", "diagram", "orbits",
    ]  # fmt: skip
    assert tab.document.models.get_by_id(tab.file.id) is tab.file


def test_an_address_is_followed_and_written(tab):
    """Protects links, and the way back: the address asks for a state once, and always says which is shown."""
    tab.address.value = "model=Product&momentum=0.5"
    assert (tab.state.model, tab.state.momentum) == ("Product", 0.5)
    assert (tab.controls.model.value, tab.controls.momentum.value) == ("Product", 0.5)
    assert tab.worker.states == [PageState(), tab.state]
    tab.controls.momentum.value = 0.75
    assert tab.address.value == "model=Product&momentum=0.75"
    tab.address.value = "model=Product&momentum=0.5"
    assert len(tab.worker.states) == 4


def test_a_hostile_address_is_said_and_not_taken(tab):
    """Protects the page from what others write into a link: words, the former state, and its address again."""
    for hostile in ("momentum=5", "model=<b>", "%FF", "steps=9" * 500):
        tab.address.value = hostile
        assert 'class="bad"' in tab.controls.message.text
        assert "<b>" not in tab.controls.message.text
        assert (tab.state, tab.address.value) == (PageState(), "")
    assert tab.worker.states == [PageState()]


def test_a_formula_of_an_address_is_checked_elsewhere(tab, elsewhere):
    """Protects the server from a formula in a link as from a typed one; its text stands in the field meanwhile."""
    tab.address.value = "model=Formula&formula=u%20*"
    assert "checking" in tab.controls.message.text
    assert (tab.controls.model.value, tab.controls.formula.value) == (FORMULA, "u *")
    tab._work(tab.state, lambda: True)
    assert "expression must be a formula" in tab.controls.message.text
    assert (tab.state, tab.address.value) == (PageState(), "")


def picture(state, data):
    return tasks.Picture("run", data, 0.0, views.law(state), views.measured(data))


def numbers_in(text):
    """Return what the summary says of each quantity: the run's number and theory's, nan where there is none."""
    rows = re.findall(r"<span>([^<]+) <b>([^<]+)</b>(?: \(theory ([^)]+)\))?</span>", text)

    def value(word):
        return float(word) if word not in ("", "–") else math.nan

    return {name: (value(run), value(law)) for name, run, law in rows}


def test_a_run_is_summed_up_beside_theory(plain_engine):
    """Protects the line of numbers, in closed form on the product: b² = 4S − 16/S, κ and y₀ of the threshold."""
    state = (
        PageState(excess=0.01, momentum=0.5, steps=200).with_model("Product").with_setting("sharpness", 4.0)
    )
    data = plain_engine(views.run, state)
    threshold = 2.0 * (1.0 + state.momentum) / state.lr
    kappa = theory.inertia_number(4.0 / threshold - 1.0, state.momentum)
    text = page._summary(state, picture(state, data))
    shown = numbers_in(text)
    assert shown["final sharpness"] == pytest.approx(
        (float(data["sharpness"][-1]), theory.final_sharpness(threshold, 4.0 - threshold, kappa)), rel=1e-3
    )
    assert shown["largest |x|"] == pytest.approx(
        (float(abs(data["displacement"]).max()), theory.max_displacement(4.0 - threshold, 12.0)), rel=1e-3
    )
    assert shown["overshoot"][1] == pytest.approx(float(theory.overshoot(kappa)), rel=1e-3)
    assert f"S* = {threshold:.4g}" in text


def test_a_divergence_and_a_silent_law_are_said(plain_engine):
    """Protects honesty: a diverged run has no final numbers but its step, and where there is no theory it says why."""
    state = PageState(excess=5.0)
    data = plain_engine(views.run, state)
    text = page._summary(state, picture(state, data))
    assert f"{phases.LABELS[phases.DIVERGED]} at step {int(data['diverged_at'])}" in text
    assert math.isnan(numbers_in(text)["final sharpness"][0])
    calm = PageState(excess=-0.1, steps=20)
    text = page._summary(calm, picture(calm, plain_engine(views.run, calm)))
    assert "no theory: the start is below the threshold, where it is stable" in text
    assert all(math.isnan(law) for _, law in numbers_in(text).values())
