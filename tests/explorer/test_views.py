"""From a state to datasets: the cell of a diagram is the run, theory's words, and nothing is computed twice."""

from dataclasses import replace

import numpy as np
import pytest

from selfstab import phases, theory
from selfstab.explorer import views
from selfstab.explorer.scales import Axis
from selfstab.explorer.state import PageState


def test_a_cell_at_the_point_is_the_run(plain_engine):
    # Protects the mark: the colour under it is the phase that the page tells of the run.
    for state in (PageState(steps=80), PageState(steps=80, warmup=20.0)):
        for place in (0.0, 1.0):
            there = state.at_point(place, 1.0 - place)
            run = plain_engine(views.run, there)
            cell = plain_engine(views.diagram, there, 2)
            up, across = (name for name, _ in views.diagram_grid(there).axes)
            k = int(place)
            assert views.measured(run)["phase"] == int(cell["phase"].transpose(up, across)[1 - k, k])


def test_the_law_is_that_of_theory_on_the_product():
    # Protects theory's lines: b² of the product's minimum is 4S − 16/S (∇S along the minima), in closed form.
    for sharpness in (3.0, 6.0):
        state = PageState().with_model("Product").with_setting("sharpness", sharpness)
        law = views.law(state)
        assert law.stabilization == pytest.approx(4.0 * sharpness - 16.0 / sharpness, rel=1e-9)
        threshold = 2.0 * (1.0 + state.momentum) / state.lr
        assert law.kappa == pytest.approx(theory.inertia_number(sharpness / threshold - 1.0, state.momentum))
        assert law.displacement == pytest.approx(
            theory.max_displacement(sharpness - threshold, law.stabilization)
        )


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (PageState().with_model("DoubleWell"), "assumes a flat direction"),
        (PageState().with_model("Coupled"), "start at a minimum"),
        (PageState().with_setting("progressive_sharpening", 1e-4), "start at a minimum"),
        (PageState(warmup=10.0), "constant learning rate"),
        (PageState(excess=-0.1), "below the threshold"),
    ],
)
def test_where_the_law_says_nothing_it_says_why(state, words):
    assert words in views.law(state).reason


def test_a_diverging_run_is_a_result(plain_engine):
    state = PageState(excess=5.0)
    data = plain_engine(views.run, state)
    assert int(data.diverged_at) > 0
    assert views.measured(data)["phase"] == -1


def test_keys_tell_what_a_diagram_depends_on():
    # Protects the speed: a slider that moves along an axis of the diagram computes no diagram.
    state = PageState()
    assert views.diagram_key(replace(state, momentum=0.5, excess=0.1)) == views.diagram_key(state)
    assert views.diagram_key(replace(state, steps=7)) != views.diagram_key(state)
    assert views.diagram_key(replace(state, flip=0.1)) != views.diagram_key(state)
    assert views.diagram_key(state.with_setting("stabilization", 2.0)) != views.diagram_key(state)
    assert views.orbit_key(replace(state, excess=0.1)) == views.orbit_key(state)
    assert views.orbit_key(replace(state, momentum=0.5)) != views.orbit_key(state)
    held = replace(state, up=Axis("stabilization", 0.5, 2.0))
    assert views.diagram_key(replace(held, excess=0.1)) != views.diagram_key(held)
    ramp = replace(state, warmup=5.0)
    assert views.diagram_key(replace(ramp, warmup=6.0)) != views.diagram_key(ramp)


def test_keys_hold_what_moves_the_diagram(state, plain_engine, same_cells):
    # Protects against a stale picture: where the key stays, the diagram does, whatever else has changed.
    others = (replace(state, momentum=0.3), replace(state, excess=0.07), replace(state, warmup=9.0))
    same_key = [other for other in others if views.diagram_key(other) == views.diagram_key(state)]
    assert same_key
    for other in same_key:
        same_cells(plain_engine(views.diagram, state, 3), plain_engine(views.diagram, other, 3))


def test_pictures_come_quickest_first_and_once(plain_engine, monkeypatch):
    state, held = PageState(steps=20), {}

    def shown(state, wanted=lambda: True):
        found = views.pictures(state, held, wanted, size=4, coarse=2, along=3)
        return [(name, data.sizes.get("momentum")) for name, data in found]

    assert plain_engine(shown, state) == [("run", None), ("diagram", 4), ("orbits", None)]
    assert plain_engine(shown, state) == [("run", None)]
    # No longer wanted after the run: nothing else, and what is shown is known to be old.
    assert plain_engine(shown, replace(state, steps=21), lambda: False) == [("run", None)]
    assert len(plain_engine(shown, replace(state, steps=21))) == 3
    # Long runs: a coarse diagram first.
    monkeypatch.setattr(views, "STRIPS", 100)
    assert plain_engine(shown, state) == [("run", None), ("diagram", 2), ("orbits", None), ("diagram", 4)]


def test_strips_are_the_diagram(plain_engine, monkeypatch, same_cells):
    # Protects long runs' diagrams: they are computed in parts, so that they can be left off.
    monkeypatch.setattr(views, "STRIPS", 2 * 6 * 20)
    state = PageState(steps=20)
    parts = plain_engine(lambda: views._in_strips(state, 6, lambda: True))
    same_cells(parts, plain_engine(views.diagram, state, 6))
    answers = iter([True, False])
    assert plain_engine(lambda: views._in_strips(state, 6, lambda: next(answers))) is None


def test_the_default_is_a_large_catapult():
    # Protects the first look.
    found = views.measured(views.run(PageState()))
    assert found["phase"] == phases.CATAPULT
    assert found["overshoot"] > 5.0


def test_every_number_shown_is_finite_or_missing(state, plain_engine):
    data = plain_engine(views.run, state)
    assert np.isfinite(data.displacement).all()
