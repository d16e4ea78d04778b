"""Random generators that a user's function may draw from: their states are kept, and it is seen whether they moved."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from selfstab.losses.functions.reachable import reachable


@contextmanager
def random_states(generators: Sequence[Any] = ()) -> Iterator[Callable[[], bool]]:
    """Leave the generators of PyTorch, NumPy and Python as they were, and those given.

    Parameters
    ----------
    generators
        Of the user's own, as :func:`generators_of` lists them.

    Yields
    ------
    function
        () → whether one of them has moved since.
    """
    # NumPy's and Python's global ones are the user's, too.
    states: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
        (random.getstate, random.setstate),
        (np.random.get_state, np.random.set_state),
    ]
    if torch := _torch():
        states.append((torch.get_rng_state, torch.set_rng_state))
        if torch.cuda.is_initialized():
            states.append((torch.cuda.get_rng_state_all, torch.cuda.set_rng_state_all))
    states += [_state_of(generator) for generator in generators]
    before = [get() for get, _ in states]

    def moved() -> bool:
        return any(not _equal(get(), state) for (get, _), state in zip(states, before, strict=True))

    try:
        yield moved
    finally:
        for (_, give_back), state in zip(states, before, strict=True):
            give_back(state)


def draw(generators: Sequence[Any] = ()) -> None:
    """Draw a number from each generator, so that what draws next draws others."""
    random.random()
    np.random.random()  # noqa: NPY002
    torch = _torch()
    if torch is not None:
        torch.rand(())
    for generator in generators:
        if torch is not None and isinstance(generator, torch.Generator):
            torch.rand((), generator=generator, device=generator.device)
        else:
            generator.random()


def generators_of(*functions: Any) -> list[Any]:
    """Return the random generators that functions and what they are called with reach, of PyTorch, NumPy, Python."""
    torch = _torch()
    kinds: tuple[Any, ...] = (np.random.Generator, np.random.RandomState, random.Random)
    kinds = kinds if torch is None else (torch.Generator, *kinds)
    own = [entry for entry in reachable(functions) if isinstance(entry, kinds)]
    return [entry for entry in own if torch is None or entry is not torch.default_generator]


def _torch() -> Any:
    """Return PyTorch if anything has imported it, and None else."""
    return sys.modules.get("torch")


def _state_of(generator: Any) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """Return what reads a generator's state, and what sets it."""
    if isinstance(generator, np.random.Generator):
        bits: Any = generator.bit_generator
        return lambda: bits.state, lambda state: setattr(bits, "state", state)
    if isinstance(generator, random.Random):
        return generator.getstate, generator.setstate
    return generator.get_state, generator.set_state


def _equal(a: Any, b: Any) -> bool:
    """Whether two states are equal: tensors, arrays, or numbers, in tuples and dicts."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[name], b[name]) for name in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool((a == b).all()) if hasattr(a, "shape") else bool(a == b)
