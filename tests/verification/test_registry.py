"""Verdicts, datasets, exit codes and tables, on entries made up for the purpose."""

import pkgutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import selfstab as ss
from selfstab import verification
from selfstab.verification import Measurement, Prediction, exit_code, table, verify

IDENTITY = Prediction(
    name="T1 identity", statement="1 = 1", where="nowhere", source="none", tolerance=1e-12,
    measure=lambda: Measurement(1.0, 1.0, 1e-13),
)  # fmt: skip
ASYMPTOTIC = replace(
    IDENTITY, name="T2 order", tolerance=float("nan"), small_parameter="κ", expected_order=2.0, band=0.1,
    measure=lambda: Measurement(1.0, 1.0, 1e-3, order=2.05, domain=(0.1, 0.2, 0.4)),
)  # fmt: skip
COMPARISON = replace(
    IDENTITY, name="T3 less", relation="<", tolerance=-0.1, measure=lambda: Measurement(0.8, 1.0, -0.2)
)


def _broken():
    raise ImportError("digits needs\nscikit-learn")


BROKEN = replace(IDENTITY, name="T4 broken", measure=_broken)
WRONG = replace(IDENTITY, name="T5 wrong", measure=lambda: Measurement(1.1, 1.0, 0.1))


def _verified(monkeypatch, *entries):
    monkeypatch.setattr(verification, "PREDICTIONS", entries)
    return verify()


@pytest.mark.parametrize(
    ("prediction", "found", "verdict"),
    [
        (IDENTITY, Measurement(1.0, 1.0, 1e-12), "holds"),
        (IDENTITY, Measurement(1.0, 1.0, 1.1e-12), "fails"),
        (IDENTITY, Measurement(1.0, 1.0, np.nan), "fails"),
        (IDENTITY, Measurement(np.inf, 1.0, 0.0), "fails"),
        (IDENTITY, Measurement(1.0, np.nan, 0.0), "fails"),
        (ASYMPTOTIC, Measurement(1.0, 1.0, 0.1, order=1.91), "holds"),
        (ASYMPTOTIC, Measurement(1.0, 1.0, 0.1, order=1.89), "fails"),
        (ASYMPTOTIC, Measurement(1.0, 1.0, 0.1, order=3.0), "fails"),  # better than claimed is not as claimed
        (ASYMPTOTIC, Measurement(1.0, 1.0, 0.1), "fails"),
        (replace(ASYMPTOTIC, tolerance=1e-3), Measurement(1.0, 1.0, 2e-3, order=2.0), "fails"),
        (replace(ASYMPTOTIC, tolerance=1e-3), Measurement(1.0, 1.0, 5e-4, order=2.0), "holds"),
        (COMPARISON, Measurement(0.89, 1.0, -0.11), "holds"),
        (COMPARISON, Measurement(0.91, 1.0, -0.09), "fails"),
        (COMPARISON, Measurement(1.2, 1.0, 0.2), "fails"),
    ],
)
def test_verdict(prediction, found, verdict):
    """Protects the judgement: tolerance, band on both sides, signed margins, nothing that is not finite."""
    judged, reason = prediction.judge(found)
    assert judged == verdict
    assert bool(reason) == (verdict == "fails")


@pytest.mark.parametrize("settings", [{"tolerance": float("nan")}, {"expected_order": 2.0}, {"band": 0.1}])
def test_an_entry_must_be_able_to_fail(settings):
    """Protects the registry from entries that nothing could refute."""
    with pytest.raises(ValueError, match="must be given"):
        replace(IDENTITY, **settings)


def test_worst_case_is_reported_and_nan_is_the_worst():
    """Protects many-case identities: one bad or missing case decides."""
    worst = Measurement.worst(np.array([1.0, 2.2, 3.0]), np.array([1.0, 2.0, 3.0]))
    assert (worst.measured, worst.predicted) == (2.2, 2.0)
    assert worst.error == pytest.approx(0.1)
    assert np.isnan(Measurement.worst(np.array([1.0, np.nan, 9.0]), np.ones(3)).error)
    assert Measurement.worst(np.array([1.5]), np.array([1.0]), scale=np.array([10.0])).error == pytest.approx(
        0.05
    )


def test_asymptotic_measurement_of_a_known_remainder():
    """Protects order, domain and the reported case: predicted 1 + κ against 1 + κ + 3κ²."""
    kappa = np.geomspace(1e-3, 1.0, 13)
    found = Measurement.asymptotic(kappa, 1.0 + kappa + 3.0 * kappa**2, 1.0 + kappa, fitted=4)
    assert found.order == pytest.approx(2.0, abs=0.01)
    assert (found.measured, found.predicted) == pytest.approx((1.001003, 1.001), rel=1e-15)
    edges = [k * 3.0 * k / (1.0 + k) for k in found.domain]
    np.testing.assert_allclose(edges, [0.01, 0.05, 0.2], rtol=0.03)  # interpolated on 4 points a decade


def test_an_entry_that_raises_is_not_run_and_the_others_are(monkeypatch):
    """Protects the rule that a skip is never a pass, and that it says why in one line."""
    data = _verified(monkeypatch, BROKEN, IDENTITY)
    assert data["verdict"].values.tolist() == ["not run", "holds"]
    assert data["reason"].values.tolist() == ["ImportError: digits needs scikit-learn", ""]
    assert np.isnan(data["error"][0])


