"""How closed forms take and return numbers: arguments broadcast, scalars come back as floats."""

from __future__ import annotations

from typing import Any

import numpy as np

from selfstab.validation import Array


def joined(**arguments: Array) -> tuple[Array, ...]:
    """Return the arguments broadcast to one shape, in their order.

    Raises
    ------
    ValueError
        If the shapes do not broadcast together.

    >>> [a.shape for a in joined(lr=np.ones(3), momentum=np.array(0.9))]
    [(3,), (3,)]
    """
    try:
        return tuple(np.broadcast_arrays(*arguments.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arguments.items())
        raise ValueError(f"the arguments' shapes must broadcast together, got {shapes}") from None


def plain(result: Any) -> Any:
    """Return a Python number for a result without dimensions, else the array itself.

    >>> plain(np.array(0.5))
    0.5
    """
    array = np.asarray(result)
    return array.item() if array.ndim == 0 else array
