"""A catapult's run beside theory: coordinates of the swing, and where it is predicted to end."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab import theory


def swung(loss, momentum, excess, minimum, size=1e-4):
    start, previous = ss.flip_start(loss, minimum, size=size)
    lr = 2.0 * (1.0 + momentum) * (1.0 + excess) / loss.sharpness(minimum)[0]
    keep = ("loss", "sharpness", "weights")
    run = ss.simulate(loss, ss.HeavyBall(lr, momentum), start, 1500, previous=previous, keep=keep)
    return ss.observables.swing(run, loss, minimum)


def test_a_swing_on_the_cubic_model_is_its_coordinates():
    """Protects x, y0, b² and κ: on the cubic model x is a weight, b² a parameter, and S* + y0 the curvature."""
    loss = ss.CubicTaylor(1.5, stabilization=4.0)
    seen = swung(loss, 0.5, 0.01, loss.minimum())
    assert np.abs(seen["displacement"].values) == pytest.approx(
        np.abs(seen["weights"].values[:, 0]), abs=1e-15
    )
    assert float(seen["stabilization"]) == pytest.approx(4.0, rel=1e-12)
    assert float(seen["peak_excess_sharpness"]) == pytest.approx(1.5 - 1.5 / 1.01, rel=1e-12)
    assert float(seen["inertia_number"]) == pytest.approx(0.01 * 9.0, rel=1e-12)
    # The sharpness exceeds the curvature by the swing's own b²x²/S, smoothed.
    curvature = 1.5 + 2.0 * seen["weights"].values[:, 1]
    share = 1.05 * 4.0 * float((seen["weights"].values[:, 0] ** 2).max()) / float(curvature.min())
    assert share < 0.03 * float(seen["peak_excess_sharpness"])
    assert seen["excess_sharpness"].values == pytest.approx(curvature - 1.5 / 1.01, abs=share)


def test_a_swing_on_the_product_is_its_closed_form():
    """Protects x about a minimum that is not the origin, and ∇S without its part along u: b² = 4(S² − 4)/S."""
    loss = ss.Product()
    a, b = loss.minimum(sharpness=4.0)
    seen = swung(loss, 0.5, 0.01, [a, b])
    x = (
        b * (seen["weights"].values[:, 0] - a) + a * (seen["weights"].values[:, 1] - b)
    ) / 2.0  # u = (b, a)/√S
    assert np.abs(seen["displacement"].values) == pytest.approx(np.abs(x), abs=1e-12)
    assert float(np.abs(x).max()) > 0.01
    assert float(seen["stabilization"]) == pytest.approx(12.0, rel=1e-10)


def test_a_swing_ends_where_its_prediction_says():
    """Protects the prediction's assembly: at a small relative drop the law holds on another loss, too."""
    loss = ss.Product()
    seen = swung(loss, 0.9, 5e-4, loss.minimum(sharpness=4.0))
    final = float(seen["sharpness"].values[-1])
    y0 = float(seen["peak_excess_sharpness"])
    assert float(seen["predicted_overshoot"]) == pytest.approx(
        theory.overshoot(float(seen["inertia_number"]))
    )
    assert abs(final - float(seen["predicted_final_sharpness"])) < 0.02 * y0
    assert abs(final - (4.0 - 2.0 * y0)) > 0.2 * y0, "the slow limit's end must be another"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run, loss, w: (run.drop_vars("weights"), loss, w), "got no weights"),
        (lambda run, loss, w: (3, loss, w), "run must be a dataset"),
        (lambda run, loss, w: (run, 3, w), "loss must be a selfstab loss"),
        (lambda run, loss, w: (run, ss.DoubleWell(), [1.0]), "loss must be the run's"),
        (lambda run, loss, w: (run, loss, [1.0]), "minimum must have shape"),
        (lambda run, loss, w: (run, loss, [1.0, 1.0]), "constant threshold below"),
    ],
)
def test_a_swing_refuses_what_it_cannot_read(change, message):
    """Protects the door: the argument and what is wrong with it are named."""
    loss = ss.Product()
    minimum = loss.minimum(sharpness=4.0)
    keep = ("loss", "sharpness", "weights")
    run = ss.simulate(loss, ss.HeavyBall(0.51), minimum, 3, keep=keep)
    with pytest.raises((ValueError, TypeError), match=message):
        ss.observables.swing(*change(run, loss, minimum))


def test_a_swing_with_lookahead_is_refused():
    """Protects against a prediction by a law of another form."""
    loss = ss.Product()
    minimum = loss.minimum(sharpness=4.0)
    run = ss.simulate(loss, ss.HeavyBall(0.3, 0.9, lookahead=0.9), minimum, 3, keep=("sharpness", "weights"))
    with pytest.raises(ValueError, match="lookahead"):
        ss.observables.swing(run, loss, minimum)
