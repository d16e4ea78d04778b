"""Logs as spreadsheets, print statements and databases keep them: each gives the run that it holds."""

from __future__ import annotations

import bz2
import json
import lzma
import sqlite3

import numpy as np
import pytest

import selfstab as ss
from tests.records.samples import make_samples

LR, MOMENTUM = make_samples.LR, make_samples.MOMENTUM
GIVEN = {"lr": LR, "momentum": MOMENTUM}


@pytest.fixture(scope="module")
def rows():
    return make_samples.rows(make_samples.reference())


def lines(rows, separator, names=("step", "sharpness", "loss")):
    """Return a table of text with the columns' own names in its first line."""
    body = [separator.join(repr(row[key]) for key in ("step", "sharpness", "loss")) for row in rows]
    return [separator.join(names), *body]


def check(path, rows, **given):
    """Compare a file with the run that it holds, to the last bit, and return its notes."""
    data = ss.analyze(path, **({**GIVEN} | given))
    assert data.step.values.tolist() == [row["step"] for row in rows]
    assert data.sharpness.values.tolist() == [row["sharpness"] for row in rows]
    assert data.loss.values.tolist() == [row["loss"] for row in rows]
    return " ".join(json.loads(data.attrs["notes"]))


def with_commas(rows, separator=";"):
    return [line.replace(".", ",") for line in lines(rows, separator)]


