"""Damian et al.'s constrained trajectory and predicted dynamics, in plain NumPy: the oracle without momentum.

From the definitions of the paper [Damian2023]_, with explicit Hessians and a dense eigensolver. α, β, δ are theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Centre:
    """Weights with the derivatives of the loss there."""

    weights: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    sharpness: float
    u: np.ndarray
    across: np.ndarray

    @classmethod
    def at(cls, loss, weights, sign_of):
        hessian = loss.hessian(weights)
        values, vectors = np.linalg.eigh(hessian)
        u = vectors[:, -1]
        if sign_of is not None and u @ sign_of < 0:
            u = -u
        growth = loss.third(weights, u, u)
        return cls(weights, loss.gradient(weights), hessian, values[-1], u, growth - u * (u @ growth))


def projected(loss, centre, threshold):
    """Three linearized projections onto {S <= threshold, u·∇L = 0}."""
    for _ in range(3):
        down = -max(0.0, centre.sharpness - threshold) / (centre.across @ centre.across) * centre.across
        newton = -(centre.u @ centre.gradient) / centre.sharpness * centre.u
        centre = Centre.at(loss, centre.weights + down + newton, centre.u)
    return centre


def trajectories(loss, lr, start, steps, generalized=False):
    """Return the centres along the constrained trajectory and the predicted v, for gradient descent."""
    threshold = 2.0 / lr
    centre = projected(loss, Centre.at(loss, start, None), threshold)
    v = start - centre.weights
    centres, offsets = [centre], [v]
    for _ in range(steps):
        alpha = -centre.gradient @ centre.across
        beta = centre.across @ centre.across
        delta = np.sqrt(2.0 * alpha / beta)
        x, y = centre.u @ v, centre.across @ v
        force = (x**2 - delta**2) / 2.0 * centre.across + x * y * centre.u
        if generalized:
            force = force + centre.hessian @ (v - x * centre.u)
            force = force + (centre.u @ loss.gradient(centre.weights + x * centre.u)) * centre.u
        else:
            force = force + centre.hessian @ v
        v = v - lr * force
        moved = Centre.at(loss, centre.weights - lr * centre.gradient, centre.u)
        centre = projected(loss, moved, threshold)
        centres.append(centre)
        offsets.append(v)
    return centres, offsets
