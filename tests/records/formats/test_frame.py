"""Data frames: the index is a column where it counts steps, and a name stands once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import selfstab as ss
from selfstab.records.formats import Match, ReadError
from selfstab.records.formats.frame import Frame, table_of_frame


def test_a_frame_with_a_name_twice_is_refused():
    """Protects against the wrong one of two columns."""
    frame = pd.DataFrame(np.ones((3, 2)), columns=["sharpness", "sharpness"])
    with pytest.raises(ReadError, match="run must have each column once, got sharpness twice"):
        ss.analyze(frame, lr=1.0, momentum=0.0)


@pytest.mark.parametrize(
    ("index", "columns", "step"),
    [
        (None, ["loss"], None),
        ([0, 1, 2], ["loss"], None),
        ([0, 5, 10], ["loss"], [0, 5, 10]),
        ([2, 1, 0], ["loss"], [2, 1, 0]),
        ([0.0, 0.5, 1.0], ["loss"], None),
        (["a", "b", "c"], ["loss"], None),
        ([0, 5, 10], ["loss", "Iteration"], None),
        (pd.MultiIndex.from_tuples([(0, 0), (0, 1), (1, 0)]), ["loss"], None),
    ],
)
def test_an_index_that_counts_is_the_step(index, columns, step):
    """Protects frames indexed by the step: rows by number alone, other labels, or a step beside them, are none."""
    table = table_of_frame(pd.DataFrame(np.ones((3, len(columns))), index=index, columns=columns))
    assert set(table.columns) == {*columns, *(["step"] if step else [])}
    assert list(table.columns.get("step", [])) == (step or [])


def test_an_index_by_its_name_is_a_column_of_that_name():
    """Protects set_index("epoch"): it counts from 0 without gaps, and is the step by its name."""
    frame = pd.DataFrame({"loss": [1.0, 2.0]}, index=pd.Index([0, 1], name="epoch"))
    assert table_of_frame(frame).columns["epoch"].tolist() == [0, 1]
    frame["epoch"] = [7, 9]
    assert table_of_frame(frame).columns["epoch"].tolist() == [7, 9]


def test_only_a_frame_is_one():
    """Protects series and arrays from being taken for tables."""
    frame = pd.DataFrame({1: [1.0]})
    assert Frame().match(frame) is Match.CERTAIN
    assert [Frame().match(other) for other in (frame[1], frame.to_numpy(), "run.csv")] == [Match.NONE] * 3
    assert list(Frame().read(frame).columns) == ["1"]
