"""The explorer's page: widgets that change a state, and pictures of it (Bokeh)."""

from __future__ import annotations

import base64
import html
import math
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from bokeh.events import DoubleTap, Pan, Tap
from bokeh.models import ColumnDataSource, CustomJS, TextInput
from tornado.ioloop import IOLoop

from selfstab import phases, validation
from selfstab.explorer import compilation, exports, tasks, views
from selfstab.explorer.controls import Controls
from selfstab.explorer.fragment import fragment_of, state_of
from selfstab.explorer.plots import Pictures, run_colour
from selfstab.explorer.process import LIMIT_SECONDS, Interrupted, TabProcess, WorkError
from selfstab.explorer.setups import FORMULA, STARTS
from selfstab.explorer.state import PageState
from selfstab.explorer.tasks import Picture
from selfstab.explorer.template import PAGE
from selfstab.explorer.worker import Latest
from selfstab.losses.base.named_loss import numbers
from selfstab.plotting.methods import METHOD_COLOURS
from selfstab.plotting.style import THEORY_COLOUR

if TYPE_CHECKING:
    from bokeh.document import Document

_PATIENCE: Final = 1.0
"""Seconds to wait for the page's thread, which may be gone with its tab."""

RUN: Final = ("plane", "sharpness", "loss")
PLOTS: Final = (*RUN, "diagram", "orbits")
"""Names of the plots, first those of the run."""

_SAVE: Final = """
const bytes = Uint8Array.from(atob(source.data.content[0]), (c) => c.charCodeAt(0));
const link = document.createElement('a');
link.href = URL.createObjectURL(new Blob([bytes], {type: source.data.media_type[0]}));
link.download = source.data.name[0];
link.click();
setTimeout(() => URL.revokeObjectURL(link.href), 10000);
"""
"""Saves the file that the server has put into a source: no route serves files."""


def show(document: Document, limit: float = LIMIT_SECONDS) -> None:
    """Fill a document with the explorer's page, a part of whose work may take `limit` seconds."""
    _Page(document, limit)


