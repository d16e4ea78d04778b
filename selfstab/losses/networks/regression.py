"""What losses that fit inputs to targets share."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from typing import Any, Self

from selfstab import validation
from selfstab.losses.base.named_loss import NamedLoss
from selfstab.losses.base.sample_mean import SampleMean
from selfstab.validation import Array


class Regression(NamedLoss, SampleMean):
    """A loss that fits `inputs` to `targets`, rows of which are samples."""

    inputs: Array
    targets: Array

    def state(self) -> dict[str, Any]:
        """Return the constructor's arguments; of a class of the user's own all that it holds."""
        if type(self).__module__.partition(".")[0] != "selfstab":
            return super().state()
        names = [*inspect.signature(type(self)).parameters, "explicit_hessian"]
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the loss with these arguments of the constructor.

        Raises
        ------
        ValueError
            If the state does not say whether the Hessian is explicit.
        """
        loss = cls(**{name: state[name] for name in inspect.signature(cls).parameters})
        explicit = state["explicit_hessian"]
        if not isinstance(explicit, bool):
            raise ValueError(
                f"settings must say whether the Hessian is explicit, got {validation.shown(explicit)}"
            )
        loss.explicit_hessian = explicit
        return loss

    @property
    def sample_count(self) -> int:
        """The number of rows of `inputs`."""
        return len(self.inputs)

    def of_rows(self, rows: Any) -> Self:
        """Return the loss of these rows of `inputs` and `targets`."""
        arguments = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        loss = type(self)(**(arguments | {"inputs": self.inputs[rows], "targets": self.targets[rows]}))
        loss.explicit_hessian = self.explicit_hessian
        return loss

    @property
    def data(self) -> str:
        """The data's shapes and the first 12 digits of the SHA-256 of shapes and bytes."""
        digest = hashlib.sha256()
        for array in (self.inputs, self.targets):
            digest.update(repr(array.shape).encode())
            digest.update(array.astype("<f8").tobytes())
        inputs, targets = ("x".join(map(str, array.shape)) for array in (self.inputs, self.targets))
        return f"inputs {inputs}, targets {targets}, sha256 {digest.hexdigest()[:12]}"
