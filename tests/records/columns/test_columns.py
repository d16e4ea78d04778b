"""Columns get their roles by name, by the format or by the user; what is missing or ambiguous is named."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import xarray
from click.testing import CliRunner

import selfstab as ss
from selfstab.cli.program import main
from selfstab.records.columns.columns import ColumnError, columns_of
from selfstab.records.formats import Table
from selfstab.records.read import recorded_run


@pytest.fixture(scope="module")
def run():
    """Return a run with a catapult."""
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-3)
    return ss.simulate(loss, ss.HeavyBall(0.95, 0.5), start, 300, previous=previous)


def columns(run):
    """Return a run's columns by their own names."""
    names = ("step", "sharpness", "loss", "lr")
    return {name: run[name].values for name in names} | {"momentum": np.full(run.sizes["step"], 0.5)}


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("step", "Iteration"),
        ("step", "global_step"),
        ("sharpness", "Lambda-Max"),
        ("sharpness", "hessian.top"),
        ("lr", "Learning Rate"),
        ("momentum", "β"),
        ("loss", "train/loss"),
    ],
)
def test_columns_are_found_by_other_names(run, role, name):
    table = columns(run)
    table[name] = table.pop(role)
    found = ss.analyze(table)
    assert found["overshoot"].values == pytest.approx(ss.analyze(run)["overshoot"].values, rel=0, abs=0)


def test_settings_beside_their_column_are_refused():
    table = {"sharpness": [1, 2, 3], "eta": [1, 1, 1]}
    with pytest.raises(ValueError, match=r"lr must be left out beside the column eta, got 0\.5"):
        recorded_run(table, lr=0.5, momentum=0.0)
    with pytest.raises(
        ValueError,
        match="run must have the column cost for loss, got sharpness, eta; name it by columns, loss=NAME",
    ):
        recorded_run(table, momentum=0.0, columns={"loss": "cost"})
    with pytest.raises(ValueError, match="columns must be one of step, sharpness"):
        recorded_run(table, momentum=0.0, columns={"speed": "eta"})
    with pytest.raises(TypeError, match=r"run must be a path, .* or xarray\.Dataset, got \[1, 2, 3\]"):
        recorded_run([1, 2, 3])


def test_a_column_of_lookahead_is_read():
    """Protects the threshold: a column that is left out would make it 1 + 2γ times too high."""
    sharpness = np.linspace(1.0, 2.0, 5)
    for run in (
        {"sharpness": sharpness, "Lookahead": [np.nan, 0.5, 0.5, 0.5, 0.5]},
        pd.DataFrame({"sharpness": sharpness, "lookahead": 0.5}),
        xarray.Dataset({"sharpness": ("t", sharpness), "lookahead": ("t", np.full(5, 0.5))}),
    ):
        assert recorded_run(run, lr=1.0, momentum=0.0).attrs["lookahead"] == 0.5
        assert recorded_run(run, lr=1.0, momentum=0.0, lookahead=0.25).attrs["lookahead"] == 0.25


@pytest.mark.parametrize(
    ("lookahead", "message"),
    [
        ([0.5, 0.5, 0.5, 0.5, 0.25], r"lookahead must be one number for the whole run, got 0.5 and 0.25"),
        (-0.1, r"lookahead must be .*, got -0.1"),
        (np.inf, r"lookahead must be .*, got inf"),
    ],
)
def test_a_lookahead_that_is_none_is_refused(lookahead, message):
    with pytest.raises(ValueError, match=message):
        recorded_run({"sharpness": np.linspace(1.0, 2.0, 5), "lookahead": lookahead}, lr=1.0, momentum=0.0)


@pytest.mark.parametrize("name", ["AdamW", "rmsprop", "Lion"])
def test_another_optimizer_named_in_a_column_is_refused(run, name):
    table = columns(run) | {"optimizer": np.full(run.sizes["step"], name)}
    with pytest.raises(ValueError, match=f"got {name} in the column optimizer"):
        ss.analyze(table)
    ss.analyze(columns(run) | {"optimizer": np.full(run.sizes["step"], "SGD")})


