"""A run split into its swing along the top eigenvector and its sharpness above the threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfstab import former_names, theory, validation
from selfstab.losses.base.loss import Loss
from selfstab.observables.kinds import smoothed
from selfstab.optimizers.settings import recorded_settings

if TYPE_CHECKING:
    import xarray


def swing(run: xarray.Dataset, loss: Loss, minimum: Any) -> xarray.Dataset:
    r"""Return a catapult's run with x, y and what theory says of it: all that the drawings of catapults ask for.

    .. math:: x = u · (w − w_0), \quad y = S − S^*, \quad b^2 = ‖∇S^⊥‖^2, \quad κ = ε((1 + β)/(1 − β))^2

    Parameters
    ----------
    run
        What :func:`selfstab.simulate` returns with a constant learning rate, and keep=("loss", "sharpness", "weights").
    loss
        The run's loss.
    minimum
        w₀, about which the run swings, with S(w₀) > S*; shape (dimension,). u and b² are taken there.

    Returns
    -------
    xarray.Dataset
        The run, and more:

        - along step, ``displacement`` x and ``excess_sharpness`` y, of the (1, 2, 1)/4 mean of three consecutive
          sharpnesses, as in :func:`catapults`;
        - the scalars ``peak_excess_sharpness`` y₀ = S(w₀) − S*, ``stabilization`` b² and ``inertia_number`` κ;
        - of the overshoot law (derivations/a5_overshoot.py), the scalars ``predicted_overshoot`` G(κ) and
          ``predicted_final_sharpness`` S* − y₀(2G(κ) − 1).

    Raises
    ------
    TypeError, ValueError
        If the run lacks a variable or is not of this loss. If its threshold is not constant or not below S(w₀). If it
        has a lookahead, for which the law has another form.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss, keep = ss.Product(), ("loss", "sharpness", "weights")
    >>> minimum = loss.minimum(sharpness=4.0)
    >>> start, previous = ss.flip_start(loss, minimum, size=1e-3)
    >>> run = ss.simulate(loss, ss.HeavyBall(0.97, 0.9), start, 500, previous=previous, keep=keep)
    >>> seen = swing(run, loss, minimum)
    >>> round(float(seen.inertia_number), 2), round(float(seen.predicted_overshoot), 2)
    (7.6, 10.92)
    """
    import xarray

    if not isinstance(run, xarray.Dataset):
        raise TypeError(f"run must be a dataset of simulate, got {validation.shown(run)}")
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a selfstab loss, got {validation.shown(loss)}")
    for name in ("step", "sharpness", "weights", "max_stable_sharpness"):
        if name not in run:
            raise ValueError(
                f"run must hold step, sharpness, weights and max_stable_sharpness, got no {name}"
            )
    if run.attrs.get("loss") != loss.description:
        raise ValueError(f"loss must be the run's, {run.attrs.get('loss')}, got {loss.description}")
    optimizer = recorded_settings(run.attrs)
    if optimizer.get("name", "HeavyBall") != "HeavyBall":
        raise ValueError(f"run must be of the heavy ball, got one of {optimizer['name']}")
    if optimizer.get("lookahead") != 0.0:
        raise ValueError(f"run must have lookahead 0, got {validation.shown(optimizer.get('lookahead'))}")
    centre = loss.checked_weights("minimum", minimum)
    sharpness, u = loss.sharpness(centre)
    thresholds = run["max_stable_sharpness"].values
    threshold = float(thresholds[0])
    if (thresholds != threshold).any() or not sharpness > threshold:
        raise ValueError(
            f"run must have a constant threshold below S(minimum) = {sharpness:g}, "
            f"got {thresholds.min():g} to {thresholds.max():g}"
        )
    slope = loss.third_at(centre, u, u)
    across = slope - (u @ slope) * u
    y0, b2 = sharpness - threshold, float(across @ across)
    kappa = float(theory.inertia_number(y0 / threshold, optimizer["momentum"]))
    out = run.assign(
        displacement=("step", (run["weights"].values - centre) @ u),
        excess_sharpness=("step", smoothed(run["sharpness"].values) - threshold),
    )
    out["displacement"].attrs.update(long_name="x = u (w - w0)", units="weight")
    out["excess_sharpness"].attrs.update(long_name="y = S - S*, smoothed over the flip", units="1/lr")
    scalars = {
        "peak_excess_sharpness": (y0, "y0 = S(w0) - S*", "1/lr"),
        "stabilization": (b2, "b^2, squared gradient of the sharpness across u", "1/(lr^2 weight^2)"),
        "inertia_number": (kappa, "kappa", "1"),
        "predicted_overshoot": (theory.overshoot(kappa), "G(kappa)", "1"),
        "predicted_final_sharpness": (
            theory.final_sharpness(threshold, y0, kappa), "S* - y0 (2 G(kappa) - 1)", "1/lr"),
    }  # fmt: skip
    for name, (value, long_name, units) in scalars.items():
        out[name] = ((), float(value), {"long_name": long_name, "units": units})
    return former_names.with_old_names(out, former_names.SWING)