class _Page:
    """One tab: its state, its widgets, its pictures, and the process that computes them."""

    def __init__(self, document: Document, limit: float = LIMIT_SECONDS) -> None:
        self.document = document
        self.state = self.valid = PageState()
        self.drawn_keys: dict[str, Any] = {}
        self.ready: set[tuple[object, ...]] = set()
        self.quiet = self.closed = self.saving = False
        self.complaint = ""
        self.drawn: tuple[str, str, str] | None = None
        self.pictures = Pictures()
        self.controls = Controls(self)
        self.file = ColumnDataSource({"name": [], "media_type": [], "content": []})
        self.file.js_on_change("data", CustomJS(args={"source": self.file}, code=_SAVE))
        # The browser writes it into the address, and says by it what the address asks for.
        self.address = TextInput(name="address")
        self.address.on_change("value", lambda _a, _o, new: self._visit(new))
        self.place = TextInput(name="place")  # where arrow keys go to in the diagram
        self.place.on_change("value", lambda _a, _o, new: self._go(new))
        self.process, self.exporter = TabProcess(limit), TabProcess(limit)
        self.worker: Latest[PageState] = Latest(self._work)
        self.loop = IOLoop.current(instance=False)
        # Before the plot is a part of the document: later ones are not heard.
        for event in (Tap, DoubleTap, Pan):  # two quick clicks apart are a double one, too
            self.pictures.diagram.on_event(event, self._point)
        document.title = "selfstab explore"
        document.template = PAGE
        # The page's own notice has a button that loads it anew, with the state of its address.
        # Older releases of Bokeh have neither of the two.
        if (config := getattr(document, "config", None)) is not None:
            config.reconnect_session = config.notify_connection_status = False
        for root in (*self.controls.roots(), *self.pictures.roots()):
            document.add_root(root)
        # No plot holds these: as tags they are a part of the document.
        self.controls.message.tags = [self.file, self.address, self.place]
        document.on_session_destroyed(lambda _: self.close())
        self.update(self.state)

    def close(self) -> None:
        """End all work: the tab is gone."""
        self.closed = True
        for process in (self.process, self.exporter):
            process.close()
        self.worker.close(0.0)

    # -- in the page's thread ---------------------------------------------------------------------------------------

    def update(self, state: PageState) -> None:
        """Take a new state: move the marks at once, and ask for the pictures."""
        self.state = self.valid = state
        self._follow(state)
        self.worker.ask(state)

    def _follow(self, state: PageState) -> None:
        """Bring the page to a state whose start is known."""
        self.complaint = ""
        drawn = (state.model, state.formula, state.method)
        if self.drawn not in (None, drawn):
            self._stale()
        self.drawn = drawn
        self.controls.follow(state)
        self.pictures.choose(state.measure)
        self._write_address()
        try:
            self.pictures.mark(state)
        except (ValueError, TypeError, OverflowError) as error:
            self._complain(str(error))
            return
        compiling = "compiling the kernels of this model: some ten seconds, once on this machine ..."
        self.controls.say("running ..." if compilation.key(state) in self.ready else compiling)

    def change(self, make: Callable[[], PageState]) -> None:
        """Take the state that a widget asks for, or say what is wrong with it."""
        if self.quiet:
            return
        try:
            state = make()
            known = STARTS.knows(state.start_key)
            if known:
                _ = state.start
        except (ValueError, TypeError, OverflowError) as error:
            self._complain(str(error))
            return
        if _typed(state) != _typed(self.state):
            # What is under way is for another loss, and may take long.
            self.process.interrupt()
        if known:
            self.update(state)
            return
        self.state, self.complaint = state, ""
        self.controls.follow(state)
        self._stale()
        self.controls.say("checking the formula ...")
        self.worker.ask(state)

    def _visit(self, fragment: str) -> None:
        """Take the state that the address asks for; a refused one leaves the address of what is shown."""
        if self.quiet:
            return
        self.change(lambda: state_of(fragment))
        self._write_address()

    def _write_address(self) -> None:
        """Have the browser write the state into its address."""
        before, self.quiet = self.quiet, True
        try:
            self.address.value = fragment_of(self.state)
        finally:
            self.quiet = before

    def _accept(self, state: PageState) -> None:
        """Follow a state that was checked, if it is still the latest."""
        if self.state is state:
            self.valid = state
            self._follow(state)

    def _refuse(self, state: PageState, words: str) -> None:
        """Go back to the state before one that was checked, whose texts stay, and say what is wrong with it."""
        if self.state is not state:
            return
        self.state = self.valid
        self._write_address()
        self._complain(words)
        self.worker.ask(self.valid)

    def _complain(self, words: str) -> None:
        """Say what is wrong; it stays until something else is asked for, and the pictures stay pale."""
        self.complaint = words
        self._stale()
        self.controls.say(words, bad=True)

    def _stale(self) -> None:
        """Pale what shows another model than the one that is asked for."""
        self.pictures.dim(PLOTS, stale=True)
        self.controls.dim(stale=True)

    def _fresh(self, names: Sequence[str]) -> None:
        """Bring back plots that show what is asked for; beside words of what is wrong they stay pale."""
        if not self.complaint:
            self.pictures.dim(names, stale=False)
            self.controls.dim(stale=False)

    def _report(self, words: str) -> None:
        """Say what was done, unless something is wrong."""
        if not self.complaint:
            self.controls.say(words)

    def _point(self, event: Any) -> None:
        if event.x is not None and event.y is not None:
            self.change(lambda: self.state.at_point(event.x, event.y))

    def _go(self, text: str) -> None:
        """Choose the run at a place of the diagram, two numbers from 0 to 1."""

        def there() -> PageState:
            places = numbers("place", text)
            if places.size != 2:
                raise ValueError(f"place must be two numbers, got {validation.shown(text)}")
            return self.state.at_point(*places)

        self.change(there)

    def save(self, kind: str) -> None:
        """Make a file beside the page's work, and hand it to the browser."""
        if self.saving:
            self.controls.say("a file is being made: wait for it", bad=True)
            return
        self.saving = True
        self.controls.say(f"making {exports.KINDS[kind].name} ...")
        state = self.valid

        def make() -> None:
            try:
                (file,) = self.exporter.answers(tasks.export, state, kind)
            except Interrupted:
                return
            except WorkError as error:
                words = str(error)
                self._later(lambda: end(words, bad=True))
                return
            content = base64.b64encode(file.content).decode()

            def hand_over() -> None:
                self.file.data = {
                    "name": [file.name],
                    "media_type": [file.media_type],
                    "content": [content],
                }
                end(f"saved {file.name}, {len(file.content) / 1000:.0f} kB")

            self._later(hand_over)

        def end(words: str, *, bad: bool = False) -> None:
            self.saving = False
            self.controls.say(words, bad=bad)

        threading.Thread(target=make, daemon=True).start()

    # -- in the worker's thread -------------------------------------------------------------------------------------

    def _later(self, act: Callable[[], None]) -> None:
        """Have something done in the page's thread, if the tab is still there."""

        def add() -> None:
            if not self.closed:
                self.document.add_next_tick_callback(act)

        if self.loop is None:
            add()
        else:
            # Sessions end in the loop's own thread: from another one it could end between question and call.
            self.loop.add_callback(add)

    def _draw_and_wait(self, acts: list[Callable[[], None]]) -> None:
        """Have the page's thread draw, and wait for it: the next piece of work would hold it up."""
        done = threading.Event()

        def act() -> None:
            for one in acts:
                one()
            done.set()

        self._later(act)
        done.wait(_PATIENCE)

    def _work(self, state: PageState, current: Callable[[], bool]) -> None:
        try:
            if not STARTS.knows(state.start_key):
                try:
                    (start,) = self.process.answers(tasks.start, state, current=current)
                except WorkError as error:
                    words = str(error)
                    self._later(lambda: self._refuse(state, words))
                    return
                STARTS.learn(state.start_key, start)
                self._later(lambda: self._accept(state))
            self._draw(state, current)
        except Interrupted:
            self.drawn_keys = {}
        except Exception as error:
            # Whatever goes wrong is told in words: the page must not stand still.
            self.drawn_keys = {}
            words = str(error) or type(error).__name__
            if current():
                self._later(lambda: self._complain(words))

    def _draw(self, state: PageState, current: Callable[[], bool]) -> None:
        draws = {"diagram": self.pictures.draw_diagram, "orbits": self.pictures.draw_orbits}
        seconds: dict[str, float] = {}
        pictures = self.process.answers(tasks.pictures, state, self.drawn_keys, current=current)
        while True:
            try:
                picture = next(pictures)
            except StopIteration as end:
                self.drawn_keys = end.value
                break
            seconds[picture.name] = picture.seconds
            if picture.law is not None:
                self.ready.add(compilation.key(state))
                words = _summary(state, picture)
                acts = [
                    self.pictures.draw_run(state, picture.data, picture.law, picture.ghost),
                    lambda words=words: self.controls.tell(words),  # type: ignore[misc]
                ]
                shown: tuple[str, ...] = RUN
            else:
                acts = [draws[picture.name](state, picture.data)]
                shown = (picture.name,)
            self._draw_and_wait([*acts, lambda shown=shown: self._fresh(shown)])  # type: ignore[misc]
        times = ", ".join(f"{name} {1000 * taken:.0f} ms" for name, taken in seconds.items())
        if current():
            self._later(lambda: self._fresh(PLOTS))
            self._later(lambda: self._report(times))


