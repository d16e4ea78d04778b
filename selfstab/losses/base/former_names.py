"""The names that the derivatives of a loss had in version 0.1; classes that use them go on, with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

FORMER_NAMES: Final = MappingProxyType({
    "_value": "value_at",
    "_gradient": "gradient_at",
    "_hessian": "hessian_at",
    "_hessian_vector": "hessian_vector_at",
    "_hessian_operator": "hessian_operator_at",
    "_third": "third_at",
    "_fourth": "fourth_at",
    "_sharpness": "sharpness_at",
    "_at": "derivatives_at",
})  # fmt: skip
"""Name of version 0.1 and the name of today."""


class Alias:
    """A method of a class under another of its names.

    It is neither the class's own code nor part of its fingerprint: a store of version 0.1 knows the class still.

    Parameters
    ----------
    function
        The method.
    warning
        What a call by this name warns of, if it does.
    """

    def __init__(self, function: Callable[..., Any], warning: str | None = None) -> None:
        self.function, self.warning = function, warning

    def __get__(self, loss: object, kind: type | None = None) -> Any:
        """Return the method, bound to a loss."""
        if loss is None:
            return self.function
        if self.warning is not None:
            warnings.warn(self.warning, DeprecationWarning, stacklevel=2)
        return self.function.__get__(loss, kind)


def alias_former_names(kind: type) -> None:
    """Give each derivative that a class defines its other name: that of today, or that of version 0.1.

    A call of ``super()`` by either name thus reaches the class that is next in line.
    """
    own = vars(kind)
    defined = [former for former, name in FORMER_NAMES.items() if former in own and name not in own]
    if defined:
        warnings.warn(
            f"{kind.__qualname__} defines {', '.join(defined)}, now called "
            f"{', '.join(FORMER_NAMES[former] for former in defined)}: rename them; the old names go with version 0.3",
            DeprecationWarning,
            stacklevel=4,
        )
    for former, name in FORMER_NAMES.items():
        if former in defined:
            setattr(kind, name, Alias(own[former]))
        elif name in own and former not in own:
            warning = f"{former} of a loss is now {name}; the old name goes with version 0.3"
            setattr(kind, former, Alias(own[name], warning))
