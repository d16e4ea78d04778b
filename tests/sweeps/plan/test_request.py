"""A request: the arguments of a sweep, each under its name."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

import selfstab as ss
from selfstab.sweeps.plan.request import Request

EXECUTION = {"threads", "client", "progress", "store"}
"""Arguments of a sweep that say where and how it is run, not what."""


def test_a_request_has_what_a_sweep_is_asked():
    """Protects arguments of a sweep from being left out: each one is in the request, with the same default."""
    asked = inspect.signature(ss.sweep).parameters
    fields = {field.name: field for field in dataclasses.fields(Request)}
    assert fields.keys() == asked.keys() - EXECUTION
    for name in fields.keys() - {"measure"}:
        default = fields[name].default
        has_none = default is dataclasses.MISSING
        assert asked[name].default == (inspect.Parameter.empty if has_none else default), name


def test_a_request_is_filled_by_name_and_stays():
    """Protects calls from a change of the order of its fields, and a plan from a request that is changed."""
    with pytest.raises(TypeError, match="positional"):
        Request(ss.Product(), ss.HeavyBall(0.1), {"lr": [0.1]}, [1.0, 2.0], 3)
    request = Request(loss=None, optimizer=None, axes={}, start=[], steps=0, measure=())
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.steps = 1
