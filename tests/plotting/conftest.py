"""Synthetic data, in closed form: what the figures show does not depend on a simulation."""

import json

import numpy as np
import pytest
import xarray

from selfstab import phases, theory


@pytest.fixture
def slow_run():
    # A catapult that is exactly the slow limit's, centred at step 400.
    lr, y0, b2 = 2.0 / 0.99, 0.01, 4.0
    step = np.arange(801)
    y, amplitude = theory.slow_orbit(step - 400, lr, 0.0, y0, b2)
    run = xarray.Dataset(coords={"step": step})
    run["displacement"] = ("step", (-1.0) ** step * amplitude)
    run["excess_sharpness"] = ("step", y)
    run["sharpness"] = ("step", 0.99 + y)
    run["loss"] = ("step", 0.5 * 0.99 * amplitude**2)
    run["max_stable_sharpness"] = ("step", np.full(step.size, 0.99))
    run["effective_time"] = ("step", step * lr)
    run["diverged_at"] = ((), -1)
    run["peak_excess_sharpness"], run["stabilization"] = ((), y0), ((), b2)
    run["predicted_final_sharpness"] = ((), 0.98)
    run.attrs["optimizer"] = json.dumps({"lr": lr, "momentum": 0.0})
    return run


@pytest.fixture
def law():
    # Overshoots on the law, but one open point a tenth above it and one that diverged.
    momentum = np.array([0.0, 0.9])
    kappa = np.array([[0.01, 0.1, 1.0], [0.1, 1.0, 10.0]])
    excess = kappa / theory.inertia_number(1.0, momentum)[:, None]
    measured = theory.overshoot(kappa)
    measured[0, 1] *= 1.1
    measured[0, 2] = np.nan
    data = xarray.Dataset(coords={"momentum": momentum})
    for name, values in {"kappa": kappa, "excess": excess, "CubicTaylor": measured}.items():
        data[name] = (("momentum", "point"), values)
    return data


@pytest.fixture
def plane():
    # A sweep over (β, ε): the law's overshoot below ε = 0.05, divergence above.
    momentum, excess = 1.0 - np.geomspace(1.0, 0.02, 7), np.geomspace(1e-3, 1.0, 9)
    overshoot = theory.overshoot(theory.inertia_number(excess, momentum[:, None]))
    diverged = np.broadcast_to(excess > 0.05, overshoot.shape)
    coords = {"momentum": momentum, "excess": excess}
    data = xarray.Dataset(coords=coords)
    data["overshoot"] = (tuple(coords), np.where(diverged, np.nan, overshoot))
    data["phase"] = (tuple(coords), np.where(diverged, phases.DIVERGED, phases.CATAPULT).astype(np.int8))
    return data


@pytest.fixture
def modes():
    coords = {"momentum": np.linspace(0.0, 0.95, 20), "lr_times_sharpness": np.linspace(0.0, 4.2, 22)}
    radius = theory.spectral_radius(coords["lr_times_sharpness"], coords["momentum"][:, None])
    return xarray.Dataset({"spectral_radius": (tuple(coords), radius)}, coords)
