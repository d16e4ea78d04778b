"""Files of a state: each holds what is shown, the same bytes each time."""

from __future__ import annotations

import io
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import xarray

from selfstab.explorer import exports, views
from selfstab.explorer.script import script
from selfstab.explorer.state import PageState
from selfstab.plotting import style

STATE = PageState(steps=30)


@pytest.fixture
def small(monkeypatch, plain_engine):
    """Return small datasets of a state, which exports take for its own."""
    data = plain_engine(exports.datasets, STATE, 4, 5)
    monkeypatch.setattr(exports, "datasets", lambda state: data)
    return data


def test_datasets_are_what_is_shown(small):
    """Protects names and sizes: the run, the diagram on its two axes, the orbits on theirs."""
    assert {name: dict(data.sizes) for name, data in small.items()} == {
        "run": {"step": 31, "weight": 2},
        "diagram": {"momentum": 4, "excess": 4},
        "orbits": {"excess": 5, "step": 31, "weight": 2},
    }
    axes = dict(views.diagram_grid(STATE).axes)
    for name in ("momentum", "excess"):
        assert np.array_equal(small["diagram"][name], axes[name].values(4))


def test_tables_are_the_data_and_the_same_bytes_each_time(small):
    """Protects CSV: pandas reads each value back, and no date of today is in the archive."""
    file = exports.export(STATE, "csv")
    assert (file.name, file.media_type) == ("explored.zip", "application/zip")
    assert exports.export(STATE, "csv").content == file.content
    with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
        assert archive.namelist() == [f"{name}.csv" for name in small]
        assert {entry.date_time[0] for entry in archive.infolist()} == {2000}
        cells = pd.read_csv(archive.open("diagram.csv")).set_index(["momentum", "excess"])
    for (momentum, excess), row in cells.iterrows():
        cell = small["diagram"].sel(momentum=momentum, excess=excess, method="nearest")
        assert row["phase"] == int(cell["phase"])
        assert row["overshoot"] == pytest.approx(float(cell["overshoot"]), rel=1e-12, nan_ok=True)


def test_netcdf_has_a_group_for_each(small, tmp_path):
    """Protects NetCDF: every variable of every dataset, to the bit."""
    path = tmp_path / "explored.nc"
    path.write_bytes(exports.export(STATE, "nc").content)
    for name, data in small.items():
        with xarray.open_dataset(path, group=name) as group:
            assert group.load().drop_attrs().equals(data.drop_attrs())


def test_without_netcdf4_it_is_named(monkeypatch):
    """Protects the page's message, before anything is computed."""
    monkeypatch.setitem(sys.modules, "netCDF4", None)
    monkeypatch.setattr(exports, "datasets", lambda state: pytest.fail("it was computed"))
    with pytest.raises(ImportError, match="NetCDF needs netCDF4, which cannot be imported"):
        exports.export(STATE, "nc")


def test_the_figure_has_the_panels_of_its_script(small):
    """Protects the saved figure: five lettered panels, the weight that is shown, an orbit for each of its dots."""
    figure = exports.figure(STATE, small)
    panels = {ax.get_title("left")[:3]: ax for ax in figure.axes if ax.get_title("left")}
    assert sorted(panels) == ["(a)", "(b)", "(c)", "(d)", "(e)"]
    assert panels["(e)"].get_xscale() == views.orbit_grid(STATE).axes[0][1].scale
    assert len(figure.legends) == 1


@pytest.mark.parametrize(("kind", "first"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_each_form_of_the_figure_is_its_own(small, monkeypatch, kind, first):
    """Protects the buttons: the name and the bytes are of the form that was asked for."""
    monkeypatch.setattr(exports, "figure", lambda state, data: style.new_figure(1.0, 1.0))
    file = exports.export(STATE, kind)
    assert file.name == f"explored.{kind}"
    assert file.content.startswith(first)


def test_the_script_is_the_script():
    """Protects the text of the script, Greek letters and all."""
    state = PageState(warmup=10.0)
    file = exports.export(state, "py")
    assert file.content.decode("utf-8") == script(state)
    with pytest.raises(KeyError):
        exports.export(state, "exe")