TABLES = {
    "semicolons.csv": lambda rows: lines(rows, ";"),
    "decimal commas.csv": with_commas,
    "decimal commas.tsv": lambda rows: with_commas(rows, "\t"),
    "Excel's first line.csv": lambda rows: ["sep=;", *with_commas(rows)],
    "tabs.csv": lambda rows: lines(rows, "\t"),
    "commas.tsv": lambda rows: lines(rows, ","),
    "bars.csv": lambda rows: lines(rows, "|"),
    "spaces.csv": lambda rows: lines(rows, " "),
    "title.csv": lambda rows: ["My run of Monday", "", *lines(rows, ",")],
    "ends of lines.csv": lambda rows: [line + ";;" for line in lines(rows, ";")] + [";;;;"] * 3,
    "units.csv": lambda rows: lines(rows, ",", ("Step [it]", "Sharpness (1/lr)", "Train loss (MSE)")),
    "begun again.csv": lambda rows: lines(rows[:40], ",") + lines(rows[40:], ","),
    "cut.csv": lambda rows: [*lines(rows, ","), "81,3.1"],
    "tensors.csv": lambda rows: [
        "step,sharpness,loss",
        *(f'{row["step"]},[{row["sharpness"]!r}],"tensor({row["loss"]!r}, grad_fn=<MeanBackward0>)"' for row in rows),
    ],
    "printed.log": lambda rows: [
        f"[12] INFO step {row['step']}: train loss = {row['loss']!r}, sharpness: {row['sharpness']!r}, test loss: 9"
        for row in rows
    ],
    "dictionaries.txt": lambda rows: [
        f"{{'loss': {row['loss']!r}, 'sharpness': {row['sharpness']!r}, 'global_step': {row['step']}}}" for row in rows
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_texts_of_many_forms_hold_their_run(tmp_path, rows, name):
    """Protects a first try with what spreadsheets, other countries' settings and print statements give."""
    (tmp_path / name).write_text("\n".join(TABLES[name](rows)))
    told = check(tmp_path / name, rows)
    assert ("decimal points" in told) is ("decimal" in name or "Excel" in name)
    assert ("cut off" in told) is (name == "cut.csv")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_texts_in_other_characters(tmp_path, rows, encoding):
    """Protects what spreadsheets save as Unicode text, and a column of words that nobody needs."""
    table = [f"{line}\t{'note' if k == 0 else 'für'}" for k, line in enumerate(lines(rows, "\t"))]
    (tmp_path / "run.txt").write_text("\n".join(table) + "\n", encoding=encoding)
    check(tmp_path / "run.txt", rows)


def test_what_was_not_recorded_may_be_written_in_many_ways(tmp_path, rows):
    """Protects gaps: a dash, Excel's errors and None are no numbers, and no reason to refuse."""
    table = lines(rows, ",")
    for k, blank in enumerate(("-", "--", "None", "#N/A", "#DIV/0!", "NaN", "?")):
        table[2 * k + 2] = f"{2 * k + 1},{blank},{rows[2 * k + 1]['loss']!r}"
    (tmp_path / "run.csv").write_text("\n".join(table) + "\n")
    assert int(np.isnan(ss.analyze(tmp_path / "run.csv", **GIVEN).sharpness).sum()) == 7


def test_a_comma_that_may_be_either_is_refused(tmp_path):
    """Protects numbers: in "1,000;2,000" a comma may be of decimals or of thousands."""
    (tmp_path / "run.csv").write_text("step;sharpness\n0;1,000\n1;2,000\n2;1,500\n")
    with pytest.raises(ValueError, match=r"sharpness must hold real numbers.*got '1,000' in row 1"):
        ss.analyze(tmp_path / "run.csv", **GIVEN)
    (tmp_path / "run.csv").write_text('step,sharpness\n"1,000",1\n"1,001",2\n"1,002",1\n')
    assert ss.analyze(tmp_path / "run.csv", **GIVEN).step.values.tolist() == [1000, 1001, 1002]


def test_remarks_hold_settings(tmp_path, rows):
    """Protects numpy.savetxt's header, in which training code writes its settings."""
    (tmp_path / "run.csv").write_text(
        "\n".join([f"# lr={LR}, momentum: {MOMENTUM}", *lines(rows, ",")]) + "\n"
    )
    data = ss.analyze(tmp_path / "run.csv")
    assert float(data.max_stable_sharpness[0]) == pytest.approx(2 * (1 + MOMENTUM) / LR)
    assert f"Remarks above the table give lr {LR}, momentum {MOMENTUM}." in json.loads(data.attrs["notes"])


@pytest.mark.parametrize(
    "names",
    [
        ("eig1", "eig2"), ("eig_0", "eig_1"), ("hessian/eigenvalue_1", "hessian/eigenvalue_2"), ("λ1", "λ2"),
        ("max_hessian_eigenvalue", "lambda_2"), ("lambda_max(H)", "lambda_2"),
    ],
)  # fmt: skip
def test_eigenvalues_by_number_and_in_any_words(rows, names):
    """Protects spectra: the largest eigenvalue is found by its number, or by the words of its name in any order."""
    sharpness = np.array([row["sharpness"] for row in rows])
    data = ss.analyze({names[1]: sharpness / 4, names[0]: sharpness}, **GIVEN)
    assert np.array_equal(data.sharpness, sharpness)
    assert np.array_equal(data.second_sharpness, sharpness / 4)


DOCUMENTS = {
    "pairs.json": lambda rows: {
        key: [[row["step"], row[key]] for row in rows] for key in ("sharpness", "loss")
    },
    "steps.json": lambda rows: {
        str(row["step"]): {key: row[key] for key in ("sharpness", "loss")} for row in rows
    },
    "lists.json": lambda rows: [{**row, "eigs": [row["sharpness"], 0.1], "sharpness": None} for row in rows],
    "settings.json": lambda rows: [{"lr": LR, "momentum": MOMENTUM}, *rows],
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_of_many_forms_hold_their_run(tmp_path, rows, name):
    """Protects JSON as training code writes it: pairs, a row for each step, lists of eigenvalues, settings first."""
    document = DOCUMENTS[name](rows)
    if name == "lists.json":
        for row in document:
            del row["sharpness"]
    (tmp_path / name).write_text(json.dumps(document))
    check(tmp_path / name, rows, **({"lr": None, "momentum": None} if name == "settings.json" else {}))


@pytest.mark.parametrize(("suffix", "packed"), [(".bz2", bz2.compress), (".xz", lzma.compress)])
def test_other_compressions(tmp_path, rows, suffix, packed):
    """Protects logs packed by bzip2 and xz."""
    path = tmp_path / f"run.csv{suffix}"
    path.write_bytes(packed("\n".join(lines(rows, ",")).encode()))
    check(path, rows)


def database(path, rows, names=("first",)):
    """Write what MLflow keeps of runs, in its own tables as of version 3, as far as they are read."""
    with sqlite3.connect(path) as made:
        made.executescript("""
            CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, name VARCHAR(250), start_time BIGINT,
                lifecycle_stage VARCHAR(20));
            CREATE TABLE metrics (key VARCHAR(250), value FLOAT NOT NULL, timestamp BIGINT NOT NULL,
                run_uuid VARCHAR(32), step BIGINT NOT NULL, is_nan BOOLEAN NOT NULL,
                PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan));
            CREATE TABLE params (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32));
        """)
        for k, name in enumerate((*names, "deleted")):
            made.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?)",
                (f"{k:032x}", name, k, "deleted" if name == "deleted" else "active"),
            )
            for key, value in (("lr", LR), ("momentum", MOMENTUM), ("optimizer", "sgd")):
                made.execute("INSERT INTO params VALUES (?, ?, ?)", (key, str(value), f"{k:032x}"))
            for row in rows:
                for key in ("sharpness", "loss"):
                    values = (f"train/{key}", row[key], 1000 + row["step"], f"{k:032x}", row["step"], 0)
                    made.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", values)
            made.execute("INSERT INTO metrics VALUES ('val', 0.0, 1, ?, 3, 1)", (f"{k:032x}",))
    made.close()


def test_mlflows_database(tmp_path, rows):
    """Protects MLflow's usual store, a file of SQLite: metrics, parameters, runs by name, none that is deleted."""
    path = tmp_path / "mlflow.db"
    database(path, rows)
    for place in (path, tmp_path):
        check(place, rows, lr=None, momentum=None)
    path.unlink()
    database(path, rows, ("first", "second"))
    with pytest.raises(ValueError, match="must be one of first, second"):
        ss.analyze(path)
    before = path.read_bytes(), sorted(entry.name for entry in tmp_path.iterdir())
    check_of_member = ss.analyze(path, member="second")
    assert check_of_member.sizes["catapult"] == 1
    assert (path.read_bytes(), sorted(entry.name for entry in tmp_path.iterdir())) == before


def test_databases_that_are_none_of_mlflows(tmp_path, rows):
    """Protects from views that stand in place of tables, and from files that only begin as SQLite's."""
    path = tmp_path / "run.db"
    database(path, rows)
    with sqlite3.connect(path) as made:
        made.executescript(
            "ALTER TABLE metrics RENAME TO others; CREATE VIEW metrics AS SELECT * FROM others;"
        )
    made.close()
    (tmp_path / "other.db").write_bytes(b"SQLite format 3\0" + bytes(200))
    (tmp_path / "text.db").write_text("sharpness\n1\n")
    for name in ("run.db", "other.db", "text.db"):
        with pytest.raises(ValueError, match=r"run must") as refused:
            ss.analyze(tmp_path / name)
        assert str(refused.value).isprintable()


def test_a_folder_with_one_log_of_any_name(tmp_path, rows):
    """Protects whoever gives the folder: its only log is read, and of several none is guessed."""
    (tmp_path / "anything.csv").write_text("\n".join(lines(rows, ",")))
    (tmp_path / "config.json").write_text(json.dumps(GIVEN))
    assert "anything.csv is read, the only log in the folder." in check(
        tmp_path, rows, lr=None, momentum=None
    )
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match=r"one log; name one of anything\.csv"):
        ss.analyze(tmp_path)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("run.pkl", "a pickle may"),
        ("run.xlsx", "as .csv"),
        ("x.wandb", "scan_history"),
        ("run.npy", "numpy.savez"),
    ],
)
def test_what_is_not_read_is_refused_with_a_way_out(tmp_path, name, says):
    """Protects a user who has a file that nothing here reads: the message names what to do."""
    (tmp_path / name).write_bytes(b"\x80")
    with pytest.raises(ValueError, match=says):
        ss.analyze(tmp_path / name)