def test_dataset_holds_what_it_should(monkeypatch, tmp_path):
    """Protects the table's columns and that they survive NetCDF."""
    import xarray

    data = _verified(monkeypatch, IDENTITY, ASYMPTOTIC, COMPARISON)
    assert data.sizes == {"prediction": 3}
    assert data["within_5pct"].values[1] == 0.2
    assert data["order"].values[1] == 2.05
    assert data["relation"].values.tolist() == ["=", "=", "<"]
    assert all("long_name" in data[name].attrs for name in data.data_vars)
    data.to_netcdf(tmp_path / "found.nc")
    with xarray.open_dataset(tmp_path / "found.nc") as read:
        assert read["verdict"].values.tolist() == ["holds"] * 3


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ((IDENTITY, ASYMPTOTIC, COMPARISON), 0),
        ((IDENTITY, WRONG), 1),
        ((IDENTITY, BROKEN), 3),
        ((BROKEN,), 3),
        ((BROKEN, WRONG), 1),
    ],
)
def test_exit_code(monkeypatch, entries, code):
    """Protects what scripts see: 0 all hold, 1 some fail, 3 some could not run."""
    assert exit_code(_verified(monkeypatch, *entries)) == code


def test_exit_code_of_nothing_is_refused():
    """Protects against reading success out of an empty table."""
    import xarray

    with pytest.raises(ValueError, match="without verdicts"):
        exit_code(xarray.Dataset())


def test_table_says_what_does_not_hold_and_why(monkeypatch):
    """Protects the reader: every name, every verdict, the reasons and the count."""
    text = table(_verified(monkeypatch, IDENTITY, ASYMPTOTIC, WRONG, BROKEN))
    lines = text.splitlines()
    assert [line.split("  ")[0] for line in lines[2:6]] == [
        "T1 identity",
        "T2 order",
        "T5 wrong",
        "T4 broken",
    ]
    assert "2 ± 0.1" in lines[3]
    assert "T5 wrong fails: error 0.1 is above 1e-12 [1 = 1]" in lines
    assert "T4 broken not run: ImportError: digits needs scikit-learn [1 = 1]" in lines
    assert lines[-1] == "2 of 4 hold"


def test_names_choose_entries_and_groups(monkeypatch):
    """Protects the choice: by name or by first word, in the registry's order."""
    monkeypatch.setattr(verification, "PREDICTIONS", (IDENTITY, replace(IDENTITY, name="T1 other"), WRONG))
    assert verify("T5 wrong")["prediction"].values.tolist() == ["T5 wrong"]
    assert verify(["T5", "T1 other"])["prediction"].values.tolist() == ["T1 other", "T5 wrong"]
    assert verify(["T1"])["prediction"].values.tolist() == ["T1 identity", "T1 other"]


def test_bad_names_are_refused():
    """Protects against a misspelt name that verifies nothing."""
    with pytest.raises(
        ValueError, match=r"names must be names of predictions, got 'Q9'; like it: Q\d, .*--list shows all$"
    ):
        ss.verify(["Q1 modes", "Q9"])
    with pytest.raises(ValueError, match="at least one"):
        ss.verify([])
    with pytest.raises(ValueError, match="repeat"):
        ss.verify(["Q1", "Q1"])
    with pytest.raises(TypeError, match="names"):
        ss.verify(3)


def test_every_topic_is_in_the_registry_and_its_entries_are_tested():
    """Protects a new topic: its predictions are in the registry's table, and its test file measures them all."""
    folder = Path(__file__).parent
    modules = {name: import_module(f"selfstab.verification.{name}") for name in _submodules()}
    topics = {name: module for name, module in modules.items() if hasattr(module, "PREDICTIONS")}
    entries = [prediction.name for topic in topics.values() for prediction in topic.PREDICTIONS]
    assert sorted(entries) == sorted(prediction.name for prediction in verification.PREDICTIONS)
    untested = [name for name in topics if f"entries({name}" not in (folder / f"test_{name}.py").read_text()]
    assert untested == []


def _submodules():
    return [module.name for module in pkgutil.iter_modules(verification.__path__)]


def test_names_are_distinct_and_entries_say_everything():
    """Protects the registry: no two entries of a name, no empty text, sources that exist."""
    root = Path(__file__).parents[2]
    bibliography = (root / "docs/references.bib").read_text()
    names = [p.name for p in verification.PREDICTIONS]
    assert len(set(names)) == len(names)
    for p in verification.PREDICTIONS:
        assert p.statement
        assert "\n" not in p.statement
        assert p.where
        known = (
            p.source[1:-2] + "," in bibliography if p.source.startswith("[") else (root / p.source).is_file()
        )
        assert known, p.source
        assert bool(p.small_parameter) == np.isfinite(p.expected_order)


def test_first_words_name_all_that_begin_so():
    """Protects the names a user types: in any case, one word or more, but whole words."""
    assert verification.meant_by("a5 OVERSHOOT law") == ["A5 overshoot law cubic", "A5 overshoot law product"]
    assert verification.meant_by("a5") == ["A5"]
    assert verification.meant_by("a5_overshoot") == ["A5"]
    assert verification.meant_by("A5 over") == verification.meant_by("") == []
