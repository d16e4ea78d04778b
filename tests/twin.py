"""Heavy ball and its measures written out by hand in NumPy, from their definitions: the engine is compared with it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass
class Run:
    """Weights and velocities at steps 0, 1, ..., up to before the divergence."""

    weights: np.ndarray
    velocities: np.ndarray
    diverged_at: int


def run(gradient, start, previous, lr, momentum, lookahead=0.0, noise=None, escape=1e6):
    """Iterate v ← βv − η∇L(w + γv), w ← w + v, for each learning rate of the sequence `lr`."""
    w = np.array(start, dtype=float)
    v = w - np.array(previous, dtype=float)
    weights, velocities = [w], [v]
    for t, eta in enumerate(lr):
        with np.errstate(all="ignore"):
            force = gradient(w + lookahead * v) + (0.0 if noise is None else noise[t])
            v = momentum * v - eta * force
            w = w + v
        if not (np.abs(w) <= escape).all():
            return Run(np.array(weights), np.array(velocities), t + 1)
        weights.append(w)
        velocities.append(v)
    return Run(np.array(weights), np.array(velocities), -1)


def sharpness(hessian, weights):
    """Return the top eigenvalue at each row, by NumPy."""
    return np.array([np.linalg.eigvalsh(hessian(w))[-1] for w in weights])


def smoothed(values):
    """Return (1, 2, 1)/4 of the last three steps; the second has the mean of two, the first only itself."""
    out = np.array(values)
    out[1:2] = 0.5 * (values[1:2] + values[:1])
    out[2:] = 0.25 * (values[2:] + 2.0 * values[1:-1] + values[:-2])
    return out


def phase(run, top, threshold):
    """Return the label of a run, from the words of `sweep`'s docstring; `top` and `threshold` by step."""
    if run.diverged_at >= 0:
        return -1
    v, steps = run.velocities, len(run.velocities) - 1
    t = np.arange(steps)
    size = np.linalg.norm(v[1:], axis=1)
    flip = np.linalg.norm(np.diff(v, axis=0), axis=1) / 4.0
    late = (t >= 7 * steps / 8) | (t == steps - 1)
    third, fourth = (t >= steps / 2) & (t < 3 * steps / 4), t >= 3 * steps / 4
    above = smoothed(top - threshold)[:-1] > 0
    above[0] = False  # one value alone cannot be smoothed
    near = (smoothed(top - threshold)[:-1] > -0.1 * np.broadcast_to(threshold, top.shape)[:-1])[fourth].any()
    rises = np.flatnonzero(above & ~np.concatenate([[False], above[:-1]]))
    turns = np.einsum("tj,tj->t", v[1:], v[:-1])
    back = turns < -((1e-6 * np.maximum.accumulate(size)) ** 2)
    settled = size[late].max() <= 1e-3 * size.max()
    steady = max(flip[third].max(), flip[fourth].max()) <= 1.1 * min(flip[third].max(), flip[fourth].max())
    cycling = near and ((rises >= steps / 2).sum() >= 2 or (steady and back[late].any()))
    if not (settled or cycling):
        return 0
    if not settled:
        return 4
    if size.max() == 0 or (size[late].max() == 0 and top[-1] > np.broadcast_to(threshold, top.shape)[-1]):
        return 6
    for first, last in pairwise([*rises, steps]):
        peak = first + int(np.argmax(flip[first:last]))
        # A drift of the sharpness through the threshold swings nowhere.
        largest = np.maximum.accumulate(flip[first:last])
        if not (turns[first:last] < -((1e-6 * largest) ** 2)).any():
            continue
        if flip[peak] > flip[first] and not above[last - 1]:
            calm = peak + int(np.argmin(flip[peak:last]))
            if smoothed(top)[calm] < top[first]:
                return 3
    return 2 if back.any() else 1