@pytest.mark.parametrize(
    "settings",
    [{"optimizer": "Adam"}, {"optim": "RMSProp"}, {"optimizer": "AggregatedMomentum"}, {"opt_name": "adamw"}],
)
def test_settings_that_name_another_optimizer_are_heeded(rows, settings):
    """Protects from the threshold of gradient descent where the settings say Adam."""
    table = {"sharpness": [row["sharpness"] for row in rows], **settings}
    with pytest.raises(ValueError, match="got one of"):
        ss.analyze(table, **GIVEN)


def test_decays_of_adam_are_heeded(rows):
    """Protects from a beta1 that is taken for a momentum; beside SGD's name an unused decay means nothing."""
    table = {"sharpness": [row["sharpness"] for row in rows], "lr": 0.01, "beta1": 0.9, "beta2": 0.999}
    with pytest.raises(ValueError, match="got the setting beta2, as of Adam"):
        ss.analyze(table)
    assert "The setting beta2 is of Adam" in ss.analyze(table, momentum=0.9).attrs["notes"]
    assert "beta2" not in ss.analyze(table | {"optimizer": "SGD"}, momentum=0.9).attrs["notes"]


@pytest.mark.integrations
@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_an_index_that_counts_by_strides_is_used(tmp_path, rows, suffix):
    """Protects rates: pandas keeps an index of every third step in the metadata alone."""
    import pandas as pd

    frame = pd.DataFrame({key: [row[key] for row in rows[::3]] for key in ("sharpness", "loss")})
    frame.index = pd.RangeIndex(0, 81, 3, name="step")
    path = tmp_path / f"run{suffix}"
    (frame.to_parquet if suffix == ".parquet" else frame.reset_index().to_feather)(path)
    check(path, rows[::3])
