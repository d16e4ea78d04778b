"""Derivatives at one point: each is computed when asked for, and once."""

import numpy as np
import pytest

import selfstab as ss
from selfstab.losses.base.derivatives import Derivatives

W, U, V = np.array([1.7, 0.8]), np.array([0.3, -0.4]), np.array([1.0, 0.2])


class Counted(ss.Product):
    """It counts what is asked of it."""

    calls = ()

    def value_at(self, w):
        self.calls += ("value",)
        return super().value_at(w)

    def gradient_at(self, w):
        self.calls += ("gradient",)
        return super().gradient_at(w)


def test_nothing_is_computed_before_it_is_asked_for_nor_twice():
    """Protects the time of flows: they ask for some derivatives, more than once."""
    loss = Counted()
    local = Derivatives(loss, W)
    assert loss.calls == ()
    assert [local.value, local.value] == pytest.approx([0.5 * (1.7 * 0.8 - 1) ** 2] * 2, rel=1e-14)
    assert local.gradient == pytest.approx((1.7 * 0.8 - 1) * W[::-1], rel=1e-15)
    assert local.gradient is local.gradient
    assert loss.calls == ("value", "gradient")


@pytest.mark.parametrize("explicit", [True, False])
def test_all_of_them_by_hand(explicit):
    """Protects the meaning of each: ½(uv − 1)² written out."""
    loss = ss.FunctionLoss(
        lambda w: (w[0] * w[1] - 1) ** 2 / 2,
        lambda w: (w[0] * w[1] - 1) * w[::-1],
        2,
        hessian_vector=lambda w, v: (
            np.array([w[1] ** 2 * v[0], w[0] ** 2 * v[1]]) + (2 * w[0] * w[1] - 1) * v[::-1]
        ),
    )
    loss.explicit_hessian = explicit
    local = loss.derivatives_at(W)
    side = 2 * W[0] * W[1] - 1
    hessian = np.array([[W[1] ** 2, side], [side, W[0] ** 2]])
    assert local.product(V) == pytest.approx(hessian @ V, rel=1e-14)
    assert local.hessian == pytest.approx(hessian, rel=1e-14)
    pairs = U[0] * V[1] + U[1] * V[0]
    third = 2 * np.array([W[1] * pairs + W[0] * U[1] * V[1], W[0] * pairs + W[1] * U[0] * V[0]])
    assert local.third(U, V) == pytest.approx(third, rel=1e-8)
    assert local.top(None, 1e-12, 0.1).value == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-12)
