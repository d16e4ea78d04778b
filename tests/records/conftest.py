"""What tests of hostile files and of hostile logs need: a bound on memory."""

import tracemalloc

import pytest

LIMIT = 40 * 2**20


@pytest.fixture
def in_little_memory():
    """Fail if a test takes much memory, that of its own preparation not counted."""
    tracemalloc.start()
    yield tracemalloc.reset_peak
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < LIMIT
