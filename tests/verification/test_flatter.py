"""Where momentum ends flatter on other models, and where not; no margin and no crossing are told."""

from functools import partial

import numpy as np
import pytest

from selfstab.verification import flatter, verify
from tests.verification.judging import assert_holds, entries, verdicts


@pytest.mark.parametrize("name", entries(flatter, slow=("M4",)))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


def _as_if(data, **changes):
    """Return an experiment's data with other numbers for heavy ball."""
    data = data.copy(deep=True)
    for name, value in changes.items():
        data[name].loc[{"optimizer": "phb"}] = value
    return data


def test_the_margins_of_the_experiments_can_fail(monkeypatch):
    """Protects the entries on other models: equal runs and a divergence fail, no crossing says so."""
    measured = flatter.diagonal_network(quick=True, threads=1)

    def judged(data, names=("M4 diagonal flatter", "M4 diagonal test loss")):
        monkeypatch.setattr(flatter, "_comparison", lambda name: data)
        return [*verdicts([*names]).values()]

    assert judged(measured) == ["holds", "holds"]
    plain = measured.sel(optimizer="gd_time")
    same = {
        "mean_sharpness": plain["mean_sharpness"].values,
        "final_test_loss": plain["final_test_loss"].values,
    }
    assert judged(_as_if(measured, **same)) == ["fails", "fails"]
    assert judged(_as_if(measured, diverged_at=7.0)) == ["fails", "fails"]
    assert judged(_as_if(measured, crossed_at=np.nan)) == ["not run", "not run"]
    flat = _as_if(measured, mean_sharpness=0.9 * plain["mean_sharpness"].values)
    assert judged(flat, ["M4 ten outputs not flatter"]) == ["fails"]


def test_a_slow_ramp_is_one_by_theory(monkeypatch):
    """Protects the entry's premise: where theory predicts the larger catapult for momentum, it does not run."""
    numbers = {
        "predicted_excess": np.array([0.05]),
        "predicted_inertia": np.array([0.1]),
        "peak_relative_excess": np.array([0.1]),
    }
    monkeypatch.setattr(flatter, "_slow", lambda method: numbers)
    data = verify(["M4 slow ramp"])
    assert data["verdict"].values.tolist() == ["not run"]
    assert "the smaller catapult" in data["reason"].values[0]


def test_the_margin_of_the_slow_ramp_can_fail(monkeypatch):
    """Protects the entry: catapults that start as high with momentum as without fail it, lower ones do not."""

    def slow(peak, method):
        heavy = method == "phb"
        return {
            "predicted_excess": np.array([0.05 if heavy else 0.1]),
            "predicted_inertia": np.array([0.1]),
            "peak_relative_excess": np.array([peak if heavy else 0.1]),
        }

    for peak, verdict in ((0.095, "fails"), (0.085, "holds")):
        monkeypatch.setattr(flatter, "_slow", partial(slow, peak))
        assert verdicts(["M4 slow ramp"]) == {"M4 slow ramp": verdict}
