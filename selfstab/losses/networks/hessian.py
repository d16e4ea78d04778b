"""The explicit Hessian of a network, block by block of two layers, each summed over samples by matrix products."""

from __future__ import annotations

from typing import Final

import numpy as np

from selfstab.losses.networks.passes import Network, Pass
from selfstab.validation import Array

_NUMBERS_AT_A_TIME: Final = 2**23
"""Size of a product: large, since threads of BLAS wait for each other once a product, and small beside the Hessian."""


def explicit_hessian(network: Network, at: Pass) -> Array:
    """Return the full Hessian from a pass of order 2 or more, block by block of two layers h >= k.

    Per sample, with J_jh = ∂z_j/∂z_h, γ_j = ∂L/∂φ(z_j)·φ''(z_j) in hidden layers and Γ_j = diag(γ_j) there, in the
    last one the criterion's curvature, ∂²L/∂z_h∂z_k = B_hk = Σ_{j>=h} J_jhᵀ Γ_j J_jk (the last layer's term is
    Gauss-Newton's), and

    ∂²L/∂W̄_h[p,q]∂W̄_k[r,s] = Σ_i ā_h[p] ā_k[r] B_hk[q,s] + Σ_i ∂ā_h[p]/∂z_k[s] ā_k[r] δ_h[q],

    the second sum for h > k only. Outputs are summed over in B already, so that what remains is one matrix product of
    (n, pairs of inputs) and (n, pairs of units); on the diagonal h = k one of each two symmetric pairs is enough.
    """
    bends = [*at.bends, network.criterion.curvature(at.state)]
    jacobians = _jacobians(at)

    hessian = np.empty((network.dimension, network.dimension))
    ends = np.cumsum([layer.size for layer in at.layers])
    spans = [slice(end - layer.size, end) for end, layer in zip(ends, at.layers, strict=True)]
    for h, layer in enumerate(at.layers):
        for k in range(h + 1):
            # Splitting axes makes views, so that the block is filled in place: axes p, q, r, s.
            block = hessian[spans[h], spans[k]].reshape(*layer.shape, *at.layers[k].shape)
            between = _between_units(bends, jacobians, h, k)
            if h == k:
                _fill_diagonal_block(block, at.inputs[h], between)
            else:
                _fill_block(block, at, jacobians, between, h, k)
                hessian[spans[k], spans[h]] = hessian[spans[h], spans[k]].T
    return hessian


def _jacobians(at: Pass) -> dict[tuple[int, int], Array]:
    """Return ∂z_j/∂z_h by (j, h) for j > h, each of shape (n, width of h, width of j)."""
    jacobians: dict[tuple[int, int], Array] = {}
    for j, layer in enumerate(at.layers[1:], start=1):
        slope = at.slopes[j - 1][0]
        jacobians[j, j - 1] = slope[:, :, None] * layer[:-1]
        for h in range(j - 1):
            jacobians[j, h] = (jacobians[j - 1, h] * slope[:, None, :]) @ layer[:-1]
    return jacobians


def _between_units(bends: list[Array], jacobians: dict[tuple[int, int], Array], h: int, k: int) -> Array:
    """Return B_hk, shape (n, width of h, width of k)."""
    bend = bends[h]
    if h == k:
        if bend.ndim == 3:
            return bend
        between = np.zeros((*bend.shape, bend.shape[1]))
        np.einsum("nqq->nq", between)[...] = bend
    else:
        between = _bent(bend, jacobians[h, k].transpose(0, 2, 1))
    for j in range(h + 1, len(bends)):
        if bends[j].any():  # relu and linear layers bend nothing
            between += jacobians[j, h] @ _bent(bends[j], jacobians[j, k].transpose(0, 2, 1))
    return between


def _bent(bend: Array, jacobian: Array) -> Array:
    """Return Γ J."""
    product: Array = bend @ jacobian if bend.ndim == 3 else bend[:, :, None] * jacobian
    return product


def _fill_diagonal_block(block: Array, inputs: Array, between: Array) -> None:
    """Fill the block of a layer with itself from pairs of units q <= s and of inputs p <= r, some p at a time."""
    fan_in, width = block.shape[:2]
    q, s = np.triu_indices(width)
    number = np.empty((width, width), dtype=np.intp)  # the symmetric table of each pair's number
    number[q, s] = number[s, q] = np.arange(q.size)
    by_pair = np.take(between.reshape(len(between), -1), q * width + s, axis=1)
    columns = np.ascontiguousarray(inputs.T)
    step = max(1, _NUMBERS_AT_A_TIME // (fan_in * q.size))
    for begin in range(0, fan_in, step):
        chunk = range(begin, min(begin + step, fan_in))
        summed = np.concatenate([columns[p:] * columns[p] for p in chunk]) @ by_pair
        start = 0
        for p in chunk:
            rows = np.take(summed[start : start + fan_in - p], number, axis=1)  # axes r, q, s
            block[p, :, p:] = rows.transpose(1, 0, 2)
            block[p + 1 :, :, p] = rows[1:]
            start += fan_in - p


def _fill_block(
    block: Array, at: Pass, jacobians: dict[tuple[int, int], Array], between: Array, h: int, k: int
) -> None:
    fan_in, width, fan_in_below, width_below = block.shape
    samples = len(between)
    block.transpose(0, 2, 1, 3)[...] = _summed(
        _outer(at.inputs[h], at.inputs[k]), between.reshape(samples, -1)
    ).reshape(fan_in, fan_in_below, width, width_below)
    moved = _outer(at.deltas[h], at.inputs[k])
    slope = at.slopes[h - 1][0]
    if h == k + 1:  # a unit's input moves with its own preactivation only: p = s
        np.einsum("pqrp->pqr", block[:-1])[...] += _summed(slope, moved).reshape(-1, width, fan_in_below)
    else:
        sources = (jacobians[h - 1, k] * slope[:, None, :]).reshape(samples, -1)
        block[:-1].transpose(3, 0, 1, 2)[...] += _summed(sources, moved).reshape(
            width_below, fan_in - 1, width, fan_in_below
        )


def _outer(left: Array, right: Array) -> Array:
    """Return each sample's products of a left and a right entry, shape (n, left × right)."""
    return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)


def _summed(left: Array, right: Array) -> Array:
    """Return the sum over samples of left ⊗ right."""
    product: Array = left.T @ right
    return product
