"""Families: everything is asked of the loss made, which is made once for the same numbers."""

import numpy as np
import pytest

import selfstab as ss
from selfstab.losses import family as module

W = np.array([0.5, -0.3, 0.8, 0.1])
CALLS = []


def scaled(scale, seed):
    CALLS.append((scale, seed))
    inputs = scale * np.random.default_rng(seed).standard_normal((3, 2))
    return ss.DiagonalNetwork(inputs, [1.0, 0.0, -1.0])


@pytest.fixture
def family():
    module._made.cache_clear()
    CALLS.clear()
    return ss.LossFamily(scaled, scale=2.0, seed=3)


def test_every_answer_is_that_of_the_loss_made(family, same_bits):
    """Protects sweeps along what losses are built with: bit for bit the loss that one would build by hand."""
    known = scaled(2.0, 3)
    u, v = np.eye(4)[:2]
    for name, arguments in {
        "value": (), "gradient": (), "hessian": (), "hessian_vector": (u,), "third": (u, v), "fourth": (u, v, v),
        "sharpness_gradient": (),
    }.items():  # fmt: skip
        found, expected = (getattr(loss, name)(W, *arguments) for loss in (family, known))
        assert same_bits(found, expected), name
    assert family.sharpness(W)[0] == known.sharpness(W)[0]
    assert np.array_equal(family.initial_weights(1, 0.2), known.initial_weights(1, 0.2))
    assert np.array_equal(family.minimum(W), known.minimum(W))
    assert (family.dimension, family.weight_names) == (known.dimension, known.weight_names)
    assert family.explicit_hessian == known.explicit_hessian


def test_a_loss_is_made_once_for_the_same_numbers_and_types(family):
    """Protects time: the cells of a row ask for one loss; 2 and 2.0 are two numbers."""
    for _ in range(3):
        family.value(W)
    assert CALLS == [(2.0, 3)]
    family.replace(seed=4).value(W)
    family.value(W)
    assert CALLS == [(2.0, 3), (2.0, 4)]


def test_whole_numbers_stay_whole(family):
    """Protects seeds and widths: an axis of floats hands them over as integers, and a fraction is refused."""
    other = family.replace(seed=5.0, scale=1)
    assert dict(other.parameters) == {"scale": 1.0, "seed": 5}
    assert isinstance(other.parameters["seed"], int)
    assert isinstance(other.parameters["scale"], float)
    with pytest.raises(ValueError, match="seed must be a whole number"):
        family.replace(seed=5.5)
    with pytest.raises(ValueError, match="parameters"):
        family.replace(width=1)


def test_the_description_knows_the_code():
    """Protects stores: another function of the same name is another family."""

    def make(bias):
        return lambda c: ss.Quadratic([c + bias])

    one, other = (ss.LossFamily(make(bias), c=1.0) for bias in (0.0, 1.0))
    assert one.maker != other.maker
    assert one.maker == ss.LossFamily(make(0.0), c=2.0).maker
    assert one.maker in one.description
    assert set(one.state()) == {"maker", "parameters", "made"}


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ss.LossFamily(3, c=1.0), TypeError, "make must be a function"),
        (lambda: ss.LossFamily(lambda: None), ValueError, "at least one number"),
        (lambda: ss.LossFamily(lambda lr: None, lr=1.0), ValueError, "sweep's axes and measures, got 'lr'"),
        (lambda: ss.LossFamily(lambda c: None, c="1"), TypeError, "c must be"),
        (lambda: ss.LossFamily(lambda c: 3.0, c=1.0), TypeError, "make must return a selfstab loss"),
    ],
)
def test_bad_arguments(call, error, match):
    """Protects the messages: what is wrong with a family is said when it is made."""
    with pytest.raises(error, match=match):
        call()
