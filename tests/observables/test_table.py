"""Tables: datasets that show themselves as rows and columns, and are datasets in all else."""

import pickle

import numpy as np
import xarray

import selfstab as ss
from selfstab.observables.table import Catapults, Table


def of_two():
    return Table(
        {"drop": ("row", [1.23456789, np.nan]), "word": ("row", np.array(["<b>", "a\nb"], dtype=object))}
    )


def test_rows_and_columns_as_text():
    """Protects what a terminal shows: six digits, nothing for NaN, one line a row."""
    lines = repr(of_two()).splitlines()
    assert lines[0].split() == ["row", "drop", "word"]
    assert lines[2].split() == ["0", "1.23457", "<b>"]
    assert len(lines) == 4


def test_html_has_no_markup_of_the_data():
    """Protects a notebook from text of a recorded run: it shows as text."""
    html = of_two()._repr_html_()
    assert html.startswith("<table>")
    assert "<b>" not in html


def test_long_tables_are_cut():
    """Protects a notebook from a thousand rows: it says how many more there are."""
    long = Table({"drop": ("row", np.arange(100.0))})
    assert repr(long).splitlines()[-1] == "40 more rows"
    assert long._repr_html_().endswith("<p>40 more rows</p>")


def test_what_is_no_table_shows_as_a_dataset():
    """Protects selections: a single row, or two dimensions, have the dataset's own words."""
    for data in (of_two().isel(row=0), Table({"grid": (("a", "b"), np.ones((2, 2)))})):
        assert "xarray" in repr(data)
        assert "xarray" in data._repr_html_()


def test_it_is_a_dataset(tmp_path):
    """Protects xarray's operations, pickling and files: they work, and a selection of rows is a table, too."""
    data = Table({"drop": ("row", [1.0, 2.0])})
    assert isinstance(data.isel(row=[1]), Table)
    assert pickle.loads(pickle.dumps(data)).equals(data)
    data.to_netcdf(tmp_path / "table.nc")
    with xarray.open_dataset(tmp_path / "table.nc") as again:
        assert again.equals(data)


def test_catapults_show_their_numbers():
    """Protects the first catapult of a newcomer: onset, drop and overshoot at one look."""
    loss = ss.CubicTaylor(curvature=1.0)
    start, previous = ss.flip_start(loss, loss.minimum(), size=1e-4)
    run = ss.simulate(loss, ss.HeavyBall(lr=2.02), start, 4000, previous=previous)
    found = ss.catapults(run.sharpness, run.max_stable_sharpness, run.loss)
    assert isinstance(found, Catapults)
    heading, _, row = repr(found).splitlines()
    assert heading.split() == ["catapult", *Catapults._columns]
    assert float(row.split()[-2]) == float(f"{float(found.overshoot[0]):.6g}")
