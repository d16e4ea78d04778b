"""Records that cannot be: a sharpness that levels off away from the threshold, and what that may come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from selfstab.validation import Array

ABOVE: Final = 1.2
"""A sharpness that stays above the threshold is of another scale where it is more than so many times it."""

BELOW: Final = 0.83
"""One that levels off below it, where it is less than so many times it."""

_MOST_OF: Final = 0.5  # of the steps, above the threshold
_GROWTH: Final = 37.0  # ln 10^16: from rounding to the size of the weights
_LEVEL: Final = 0.05  # spread of a level plateau
_RISEN: Final = 0.2  # by how much the sharpness has risen to it
_CLOSE: Final = 0.06  # of a ratio to that of a cause
_FEWEST: Final = 20
_MOST_NEAR: Final = 3


@dataclass(frozen=True)
class Plateau:
    """Where the sharpness of a run levels off, away from the threshold.

    Parameters
    ----------
    ratio
        S/S* there, its median.
    steps, of
        Steps above the threshold, and of how many; of a plateau below it, records of the plateau.
    causes
        What it may come from, the likeliest first.
    """

    ratio: float
    steps: int
    of: int
    causes: tuple[str, ...]

    @property
    def sentences(self) -> list[str]:
        """What is said of it."""
        if self.ratio > 1.0:
            where = (
                f"The sharpness is above the threshold at {self.steps} of {self.of} steps, at {self.ratio:.3g} times "
                "it, while the loss falls."
            )
            why = "Such a run would diverge: sharpness, learning rate or momentum is of another scale or optimizer."
        else:
            where = f"The sharpness levels off at {self.ratio:.3g} times the threshold while the loss goes up and down."
            why = "Sharpness, learning rate or momentum may be of another scale or optimizer."
        return [
            where,
            why,
            "The likely causes of this ratio follow.",
            *(f"- {cause}" for cause in self.causes),
        ]


def plateau_of(
    steps: Array, smooth: Array, thresholds: Array, losses: Array | None, momentum: Array, lookahead: float
) -> Plateau | None:
    """Return where the sharpness levels off if that cannot be of a run with this threshold; trusted.

    Parameters
    ----------
    steps, smooth, thresholds, losses, momentum
        Of each record: smoothed sharpness, S*, loss or None, β.
    lookahead
        γ.
    """
    used = np.isfinite(thresholds) & (thresholds > 0.0)
    if used.sum() < _FEWEST:
        return None
    steps, ratios, beta = steps[used], smooth[used] / thresholds[used], momentum[used]
    loss = None if losses is None else losses[used]
    strides = np.diff(steps)
    above = ratios[:-1] > 1.0
    spent = int(strides[above].sum())
    late = slice(ratios.size // 2, None)
    level = float(np.median(ratios[late]))
    whole = int(steps[-1] - steps[0])
    if level > ABOVE and spent > _MOST_OF * whole and _falls(loss):
        growth = 2.0 * (ratios[:-1] - 1.0) * (1.0 + beta[:-1]) / (1.0 - beta[:-1])
        if float((np.minimum(growth, 1.0) * strides)[above].sum()) > _GROWTH:
            return Plateau(level, spent, whole, causes(level, float(np.median(beta)), lookahead))
    low, high = np.percentile(ratios[late], [10.0, 90.0])
    flat = high - low < _LEVEL * level
    risen = level - float(ratios[: max(ratios.size // 10, 1)].min()) > _RISEN * level
    # With momentum the loss rises below the threshold, too, in any direction that is not overdamped.
    odd = loss is not None and _oscillates(loss[late]) and (risen or not beta.any())
    if 0.0 < level < BELOW and flat and odd:
        size = ratios[late].size
        return Plateau(level, size, size, causes(level, float(np.median(beta)), lookahead))
    return None


def _falls(loss: Array | None) -> bool:
    """Whether a loss is lower in its last tenth than in its first, or not known."""
    if loss is None:
        return True
    tenth = max(loss.size // 10, 1)
    return bool(np.median(loss[-tenth:]) < np.median(loss[:tenth]))


def _oscillates(loss: Array) -> bool:
    """Whether a loss rises at a tenth of its steps or more, by more than rounding."""
    rises = np.diff(loss) > 1e-9 * np.abs(loss[1:]).max(initial=0.0)
    return bool(rises.mean() > 0.1)


def causes(ratio: float, momentum: float, lookahead: float = 0.0) -> tuple[str, ...]:
    """Return what a sharpness that levels off at a ratio to the threshold may come from.

    Parameters
    ----------
    ratio
        S/S* on the plateau.
    momentum, lookahead
        β and γ by which S* was taken.

    Returns
    -------
    tuple of str
        Causes whose ratio is within 6%, then those without a ratio of their own.

    Examples
    --------
    >>> causes(2.01, 0.0)[0]
    "a factor 1/2 of the trained loss that the Hessian's lacks (2)"
    >>> causes(10.0, 0.9)[0]
    'momentum that averages the gradient, so that lr counts 1 - momentum times (10)'
    """
    known = [
        (2.0, "a factor 1/2 of the trained loss that the Hessian's lacks"),
        (0.5, "a factor 1/2 of the Hessian's loss that the trained one lacks"),
    ]
    if momentum > 0.0:
        known += [
            (
                1.0 / (1.0 - momentum),
                "momentum that averages the gradient, so that lr counts 1 - momentum times",
            ),
            (1.0 / (1.0 + momentum), "no momentum in the run"),
        ]
        if lookahead == 0.0:
            known.append((1.0 / (1.0 + 2.0 * momentum), "Nesterov's momentum, whose lookahead is missing"))
    else:
        known += [(1.0 + beta, f"a momentum of {beta:g} that is missing") for beta in (0.9, 0.95, 0.99)]
        known += [
            (1.0 / (1.0 - beta), f"averaged momentum of {beta:g} that is missing") for beta in (0.9, 0.99)
        ]
    if lookahead > 0.0:
        known.append((1.0 + 2.0 * lookahead, "a lookahead that the run did not have"))
    distance = [abs(np.log(ratio / of)) for of, _ in known]
    near = sorted(
        (far, f"{text} ({of:.3g})") for far, (of, text) in zip(distance, known, strict=True) if far < _CLOSE
    )
    out = [text for _, text in near[:_MOST_NEAR]]
    if ratio > 1.0:
        if ratio >= 2.5:
            out.append(f"a sum where the loss is a mean, of about {ratio:.3g} samples or outputs")
        out.append("Adam or its like, whose threshold is of the preconditioned sharpness")
        out.append("gradient clipping or a smaller lr than recorded")
    else:
        if ratio <= 0.4:
            out.append(f"a mean where the loss is a sum, of about {1.0 / ratio:.3g} samples or outputs")
        out.append("a larger lr than recorded, weight decay, or noise of minibatches")
    return tuple(out)
