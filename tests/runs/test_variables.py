"""Variables' units: each changes as its unit says when loss and weights are measured in others."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.runs import variables

TABLES = {name: table for name, table in vars(variables).items() if isinstance(table, type(variables.KEEP))}

POWERS = {"1": (0, 0), "step": (0, 0), "loss": (1, 0), "weight": (0, 1), "sharpness": (1, -2), "lr": (-1, 2)}
"""Powers of the loss's and of the weights' unit in each word."""


def powers(unit):
    """Return the powers of the loss's and of the weights' unit in a unit such as 1/lr per weight²."""
    first, *others = unit.replace(" per ", "/").split("/")
    signs = [1, *[-1] * len(others)]
    total = np.zeros(2, int)
    for sign, word in zip(signs, (first, *others), strict=True):
        total += sign * (1 + word.endswith("²")) * np.array(POWERS[word.removesuffix("²")])
    return total


# A sharpness that grows along z, so that runs come to the edge of stability and every variable has a size.
LOSS = ss.SymbolicLoss(
    "s*((1 + z/m)*(x/m)**2/2 - z/m/50 + (z/m)**2/200 + (x/m)**3/30)", ["x", "z"], {"s": 1.0, "m": 1.0}
)
LR, START, STEPS = 2.62, np.array([0.1, 0.0]), 25


def simulated(loss, optimizer, start):
    # Heavy ball has no preconditioner: what stands for it is 1, in units of any kind.
    keep = [name for name in variables.KEEP if name != "preconditioner"]
    return ss.simulate(loss, optimizer, start, STEPS, keep=keep)


def averaged(loss, optimizer, start):
    return ss.averaged_flow(loss, optimizer, start, STEPS, keep=tuple(variables.AVERAGED_FLOW_KEEP))


def edge(loss, optimizer, start):
    return ss.edge_flow(loss, optimizer, start, STEPS, keep=tuple(variables.EDGE_FLOW_KEEP))


def rod(loss, optimizer, start):
    return ss.rod_flow(loss, optimizer, start, STEPS, keep=tuple(variables.ROD_FLOW_KEEP))


def constrained(loss, optimizer, start):
    return ss.constrained_trajectory(loss, optimizer, start, STEPS, keep=tuple(variables.CONSTRAINED_KEEP))


def predicted(loss, optimizer, start):
    return ss.predicted_dynamics(loss, optimizer, start, STEPS)


@pytest.mark.parametrize("run", [simulated, averaged, edge, rod, constrained, predicted])
def test_variables_scale_as_their_units_say(run):
    """Protects every unit: in smaller units of loss and weights the run has the same numbers, times the factors."""
    loss_factor, weight_factor = 8.0, 4.0
    one = run(LOSS, ss.HeavyBall(LR, 0.3), START)
    two = run(
        LOSS.replace(s=loss_factor, m=weight_factor),
        ss.HeavyBall(LR * weight_factor**2 / loss_factor, 0.3),
        weight_factor * START,
    )
    assert one.sizes == two.sizes
    assert {name for name in one.data_vars if not name.endswith(("residual", "diverged_at"))}
    for name in one.data_vars:
        of_loss, of_weight = powers(one[name].attrs["units"])
        factor = loss_factor**of_loss * weight_factor**of_weight
        # Residuals and what is 0 in theory are rounding errors.
        level = 1e-9 * factor * max(1.0, np.nanmax(np.abs(one[name].values)))
        np.testing.assert_allclose(
            two[name].values, factor * one[name].values, rtol=1e-6, atol=level, err_msg=name
        )


def test_a_name_has_one_unit_and_one_shape():
    """Protects comparisons of runs with trajectories: what has one name in two tables has its unit and dimensions."""
    seen: dict[str, tuple[str, tuple[str, ...]]] = {}
    assert len(TABLES) >= 9
    for table in TABLES.values():
        for name, variable in table.items():
            assert (variable.unit, variable.dims) == seen.setdefault(name, (variable.unit, variable.dims)), (
                name
            )
            assert variable.long_name
            assert powers(variable.unit).shape == (2,)


def test_tables_cannot_be_changed():
    """Protects what every dataset says from one that is made."""
    with pytest.raises(TypeError, match="does not support item assignment"):
        variables.KEEP["loss"] = variables.Variable("", "1")
    attributes = variables.KEEP["loss"].attributes
    attributes["units"] = "none"
    assert variables.KEEP["loss"].attributes == {"long_name": "L(w_t)", "units": "loss"}
