"""How kernels get a learning rate: the lines, run by themselves, give the schedule's formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import selfstab as ss
from selfstab.kernels import rates
from selfstab.kernels.arithmetic import plain_namespace
from selfstab.optimizers.schedules import SCHEDULES

PLAIN = plain_namespace()


def lr_at(text, inputs, steps, **names):
    """Return lr at steps 0, 1, ..., by the lines of a text alone, with its inputs by name."""
    namespace = PLAIN | names | {"inputs": [*inputs.values()]}
    for line in text.begun({name: f"inputs[{k}]" for k, name in enumerate(inputs)}):
        exec(line, namespace)
    out = []
    for t in range(steps):
        namespace["t"] = t
        for line in text.lines:
            exec(line, namespace)
        out.append(float(namespace["lr"]))
    return out


@given(start=st.floats(0, 10), end=st.floats(1e-3, 10), length=st.floats(1, 30))
def test_a_ramp_is_its_formula(start, end, length):
    """Protects warmups in kernels: lr_t = start + (end − start)·min(t/steps, 1), to the bits of the schedule."""
    text = ss.LinearWarmup.rate
    got = lr_at(text, dict(zip(text.inputs, (start, end, length), strict=True)), 40)
    assert got == pytest.approx([start + (end - start) * min(t / length, 1.0) for t in range(40)], rel=1e-14)
    assert got == ss.LinearWarmup(start, end, length).values(0, 40).tolist()


def test_a_number_and_a_table():
    """Protects the plain cases: a number stays, a table is read at the step."""
    assert lr_at(rates.CONSTANT, {"lr": 0.3}, 3) == [0.3, 0.3, 0.3]
    assert lr_at(rates.TABLE, {}, 3, table=np.array([0.5, 0.2, 0.1])) == [0.5, 0.2, 0.1]
    assert [text.changes for text in (rates.CONSTANT, rates.EXCESS, rates.TABLE)] == [False, False, True]


def test_rows_may_read_several_inputs_and_rows_before_them():
    """Protects texts of further schedules: an input whose name begins like another's keeps its place."""
    text = rates.RateText(
        "test",
        ("lr", "lr.end"),
        (("lr_end", "{lr.end}"), ("lr_mean", "0.5 * ({lr} + lr_end)")),
        ("lr = lr_mean",),
    )
    assert text.begun({"lr": "a[0]", "lr.end": "a[1]"}) == [
        "lr_end = a[1]",
        "lr_mean = 0.5 * (a[0] + lr_end)",
    ]
    assert lr_at(text, {"lr": 1.0, "lr.end": 3.0}, 2) == [2.0, 2.0]


def test_names_of_rates_differ():
    """Protects stores and plans, which know a rate by its name."""
    texts = {rates.CONSTANT, rates.EXCESS, rates.TABLE, *(kind.rate for kind in SCHEDULES.values())}
    assert len({text.name for text in texts}) == len(texts)
