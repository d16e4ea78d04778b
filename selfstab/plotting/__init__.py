"""Figures of datasets: draw_*(data, ax=None); nothing here simulates.

What a run's dataset must hold is the table of `selfstab.plotting.contract`.

`paper` is the context of the style, `legend` a legend in it, `save` writes PNG, SVG and PDF,
`animate_catapult` a GIF or MP4. One kind of data a file; ``look`` holds colours, widths and fonts, ``labels`` the
words at axes, and ``style`` gathers both. A drawing that is of use to one figure only goes into the figure's script.
"""

from selfstab.plotting.analysis import draw_catapults, draw_measured_overshoot, draw_spikes
from selfstab.plotting.animation import animate_catapult
from selfstab.plotting.modes import draw_modes
from selfstab.plotting.phase_diagrams import (
    draw_overshoot,
    draw_overshoot_law,
    draw_overshoot_residual,
    draw_phases,
)
from selfstab.plotting.plane import draw_plane
from selfstab.plotting.predictions import draw_comparison, draw_prediction
from selfstab.plotting.refined import draw_continuation, draw_orbits, draw_refined
from selfstab.plotting.runs import (
    draw_displacement,
    draw_final_sharpness,
    draw_loss,
    draw_orbit,
    draw_sharpness,
    draw_threshold_scan,
)
from selfstab.plotting.spectra import draw_spectrum
from selfstab.plotting.style import legend, paper, save
from selfstab.plotting.universality import (
    draw_universality,
    draw_universality_deviation,
    draw_universality_key,
)

__all__ = [
    "animate_catapult",
    "draw_catapults",
    "draw_comparison",
    "draw_continuation",
    "draw_displacement",
    "draw_final_sharpness",
    "draw_loss",
    "draw_measured_overshoot",
    "draw_modes",
    "draw_orbit",
    "draw_orbits",
    "draw_overshoot",
    "draw_overshoot_law",
    "draw_overshoot_residual",
    "draw_phases",
    "draw_plane",
    "draw_prediction",
    "draw_refined",
    "draw_sharpness",
    "draw_spectrum",
    "draw_spikes",
    "draw_threshold_scan",
    "draw_universality",
    "draw_universality_deviation",
    "draw_universality_key",
    "legend",
    "paper",
    "save",
]
