"""The spectrum of the Hessian along a path of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.eigen.krylov import NotFiniteError
from selfstab.eigen.pairs import Eigenpairs, top_eigenpairs
from selfstab.losses.base.loss import Loss
from selfstab.machine import check_memory
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

CARRIED: Final = ("loss", "lr", "max_stable_sharpness", "diverged_at")
"""What a spectrum keeps of the run whose weights it is taken at."""

_DESCRIBED: Final = {
    "eigenvalue": ("Hessian eigenvalue", "1/lr"),
    "residual": ("norm of H v - eigenvalue v", "1/lr"),
    "converged": ("whether all residuals of the step are within the tolerance", "1"),
    "products": ("Hessian-vector products used", "1"),
    "eigenvector": ("unit eigenvector, sign continuous in step", "1"),
}


def hessian_spectrum(
    loss: Loss,
    weights: Any,
    *,
    largest: int = 1,
    smallest: int = 0,
    full: bool = False,
    vectors: bool = False,
    tolerance: float = 1e-10,
    preconditioned: bool = False,
) -> xarray.Dataset:
    """Return the largest and the smallest eigenvalues of the Hessian at each point of a path, or all of them.

    Eigenpairs come from Hessian-vector products, warm-started from the last step's, or from the explicit Hessian where
    the loss uses it. All eigenvalues come from a dense solver on the explicit Hessian.

    Parameters
    ----------
    loss
        Any loss.
    weights
        w_t, shape (steps, dimension), or (dimension,) for one point; or a run of :func:`simulate` that kept weights.
    largest, smallest
        How many of each end, >= 0, together 1 to the dimension.
    full
        Whether to take all eigenvalues. `largest` and `smallest` then do not matter, and there are no residuals. Dense
        eigenvalues are off by rounding, about 1e-15·dimension times the largest in magnitude.
    vectors
        Whether to keep the eigenvectors; not with `full`.
    tolerance
        Of the residuals, relative to the largest eigenvalue in magnitude.
    preconditioned
        Whether to take P^{-1/2} H P^{-1/2} in place of H, with P what a run of :func:`simulate` kept as preconditioner.

    Returns
    -------
    xarray.Dataset
        Dimensions step and rank: ``eigenvalue``, in descending order. rank is the place in the descending spectrum.
        The smallest ones are counted from its end: 0, 1, ..., −2, −1. ``residual`` (step, rank), ``converged`` and
        ``products`` (step). ``eigenvector`` (step, rank, weight): its sign follows the vector of the step before that
        it overlaps most, also where eigenvalues cross. Of a run also its loss, lr, threshold and settings. Where the
        Hessian is not finite, NaN.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss = ss.Quadratic([3.0, 2.0, -1.0])
    >>> run = ss.simulate(loss, ss.HeavyBall(0.1), [1.0, 1.0, 0.0], 2, keep=["weights"])
    >>> data = ss.hessian_spectrum(loss, run, largest=2, smallest=1)
    >>> data.eigenvalue.values[0], data["rank"].values
    (array([ 3.,  2., -1.]), array([ 0,  1, -1]))
    """
    import xarray

    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a selfstab loss, got {validation.shown(loss)}")
    run = weights if isinstance(weights, xarray.Dataset) else None
    if run is not None:
        if "weights" not in run or run["weights"].dims != ("step", "weight"):
            raise ValueError(
                f"weights must be kept by the run (keep=['weights']), got {', '.join(map(str, run.data_vars))}"
            )
        weights = run["weights"].values
    elif np.ndim(weights) == 1:
        weights = [weights]
    points = validation.floats("weights", weights, shape=(None, loss.dimension))
    if len(points) == 0:
        raise ValueError("weights must hold at least one point, got none")
    largest = validation.integer("largest", largest, at_least=0)
    smallest = validation.integer("smallest", smallest, at_least=0)
    for name, flag in (("full", full), ("vectors", vectors), ("preconditioned", preconditioned)):
        if not isinstance(flag, bool):
            raise TypeError(f"{name} must be True or False, got {validation.shown(flag)}")
    tolerance = validation.real("tolerance", tolerance, above=0)
    if full and vectors:
        raise ValueError("vectors must be False with full=True, got True")
    if not full and not 1 <= largest + smallest <= loss.dimension:
        raise ValueError(
            f"largest + smallest must be from 1 to the dimension, {loss.dimension}, got {largest} + {smallest}"
        )
    if full:
        check_memory(
            f"the Hessian and all eigenvalues (full=True) of {loss.dimension} weights",
            8 * (3 * loss.dimension**2 + points.size),
            "ask for the largest and smallest eigenvalues",
        )

    scales = np.ones_like(points)
    if preconditioned:
        if run is None or "preconditioner" not in run:
            raise ValueError(
                "preconditioned must be False unless weights are a run that kept the preconditioner "
                "(keep=['weights', 'preconditioner']), got True"
            )
        scales = 1.0 / np.sqrt(run["preconditioner"].values)

    # One BLAS thread: the bits of a product depend on the number of threads.
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        variables = (
            _all(loss, points, scales)
            if full
            else _ends(loss, points, scales, largest, smallest, tolerance, vectors)
        )
    rank = np.arange(loss.dimension) if full else np.r_[0:largest, -smallest:0]
    step = np.arange(len(points)) if run is None else run["step"].values
    out = xarray.Dataset(coords={"step": step, "rank": rank})
    for name, values in variables.items():
        out[name] = (("step", "rank", "weight")[: values.ndim], values)
        out[name].attrs.update(zip(("long_name", "units"), _DESCRIBED[name], strict=True))
    if "weight" in out.dims:
        out = out.assign_coords(weight=np.array(loss.weight_names, dtype=object))
    out["step"].attrs["long_name"] = "number of updates"
    out["rank"].attrs["long_name"] = "place in the descending spectrum, negative from its end"
    if preconditioned:
        out["eigenvalue"].attrs["long_name"] = "eigenvalue of P^(-1/2) H P^(-1/2)"
    out.attrs["loss"] = loss.description
    if run is not None:
        out = out.assign({name: run[name] for name in CARRIED if name in run}).assign_attrs(run.attrs)
    return out


def _all(loss: Loss, points: Array, scales: Array) -> dict[str, Array]:
    values = np.full(points.shape, np.nan)
    first = 0
    for hessians in loss.hessian_blocks_at(points):
        part = scales[first : first + len(hessians)]
        hessians = part[:, :, None] * hessians * part[:, None, :]
        finite = first + np.flatnonzero(np.isfinite(hessians).all(axis=(1, 2)))
        values[finite] = np.linalg.eigvalsh(hessians[finite - first])[:, ::-1]
        first += len(hessians)
    return {"eigenvalue": values}


def _ends(
    loss: Loss, points: Array, scales: Array, largest: int, smallest: int, tolerance: float, vectors: bool
) -> dict[str, Any]:
    pairs: list[Eigenpairs] = []
    guess: Array | None = None
    for w, scale in zip(points, scales, strict=True):
        pair = _pairs(loss, w, scale, largest, smallest, tolerance, guess)
        pairs.append(pair)
        if np.isfinite(pair.vectors).all():
            guess = pair.vectors
    variables: dict[str, Any] = {
        "eigenvalue": np.array([pair.values for pair in pairs]),
        "residual": np.array([pair.residuals for pair in pairs]),
        "converged": np.array([pair.converged for pair in pairs]),
        "products": np.array([pair.products for pair in pairs]),
    }
    return variables | ({"eigenvector": np.array([pair.vectors for pair in pairs])} if vectors else {})


def _pairs(
    loss: Loss, w: Array, scale: Array, largest: int, smallest: int, tolerance: float, guess: Array | None
) -> Eigenpairs:
    operator = None if loss.explicit_hessian else loss.hessian_operator_at(w)
    try:
        return top_eigenpairs(
            scale[:, None] * loss.hessian_at(w) * scale if operator is None else lambda v: scale * operator(scale * v),
            largest, loss.dimension, smallest=smallest, guess=guess, tolerance=tolerance,
        )  # fmt: skip
    except NotFiniteError:
        nan = np.full((largest + smallest, loss.dimension), np.nan)
        return Eigenpairs(nan[:, 0], nan, nan[:, 0], 0, False, np.full(len(nan), -1))
