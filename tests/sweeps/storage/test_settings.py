"""A sweep's settings as plain values and back: nothing left out, every number to the last bit, no code run."""

from __future__ import annotations

import contextlib
import dataclasses
import json

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import selfstab as ss
from selfstab.losses.base.loss import Loss
from selfstab.sweeps.storage.settings import differences, identity_of, settings_of
from selfstab.sweeps.sweep import runner_of
from tests.sweeps.storage.cases import CUBIC, DIAGONAL, JSON, NET, RNG, plan_for

X, A = sympy.symbols("x a", real=True)


def test_settings_without_plain_values_are_refused():
    """Protects against a setting that a store could not compare: it is an error, not left out."""
    plan = plan_for()
    object.__setattr__(plan, "rate", object())
    with pytest.raises(TypeError, match="store cannot keep rate = <object"):
        settings_of(plan)


def another(value):
    """Return a value of the same kind that differs."""
    if value is None:
        return 1
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return 0.5 * value + 0.15
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, np.ndarray):
        return value + 1.0
    if isinstance(value, tuple):
        return value[:-1]
    if isinstance(value, dict):
        return {name: another(v) for name, v in value.items()}
    if isinstance(value, Loss):
        return ss.Coupled(0.5, 0.01)
    raise AssertionError(f"say what another {type(value).__name__} is")


def test_every_field_of_a_plan_is_a_setting():
    """Protects against a field that is added to a plan, and forgotten here: each one changes the settings."""
    plan = plan_for(
        optimizer=ss.HeavyBall(ss.LinearWarmup(0.1, 0.2, 5)), axes={"momentum": [0.0, 0.5]}, noise=0.5
    )
    settings = settings_of(plan)[0]

    def check(inner, rebuilt):
        for field in dataclasses.fields(inner):
            value = getattr(inner, field.name)
            if dataclasses.is_dataclass(value):
                check(value, lambda v, f=field: rebuilt(dataclasses.replace(inner, **{f.name: v})))
                continue
            changed = dataclasses.replace(inner, **{field.name: another(value)})
            assert differences(settings, settings_of(rebuilt(changed))[0]), field.name

    check(plan, lambda other: other)


def same_plan(plan):
    """Make the plan again from its settings as a file keeps them."""
    settings, arrays = settings_of(plan)
    again = identity_of(json.loads(json.dumps(settings)), arrays)
    assert not differences(again.settings, settings)
    assert runner_of(again.plan).source == runner_of(plan).source
    return again.plan


@pytest.mark.parametrize(
    "loss",
    [
        ss.Quadratic([2.0, 1 / 3]), CUBIC, ss.Product(), ss.DoubleWell(), ss.Minimalist(), ss.Chain(3),
        ss.Coupled(0.5, -1e-17), ss.SymbolicLoss("(u*v - c)**2/2 + exp(-u)", ["u", "v"], {"c": 1 / 3}),
        ss.SymbolicLoss(X**4 * (1 / 3) + sympy.cos(A * X) - 0.1 * X**-2 + sympy.sqrt(X) / 7, [X], {A: 2.0}),
        NET, DIAGONAL, ss.MLP((2, 3, 2), RNG.standard_normal((4, 2)), RNG.standard_normal((4, 2)), "gelu"),
    ],
    ids=lambda loss: type(loss).__name__,
)  # fmt: skip
def test_a_loss_comes_back_from_its_settings(loss):
    """Protects --resume: the same loss to the last bit, its kernel the same text, from plain values and arrays."""
    start = np.full(loss.dimension, 0.3)
    again = same_plan(plan_for(loss, axes={"momentum": [0.0, 0.5]}, start=start)).problem.loss
    assert type(again) is type(loss)
    assert again.description == loss.description
    assert again.value(start) == loss.value(start)


