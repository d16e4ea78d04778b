"""The variables of runs and of trajectories in their place: dimensions, long names and units, each in one place."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

SHARPNESS: Final = "largest Hessian eigenvalue"
"""What the sharpness is; where it is taken follows."""

SECOND_SHARPNESS: Final = f"second {SHARPNESS}"


class Variable(NamedTuple):
    """What a dataset says of a variable."""

    long_name: str
    unit: str
    dims: tuple[str, ...] = ("step",)

    @property
    def attributes(self) -> dict[str, str]:
        """The long name and the unit as a variable's attributes."""
        return {"long_name": self.long_name, "units": self.unit}


def table(
    rows: Mapping[str, tuple[str, str] | tuple[str, str, tuple[str, ...]]],
) -> MappingProxyType[str, Variable]:
    """Return variables by name."""
    return MappingProxyType({name: Variable(*row) for name, row in rows.items()})


_WEIGHTS: Final = ("step", "weight")

KEEP: Final = table({
    "loss": ("L(w_t)", "loss"),
    "sharpness": (f"{SHARPNESS} at w_t", "1/lr"),
    "weights": ("w_t", "weight", _WEIGHTS),
    "velocity": ("v_t = w_t - w_{t-1}", "weight per step", _WEIGHTS),
    "gradient_norm": ("norm of the gradient at w_t", "loss per weight"),
    "top_eigenvector": ("unit eigenvector of the sharpness, sign continuous in t", "1", _WEIGHTS),
    "preconditioned_sharpness": (
        "largest eigenvalue of P^(-1/2) H P^(-1/2) at w_t, P the preconditioner of the update t -> t + 1", "1/lr"
    ),
    "preconditioner": ("P, by which the update t -> t + 1 divides", "loss per weight", _WEIGHTS),
})  # fmt: skip
"""What a run can record."""

OF_EVERY_RUN: Final = table({
    "sharpness_residual": ("norm of H u - S u", "1/lr"),
    "preconditioned_sharpness_residual": ("norm of P^(-1/2) H P^(-1/2) u - S u", "1/lr"),
    "lr": ("learning rate of the update t -> t + 1", "1/sharpness"),
    "max_stable_sharpness": ("largest sharpness stable on a quadratic", "1/lr"),
    "diverged_at": ("first step beyond the escape radius or not finite, -1 if none", "step", ()),
})  # fmt: skip
"""What stands beside it."""

AVERAGED_FLOW: Final = table({
    "loss": ("L(w), on the flow", "loss"),
    "sharpness": (f"{SHARPNESS} on the flow", "1/lr"),
    "averaged_loss": ("L(w) + tr(HΣ)/2, the loss averaged over the swing", "loss"),
    "variance": ("tr Σ, variance of the swing", "weight²"),
    "active": ("rank of Σ: directions that swing", "1"),
    "covariance_eigenvalues": ("eigenvalues of Σ, descending", "weight²", ("step", "direction")),
    "hessian_eigenvalues": (
        "largest Hessian eigenvalues, descending, one more than is carried", "1/lr", ("step", "eigenvalue")
    ),
    "sharpness_residual": ("largest residual of these eigenpairs", "1/lr"),
    "complementarity": ("violation of Σ ⪰ 0, S* − H ⪰ 0, ⟨Σ, S* − H⟩ = 0, relative", "1"),
})  # fmt: skip

AVERAGED_FLOW_KEEP: Final = table({
    "weights": ("w on the flow", "weight", _WEIGHTS),
    "gradient_norm": ("norm of ∇L on the flow", "loss per weight"),
})  # fmt: skip

ROD_FLOW: Final = table({
    "loss": ("L at the midpoint w̄ of two consecutive iterates", "loss"),
    "sharpness": (f"{SHARPNESS} at w̄", "1/lr"),
    "sharpness_residual": ("‖Hu − Su‖ at w̄", "1/lr"),
    "averaged_loss": ("mean loss of the two ends of the rod", "loss"),
    "variance": ("tr Σ, of the weights' half-difference", "weight²"),
    "largest_variance": ("largest eigenvalue of Σ", "weight²"),
})  # fmt: skip

