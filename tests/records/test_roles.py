"""Names of columns: none stands for two roles, and each is found as it is compared."""

from __future__ import annotations

from collections import Counter

from selfstab.records.roles import ALIASES, key


def test_a_name_has_one_role():
    """Protects against a column that would be read twice."""
    counts = Counter(name for aliases in ALIASES.values() for name in aliases)
    assert max(counts.values()) == 1


def test_every_name_is_one_that_can_be_met():
    """Protects against a name that no column equals, since names are compared by their key."""
    assert [name for aliases in ALIASES.values() for name in aliases if key(name) != name] == []
    assert all(aliases[0] == role for role, aliases in ALIASES.items())