@pytest.mark.parametrize(
    ("optimizer", "axes", "changes"),
    [
        (ss.HeavyBall(1 / 3, 0.9, 0.9), {"momentum": [0.0, 0.1]}, {"previous": [0.2, -0.0]}),
        (
            ss.HeavyBall(ss.Constant(0.5)),
            {"start.x": np.linspace(0.0, 1.0, 100)},
            {"noise": 0.1, "repeats": 3},
        ),
        (
            ss.HeavyBall(ss.LinearWarmup(0.0, 0.3, 7.5)),
            {"lr.end": [0.1, 0.2]},
            {"escape": 50.0, "seed": 2**63},
        ),
        (
            ss.HeavyBall(1.0),
            {"excess": np.geomspace(0.01, 1.0, 65), "curvature": [1.0, 2.0]},
            {"measure": "drop"},
        ),
    ],
)
def test_settings_come_back(optimizer, axes, changes):
    """Protects --resume: every number to the last bit."""
    same_plan(plan_for(optimizer=optimizer, axes=axes, **changes))


def test_an_expression_that_is_no_text_resumes_by_the_same_call_only():
    """Protects forms that text does not read back: they are compared, and not made of text."""
    # SymPy multiplies 1.1 into a sum that stands alone, as in the text, and not into one of several factors.
    factors = sympy.Mul(sympy.Float(1.1), sympy.exp(6) - 1, 1 / (sympy.exp(6) + 1)) + X**2
    settings, arrays = settings_of(plan_for(ss.SymbolicLoss(factors, [X]), axes={"lr": [0.1]}, start=[1.0]))
    with pytest.raises(ValueError, match="a formula that is no plain text: call sweep again as before"):
        identity_of(settings, arrays)


def test_functions_of_every_kind_resume_from_their_text():
    """Protects stores of formulas with kinks and powers: the text in a store is the whole loss."""
    for expression in (
        sympy.Max(X, 0) ** 2, sympy.Piecewise((X**2, X > 1), (X, True)), 2**X, sympy.Abs(sympy.log(X)),
        "(exp(6) - 1)/(exp(6) + 1)*cosh(0.5) + x",
    ):  # fmt: skip
        loss = ss.SymbolicLoss(expression, ["x" if isinstance(expression, str) else X])
        settings, arrays = settings_of(plan_for(loss, axes={"lr": [0.1]}, start=[1.5]))
        again = identity_of(json.loads(json.dumps(settings)), arrays)
        assert not differences(again.settings, settings)


PLAIN = json.loads(
    json.dumps(settings_of(plan_for(ss.SymbolicLoss("a*u**2", ["u"], {"a": 1.0}), start=[1.0]))[0])
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(PLAIN)), JSON, min_size=1, max_size=3),
    st.sets(st.sampled_from(sorted(PLAIN)), max_size=1),
)
def test_changed_settings_are_an_error_or_a_sweep(changes, without):
    """Protects against a store from somebody else: a clean error, or a plan with just these settings; no code runs."""
    changed = {name: value for name, value in (PLAIN | changes).items() if name not in without}
    with contextlib.suppress(ValueError):
        assert not differences(changed, identity_of(changed, {}).settings)


@pytest.mark.parametrize(
    ("there", "here", "says"),
    [
        ({"lr": 0.0}, {"lr": -0.0}, ["lr is 0.0 there and -0.0 here"]),
        ({"a": 1}, {"a": True}, ["a is 1 there and true here"]),
        ({"a": 1}, {"a": 1.0}, ["a is 1 there and 1.0 here"]),
        ({"problem.a": "b"}, {}, ['a is "b" there and not set here']),
        (
            {"a": 1, "b": 2},
            {"c": 3, "a": 1, "b": 1},
            ["b is 2 there and 1 here", "c is not set there and 3 here"],
        ),
        ({"a": [0.1 + 0.2]}, {"a": [0.3]}, ["a is [0.30000000000000004] there and [0.3] here"]),
        ({"a": 0.1, "b": "x"}, {"b": "x", "a": 0.1}, []),
    ],
)
def test_differences_are_seen_to_the_last_bit_and_kind(there, here, says):
    """Protects stores from results of another sweep: the sign of a zero, a kind of number, what one side lacks."""
    assert differences(there, here) == says
