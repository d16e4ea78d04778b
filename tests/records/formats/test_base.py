"""The contract of a format: tables of columns, how sure a match is, and what a format need not say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import selfstab as ss
from selfstab.records.formats import Format, Match, Table


@pytest.mark.parametrize(
    ("columns", "roles", "message"),
    [
        ({"a": [[1.0]]}, {}, r"columns must be one-dimensional, got a of shape \(1, 1\)"),
        ({"a": [[1.0], 2.0]}, {}, "run's a must be an array"),
        ({"a": [1.0]}, {"speed": "a"}, "roles must be one of step, sharpness"),
    ],
)
def test_a_table_that_is_none_is_refused(columns, roles, message):
    """Protects whoever writes a reader: the first thing that is wrong is named."""
    with pytest.raises((TypeError, ValueError), match=message):
        Table(columns, roles=roles)


def test_masked_values_are_not_recorded():
    """Protects masked arrays: their hidden numbers are no records."""
    masked = np.ma.MaskedArray([1.0, 99.0, 1.5, 2.0], [False, True, False, False])
    data = ss.analyze({"sharpness": masked}, lr=1.0, momentum=0.0)
    assert np.array_equal(data["sharpness"], [1.0, np.nan, 1.5, 2.0], equal_nan=True)


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.booleans()), min_size=1, max_size=9),
    st.sampled_from([np.int64, np.uint8, np.float32, np.float64, np.complex128]),
)
def test_masked_values_of_every_kind_are_nan(rows, kind):
    """Protects columns of whole numbers with gaps, which have no NaN of their own; others keep their kind."""
    values = np.array([value for value, _ in rows]).astype(kind)
    mask = [masked for _, masked in rows]
    column = Table({"a": np.ma.MaskedArray(values, mask)}).columns["a"]
    assert np.isnan(column).tolist() == mask
    assert [x for x, masked in zip(column, mask, strict=True) if not masked] == values[
        ~np.array(mask)
    ].tolist()
    assert Table({"a": np.ma.MaskedArray(values, False)}).columns["a"].dtype == kind


def test_masked_texts_are_missing():
    """Protects columns of text with gaps: a masked cell is read as an empty one."""
    texts = np.ma.MaskedArray(["0.5", "7", "0.25"], [False, True, False])
    data = ss.analyze({"sharpness": [1.0, 1.5, 2.0], "lr": texts}, momentum=0.0)
    assert data["lr"].values.tolist() == [0.5, 0.5, 0.25]


class Compressed(Format):
    name = "compressed"
    suffixes = (".gz", ".csv.gz", ".csv")

    def read(self, source, member=""):
        return Table({})


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("run.csv", ".csv"),
        ("run.csv.gz", ".csv.gz"),
        ("RUN.CSV.GZ", ".csv.gz"),
        ("run.tar.gz", ".gz"),
        ("csv", ""),
        ("run.csv.bz2", ""),
    ],
)
def test_the_longest_suffix_counts(name, suffix):
    """Protects compressed files: .csv.gz is not .gz, whatever its case."""
    path = Path("folder.csv") / name
    form = Compressed()
    assert form.suffix_of(path) == suffix
    assert form.match(path) is (Match.POSSIBLE if suffix else Match.NONE)
    # A text is no path, whatever it ends in.
    assert form.match(str(path)) is Match.NONE


def test_a_format_that_is_read_only_says_so(tmp_path):
    """Protects the default of each method: no members, no writer, and nothing but a file in its place."""
    form = Compressed()
    assert (form.members(tmp_path), form.writes, form.in_memory, form.tabular) == ((), False, False, False)
    with pytest.raises(NotImplementedError, match="compressed is not written"):
        form.write(None, tmp_path / "run.csv")
    (tmp_path / "run.csv").write_text("")
    assert form.refusal(tmp_path / "run.csv") == ""
    assert form.refusal(tmp_path) == "which is none"
