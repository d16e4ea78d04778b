"""What drawings ask of a run is what the library's own runs hold, along the dimensions that are promised."""

from __future__ import annotations

import re

import pytest

import selfstab as ss
from selfstab.plotting.contract import RUN_VARIABLES, require_run


@pytest.fixture(scope="module")
def runs():
    """Return runs by what the contract says has given them."""
    loss = ss.Product()
    minimum = loss.minimum(sharpness=4.0)
    start, previous = ss.flip_start(loss, minimum, 1e-3)
    run = ss.simulate(
        loss, ss.HeavyBall(0.97, 0.9), start, 60, previous=previous, keep=("loss", "sharpness", "weights")
    )
    return {"a run of simulate": run, "a run of observables.swing": ss.observables.swing(run, loss, minimum)}


def given_by(source):
    return [name for name, variable in RUN_VARIABLES.items() if variable.given_by == source]


@pytest.mark.parametrize("source", ["a run of simulate", "a run of observables.swing"])
def test_what_is_said_to_give_a_variable_gives_it(runs, source):
    """Protects the remedy in each message: whoever follows it has the variable, along these dimensions."""
    names = given_by(source)
    assert len(names) >= 5
    for name in names:
        assert runs[source][name].dims == RUN_VARIABLES[name].along, name
    require_run(runs[source], *names)


def test_meanings_hold_on_a_run(runs):
    """Protects the words of the table, in closed form on the product: S* = 2(1 + β)/η, b² = 4S − 16/S at a minimum."""
    run, threshold = runs["a run of observables.swing"], 3.8 / 0.97
    s = run["sharpness"].values
    smooth = (s[:-2] + 2.0 * s[1:-1] + s[2:]) / 4.0
    assert run["max_stable_sharpness"].values == pytest.approx(threshold)
    assert run["excess_sharpness"].values[1:-1] == pytest.approx(smooth - threshold, abs=1e-12)
    assert float(run["peak_excess_sharpness"]) == pytest.approx(4.0 - threshold)
    assert float(run["stabilization"]) == pytest.approx(4.0 * 4.0 - 16.0 / 4.0)


@pytest.mark.parametrize("name", RUN_VARIABLES)
def test_a_variable_that_is_missing_is_named_with_what_gives_it(runs, name):
    """Protects the door: of all that is asked for, the message is about the one that is not there."""
    run = runs["a run of simulate"].drop_vars(name, errors="ignore")
    present = [other for other in given_by("a run of simulate") if other != name]
    source = re.escape(RUN_VARIABLES[name].given_by)
    with pytest.raises(ValueError, match=rf"^run\['a'\] must have the variable {name} \({source}\), got"):
        require_run(run, *present, name, name="run['a']")


def test_dimensions_and_settings_are_asked_for(runs):
    """Protects drawings of one run: several runs are refused, and a run without its optimizer where it is named."""
    run = runs["a run of simulate"]
    with pytest.raises(ValueError, match="loss along step"):
        require_run(run.assign(loss=run["loss"].expand_dims(repeat=2)), "step", "loss")
    bare = run.drop_attrs()
    require_run(bare, "loss", settings=False)
    with pytest.raises(ValueError, match="run must have the attribute optimizer"):
        require_run(bare, "loss")
    with pytest.raises(TypeError, match="run must be a dataset"):
        require_run({"loss": [1.0]}, "loss")
