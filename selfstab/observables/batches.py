"""Batch sharpness: the curvature that minibatches see along their own gradients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.losses.base.sample_mean import SampleMean, checked_sample_mean
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

Rows = np.ndarray[Any, np.dtype[np.int64]]
"""Indices of samples."""


def batch_sharpness(
    loss: SampleMean, weights: Any, size: int, *, batches: int = 100, seed: int = 0
) -> xarray.Dataset:
    """Return the batch sharpness at each point of a path, or along a run.

    B = E gᵀHg/E gᵀg, with g and H gradient and Hessian of the loss of a batch of samples, drawn without replacement

    Parameters
    ----------
    loss
        A loss that is a mean over samples: :class:`selfstab.MLP`, :class:`selfstab.DiagonalNetwork` or
        :class:`selfstab.EmpiricalRisk`.
    weights
        w_t, shape (steps, dimension), or (dimension,) for one point; or a run of :func:`selfstab.simulate` of this loss
        that kept weights.
    size
        Samples of a batch, from 1 to all.
    batches
        How many batches are drawn at each point, >= 2. Where there are no more than that, each is taken once.
    seed
        Seed of the batches, >= 0. Those of a point depend on its step and the seed only.

    Returns
    -------
    xarray.Dataset
        Dimension step: ``batch_sharpness`` in units of 1/lr; ``standard_error``, of the batches drawn, 0 where all are
        taken; ``batch_gradient``, √(E gᵀg). The first two are NaN where all gradients vanish or are not finite. Of a
        run also its settings.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range, or the run did not keep its weights or is of another loss.

    Notes
    -----
    Where noise decides, B settles near 2(1 − β)/η, and without noise near 2(1 + β)/η:
    :func:`selfstab.theory.max_stable_batch_sharpness` is the line between. Source: [Andreyev2026]_.

    Examples
    --------
    Two samples of ½(wx − y)², at w = 1: gradients 1 and 2·1, curvatures 1 and 4.

    >>> import selfstab as ss
    >>> risk = ss.EmpiricalRisk("(w*x - y)**2/2", ["w"], {"x": [1.0, 2.0], "y": [0.0, 1.0]})
    >>> ss.observables.batch_sharpness(risk, [1.0], size=1).batch_sharpness.values       # (1·1 + 4·4)/(1 + 4)
    array([3.4])
    """
    import xarray

    loss = checked_sample_mean("loss", loss)
    run = weights if isinstance(weights, xarray.Dataset) else None
    if run is not None:
        if "weights" not in run or run["weights"].dims != ("step", "weight"):
            raise ValueError(
                f"weights must be kept by the run (keep=['weights']), got {', '.join(map(str, run.data_vars))}"
            )
        if run.attrs.get("loss") != loss.description:
            raise ValueError(f"loss must be the run's, {run.attrs.get('loss')}, got {loss.description}")
        weights = run["weights"].values
    elif np.ndim(weights) == 1:
        weights = [weights]
    points = validation.floats("weights", weights, shape=(None, loss.dimension))
    if len(points) == 0:
        raise ValueError("weights must hold at least one point, got none")
    size = validation.integer("size", size, at_least=1)
    if size > loss.sample_count:
        raise ValueError(f"size must be at most the number of samples, {loss.sample_count}, got {size}")
    batches = validation.integer("batches", batches, at_least=2)
    seed = validation.integer("seed", seed, at_least=0)
    step = np.arange(len(points)) if run is None else run["step"].values
    # One BLAS thread: the bits of a product depend on the number of threads.
    with one_blas_thread(), np.errstate(all="ignore"):
        rows = [
            _at(loss, point, _batches(loss.sample_count, size, batches, [seed, int(t)]))
            for t, point in zip(step, points, strict=True)
        ]
    out = xarray.Dataset(coords={"step": step})
    for name, values, long_name, units in zip(
        ("batch_sharpness", "standard_error", "batch_gradient"),
        np.array(rows).T,
        ("E gHg/E gg of batches", "standard error of the batches drawn", "root of E gg of batches"),
        ("1/lr", "1/lr", "loss per weight"),
        strict=True,
    ):
        out[name] = ("step", values, {"long_name": long_name, "units": units})
    out["step"].attrs["long_name"] = "number of updates"
    out.attrs.update({} if run is None else run.attrs)
    out.attrs.update(loss=loss.description, batch_size=size, batches=batches, batch_seed=seed)
    return out


def _batches(samples: int, size: int, count: int, seed: list[int]) -> tuple[Iterator[Rows], bool]:
    """Return rows of each batch, and whether they are all that there are."""
    if math.comb(samples, size) <= count:
        return (np.array(rows) for rows in itertools.combinations(range(samples), size)), True
    generator = np.random.default_rng(seed)
    return (generator.choice(samples, size, replace=False) for _ in range(count)), False


def _at(loss: SampleMean, w: Array, batches: tuple[Iterator[Rows], bool]) -> tuple[float, float, float]:
    """Return the batch sharpness, its standard error and √(E gᵀg)."""
    drawn, complete = batches
    pairs = []
    for rows in drawn:
        batch = loss.of_rows(rows)
        gradient = batch.gradient_at(w)
        pairs.append((gradient @ batch.hessian_vector_at(w, gradient), gradient @ gradient))
    curvatures, squares = np.array(pairs).T
    mean = float(squares.mean())
    if mean == 0.0:
        return float("nan"), float("nan"), 0.0
    ratio = float(curvatures.mean()) / mean
    rest = curvatures - ratio * squares
    error = 0.0 if complete else float(np.sqrt(rest @ rest / (rest.size * (rest.size - 1)))) / mean
    return ratio, error, float(np.sqrt(mean))
