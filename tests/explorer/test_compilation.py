"""Which kernels are ready: states of one key need the same generated sources, and each is compiled once."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from selfstab.explorer import compilation, views
from selfstab.explorer.scales import Axis
from selfstab.explorer.setups import FORMULA, MODELS
from selfstab.explorer.state import PageState
from selfstab.kernels import modules
from tests.explorer.conftest import STATES
from tests.optimizers.own import TwoMomenta


@pytest.fixture
def sources(monkeypatch):
    """Return what gives the sources that a state's pictures compile; plain CPython runs them."""
    seen = set()

    def compiled(source):
        seen.add(source)
        return SimpleNamespace(**modules.plain(source))

    monkeypatch.setattr(modules, "compiled", compiled)

    def of(state):
        seen.clear()
        views.run(state)
        views.diagram(state, 2)
        views.orbit_diagram(state, 2)
        return frozenset(seen)

    return of


VARIANTS = [
    *STATES.values(),
    PageState(steps=20, up=Axis("lr", 1.0, 4.0), orbit=Axis("momentum", 0.1, 0.9)),
    PageState(steps=20, orbit=Axis("lr", 1.0, 4.0)),
    PageState(steps=20).with_setting("stabilization", 2.0),
    PageState(steps=20).with_number("lookahead", 0.5),
    PageState(steps=20).with_number("lookahead", 0.7),
    PageState(steps=20, orbit=Axis("lookahead", 0.1, 0.9)),
    replace(PageState().with_method(TwoMomenta.__name__), steps=20),
    replace(PageState().with_model("Chain").with_setting("depth", 3), steps=20),
]


def test_one_key_is_one_set_of_sources(sources):
    """Protects the words "running": a state is called ready only if all that it compiles has been compiled."""
    by_key = {}
    for state in VARIANTS:
        by_key.setdefault(compilation.key(state), set()).add(sources(state))
    assert {len(sets) for sets in by_key.values()} == {1}
    assert len(by_key) < len(VARIANTS)


def test_a_state_is_compiled_once_and_ready_after(monkeypatch):
    """Protects the wait: a second look compiles nothing; where compiling failed it is tried again."""
    monkeypatch.setattr(compilation, "_ready", set())
    calls, failing = [], [True]

    def diagram(state, size):
        calls.append("diagram")
        if failing:
            raise MemoryError

    monkeypatch.setattr(views, "diagram", diagram)
    monkeypatch.setattr(views, "orbit_diagram", lambda state, along: calls.append("orbits"))
    with pytest.raises(MemoryError):
        compilation.compile_for(PageState())
    assert not compilation.is_ready(PageState())
    failing.clear()
    for state in (
        PageState(),
        PageState(momentum=0.3, steps=7),
        PageState().with_setting("stabilization", 2.0),
    ):
        compilation.compile_for(state)
        assert compilation.is_ready(state)
    assert calls == ["diagram", "diagram", "orbits"]


def test_what_is_prepared_is_every_model_and_the_first_page_last(monkeypatch):
    """Protects the first look at each model, and at a warmup; the first page compiles its own meanwhile."""
    monkeypatch.setattr(compilation, "_ready", set())
    order = []
    monkeypatch.setattr(views, "diagram", lambda state, size: order.append((state.model, state.warmup > 0)))
    monkeypatch.setattr(views, "orbit_diagram", lambda state, along: None)
    assert len(list(compilation.prepare())) == len(order)
    assert order[-2:] == [("CubicTaylor", True), ("CubicTaylor", False)]
    models = [name for name in MODELS if name != FORMULA]
    assert {name for name, _ in order} == set(models)
    assert all(compilation.is_ready(PageState().with_model(name)) for name in models)
