"""The explorer's presets: each shows what its chapter of the story tells."""

import numpy as np
import pytest

from selfstab import phases
from selfstab.explorer import views
from selfstab.explorer.presets import PRESETS
from selfstab.explorer.state import PageState


def test_each_preset_shows_its_catapult():
    """Protects the first look of a newcomer: a catapult in each, momentum's by far the largest at a constant lr."""
    measured = {label: views.measured(views.run(state)) for label, state in PRESETS.items()}
    assert {values["phase"] for values in measured.values()} == {phases.CATAPULT}
    overshoot = {label: values["overshoot"] for label, values in measured.items()}
    assert overshoot["GD"] == pytest.approx(1.0, abs=0.05)
    assert overshoot["momentum"] > 10.0
    assert overshoot["warmup"] > 10.0
    assert overshoot["Nesterov"] < 2.0


def test_gradient_descent_beside_has_the_same_thresholds():
    """Protects the comparison: equal thresholds at every step, of momentum, lookahead, warmup and other optimizers."""
    states = [
        *PRESETS.values(),
        PageState(steps=60).with_method("QuasiHyperbolic"),
        PageState(steps=60, warmup=30.0).with_method("AveragedHeavyBall"),
    ]
    for state in states:
        run, beside = views.run(state), views.ghost(state)
        if state.method == "HeavyBall" and state.momentum == 0.0:
            assert beside is None
            continue
        count = min(run.sizes["step"], beside.sizes["step"])
        np.testing.assert_allclose(
            beside.max_stable_sharpness[:count], run.max_stable_sharpness[:count], rtol=1e-13
        )
        assert float(beside.displacement[0]) == float(run.displacement[0])
