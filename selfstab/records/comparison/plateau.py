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
_RISES: Final = 0.1  # of the steps
_FEWEST: Final = 20
_MOST_NEAR: Final = 3
_OF_SUMS: Final = 2.5


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
                f"The sharpness is {self.ratio:.3g} times the threshold, at {self.steps} of {self.of} steps, and the "
                "loss falls. Such a run would diverge."
            )
        else:
            where = f"The sharpness levels off at {self.ratio:.3g} times the threshold, and the loss goes up and down."
        return [
            where,
            "Sharpness, learning rate or momentum is of another scale, or the optimizer is another. Likely causes:",
            *(f"- {cause}" for cause in self.causes),
        ]


def plateau_of(
    steps: Array,
    smooth: Array,
    thresholds: Array,
    losses: Array | None,
    momentum: Array,
    lookahead: float,
    *,
    crossed: bool = False,
) -> Plateau | None:
    """Return where the sharpness levels off if that cannot be of a run with this threshold; trusted.

    Parameters
    ----------
    steps, smooth, thresholds, losses, momentum
        Of each record: smoothed sharpness, S*, loss or None, β.
    lookahead
        γ.
    crossed
        Whether a swing began where the sharpness rose through the threshold. Then the scale is right, and a sharpness
        that stays below is what the swing left.
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
    if 0.0 < level < BELOW and flat and odd and not crossed:
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
    """Whether a loss rises at a tenth of its steps or more, by more than rounding, and of the later half of them."""
    rises = np.diff(loss) > 1e-9 * np.abs(loss[1:]).max(initial=0.0)
    return bool(min(rises.mean(), rises[rises.size // 2 :].mean()) > _RISES)


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
        Causes whose ratio is within 6%, the usual ones first; above the threshold those of up to twice the ratio, since
        the run itself may be below its edge; then those without a ratio of their own.

    Examples
    --------
    >>> causes(2.01, 0.0)[0]
    "The Hessian's loss lacks the factor 1/2 of the trained one (ratio 2)."
    >>> causes(10.0, 0.9)[0]
    'The momentum averages gradients: lr counts 1 - momentum times (ratio 10).'
    """
    known = _with_ratios(momentum, lookahead)
    far = [float(np.log(of / ratio)) for of, _, _ in known]
    near = [k for k, distance in enumerate(far) if abs(distance) < _CLOSE]
    beyond = [k for k, distance in enumerate(far) if ratio > 1.0 and _CLOSE <= distance < np.log(2.0)]
    usual = sorted((abs(far[k]), k) for k in near if known[k][1])
    rare = sorted((abs(far[k]), k) for k in near if not known[k][1])
    possible = sorted((far[k], k) for k in beyond if known[k][1])
    out = [_sentence(known[k]) for _, k in [*usual, *possible][:_MOST_NEAR]]
    noisy = "Minibatches are noisy, weight decay is not counted, or lr is larger than recorded."
    if ratio < 1.0 and not out:
        out.append(noisy)
    samples = f"of about {max(ratio, 1.0 / ratio):.3g} samples or outputs."
    if ratio >= _OF_SUMS:
        out.append(f"The Hessian's loss is a sum and the trained one a mean, {samples}")
    elif ratio <= 1.0 / _OF_SUMS:
        out.append(f"The Hessian's loss is a mean and the trained one a sum, {samples}")
    out += [] if usual else [_sentence(known[k]) for _, k in rare[:_MOST_NEAR]]
    if ratio > 1.0:
        out.append("The optimizer is Adam or its like: its threshold is of the preconditioned sharpness.")
        out.append("Gradients are clipped, or lr is smaller than recorded.")
    elif noisy not in out:
        out.append(noisy)
    return tuple(out)


def _sentence(cause: tuple[float, bool, str]) -> str:
    return f"{cause[2]} (ratio {cause[0]:.3g})."


def _with_ratios(momentum: float, lookahead: float) -> list[tuple[float, bool, str]]:
    """Return causes that have a ratio of their own: it, whether the cause is usual, and a clause."""
    known = [
        (2.0, True, "The Hessian's loss lacks the factor 1/2 of the trained one"),
        (0.5, True, "The trained loss lacks the factor 1/2 of the Hessian's"),
    ]
    if momentum > 0.0:
        averaged = "The momentum averages gradients: lr counts 1 - momentum times"
        known += [
            (1.0 / (1.0 - momentum), True, averaged),
            (1.0 / (1.0 + momentum), True, "The run has no momentum"),
        ]
        if lookahead == 0.0:
            nesterov = "The momentum is Nesterov's, and its lookahead is missing"
            known.append((1.0 / (1.0 + 2.0 * momentum), True, nesterov))
    else:
        usual = 0.9
        known += [
            (1.0 + beta, beta == usual, f"A momentum of {beta:g} is missing") for beta in (0.9, 0.95, 0.99)
        ]
        known += [
            (1.0 / (1.0 - beta), beta == usual, f"A momentum of {beta:g} that averages gradients is missing")
            for beta in (0.9, 0.99)
        ]
    if lookahead > 0.0:
        known.append((1.0 + 2.0 * lookahead, True, "The run has no lookahead"))
    return known
