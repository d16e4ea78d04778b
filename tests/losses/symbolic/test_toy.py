"""What a toy declares: a class and a line make one, and what the explorer shows of it is in range."""

import sys
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

import selfstab as ss
from selfstab.losses.named import named_loss
from selfstab.losses.registry import REGISTRY, named_class
from selfstab.losses.symbolic.toy import Toy, sharpness_setting

TOYS = [name for name, (module, _) in REGISTRY.items() if module == "toys"]
SHOWN = [name for name in TOYS if named_class(name).demonstration is not None]
WITH_SHARPNESS = [name for name in SHOWN if named_class(name).demonstration.sharpness is not None]


def from_sliders(name, which):
    """Return a toy with all its sliders at one of their values: low, default or high."""
    demonstration = named_class(name).demonstration
    values = {s.name: getattr(s, which) for s in demonstration.settings}
    whole = {s.name for s in demonstration.settings if s.whole}
    arguments = {key: int(value) if key in whole else value for key, value in values.items()}
    return named_class(name)(**dict(demonstration.fixed) | arguments)


def test_a_new_toy_is_one_class_and_one_line(monkeypatch, tmp_path):
    """Protects the recipe itself: a class and its line, and the command line, a store and `resume` know the toy."""

    class Tilted(Toy):
        text_settings = MappingProxyType({"tilt": "0.25"})

        def __init__(self, tilt):
            super().__init__("(w**2 - 1)**2/4 + tilt*w", "w", {"tilt": tilt})

    monkeypatch.setitem(sys.modules, "selfstab.losses.tilted", SimpleNamespace(Tilted=Tilted))
    monkeypatch.setitem(REGISTRY, "Tilted", ("tilted", ""))
    loss = named_loss("Tilted", {})
    assert loss.value([1.0]) == 0.25
    assert not ss.check_loss(loss, [1.3]).failures
    axes = {"tilt": [0.1, 0.2], "lr": [0.1, 0.2]}
    settings = {"start": [1.0], "steps": 20, "measure": ["final_loss"], "progress": False}
    store = tmp_path / "tilted.zarr"
    data = ss.sweep(loss, ss.HeavyBall(0.1), axes, **settings, store=store).load()
    assert ss.resume(store, progress=False).load().identical(data)


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("which", ["low", "default", "high"])
def test_a_toy_can_be_made_of_its_sliders(name, which):
    """Protects the explorer's controls: at both ends and the default a constructor takes what a slider gives."""
    loss, demonstration = from_sliders(name, which), named_class(name).demonstration
    assert type(loss).__name__ == name
    assert 0 <= demonstration.weight < loss.dimension
    assert {len(start) for start in [demonstration.start] if start is not None} <= {loss.dimension}


@pytest.mark.parametrize("name", SHOWN)
def test_sliders_are_in_order_and_on_their_steps(name):
    """Protects the sliders: low <= default <= high, and a whole number of steps from low to each."""
    demonstration = named_class(name).demonstration
    for s in [*demonstration.settings, *[demonstration.sharpness] * (name in WITH_SHARPNESS)]:
        assert s.low <= s.default <= s.high
        assert s.low < s.high
        steps = np.array([s.default - s.low, s.high - s.low]) / s.step
        assert steps == pytest.approx(np.round(steps), abs=1e-6)


@pytest.mark.parametrize("name", WITH_SHARPNESS)
@pytest.mark.parametrize("others", ["low", "default", "high"])
@pytest.mark.parametrize("which", ["low", "default", "high"])
def test_a_minimum_has_the_sharpness_of_its_slider(name, others, which):
    """Protects the slider of the sharpness: its range has minima of that sharpness, wherever the others stand."""
    loss = from_sliders(name, others)
    sharpness = getattr(named_class(name).demonstration.sharpness, which)
    minimum = loss.minimum(sharpness=sharpness)
    assert np.linalg.eigvalsh(loss.hessian(minimum))[-1] == pytest.approx(sharpness, rel=1e-9)
    assert loss.gradient(minimum) == pytest.approx(np.zeros(loss.dimension), abs=1e-9)


def test_the_slider_of_a_sharpness():
    """Protects the name by which a minimum takes it."""
    slider = sharpness_setting(2.0, 9.0, 4.0)
    assert (slider.name, slider.low, slider.high, slider.default, slider.whole) == (
        "sharpness",
        2.0,
        9.0,
        4.0,
        False,
    )


def test_a_state_is_the_arguments():
    """Protects toys of the default from_state: a store's parameters are the constructor's arguments, by name."""

    class Tilted(Toy):
        def __init__(self, tilt, depth):
            super().__init__("depth*(w**2 - 1)**2/4 + tilt*w", "w", {"tilt": tilt, "depth": depth})

    loss = Tilted(0.25, 2.0)
    again = Tilted.from_state(loss.state())
    assert dict(again.parameters) == {"tilt": 0.25, "depth": 2.0}
    assert again.value([1.5]) == loss.value([1.5]) == pytest.approx(2.0 * 1.25**2 / 4.0 + 0.375, rel=1e-15)