@pytest.mark.parametrize(
    ("columns", "words", "library", "command"),
    [
        (
            "loss\n1\n",
            (),
            "got loss; name it by columns, sharpness=NAME",
            "name it by --column sharpness=NAME",
        ),
        (
            "sharpness\n1\n",
            (),
            "name it by columns, lr=NAME, or give lr if it was constant",
            "name it by --column lr=NAME, or give --lr if it was constant",
        ),
        (
            "lambda_1,lambda_max\n1,2\n",
            (),
            "one column for sharpness, got lambda_1, lambda_max; name it by columns, sharpness=NAME",
            "got lambda_1, lambda_max; name it by --column sharpness=NAME",
        ),
        (
            "sharpness,lr,momentum\n1,1,0\n",
            ("-c", "loss=cost"),
            "must have the column cost for loss, got sharpness, lr, momentum; name it by columns, loss=NAME",
            "must have the column cost for loss, got sharpness, lr, momentum; name it by --column loss=NAME",
        ),
    ],
)
def test_the_remedy_is_in_the_words_of_the_door(tmp_path, columns, words, library, command):
    """Protects both doors: the library names its argument, the command its option, of one error."""
    path = tmp_path / "run.csv"
    path.write_text(columns)
    chosen = dict(word.split("=") for word in words[1::2])
    with pytest.raises(ColumnError) as caught:
        ss.analyze(path, columns=chosen)
    assert library in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    result = CliRunner().invoke(main, ["analyze", str(path), *words])
    assert result.exit_code == 2
    assert command in result.output
    assert "by columns" not in result.output


def test_a_role_that_is_none_is_refused_in_the_words_of_the_door(tmp_path):
    """Protects the option's user from the library's argument."""
    (tmp_path / "run.csv").write_text("sharpness\n1\n")
    result = CliRunner().invoke(main, ["analyze", str(tmp_path / "run.csv"), "-c", "speed=a"])
    assert "--column must be one of step, sharpness" in result.output


def test_columns_go_before_attributes_and_these_before_the_optimizers():
    """Protects the order in which a setting is looked for: the nearer to the record, the surer."""
    sharpness = {"sharpness": [1.0, 2.0]}
    optimizer = {"optimizer": '{"lr": {"schedule": "as recorded"}, "momentum": 0.9, "lookahead": 0.25}'}
    attributes = {"eta": 0.5, "momentum": 0.1, "lookahead": 0.75} | optimizer
    source = columns_of(Table(sharpness | {"beta": [0.2, 0.3]}, attributes), {})
    assert source.values["momentum"].tolist() == [0.2, 0.3]
    assert source.values["lr"].tolist() == [0.5, 0.5]
    assert source.lookahead == 0.75
    assert columns_of(Table(sharpness, attributes), {}).values["momentum"].tolist() == [0.1, 0.1]
    source = columns_of(Table(sharpness, optimizer), {}, lr=1.0)
    assert source.values["momentum"].tolist() == [0.9, 0.9]
    assert source.lookahead == 0.25
    assert columns_of(Table(sharpness, optimizer), {}, 1.0, momentum=0.4).values["momentum"].tolist() == [
        0.4,
        0.4,
    ]


@pytest.mark.parametrize(("value", "lookahead"), [(True, 0.9), ("True", 0.9), (1, 0.9), (False, 0.0)])
def test_a_column_that_says_nesterov_gives_the_lookahead(value, lookahead):
    """In a table each row has the settings; the threshold is Nesterov's then, as by a file of settings."""
    frame = pd.DataFrame({"step": range(5), "sharpness": 1.0, "lr": 0.1, "momentum": 0.9, "nesterov": value})
    data = recorded_run(frame)
    assert data.attrs["lookahead"] == lookahead
    assert "Not used" not in data.attrs["notes"]


def test_a_column_of_nesterov_that_changes_is_refused():
    """The law is of one optimizer."""
    columns = {"sharpness": [1.0, 1.0, 1.0], "nesterov": [True, False, True]}
    with pytest.raises(ValueError, match="nesterov must be True or False for the whole run, got false, true"):
        columns_of(Table(columns), {}, lr=0.1, momentum=0.9)
