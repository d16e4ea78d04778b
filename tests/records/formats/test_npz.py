"""NumPy's archives: what is damaged is refused in words."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.records import formats


def test_a_damaged_archive_is_no_advice_to_load_pickles(tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(b"\x00\x01garbage")
    with pytest.raises(ValueError, match="holds no arrays of numbers"):
        ss.analyze(path)


def test_texts_in_an_archive_need_no_pickle(tmp_path):
    """Protects .npz of runs with names of weights: whoever loads it need not allow pickles."""
    run = ss.simulate(ss.Product(), ss.HeavyBall(0.1), [1.0, 0.5], 3, keep=("loss", "weights"))
    formats.format_to_write(tmp_path / "run.npz").write(run, tmp_path / "run.npz")
    with np.load(tmp_path / "run.npz", allow_pickle=False) as archive:
        assert archive["weight"].tolist() == ["u", "v"]
        assert np.array_equal(archive["weights"], run["weights"])


def test_a_divergence_is_read_from_an_archive(tmp_path):
    """Protects runs of ours in .npz, whose scalars hold for the whole run."""
    path = tmp_path / "run.npz"
    np.savez(path, sharpness=[1.0, 1.5, 2.0], lr=[0.5] * 3, momentum=[0.0] * 3, diverged_at=7)
    assert int(ss.analyze(path)["diverged_at"]) == 7
