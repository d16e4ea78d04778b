"""The memory that passes through a network use again."""

import numpy as np

from selfstab.losses.networks import passes


def test_arrays_of_one_pass_are_apart():
    """Protects derivatives from overwriting: arrays of one context share no memory, a nested context's neither."""
    scratch = passes._Scratch()
    for _ in range(2):  # the second time the memory is there already
        with scratch:
            arrays = [scratch.array((3, 2)), scratch.array((3, 2)), scratch.array((5,))]
            with scratch:
                arrays += [scratch.array((4, 4)), scratch.array((2**11, 2**10))]
            for k, array in enumerate(arrays):
                array[...] = k
            assert [set(array.ravel().tolist()) for array in arrays] == [{k} for k in range(len(arrays))]


def test_the_next_pass_uses_the_memory_again():
    """Protects the speed of small passes: no new memory once the arrays are as large as they get."""
    scratch = passes._Scratch()
    with scratch:
        first = scratch.array((6, 2))
    with scratch:
        second = scratch.array((3, 4))
        assert np.shares_memory(first, second)
        assert not np.shares_memory(second, scratch.array((3, 4)))
