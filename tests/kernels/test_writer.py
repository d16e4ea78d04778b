"""The writer of sources: parts of a run by brute force, rewritten texts by their values, the order of inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import selfstab as ss
from selfstab.kernels import rates, repetition, writer
from selfstab.kernels.arithmetic import plain_namespace
from selfstab.kernels.measures import MEASURES
from selfstab.kernels.variants import Variant
from selfstab.optimizers.text import rule_text

PLAIN = plain_namespace()


def windows_at(t, steps):
    namespace = PLAIN | {"t": t, "steps": steps}
    for line in writer.WINDOWS:
        exec(line, namespace)
    return [float(namespace[line.split(" = ")[0]]) for line in writer.WINDOWS]


def test_windows_are_the_halves_and_quarters_by_definition():
    """Protects the parts of a run that measures read: the second half, two quarters, and a last eighth never empty."""
    for steps in range(1, 50):
        for t in range(steps):
            share = t / steps
            last = share >= 7 / 8 or t == steps - 1
            assert windows_at(t, steps) == [share >= 1 / 2, 1 / 2 <= share < 3 / 4, share >= 3 / 4, last]


def test_windows_change_at_the_edges_only():
    """Protects steps that are left out: between two edges a block that repeats itself is in one part of the run."""
    for steps in range(1, 50):
        edges = {eval(edge, {"steps": steps}) for edge in repetition.EDGES}
        changes = {t for t in range(1, steps) if windows_at(t, steps) != windows_at(t - 1, steps)}
        assert changes <= edges


SUMS = st.recursive(
    st.sampled_from(["a", "b", "0.5"]),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "*", "-"]), inner).map(
        lambda x: f"({x[0]}) {x[1]} ({x[2]})"
    ),
    max_leaves=5,
)


@given(inner=SUMS, form=st.sampled_from(["0.5 * ({})", "{}", "0.5 * ({0}) + ({0})", "({0}) * 0.5"]))
def test_a_leading_half_is_taken_out_of_a_whole_product_only(inner, form):
    """Protects the sharpness: what is left, times the factor, is the value to the bit."""
    text = form.format(inner)
    rest, factor = writer._scaled(text)
    numbers = {"a": 1.7, "b": -0.3}
    assert float(factor) * eval(rest, dict(numbers)) == eval(text, dict(numbers))
    assert (factor == "0.5") == (form == "0.5 * ({})")


@given(x=st.floats(-1e3, 1e3), y=st.floats(-1e3, 1e3))
def test_squares_by_fma_have_the_same_bits(x, y):
    """Protects the speed-up of dying oscillations from changing a bit, and products of more than two factors."""
    for text in ("w_x * w_x", "w_x * w_y", "2.0 * w_x * w_x", "w_x * w_x + w_y * w_y", "w_x / w_x * w_x"):
        numbers = PLAIN | {"w_x": x or 1.0, "w_y": y}
        assert eval(writer._underflowing(text), numbers) == eval(text, numbers)
    assert writer._underflowing("w_x * w_x") == "fma(w_x, w_x, 0.0)"


def test_inputs_are_in_the_order_of_a_cell():
    """Protects the columns that runners fill: parameters, rate, settings, start, then previous or the states."""
    formulas = ss.CubicTaylor(1.0).kernel.formulas
    update = rule_text(ss.HeavyBall(1.0), [])
    variant = Variant(("phase",), update, ss.LinearWarmup.rate)
    points = [f"{word}.{w}" for word in ("start", "previous") for w in formulas.weights]
    assert variant.inputs(formulas) == [
        *formulas.parameters,
        "lr.start",
        "lr.end",
        "lr.steps",
        "momentum",
        *points,
    ]
    resuming = Variant(("phase",), update, rates.CONSTANT, resumes=True).inputs(formulas)
    assert resuming[-2:] == [f"velocity.{w}" for w in formulas.weights]
    assert not [name for name in resuming if name.startswith("previous")]


@pytest.mark.parametrize("name", MEASURES)
def test_no_two_names_share_a_place(name):
    """Protects lanes from each other: each row of a block is one name's, and in one lane's vector, too."""
    w = writer.Writer(ss.Product().kernel.formulas, Variant((name,), rule_text(ss.HeavyBall(1.0))))
    rows = [eval(w.place(row, "rows"), {"i": i}) for row in w.rows for i in range(writer.LANES)]
    assert sorted(rows) == [*range(len(w.rows) * writer.LANES)]
    assert [int(w.place(row, "lane")) for row in w.rows] == [*range(len(w.rows))]


def test_a_diverged_run_has_the_value_for_it():
    """Protects phases and overshoots of runs that diverged, and values before the divergence where they count."""
    numbers = PLAIN | {"settled": True, "swung": True, "swung_drop": 2.0, "swung_excess": 1.0, "loss": 3.0}
    numbers |= {"decided": True, "reversed": 0.0, "returned": False, "stationary": False}
    for ended, drop, phase in ((-1, 2.0, 3.0), (7, np.nan, -1.0)):
        values = {
            name: float(eval(writer.value_text(name), numbers | {"ended": ended, "nan": np.nan}))
            for name in ("drop", "phase", "final_loss", "diverged_at")
        }
        np.testing.assert_equal(
            values, {"drop": drop, "phase": phase, "final_loss": 3.0, "diverged_at": ended}
        )
