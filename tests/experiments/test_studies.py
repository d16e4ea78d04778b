"""Studies go on where they were stopped, hold what a comparison does, and know another study's file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import selfstab as ss
from selfstab.experiments import SUMMARIES, compare, studies
from selfstab.experiments.studies import Study, advance, stored
from tests.experiments.small import SETTING, TASK

SEVERAL = {"GD": ss.HeavyBall(1.0), "QHM": ss.QuasiHyperbolic(1.0, 0.9, 0.7)}
STUDY = Study(TASK, replace(SETTING, warmup=30, steps=60), SEVERAL)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return the file of a study that has been run."""
    path = tmp_path_factory.mktemp("studies") / "study.json"
    assert advance(STUDY, path) == (4, 4)
    return path


def test_stored_results_are_the_comparisons(path):
    """Protects what a figure of stored results shows: a comparison's numbers, to the digits stored."""
    data, usual = stored(STUDY, path), compare(STUDY.task, STUDY.setting, optimizers=SEVERAL, threads=1)
    assert data["present"].all()
    for name in ("sharpness", *(name for name in SUMMARIES if name in usual)):
        assert np.allclose(data[name], usual[name], rtol=1e-7, atol=0, equal_nan=True), name


def test_a_stopped_study_goes_on(path, tmp_path, monkeypatch):
    """Protects hours of work: stopped in the second piece, it runs what is left, and ends with the same file."""
    run, calls = Study.run, []

    def stopped(study, *piece):
        calls.append(piece)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run(study, *piece)

    monkeypatch.setattr(studies.Study, "run", stopped)
    other = tmp_path / "study.json"
    with pytest.raises(KeyboardInterrupt):
        advance(STUDY, other)
    assert int(stored(STUDY, other)["present"].sum()) == 1
    assert np.isnan(stored(STUDY, other)["mean_sharpness"].sel(optimizer="QHM")).all()
    assert advance(STUDY, other) == (4, 4)
    assert calls == [STUDY.pieces[0], *STUDY.pieces[1:2], *STUDY.pieces[1:]]
    pieces = [json.loads(file.read_text())["pieces"] for file in (path, other)]
    for rows in pieces:
        for row in rows:
            assert row.pop("provenance")["numpy"] == np.__version__
    assert pieces[0] == pieces[1]


def test_no_piece_begins_after_the_time_is_spent(tmp_path):
    """Protects a limit of time: at least nothing is run, and what is there is counted."""
    assert advance(STUDY, tmp_path / "study.json", 1e-9) == (0, 4)
    assert not (tmp_path / "study.json").exists()


def test_more_seeds_may_be_added(path, tmp_path):
    """Protects a study that grows: its old pieces count, and a file with more seeds than asked for is read."""
    more = replace(STUDY, setting=replace(STUDY.setting, seeds=(0, 1, 2)))
    copy = tmp_path / "study.json"
    copy.write_text(path.read_text())
    assert int(stored(more, copy)["present"].sum()) == 4
    assert advance(more, copy) == (6, 6)
    assert stored(STUDY, copy).identical(stored(STUDY, path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda study: replace(study, setting=replace(study.setting, threshold=3.5)), "setting differ"),
        (lambda study: replace(study, task=replace(TASK, samples=11)), "task differ"),
        (lambda study: replace(study, optimizers={**SEVERAL, "QHM": ss.HeavyBall(1.0)}), "optimizers differ"),
    ],
)
def test_another_studys_file_is_refused(path, change, message):
    """Protects results from being mixed: neither read nor continued."""
    for call in (advance, stored):
        with pytest.raises(ValueError, match=message):
            call(change(STUDY), path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1, "study": {}, "pieces": [3]}'])
def test_a_damaged_file_is_named(tmp_path, content):
    """Protects against a file that is none, with its path in one line."""
    file = tmp_path / "study.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"path must be a study's file, got .*study\.json"):
        stored(STUDY, file)


def test_what_is_absent_or_of_a_later_format_is_named(path, tmp_path):
    """Protects the other two ways in which a file cannot be read."""
    with pytest.raises(FileNotFoundError, match="make experiments writes it"):
        stored(STUDY, tmp_path / "none.json")
    later = tmp_path / "later.json"
    later.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ValueError, match="path must be of format 1, got 2"):
        stored(STUDY, later)
