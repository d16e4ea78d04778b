"""Arguments that every trajectory in place of a run shares: what passes, and what is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.flows.arguments import checked, momentum_of
from tests.optimizers.own import TwoMomenta

RELU = ss.MLP((2, 3, 1), [[1.0, 0.0]], [[1.0]], "relu")  # derivatives up to order 2
GOOD = {
    "loss": ss.Product(),
    "optimizer": ss.HeavyBall(0.1, 0.4),
    "start": [1.0, 2.0],
    "previous": None,
    "steps": 7,
    "escape": 1e3,
    "order": 4,
}


def test_what_passes_is_the_problem_of_a_run_without_noise():
    """Protects the trajectory's terms: a start at rest, no noise, the optimizer's own momentum."""
    problem = checked(**GOOD)
    assert problem.start.tolist() == problem.previous.tolist() == [1.0, 2.0]
    assert (problem.steps, problem.escape, problem.noise) == (7, 1e3, 0.0)
    assert momentum_of(problem) == 0.4
    moving = checked(**GOOD | {"previous": [0.5, 2.0]})
    assert moving.velocity.tolist() == [0.5, 0.0]


@pytest.mark.parametrize("order", [1, 2])
def test_a_loss_with_the_derivatives_asked_for_passes(order):
    """Protects networks of relu from being refused by trajectories that take the Hessian alone."""
    problem = checked(**GOOD | {"loss": RELU, "start": np.full(13, 0.1), "order": order})
    assert problem.loss is RELU


class Broken:
    """A schedule of one's own that gives the last update no rate."""

    def values(self, first, last):
        return np.where(np.arange(first, last) == 6, np.nan, 0.1)


BAD = {
    "loss": ({"loss": abs}, TypeError, r"loss must be a selfstab loss"),
    "optimizer": ({"optimizer": 0.1}, TypeError, r"optimizer must be a HeavyBall"),
    "lookahead": (
        {"optimizer": ss.HeavyBall(1.0, 0.5, 0.25)},
        ValueError,
        r"optimizer must have lookahead 0, for which the theory is made, got 0\.25",
    ),
    "order": (
        {"loss": RELU, "start": np.full(13, 0.1), "order": 3},
        ValueError,
        r"loss must have derivatives of order 3 for this, got MLP\(.*relu.* up to order 2",
    ),
    "start": ({"start": [1.0]}, ValueError, r"start must have shape \(2,\)"),
    "previous": ({"previous": [1.0, np.nan]}, ValueError, r"previous must be finite"),
    "steps": ({"steps": 1.5}, TypeError, r"steps must be an integer"),
    "escape": ({"escape": 1.5}, ValueError, r"start must lie within escape = 1\.5"),
    "rates": ({"optimizer": ss.HeavyBall(Broken())}, ValueError, r"lr: values\(0, 8\) of Broken"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_is_named(name):
    """Protects the door of all trajectories: the argument, its value, and why theory needs it so."""
    change, error, message = BAD[name]
    with pytest.raises(error, match=message):
        checked(**GOOD | change)


def test_an_optimizer_of_another_kind_is_refused():
    """Protects theory made for heavy ball from optimizers that only simulations know."""
    with pytest.raises(
        TypeError, match="optimizer must be a HeavyBall, for which the theory is made, got TwoMom"
    ):
        checked(**GOOD | {"optimizer": TwoMomenta(0.1)})
