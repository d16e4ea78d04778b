"""The largest stable sharpness of an optimizer, by bisection on the roots of its step."""

from __future__ import annotations

import numpy as np


def step_matrix(optimizer, lr, curvature):
    """Return the matrix of one step of weight and states on ½·curvature·w²: the rule at unit vectors."""
    columns = []
    size = 1 + len(optimizer.states)
    for unit in np.eye(size):
        weight, states = unit[0], tuple(unit[1:])
        point = optimizer.gradient_point(weight, states)
        after, following = optimizer.rule(weight, states, curvature * point, lr, 0)
        columns.append([float(after), *map(float, following)])
    return np.array(columns).T


def largest_root(optimizer, lr, curvature):
    """Return the spectral radius of a step."""
    return np.abs(np.linalg.eigvals(step_matrix(optimizer, lr, curvature))).max()


def bisected_threshold(optimizer, lr=1.0):
    """Return the curvature at which a step's largest root passes 1, from a stable one up."""
    low = high = 1e-3 / lr
    while largest_root(optimizer, lr, high) <= 1.0 + 1e-13:
        low, high = high, 1.1 * high
        if high > 1e9 / lr:
            return np.inf
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if largest_root(optimizer, lr, middle) <= 1.0 + 1e-13 else (low, middle)
    return low
