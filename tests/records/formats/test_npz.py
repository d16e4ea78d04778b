"""NumPy's archives: what is damaged is refused in words."""

from __future__ import annotations

import pytest

import selfstab as ss


def test_a_damaged_archive_is_no_advice_to_load_pickles(tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(b"\x00\x01garbage")
    with pytest.raises(ValueError, match="holds no arrays of numbers"):
        ss.analyze(path)
