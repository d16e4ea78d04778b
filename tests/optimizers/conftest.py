"""What tests of optimizers share."""

from __future__ import annotations

import pytest

from selfstab.optimizers.base import REGISTERED
from selfstab.optimizers.schedules import SCHEDULES


@pytest.fixture(autouse=True)
def registry_of_this_test():
    """Let the optimizers and schedules that a test defines be known to that test alone."""
    known = [(table, dict(table)) for table in (REGISTERED, SCHEDULES)]
    yield
    for table, before in known:
        table.clear()
        table.update(before)
