"""What a loss by automatic differentiation is made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from selfstab.losses.functions import autodiff


class Recipe(NamedTuple):
    """What a loss by automatic differentiation is made from: another process makes it again."""

    method: str
    """``from_jax`` or ``from_torch``."""
    function: Callable[[Any], Any]
    template: Any
    at: Any
    name: str | None

    def model(self) -> autodiff.Model:
        """Return the function's derivatives."""
        return (autodiff.of_jax if self.method == "from_jax" else autodiff.of_torch)(
            self.function, self.template
        )

    @property
    def may_be_wrong(self) -> bool:
        """Whether derivatives beyond the second are to be compared with differences."""
        return self.method == "from_torch"
