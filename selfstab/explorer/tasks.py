"""What a tab's process is asked: where runs start, pictures, a file, and kernels ahead. Nothing here needs Bokeh."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfstab.explorer import compilation, exports, views
from selfstab.explorer.setups import Start
from selfstab.explorer.state import PageState

if TYPE_CHECKING:
    import xarray

Current = Callable[[], bool]


@dataclass(frozen=True)
class Picture:
    """A picture's data; of the run also what is said of it."""

    name: str
    data: xarray.Dataset
    seconds: float = 0.0
    """What it took, without the wait for a kernel."""
    law: views.Law | None = None
    measures: dict[str, float] | None = None
    ghost: xarray.Dataset | None = None
    """Gradient descent's run at the same thresholds, beside another optimizer's."""


def start(state: PageState, current: Current) -> Generator[Start, None, None]:
    """Yield what the page needs of the start of a state's runs; an error says why there is none."""
    yield state.setup().summary


def pictures(
    state: PageState, keys: dict[str, Any], current: Current
) -> Generator[Picture, None, dict[str, Any]]:
    """Yield the pictures of a state, those that `keys` has left out, and return the keys afterwards."""
    compilation.compile_for(state)
    current()
    began = time.perf_counter()
    for name, data in views.pictures(state, keys, current):
        seconds = time.perf_counter() - began
        if name == "run":
            yield Picture(name, data, seconds, views.law(state), views.measured(data), views.ghost(state))
        else:
            yield Picture(name, data, seconds)
        began = time.perf_counter()
    return keys


def export(state: PageState, kind: str, current: Current) -> Generator[exports.File, None, None]:
    """Yield a file of a state."""
    yield exports.export(state, kind)


def prepare(current: Current) -> Generator[None, None, None]:
    """Compile kernels ahead, so that they are on the disk when a page asks for their models."""
    yield from compilation.prepare()
