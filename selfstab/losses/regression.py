"""What losses that fit inputs to targets share."""

from __future__ import annotations

import hashlib
from typing import Any

from selfstab.losses.newton import damped_newton
from selfstab.losses.protocol import Loss
from selfstab.validation import Array


class Regression(Loss):
    """A loss that fits `inputs` to `targets`, rows of which are samples."""

    inputs: Array
    targets: Array

    @property
    def data(self) -> str:
        """The data's shapes and the first 12 digits of the SHA-256 of shapes and bytes."""
        digest = hashlib.sha256()
        for array in (self.inputs, self.targets):
            digest.update(repr(array.shape).encode())
            digest.update(array.astype("<f8").tobytes())
        inputs, targets = ("x".join(map(str, array.shape)) for array in (self.inputs, self.targets))
        return f"inputs {inputs}, targets {targets}, sha256 {digest.hexdigest()[:12]}"

    def minimum(self, start: Any) -> Array:
        """Return a minimum of the loss near `start`, found by damped Newton steps.

        Parameters
        ----------
        start
            Where the search starts, shape (dimension,).

        Returns
        -------
        ndarray
            Weights with ‖∇L‖ <= 1e-13·max(1, ‖∇L(start)‖), shape (dimension,).

        Raises
        ------
        ValueError
            If the search ends elsewhere: at a saddle, a kink, or on the way to a minimum at infinity.
        """
        return damped_newton(self, self._weights("start", start))
