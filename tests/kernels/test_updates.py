"""The contract of an update's text: templates ask nothing else, and nothing in it is left unasked."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest

import selfstab as ss
from selfstab.kernels import modules, rates
from selfstab.kernels.run_template import run_source
from selfstab.kernels.sweep_template import sweep_source
from selfstab.kernels.updates import UpdateText
from selfstab.kernels.variants import Variant
from selfstab.optimizers.text import RuleText, rule_text

MEMBERS = {name for name in vars(UpdateText) if not name.startswith("_")}
FORMULAS = ss.Product().kernel.formulas


class Contract:
    """An update's text of which only the contract can be read; it notes what was."""

    def __init__(self, text, read):
        self._text, self._read = text, read

    def __getattr__(self, name):
        if name not in MEMBERS:
            raise AttributeError(f"{name} is not in the contract")
        self._read.add(name)
        return getattr(self._text, name)


def test_templates_ask_for_the_contract_and_all_of_it():
    """Protects updates of other kinds: with the contract alone the sources are the same, and each member is used."""
    read: set[str] = set()
    for optimizer in (ss.HeavyBall(0.1, 0.5, 0.3), ss.Adam(0.1)):
        text = rule_text(optimizer)
        contract = Contract(text, read)
        assert run_source(FORMULAS, contract, "") == run_source(FORMULAS, text, "")
        for rate, resumes in itertools.product((rates.CONSTANT, rates.EXCESS, rates.TABLE), (False, True)):
            sources = [
                sweep_source(FORMULAS, Variant(("phase",), update, rate, True, resumes), "")
                for update in (contract, text)
            ]
            assert sources[0] == sources[1]
    assert read == MEMBERS


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_an_optimizers_text_has_the_contracts_form(name):
    """Protects callers that only know the contract: the same arguments under the same names."""
    ours, contract = inspect.getattr_static(RuleText, name), inspect.getattr_static(UpdateText, name)
    assert callable(ours) == callable(contract)
    functions = [
        getattr(member, "fget", None) or getattr(member, "func", member) for member in (ours, contract)
    ]
    one, other = (inspect.signature(function).parameters for function in functions)
    assert [(p.name, p.kind, p.default) for p in one.values()] == [
        (p.name, p.kind, p.default) for p in other.values()
    ]


class SignDescent:
    """w ← w − η·s·sign(g), with no optimizer behind it."""

    state_names = ("velocity",)
    settings = ("size",)
    setting_rows = ("o_size",)
    depends_on_step = False
    common = ()
    preconditions = False

    def rows(self, state, weights):
        return ["v" + w[1:] for w in weights]

    def begin(self, start, previous):
        return [f"{start} - {previous}"], False

    def point(self, weight, states):
        return None

    def conditional_point(self, weight, states):
        return weight

    def step(self, weight, states, force, *, lr, step="t", prefix):
        (v,) = states
        return [
            f"{prefix}0 = {force}",
            f"next_{v} = choose({prefix}0 > 0.0, -{lr} * o_size, {lr} * o_size)",
            f"next_{weight} = {weight} + next_{v}",
        ]

    def threshold(self, lr):
        return f"2.0 / {lr}"

    def rate_at_excess(self, sharpness, excess):
        return f"2.0 * (1.0 + {excess}) / {sharpness}"


def test_a_text_without_an_optimizer_runs():
    """Protects the contract's meaning: a text written by hand moves the weights as its formula says."""
    trace = modules.plain(run_source(FORMULAS, SignDescent(), ""))["trace"]
    lr, records = np.array([0.5, 0.25, 0.125, 0.125]), np.empty((5, 4))
    trace(np.array([3.0, 2.0]), np.zeros(2), lr, 0.5, np.empty(0), np.zeros((1, 2)), False, 1, 1e6, records)
    # On ½(uv − 1)² both weights fall while uv > 1.
    assert records[:, 0].tolist() == [3.0, 2.75, 2.625, 2.5625, 2.5]
    assert records[:, 1].tolist() == [2.0, 1.75, 1.625, 1.5625, 1.5]
    assert records[1:, 2].tolist() == [-0.25, -0.125, -0.0625, -0.0625]
