"""The little languages of --start and --axis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfstab.cli.parsing import named_axis, named_start
from selfstab.losses.named import named_loss
from tests.cli.commands import PRODUCT, assert_refused


def test_named_starts_and_axes() -> None:
    """Protects: the little languages of --start and --axis."""
    loss = named_loss("Product", {})
    assert named_start("minimum:4", loss).tolist() == loss.minimum(sharpness=4.0).tolist()
    assert named_start("1.5,2", loss).tolist() == [1.5, 2.0]
    assert named_start("initial:0.1", loss).tolist() == loss.initial_weights(scale=0.1).tolist()
    formula = named_loss("(u*v - 1)**2/2", {}, ["u", "v"])
    u, v = named_start("near:1.9,0.5", formula)
    assert u * v == pytest.approx(1.0, abs=1e-14)
    name, values = named_axis("lr=lin:0.5:1.5:3")
    assert (name, values.tolist()) == ("lr", [0.5, 1.0, 1.5])
    for text in ("lr=lin:1:2", "lr=lin:a:2:3", "lr=", "=1", "lr=lin:1:2:0"):
        with pytest.raises(ValueError, match=r"axis|number"):
            named_axis(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("simulate", "Product", "--start", "a,b", "--lr", "1", "--steps", "1"),
            "start must be a number, got 'a'",
        ),
        (("sweep", *PRODUCT, "-a", "momentum"), "axis must be NAME=VALUES"),
        (
            ("sweep", *PRODUCT, "-a", "excess=lin:-1e308:1e308:3"),
            "must have finite ends and a finite span",
        ),
        (
            ("sweep", *PRODUCT, "-a", "momentum=0:0.98:64"),
            "axis momentum must be a,b,c or lin:FIRST:LAST:COUNT or log:FIRST:LAST:COUNT, got '0:0.98:64'",
        ),
        (("sweep", *PRODUCT, "-a", "excess=log:0:1:3"), "must have ends above 0"),
    ],
)
def test_texts_are_refused_by_option(arguments, message):
    """Protects the command line from an axis or a start that is none."""
    assert_refused(arguments, message)


SMALL = {"samples": "4", "features": "3", "nonzeros": "1"}
ENDS = st.tuples(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))


@given(ENDS, st.integers(2, 50))
def test_an_axis_has_even_or_geometric_steps(ends, count):
    """Protects the points of an axis, by their closed forms; the ends are those of the text, to the bit."""
    first, last = ends
    share = np.arange(count) / (count - 1)
    for word, points in (
        ("lin", first * (1.0 - share) + last * share),
        ("log", first * (last / first) ** share),
    ):
        name, values = named_axis(f"start.u={word}:{first!r}:{last!r}:{count}")
        assert name == "start.u"
        assert values == pytest.approx(points, rel=1e-9)
        assert (values[0], values[-1]) == ends


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_listed_values_are_taken_to_the_bit(values):
    """Protects axes of listed numbers: Python's text of each gives the same bits."""
    assert named_axis("lr=" + ",".join(map(repr, values)))[1].tolist() == values


@pytest.mark.parametrize(
    ("name", "settings", "text", "message"),
    [
        ("Quadratic", {}, "minimum:4", "this loss has no minimum of a given sharpness, got 'minimum:4'"),
        ("DiagonalNetwork", SMALL, "minimum", "this loss has no minimum in closed form, got 'minimum'"),
    ],
)
def test_a_minimum_that_a_loss_has_not_is_refused(name, settings, text, message):
    """Protects --start minimum from the message of a Python call."""
    with pytest.raises(ValueError, match=message):
        named_start(
            text,
            named_loss(
                name, {"samples": "4", "features": "3", "nonzeros": "1"} if name == "DiagonalNetwork" else {}
            ),
        )
