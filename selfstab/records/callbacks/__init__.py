"""Callbacks that record the sharpness in the training loops of other libraries: one file a library.

Each makes a :class:`selfstab.Recorder` when training begins and logs before each update. The libraries are imported
with the class that needs them, and none of them is a dependency.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

_HOMES: Final = {
    "KerasCallback": "keras",
    "LightningCallback": "lightning",
    "TransformersCallback": "transformers",
}

__all__ = ["KerasCallback", "LightningCallback", "TransformersCallback"]


def __getattr__(name: str) -> Any:
    """Import a callback's module on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
