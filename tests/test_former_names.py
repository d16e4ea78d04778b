"""Names of version 0.1 in arguments and data: taken with a warning, and the same numbers as under today's."""

from __future__ import annotations

import json
import shutil
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray

import selfstab as ss
from selfstab import former_names, plotting
from selfstab.cli.program import main
from selfstab.experiments import Setting, SparseRegression
from tests.test_saved_by_0_1_0 import SAVED, with_versions_of_today

LOSS = ss.Product()
START, PREVIOUS = ss.flip_start(LOSS, LOSS.minimum(sharpness=4.0), 1e-3)
AXES = {"momentum": [0.0, 0.5], "excess": [0.02]}


def swept(measure, **settings):
    return ss.sweep(
        LOSS, ss.HeavyBall(1.0), AXES, start=START, previous=PREVIOUS, steps=600, measure=measure, progress=False,
        **settings,
    )  # fmt: skip


def test_a_sweep_takes_the_old_measure_and_warns_at_the_callers_line():
    """Protects scripts of 0.1: the variable keeps the name asked for, with the bits that today's name gives."""
    with pytest.warns(
        DeprecationWarning, match="measure 'peak_excess' is now called 'peak_excess_sharpness'"
    ) as record:
        old = swept(["peak_excess", "drop"])
    assert [warning.filename for warning in record] == [__file__]
    today = swept(["peak_excess_sharpness", "drop"])
    assert [*old.data_vars] == ["peak_excess", "drop"]
    assert old["peak_excess"].values.tobytes() == today["peak_excess_sharpness"].values.tobytes()
    assert old["peak_excess"].attrs == today["peak_excess_sharpness"].attrs
    assert np.isfinite(today["peak_excess_sharpness"]).all()


def test_the_old_measure_compiles_to_the_same_source():
    """Protects stores of 0.1, which hold the kernel's hash: the old name's text and its place have not changed."""
    with pytest.warns(DeprecationWarning, match="peak_excess"):
        old = LOSS.source(["drop", "peak_excess", "overshoot"])
    assert old == LOSS.source(["drop", "peak_excess_sharpness", "overshoot"])


def test_messages_name_todays_measures_only():
    """Protects newcomers from names that go: the list of what is allowed does not hold them."""
    with pytest.raises(ValueError, match="measure must be one of") as error:
        swept(["peak_exces"])
    assert "peak_excess_sharpness" in str(error.value)
    assert "peak_excess," not in str(error.value)


def test_a_store_of_0_1_with_the_old_measure_goes_on_without_a_word(tmp_path):
    """Protects old stores: what is missing runs, under the name that the store has, and nothing is written anew."""
    shutil.unpack_archive(SAVED / "product.zarr.zip", tmp_path)
    store = next(path.parent for path in tmp_path.rglob("selfstab-sweep"))
    with_versions_of_today(store, False)
    settings = json.loads((store / "selfstab-sweep" / "zarr.json").read_bytes())["attributes"]["settings"]
    assert "peak_excess" in settings["measures"]
    row = next((store / "selfstab-sweep" / "done").glob("c.*"))
    row.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = ss.resume(store, progress=False).load()
    assert "peak_excess" in data
    with xarray.open_dataset(SAVED / "product.nc") as before:
        assert data["peak_excess"].values.tobytes() == before["peak_excess"].values.tobytes()


def test_the_command_line_notes_the_old_measure():
    """Protects users of the command line: one line says what the measure is called now."""
    from click.testing import CliRunner

    words = (
        "sweep",
        "Product",
        "--start",
        "minimum:4",
        "--flip",
        "1e-3",
        "--steps",
        "60",
        "-a",
        "excess=0.02",
    )
    result = CliRunner().invoke(main, [*words, "-m", "peak_excess", "--no-progress"])
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [
        "note: measure 'peak_excess' is now called 'peak_excess_sharpness'; the old name goes with version 0.4"
    ]


def run_with_a_swing():
    minimum = LOSS.minimum(sharpness=4.0)
    run = ss.simulate(
        LOSS, ss.HeavyBall(0.97, 0.9), START, 500, previous=PREVIOUS, keep=("loss", "sharpness", "weights")
    )
    return ss.observables.swing(run, LOSS, minimum)


def compared():
    task = SparseRegression(samples=6, features=8, nonzeros=2, held_out=20)
    setting = Setting(threshold=3.0, momentum=0.5, warmup=20, steps=40, scale=0.3, records=8, seeds=(0,))
    return ss.experiments.compare(task, setting, threads=1)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: ss.catapults(*(run_with_a_swing()[n] for n in ("sharpness", "max_stable_sharpness"))),
         former_names.MEASURES),
        (run_with_a_swing, former_names.SWING),
        (lambda: ss.analyze(SAVED / "run.nc", momentum=0.9), former_names.ANALYSIS),
        (compared, former_names.COMPARISON),
    ],
)  # fmt: skip
def test_datasets_carry_the_old_names_too(make, names):
    """Protects scripts that read results: the old variable is there, the same, and says what to read instead."""
    data = make()
    for old, new in names.items():
        assert data[old].values.tobytes() == data[new].values.tobytes()
        assert data[old].attrs["deprecated"] == f"now called {new}"
        assert data[old].attrs["long_name"] == data[new].attrs["long_name"]
        assert "deprecated" not in data[new].attrs


def test_drawings_take_datasets_of_0_1():
    """Protects saved data: what was assigned or saved under the old names is drawn the same."""
    run = run_with_a_swing()
    old = run.drop_vars([*set(former_names.SWING.values())])
    for draw in (plotting.draw_orbit, plotting.draw_displacement, plotting.draw_loss):
        lines = []
        for data in (run, old):
            plt.close("all")
            lines.append([line.get_xydata().tolist() for line in draw(data).lines])
        assert lines[0] == lines[1]
        plt.close("all")
