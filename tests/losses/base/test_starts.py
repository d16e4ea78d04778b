"""Where runs start: what a loss draws, and the oscillating mode at rest."""

import numpy as np
import pytest

import selfstab as ss


def test_a_flip_swings_about_its_centre_along_the_top_eigenvector():
    """Protects every catapult of the figures: both points lie `size` from the centre, along NumPy's eigenvector."""
    loss = ss.SymbolicLoss("x**2 + 3*x*y + 4*y**2 + x**4", "x,y")
    centre = np.array([0.3, -0.2])
    start, previous = ss.flip_start(loss, centre, size=1e-2)
    assert 0.5 * (start + previous) == pytest.approx(centre, abs=1e-16)
    top = np.linalg.eigh(loss.hessian(centre))[1][:, -1]
    assert np.abs((start - previous) / 2e-2) == pytest.approx(np.abs(top), rel=1e-12)


def test_a_flip_at_rest_keeps_its_size_at_the_threshold():
    """Protects what 'at rest' means: at lr = 2(1 + β)/S the swing only changes sign, step for step."""
    loss = ss.Quadratic([2.0, 0.5])
    start, previous = ss.flip_start(loss, [0.0, 0.0], size=0.25)
    run = ss.simulate(loss, ss.HeavyBall(2 * 1.5 / 2.0, 0.5), start, 40, previous=previous, keep=["weights"])
    assert run.weights.values[:, 0] == pytest.approx(0.25 * (-1.0) ** np.arange(41), abs=1e-12)


def test_an_initialization_draws_what_its_loss_draws():
    """Protects seeds: the numbers of default_rng(seed), scaled, of any loss."""
    loss = ss.Quadratic([1.0, 2.0, 3.0])
    expected = 0.5 * np.random.default_rng(7).standard_normal(3)
    assert np.array_equal(ss.Initialization(7, 0.5).weights(loss), expected)


def test_what_a_loss_draws_is_checked():
    """Protects runs from a loss whose draw has a wrong shape: the message says what is wrong."""

    class Longer(ss.DoubleWell):
        def initial_weights(self, seed=0, scale=1.0):
            return np.zeros(2)

    with pytest.raises(ValueError, match="initial weights must have shape"):
        ss.Initialization().weights(Longer())


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ss.Initialization(-1), ValueError, "seed must be"),
        (lambda: ss.Initialization(2**53 + 1), ValueError, "seed must be"),
        (lambda: ss.Initialization(scale=-1.0), ValueError, "scale must be"),
        (lambda: ss.flip_start("Product", [1.0, 1.0], 0.1), TypeError, "loss must be a selfstab loss"),
        (lambda: ss.flip_start(ss.Product(), [1.0], 0.1), ValueError, "weights must have shape"),
        (lambda: ss.flip_start(ss.Product(), [1.0, 1.0], 0.0), ValueError, "size must be"),
    ],
)
def test_bad_arguments(call, error, match):
    """Protects the messages: the argument is named before anything runs."""
    with pytest.raises(error, match=match):
        call()
