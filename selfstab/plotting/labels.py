r"""What is written at axes: one name, one symbol and one unit for each quantity, in all drawings and figures.

The words are those of the manual's vocabulary. A scaled quantity keeps its name and has another form, as the excess
sharpness :math:`y/y_0`; forms that figures use stand in the table, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Quantity:
    """What an axis shows: its name, its symbol in TeX, its unit, and other forms of symbol and unit."""

    name: str
    symbol: str = ""
    unit: str = ""
    forms: tuple[str, ...] = ()


QUANTITIES: Final = {
    # the run
    "step": Quantity("step", "$t$"),
    "step_since_crossing": Quantity("step since the crossing", "$t$"),
    "step_since_push": Quantity("step since the push", "$k$"),
    "time_in_cycles": Quantity("time", unit="cycles"),
    "effective_time": Quantity(
        "effective time",
        r"$\Sigma\eta_t/(1-\beta)$",
        "1/sharpness",
        (r"$\eta t/(1-\beta)$ (1/sharpness)", r"$\eta\delta t/(1-\beta)$", r"$t\,(1+\beta)/(1-\beta)$"),
    ),
    "slow_time": Quantity("slow time", "$rt$"),
    "loss": Quantity("loss", "$L$"),
    "final_loss": Quantity("final loss", "$L$"),
    "max_loss": Quantity("largest loss", "$L$"),
    "mean_loss": Quantity("mean loss", "$L$"),
    "test_loss": Quantity("test loss", forms=("PHB/GD",)),
    "test_accuracy": Quantity("test accuracy"),
    "distance": Quantity("distance to the sparse solution"),
    "distance_to_run": Quantity("distance", unit="weight"),
    "sharpness": Quantity("sharpness", "$S$", "1/lr", ("$S/S^*$",)),
    "final_sharpness": Quantity("final sharpness", "$S$", "1/lr", ("$S/S^*$",)),
    "mean_sharpness": Quantity("mean sharpness", "$S$", "1/lr", ("PHB/GD", "PHB/GD $-$ 1")),
    "min_sharpness": Quantity("least sharpness", "$S$", "1/lr"),
    "max_sharpness": Quantity("largest sharpness", "$S$", "1/lr"),
    "preconditioned_sharpness": Quantity("preconditioned sharpness", unit="1/lr", forms=("$/S^*$",)),
    "final_preconditioned_sharpness": Quantity("final preconditioned sharpness", unit="1/lr"),
    "min_preconditioned_sharpness": Quantity("least preconditioned sharpness", unit="1/lr"),
    "max_preconditioned_sharpness": Quantity("largest preconditioned sharpness", unit="1/lr"),
    "eigenvalues": Quantity("Hessian eigenvalues", unit="1/lr"),
    "diverged_at": Quantity("step of the divergence", "$t$"),
    "weight": Quantity("weight", forms=("$q$", "$y$", "$u$", "$v$")),
    "start": Quantity("start", "$w_0$", "weight", forms=("$u$", "$v$", "$x$")),
    "last_weights": Quantity("last weights", "$w$"),
    "matched_weight": Quantity("matched weight", r"$(1+\beta)w_k$"),
    "warmup": Quantity("warmup", "$W$", "step", ("$W$ (PHB's steps)",)),
    "initialization": Quantity("initialization", unit="weight"),
    "batch_size": Quantity("batch size", unit="samples"),
    "noise": Quantity("noise", r"$\sigma$", "loss per weight", forms=(r"$b\sigma/\alpha$",)),
    # the optimizer
    "lr": Quantity("learning rate", r"$\eta$", "1/sharpness"),
    "lr_times_sharpness": Quantity("learning rate × sharpness", r"$\eta S$"),
    "momentum": Quantity("momentum", r"$\beta$"),
    "lookahead": Quantity("lookahead", r"$\gamma$", forms=(r"$\gamma/\beta$ (0 Polyak, 1 Nesterov)",)),
    "max_stable_sharpness": Quantity("threshold", "$S^*$", "1/lr", (r"$\eta S^*$",)),
    "spectral_radius": Quantity("spectral radius", r"$\rho$"),
    "growth": Quantity("growth per step", r"$\rho-1$"),
    # catapults
    "excess": Quantity("excess", r"$\varepsilon$", forms=(r"$\varepsilon=S/S^*-1$",)),
    "excess_per_step": Quantity("rise of the excess per step", r"$\dot\varepsilon$"),
    "excess_sharpness": Quantity(
        "excess sharpness", "$y$", "1/lr", ("$y/y_0$", r"$y/\sqrt{2\alpha}$", "$y$ ($10^{-3}$/lr)")
    ),
    "depth": Quantity("depth", "$e=(S^*-S)/S^*$"),
    "displacement": Quantity(
        "displacement", "$x$", "weight", ("$|x|$ (weight)", "$|x|$ ($10^{-3}$ weight)", "$b\\,x/y_0$")
    ),
    "swing": Quantity(
        "swing", "$|x|$", "weight", ("$b\\,|x|/y_0$", r"$b\,|x|/(\sqrt{2}\,y_0)$", r"$|x|/\delta$")
    ),
    "inertia_number": Quantity(
        "inertia number", r"$\kappa$", forms=(r"$\kappa=\varepsilon((1+\beta)/(1-\beta))^2$",)
    ),
    "edge_inertia_number": Quantity("edge inertia number", r"$\kappa$"),
    "effective_inertia_number": Quantity(
        "effective inertia number",
        r"$\kappa_e$",
        forms=(r"$\kappa_e/\varepsilon$", r"$\kappa_e=(\kappa_x+2\kappa_y)/3$"),
    ),
    "inertia_number_of_sharpness": Quantity("inertia number of the sharpness", r"$\kappa_y$"),
    "overshoot": Quantity(
        "overshoot", "drop/(2$y_0$)", forms=("drop/(2$y_0$) $-$ 1", r"(drop/(2$y_0$) $-$ 1)/$\kappa$")
    ),
    "deviation": Quantity(r"overshoot/$G(\kappa)-1$"),
    "size_of_deviation": Quantity(r"|overshoot/$G(\kappa)-1$|"),
    "deviation_from_slow_limit": Quantity("relative deviation"),
    "universal_functions": Quantity("universal function / $G$"),
    "drop": Quantity("drop", unit="1/lr"),
    "remaining_drop": Quantity("remaining drop / GD's"),
    "lifetime": Quantity("lifetime", unit="step"),
    "amplification": Quantity("amplification", "$c_0S^*/2$"),
    # edge, noise and flows
    "coupling": Quantity("coupling", r"$\zeta/\zeta_c$"),
    "energy_drift": Quantity(r"energy drift / drift at $\zeta=0$"),
    "growth_per_cycle": Quantity("log growth per cycle"),
    "period": Quantity("period / leading order"),
    "sharpness_gap": Quantity("sharpness gap", r"$\Delta S$", "1/lr", (r"$\Delta S\,S^*/\alpha$",)),
    "gap_of_runs": Quantity("run's gap / theory's without cycles"),
    "gap_with_cycles": Quantity("theory's gap with cycles / without"),
    "batch_sharpness": Quantity("batch sharpness", "$B$", "1/lr", (r"$\eta B$", "$B/S^*$")),
    "mean_curvature": Quantity("mean curvature", r"$\mu$", "1/lr", (r"$\eta\mu$", r"$\mu/S^*$")),
    "swing_variance": Quantity("variance of the swing", unit="weight$^2$"),
    "swing_scale": Quantity("scale of the swing"),
    "error_of_excess": Quantity("error / largest $y$"),
    "error_of_sharpness": Quantity("rms error / range of sharpness"),
    "share_of_preconditioner": Quantity("share of the preconditioner", "$R$"),
    "fading": Quantity("fading", r"$x=(1-\beta_2)T/(2\varepsilon)$"),
    "halvings": Quantity("times a cell is halved"),
}
"""Quantities by key: the names of variables and axes of datasets, where there are such."""

LAWS_END: Final = r"end by the law, $S^*-y_0(2G(\kappa)-1)$"
"""Of the line where the overshoot law ends a catapult."""

LAWS_END_DOUBTED: Final = "end by the law, beyond small drops"
"""Of the same line where the relative drop is too large for the law."""


def label_of(quantity: str, form: str = "") -> str:
    r"""Return what is written at the axis of a quantity.

    Parameters
    ----------
    quantity
        Its key in :data:`QUANTITIES`.
    form
        Symbol, and unit in parentheses, of a scaled quantity; by default the quantity's own.

    Returns
    -------
    str
        Name, symbol and unit.

    Examples
    --------
    >>> label_of("sharpness"), label_of("excess_sharpness", "$y/y_0$")
    ('sharpness, $S$ (1/lr)', 'excess sharpness, $y/y_0$')
    """
    shown = QUANTITIES[quantity]
    if form.startswith("$/"):  # a ratio of what has no symbol
        return f"{shown.name} {form}"
    text = shown.name + "".join(f", {symbol}" for symbol in (form or shown.symbol,) if symbol)
    return text + (f" ({shown.unit})" if shown.unit and not form else "")


def every_label() -> set[str]:
    """Return all labels of the table.

    >>> "overshoot, drop/(2$y_0$) $-$ 1" in every_label()
    True
    """
    return {label_of(key, form) for key, shown in QUANTITIES.items() for form in ("", *shown.forms)}


TIMES: Final = {name: label_of(name) for name in ("step", "effective_time")}
"""What a run may be drawn against, and the words at the axis."""


def axis_label(data: xarray.Dataset, name: str) -> str:
    r"""Return what to write at an axis of a dataset: the quantity's label, or a coordinate's long_name and units.

    Parameters
    ----------
    data
        Holds the coordinate.
    name
        Its name.

    Returns
    -------
    str
        The label; the name itself where nothing else is known.

    Examples
    --------
    >>> import xarray
    >>> steps = ("warmup.steps", [10, 20], {"long_name": "length of the ramp", "units": "step"})
    >>> data = xarray.Dataset(coords={"warmup.steps": steps, "lr": [0.1, 0.2]})
    >>> axis_label(data, "warmup.steps"), axis_label(data, "lr")
    ('length of the ramp (step)', 'learning rate, $\\eta$ (1/sharpness)')
    """
    if name in QUANTITIES:
        return label_of(name)
    attrs = data[name].attrs
    units = str(attrs.get("units", "1"))
    return str(attrs.get("long_name", name)) + (f" ({units})" if units not in ("", "1") else "")
