"""The explicit Hessian of a network, block by block: against JAX's, whatever the layers and the chunks."""

import numpy as np
import pytest

from selfstab import MLP
from selfstab.losses.networks import hessian as module
from tests.losses.jax_networks import hessian, mlp

GENERATOR = np.random.default_rng(0)
WIDTHS = [(2, 1), (2, 3, 1), (3, 4, 2), (2, 3, 4, 2), (1, 2, 2, 2, 2)]
FAST = {(2, "mse"), (4, "mse"), (2, "cross-entropy")}
"""Depths that are compared each time; JAX compiles for seconds."""


def network(widths, criterion):
    inputs = GENERATOR.standard_normal((6, widths[0]))
    targets = GENERATOR.standard_normal((6, widths[-1]))
    if criterion == "cross-entropy":
        targets = np.exp(targets) / np.exp(targets).sum(axis=1, keepdims=True)
    return MLP(widths, inputs, targets, "softplus", criterion=criterion)


@pytest.mark.parametrize(
    ("widths", "criterion"),
    [
        (widths, criterion)
        if (len(widths), criterion) in FAST
        else pytest.param(widths, criterion, marks=pytest.mark.slow)
        for criterion in ("mse", "cross-entropy")
        for widths in WIDTHS
    ],
)
def test_every_block_is_that_of_jax(widths, criterion):
    """Protects the sharpness of small networks: layers side by side, far apart, the last one, biases."""
    if criterion == "cross-entropy" and widths[-1] == 1:
        widths = (*widths[:-1], 2)
    loss = network(widths, criterion)
    w = GENERATOR.standard_normal(loss.dimension)
    expected = np.asarray(hessian(mlp(widths, "softplus", criterion))(w, loss.inputs, loss.targets))
    found = loss.hessian(w)
    assert np.abs(found - expected).max() < 1e-13 * max(1.0, np.abs(expected).max())
    assert np.array_equal(found, found.T)


def test_chunks_do_not_matter(monkeypatch):
    """Protects large layers, filled some inputs at a time: one at a time gives what all at once do."""
    loss = network((5, 4, 3), "mse")
    w = GENERATOR.standard_normal(loss.dimension)
    at_once = loss.hessian(w)
    monkeypatch.setattr(module, "_NUMBERS_AT_A_TIME", 1)
    assert loss.hessian(w) == pytest.approx(at_once, rel=1e-13, abs=1e-15)
