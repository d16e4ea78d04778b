"""The script of a state: it runs on its own, and makes what is shown."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from selfstab.explorer import views
from selfstab.explorer.script import script
from selfstab.explorer.setups import FORMULA
from selfstab.explorer.state import PageState
from selfstab.optimizers.settings import setting
from tests.optimizers.own import Mixed, Moments, TwoMomenta


def test_the_script_makes_the_same_bits(state, plain_engine, same_bits):
    """Protects the export: what one saves is what one saw, from Python lines that run on their own."""

    def both():
        made = {}
        exec(compile(script(state, size=4, along=5), "explored.py", "exec"), made)
        return made, (views.run(state), views.diagram(state, 4), views.orbit_diagram(state, 5))

    made, shown = plain_engine(both)
    for name, data in zip(("run", "diagram", "orbits"), shown, strict=True):
        assert set(made[name].variables) == set(data.variables)
        assert made[name].sizes == data.sizes
        for variable in [each for each in data.variables if data[each].dtype != object]:
            assert same_bits(made[name][variable].values, data[variable].values), (name, variable)


def names_called(text):
    """Return the names under which a script's calls are looked up: functions of its own imports, or of ss."""
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return {call.id for call in calls if isinstance(call, ast.Name)}, {
        call.attr for call in calls if isinstance(call, ast.Attribute) and ast.unparse(call.value) == "ss"
    }


@pytest.mark.parametrize("kind", [TwoMomenta, Mixed, Moments])
def test_an_optimizer_of_ones_own_is_imported(kind):
    """Protects scripts of optimizers that ss has not: each is fetched from its module, which is all that is missing."""
    text = script(replace(PageState().with_method(kind.__name__), steps=5))
    assert f"from {kind.__module__} import {kind.__name__}" in text
    plain, public = names_called(text)
    assert kind.__name__ in plain
    assert kind.__name__ not in public


class Blended(Mixed):
    """An optimizer with a number that has no default, beside the momentum."""

    share: float = setting(at_least=0, at_most=1)


def test_a_number_without_a_default_is_written():
    """Protects scripts of optimizers that must be given a number: without it the call would fail."""
    text = script(PageState().with_method(Blended.__name__))
    assert "Blended(lr, momentum=momentum, share=0.5)" in text


def test_numbers_at_their_defaults_are_left_out():
    """Protects the reading of a script: a number stands in it where it is not the class's own, or has no default."""
    text = script(PageState().with_method("TwoMomenta").with_number("slow", 0.5))
    assert "TwoMomenta(lr, slow=0.5)" in text
    assert "Mixed(lr, momentum=momentum)" in script(PageState().with_method("Mixed"))
    assert "ss.HeavyBall(lr, momentum)" in script(PageState())


def test_a_formula_is_a_text_in_the_script():
    """Protects whoever runs a script: a formula with quotes stays a text, and nothing of it is Python."""
    state = PageState(
        model=FORMULA, formula="(u - 1)**2*(v**2 + 1) ", variables="u, v", at="near 1.2, 0.1", steps=5
    )
    tree = ast.parse(script(state))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert state.formula in texts


def test_where_the_law_is_silent_the_script_says_why():
    """Protects figures from lines of a law that does not hold: the reason is a comment, and nothing is assigned."""
    state = PageState(warmup=10.0)
    text = script(state)
    assert f"# The overshoot law says nothing of this run: {views.law(state).reason}." in text
    assert "predicted_final_sharpness" not in text
    assert "predicted_final_sharpness" in script(PageState())
