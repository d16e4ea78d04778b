"""A named loss made from text or from what a store kept."""

from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfstab.losses.base.named_loss import NamedLoss, number, numbers, whole
from tests.losses.base.broken import Quartic


class Scaled(Quartic, NamedLoss):
    text_settings = MappingProxyType({"k": "1.5", "shift": "-2"})

    def __init__(self, k, shift):
        super().__init__(k)
        self.shift = shift

    @classmethod
    def from_state(cls, state):
        return cls(**state)


def test_text_is_the_constructors_numbers():
    """Protects the default way from text: what is given, the others at their defaults, as numbers by name."""
    loss = Scaled.from_text({"k": "3e-1"})
    assert (loss.k, loss.shift) == (0.3, -2.0)
    assert type(loss) is Scaled
    assert Scaled.text_settings["k"] == "1.5"


def test_a_setting_that_the_constructor_does_not_know_is_refused():
    """Protects against a setting that changes nothing."""
    with pytest.raises(TypeError, match="tilt"):
        Scaled.from_text({"tilt": "1"})


def test_a_named_loss_must_say_how_it_is_made_again():
    """Protects stores: a class without from_state is none."""

    class Lost(Quartic, NamedLoss):
        pass

    with pytest.raises(TypeError, match="from_state"):
        Lost()


def test_numbers_in_text():
    """Protects the three readers of numbers."""
    assert number("lr", "1e-3") == 1e-3
    assert whole("depth", "7") == 7
    assert numbers("start", "1,-2.5,3e2").tolist() == [1.0, -2.5, 300.0]


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=6), st.integers())
def test_numbers_written_by_python_are_read_to_the_bit(values, n):
    """Protects settings from a round trip through text."""
    text = ",".join(map(repr, values))
    assert numbers("c", text).tobytes() == np.array(values).tobytes()
    assert number("c", repr(values[0])) == values[0]
    assert whole("n", str(n)) == n


@pytest.mark.parametrize(
    ("read", "text", "match"),
    [
        (number, "one", "lr must be a number, got 'one'"),
        (number, "", "lr must be a number, got ''"),
        (whole, "3.0", "lr must be a whole number, got '3.0'"),
        (whole, "1e3", "lr must be a whole number, got '1e3'"),
        (numbers, "1,,2", "lr must be a number, got ''"),
        (numbers, "1;2", "lr must be a number, got '1;2'"),
    ],
)
def test_text_that_is_no_number_is_named(read, text, match):
    """Protects the messages: the setting, and the part of the text that is wrong."""
    with pytest.raises(ValueError, match=f"^{match}$"):
        read("lr", text)
