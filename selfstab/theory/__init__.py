"""Closed forms: what theory says of momentum at large learning rates, without simulating anything.

Arguments broadcast as NumPy's do; scalars give floats. Each formula is proved by a script in
``derivations/``. One topic a file: a new closed form goes into the file of its topic, and into the lists below.
"""

from selfstab.theory.adam import adaptive_inertia_number, fading_rate, preconditioner_share
from selfstab.theory.catapult import final_sharpness, overshoot, spike_factor
from selfstab.theory.coupling import critical_coupling, cycle_drift
from selfstab.theory.cycles import flip_coefficient, two_cycle_growth, two_cycle_half_amplitude
from selfstab.theory.deviation import deviation_coefficients, overshoot_deviation, overshoot_on_loss
from selfstab.theory.edge import (
    cycle_growth,
    cycle_period,
    edge_displacement,
    edge_inertia_number,
    slow_period,
)
from selfstab.theory.gap import cycle_gap, linear_sharpness_gap, sharpness_gap, stationary_variance
from selfstab.theory.linear import (
    amplification,
    growth,
    inertia,
    linear_displacement,
    linear_domain,
    linear_overshoot,
    threshold,
)
from selfstab.theory.linear_edge import (
    linear_batch_sharpness,
    linear_crossing_amplitude,
    linear_cycle_growth,
    linear_cycle_period,
)
from selfstab.theory.lookahead import (
    envelope_momentum,
    lookahead_displacement,
    lookahead_inertia_number,
    lookahead_overshoot,
    lookahead_rate,
)
from selfstab.theory.memory import memory_overshoot, slow_overshoot
from selfstab.theory.noise import max_stable_batch_sharpness, max_stable_noise, mean_square_growth
from selfstab.theory.prolonging import (
    oscillation_lifetime,
    prolonged_depths,
    prolonging_factor,
    remaining_drop,
)
from selfstab.theory.quadratic import (
    REGIONS,
    growth_factor,
    max_stable_sharpness,
    modes,
    region,
    region_boundaries,
    spectral_radius,
)
from selfstab.theory.stabilization import (
    inertia_number,
    loss_spike,
    max_displacement,
    slow_energy,
    slow_orbit,
    stabilization_weight,
)
from selfstab.theory.warmup import (
    accumulated_growth,
    crossing_amplitude,
    onset_excess,
    ramp_amplitude,
    ramp_rate,
    warmup_drop,
    warmup_onset,
)

__all__ = [
    "REGIONS",
    "accumulated_growth",
    "adaptive_inertia_number",
    "amplification",
    "critical_coupling",
    "crossing_amplitude",
    "cycle_drift",
    "cycle_gap",
    "cycle_growth",
    "cycle_period",
    "deviation_coefficients",
    "edge_displacement",
    "edge_inertia_number",
    "envelope_momentum",
    "fading_rate",
    "final_sharpness",
    "flip_coefficient",
    "growth",
    "growth_factor",
    "inertia",
    "inertia_number",
    "linear_batch_sharpness",
    "linear_crossing_amplitude",
    "linear_cycle_growth",
    "linear_cycle_period",
    "linear_displacement",
    "linear_domain",
    "linear_overshoot",
    "linear_sharpness_gap",
    "lookahead_displacement",
    "lookahead_inertia_number",
    "lookahead_overshoot",
    "lookahead_rate",
    "loss_spike",
    "max_displacement",
    "max_stable_batch_sharpness",
    "max_stable_noise",
    "max_stable_sharpness",
    "mean_square_growth",
    "memory_overshoot",
    "modes",
    "onset_excess",
    "oscillation_lifetime",
    "overshoot",
    "overshoot_deviation",
    "overshoot_on_loss",
    "preconditioner_share",
    "prolonged_depths",
    "prolonging_factor",
    "ramp_amplitude",
    "ramp_rate",
    "region",
    "region_boundaries",
    "remaining_drop",
    "sharpness_gap",
    "slow_energy",
    "slow_orbit",
    "slow_overshoot",
    "slow_period",
    "spectral_radius",
    "spike_factor",
    "stabilization_weight",
    "stationary_variance",
    "threshold",
    "two_cycle_growth",
    "two_cycle_half_amplitude",
    "warmup_drop",
    "warmup_onset",
]
