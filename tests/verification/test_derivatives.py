"""Taylor's remainders of a network's loss have their orders, and lose them with a wrong derivative."""

import pytest

from selfstab.losses.networks.mlp import MLP
from selfstab.verification import derivatives
from tests.verification.judging import assert_holds, entries, verdicts


@pytest.mark.parametrize("name", entries(derivatives))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


@pytest.mark.parametrize(("method", "order"), [("hessian_vector_at", 2), ("third_at", 3), ("fourth_at", 4)])
def test_a_wrong_derivative_of_a_network_fails(monkeypatch, method, order):
    """Protects the orders' power: a percent off in one derivative leaves its own power of the step."""
    right = getattr(MLP, method)
    monkeypatch.setattr(MLP, method, lambda *arguments: 1.01 * right(*arguments))
    monkeypatch.setattr(derivatives, "_along", derivatives._along.__wrapped__)  # past the cache
    name = f"M3 remainder {order} mse"
    assert verdicts([name]) == {name: "fails"}
