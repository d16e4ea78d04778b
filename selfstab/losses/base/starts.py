"""Where a run starts: weights that the loss draws, and the oscillating mode at rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfstab import validation
from selfstab.losses.base.loss import Loss
from selfstab.validation import Array


@dataclass(frozen=True)
class Initialization:
    """A start that the loss draws: ``loss.initial_weights(seed, scale)``.

    In a sweep its numbers may be axes, ``start.seed`` and ``start.scale``.

    Parameters
    ----------
    seed
        Seed of the draw, 0 to 2⁵³.
    scale
        Scale of the weights, >= 0; what it multiplies is the loss's choice.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range.

    Examples
    --------
    >>> import selfstab as ss
    >>> ss.Initialization(scale=0.5).weights(ss.DiagonalNetwork([[1.0, 2.0]], [1.0]))
    array([0.5, 0.5, 0.5, 0.5])
    """

    seed: int = 0
    scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", validation.integer("seed", self.seed, at_least=0, at_most=2**53))
        object.__setattr__(self, "scale", validation.real("scale", self.scale, at_least=0))

    def weights(self, loss: Loss) -> Array:
        """Return the weights that the loss draws, shape (dimension,)."""
        return validation.floats(
            "initial weights", loss.initial_weights(self.seed, self.scale), shape=(loss.dimension,)
        )


def flip_start(loss: Loss, weights: Any, size: float) -> tuple[Array, Array]:
    """Return a start that swings along the top eigenvector with no net motion: the oscillating mode at rest.

    start = weights + size·u, previous = weights − size·u, with u the top eigenvector of the Hessian at `weights`.

    Parameters
    ----------
    loss
        The loss.
    weights
        The centre, usually a minimum, shape (dimension,).
    size
        Half the distance of start and previous, > 0, in units of the weights.

    Returns
    -------
    start, previous : ndarray
        Arguments of :func:`simulate` and :func:`sweep`, each of shape (dimension,).

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range.

    Examples
    --------
    >>> import selfstab as ss
    >>> ss.flip_start(ss.Quadratic([2.0, 1.0]), [0.0, 0.0], size=0.5)
    (array([0.5, 0. ]), array([-0.5,  0. ]))
    """
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a selfstab loss, got {validation.shown(loss)}")
    centre = loss.checked_weights("weights", weights)
    size = validation.real("size", size, above=0)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # the bits of a product depend on the number of threads
        _, u = loss.sharpness(centre)
    return centre + size * u, centre - size * u