def _typed(state: PageState) -> tuple[str, str, str, str] | None:
    """Return what was typed of a state's loss; None: it is one of the models."""
    return (state.model, state.formula, state.variables, state.at) if state.model == FORMULA else None


def _summary(state: PageState, run: Picture) -> str:
    """Return what came of the run beside what theory says, as a table."""
    data, law, measures = run.data, run.law, run.measures
    assert law is not None
    assert measures is not None
    code = int(measures["phase"])
    diverged = int(data["diverged_at"])
    word = phases.LABELS[code] + (f" at step {diverged}" if diverged >= 0 else "")
    badge = f'<span class="badge" style="background:{phases.COLOURS[code]}">&nbsp;</span>{word}'
    threshold = float(data["max_stable_sharpness"][-1])
    last, largest = float(data["sharpness"][-1]), float(np.abs(data["displacement"]).max())
    if diverged >= 0:
        last = largest = math.nan
    rows = [
        ("final sharpness", last, law.final_sharpness if law.final_sharpness > 0.0 else math.nan),
        ("largest |x|", largest, law.displacement),
        ("overshoot", measures["overshoot"], law.overshoot),
    ]

    def number(value: float) -> str:
        return f"{value:.4g}" if np.isfinite(value) else "–"

    notes = [f"learning rate η = {state.lr:.4g}, threshold S* = {threshold:.4g}"]
    if law.reason:
        notes.append(f"no theory: {html.escape(law.reason)}")
    else:
        notes.append(f"inertia number κ = {law.kappa:.3g}")
        if law.final_sharpness <= 0.0:
            notes.append("the catapult is too large for the law")
    if diverged >= 0:
        notes.append("a smaller excess, or less momentum, keeps the run in the valley")
    if bool((data["loss"] <= 0.0).any()):
        notes.append("the line of the loss has gaps where it is not above 0")
    parts = [f'<span class="phase">{badge}</span>']
    for name, value, predicted in rows:
        theory = f" (theory {number(predicted)})" if np.isfinite(predicted) else ""
        parts.append(f"<span>{name} <b>{number(value)}</b>{theory}</span>")
    if run.ghost is not None:
        beside = float(run.ghost["sharpness"][-1]) if int(run.ghost["diverged_at"]) < 0 else math.nan
        parts.append(f"<span>gradient descent: final sharpness <b>{number(beside)}</b></span>")
    parts.append(f'<span class="note">{"; ".join(notes)}</span>')
    return f'<div class="found">{"".join(parts)}</div><div class="lines">{_keys(state, run)}</div>'


def _key(words: str, colour: str, dash: str = "", width: float = 1.0) -> str:
    line = f'<line x1="0" y1="5" x2="26" y2="5" stroke="{colour}" stroke-dasharray="{dash}" stroke-width="{width}"/>'
    return f'<span class="key"><svg width="26" height="10" aria-hidden="true">{line}</svg>{words}</span>'


def _keys(state: PageState, run: Picture) -> str:
    """Return the key of the lines that a run's pictures have."""
    law = (run.law or views.Law()).drawn(run.data)
    names = ["this run", "gradient descent at the same threshold"]
    drawn = [
        (names[0], run_colour(state)),
        *([(names[1], METHOD_COLOURS["GD"])] if run.ghost is not None else []),
    ]
    lines = [("threshold S*", "5 3", 1.0), ("final sharpness by the overshoot law", "6 2 1 2", law.final_sharpness),
             ("largest |x| in the slow limit", "2 3", law.displacement)]  # fmt: skip
    return "".join(
        [_key(name, colour, width=2.0) for name, colour in drawn]
        + [_key(words, THEORY_COLOUR, dash) for words, dash, value in lines if np.isfinite(value)]
    )