ROD_FLOW_KEEP: Final = table({
    "weights": ("w̄", "weight", _WEIGHTS),
    "axis": ("half-difference of consecutive weights along Σ's first axis", "weight", _WEIGHTS),
})  # fmt: skip

EDGE_FLOW: Final = table({
    "loss": ("L(c) at the centre", "loss"),
    "sharpness": (f"{SHARPNESS} at c", "1/lr"),
    "sharpness_residual": ("‖Hu − Su‖ at c", "1/lr"),
    "averaged_loss": ("mean loss of c ± ρu", "loss"),
    "variance": ("ρ², of the swing", "weight²"),
    "magnitude": ("ρ, magnitude of the swing, negative after an odd number of zeros", "weight"),
    "misalignment": ("sine of the angle of the swing's direction and the top eigenvector at c", "1"),
})  # fmt: skip

EDGE_FLOW_KEEP: Final = table({
    "weights": ("c", "weight", _WEIGHTS),
    "direction": ("unit direction of the swing", "1", _WEIGHTS),
})  # fmt: skip

CONSTRAINED: Final = table({
    "constrained_loss": ("L(w†_t)", "loss"),
    "constrained_sharpness": (f"S(w†_t), {SHARPNESS} on the constrained trajectory", "1/lr"),
    "constrained_slope": ("u·∇L(w†_t), 0 where the constraint is met", "loss per weight"),
    "progressive_sharpening": ("α = −∇L·∇S⊥ at w†_t", "loss/lr per weight²"),
    "stabilization": ("b² = ‖∇S⊥‖² at w†_t", "1/lr² per weight²"),
    "delta": ("δ = √(2α)/b at w†_t, 0 where α <= 0", "weight"),
    "second_eigenvalue": (f"{SECOND_SHARPNESS} at w†_t", "1/lr"),
    "constrained_sharpness_residual": ("‖Hu − Su‖ at w†_t", "1/lr"),
    "second_eigenvalue_residual": ("‖Hu₂ − λ₂u₂‖ at w†_t", "1/lr"),
})  # fmt: skip

CONSTRAINED_KEEP: Final = table({
    "weights": ("w†_t", "weight", _WEIGHTS),
    "top_eigenvector": ("u(w†_t), sign continuous in t", "1", _WEIGHTS),
    "sharpness_gradient": ("∇S⊥(w†_t)", "1/lr per weight", _WEIGHTS),
})  # fmt: skip

BESIDE_CONSTRAINED: Final = table({
    "edge_inertia_number": (
        "κ of the cycle that α drives at the edge; NaN, unknown, where α <= 0; to be read where invalid is 0", "1",
    ),
    **dict.fromkeys(
        ("diverged_at", "constrained_diverged_at", "predicted_diverged_at", "flow_diverged_at"),
        ("first step that is beyond float64's range, -1 if none", "step", ()),
    ),
})  # fmt: skip
"""What stands beside a constrained trajectory and predictions along it."""

PREDICTED: Final = table({
    "loss": ("L(w_t)", "loss"),
    "sharpness": (f"{SHARPNESS} at w_t", "1/lr"),
    "x": ("u·(w_t − w†_t), displacement along the top eigenvector at w†_t", "weight"),
    "predicted_loss": ("loss at the predicted weights", "loss"),
    "predicted_sharpness": (f"{SHARPNESS} at the predicted weights", "1/lr"),
    "predicted_x": ("predicted displacement along the top eigenvector at w†_t", "weight"),
    "flow_loss": ("loss of the gradient flow at time Σ lr/(1 − momentum)", "loss"),
    "flow_sharpness": (f"{SHARPNESS} on the gradient flow", "1/lr"),
    "sharpness_residual": ("‖Hu − Su‖ at w_t", "1/lr"),
    "predicted_sharpness_residual": ("‖Hu − Su‖ at the predicted weights", "1/lr"),
    "flow_sharpness_residual": ("‖Hu − Su‖ on the gradient flow", "1/lr"),
    "flow_error": ("largest local error of the gradient flow since the last step, divided by ‖w‖; large at kinks", "1"),
})  # fmt: skip
"""What is recorded beside the constrained trajectory."""
