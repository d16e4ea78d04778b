"""Methods by name and colour: what a run says of itself decides both."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import xarray
from matplotlib.colors import to_rgb, to_rgba

import selfstab as ss
from selfstab.plotting import methods


def run_of(**settings):
    return xarray.Dataset(attrs={"optimizer": json.dumps({"lr": 0.1} | settings)})


def test_a_run_is_named_by_its_optimizer():
    """Protects keys of figures: GD at momentum 0, PHB above, another optimizer and a flow by their own names."""
    for optimizer, word in ((ss.HeavyBall(0.1), "GD"), (ss.HeavyBall(0.1, 0.9), "PHB")):
        run = ss.simulate(ss.Quadratic([1.0]), optimizer, [1.0], 2)
        assert methods.method(run) == word
        assert methods.is_heavy_ball(run)
    assert methods.method(run_of(name="Averaged", momentum=0.5)) == "Averaged"
    assert not methods.is_heavy_ball(run_of(name="Averaged"))
    flow = run_of(momentum=0.9).assign_attrs(flow="rod flow")
    assert methods.method(flow) == "rod flow"
    # A run that version 0.1 saved says no name: it can only be the heavy ball's.
    assert methods.method(run_of(momentum=0.9)) == "PHB"


def test_colours_of_methods_are_told_apart():
    """Protects readers: each method has a colour of its own, also in grey and to a red-green blind eye."""
    colours = {name: np.array(to_rgb(colour)) for name, colour in methods.METHOD_COLOURS.items()}
    red_green_blind = np.array([[0.625, 0.375, 0.0], [0.7, 0.3, 0.0], [0.0, 0.3, 0.7]])
    for a, b in itertools.combinations(colours, 2):
        assert np.abs(red_green_blind @ (colours[a] - colours[b])).max() > 0.1, (a, b)
    assert methods.method_colour("Averaged") == methods.METHOD_COLOURS["PHB"]


def test_momenta_have_one_colour_everywhere():
    """Protects readers of several figures: a momentum's colour does not depend on the others beside it."""
    few, many = methods.momentum_colours([0.0, 0.9]), methods.momentum_colours([0.0, 0.5, 0.8, 0.9])
    assert few == [many[0], many[3]]
    assert few == [to_rgba(methods.METHOD_COLOURS[name]) for name in ("GD", "PHB")]
    assert len(set(methods.MOMENTUM_COLOURS.values())) == len(methods.MOMENTUM_COLOURS)


def test_other_momenta_are_shades_in_order():
    """Protects figures over momentum: more momentum is lighter, from one scale."""
    shades = methods.momentum_colours([0.0, 0.45, 0.9])
    lightness = [np.dot(shade[:3], (0.2126, 0.7152, 0.0722)) for shade in shades]
    assert lightness == sorted(lightness)
    assert len({tuple(shade) for shade in shades}) == 3


def test_a_run_without_settings_has_no_momentum():
    """Protects from a key that guesses: the message names what is missing."""
    with pytest.raises((ValueError, KeyError), match=r"momentum|optimizer"):
        methods.momentum(xarray.Dataset())


def test_the_former_place_warns():
    """Protects scripts made from the gallery of 0.1, which took the colours from the style."""
    with pytest.warns(DeprecationWarning, match=r"plotting.style.METHOD_COLOURS is now plotting.methods"):
        assert ss.plotting.style.METHOD_COLOURS is methods.METHOD_COLOURS
    with pytest.raises(AttributeError, match="no_such_colour"):
        _ = ss.plotting.style.no_such_colour
