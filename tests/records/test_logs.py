"""Logs of training code: each sample, written by its own library, gives the run that it holds."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import selfstab as ss
from selfstab.records import formats
from tests.cli.commands import run as command
from tests.records.samples import make_samples

SAMPLES = make_samples.FOLDER
LR, MOMENTUM = make_samples.LR, make_samples.MOMENTUM
FLOW = "cifar10-5k/fc-tanh/seed_0/mse"

PLAIN = {
    "lightning": {},
    "lightning/metrics.csv": {},
    "keras.csv": {"momentum": MOMENTUM},
    "trainer_state.json": {"momentum": MOMENTUM},
    "mlruns": {},
    "wandb.csv": {"momentum": MOMENTUM},
    "results.txt": {},
    "numpy.txt": {"momentum": MOMENTUM, "lr": LR},
}
"""Samples that need no library beside selfstab's own, and what they do not say."""

LIBRARIES = {
    "tensorboard": {},
    "run.pt": {},
    "wandb.parquet": {"momentum": MOMENTUM},
    "wandb.feather": {"momentum": MOMENTUM},
    "central_flows": {},
    "central_flows/data.hdf5": {},
    "edge_of_stability": {},
    f"edge_of_stability/{FLOW}/polyak/lr_{LR}_beta_{MOMENTUM}": {},
}


@pytest.fixture(scope="module")
def reference():
    return make_samples.reference()


def notes(data):
    return " ".join(json.loads(data.attrs["notes"]))


def check(name, given, reference):
    """Compare a sample with the run that it holds, at the digits that its library keeps."""
    data = ss.analyze(SAMPLES / name, **given)
    here = reference.sel(step=data.step.values)
    known = np.isfinite(data.sharpness.values)
    tolerance = {"rel": 2e-3, "abs": 6e-3} if name == "results.txt" else {"rel": 2e-7, "abs": 1e-9}
    assert known.sum() >= 15
    assert data.sharpness.values[known] == pytest.approx(here.sharpness.values[known], **tolerance)
    known = np.isfinite(data.loss.values)
    assert data.loss.values[known] == pytest.approx(here.loss.values[known], rel=2e-7, abs=1e-6)
    momentum = 0.0 if name.startswith("central") else MOMENTUM  # that code's optimizers have none
    assert data.max_stable_sharpness.values == pytest.approx(2 * (1 + momentum) / LR, rel=2e-7)
    return data


@pytest.mark.parametrize("name", PLAIN)
def test_a_sample_holds_its_run(name, reference):
    """Protects logs of other libraries: names, steps, settings beside them, rows of parts."""
    check(name, PLAIN[name], reference)


def test_kerass_file_under_its_usual_name(tmp_path, reference):
    """Protects training.log, which is a table with commas."""
    shutil.copy(SAMPLES / "keras.csv", tmp_path / "training.log")
    for path in (tmp_path, tmp_path / "training.log"):
        assert np.array_equal(ss.analyze(path, momentum=MOMENTUM).sharpness, reference.sharpness)


@pytest.mark.integrations
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_sample_that_needs_a_reader_holds_its_run(name, reference):
    """Protects the formats that libraries of the extra `logs` and PyTorch read."""
    data = check(name, LIBRARIES[name], reference)
    if name.startswith("edge"):
        assert "eigs is every 5 steps" in notes(data)
        assert np.isfinite(data.sharpness).values.nonzero()[0].tolist() == list(range(0, 80, 5))
    if name.startswith("central"):
        assert "the others are central, stable" in notes(data)


def test_settings_beside_a_log_are_told(reference):
    """Protects the reader of a report: where lr and momentum come from is said."""
    for name in ("lightning", "lightning/metrics.csv"):
        text = notes(ss.analyze(SAMPLES / name))
        assert f"hparams.yaml beside it gives lr {LR}, momentum {MOMENTUM}." in text


def test_steps_of_a_sampled_history_are_its_own(reference):
    """Protects rates: rows of a history of every third step are not steps 0, 1, 2."""
    data = ss.analyze(SAMPLES / "wandb.csv", momentum=MOMENTUM)
    assert data.step.values.tolist() == list(range(0, 81, 3))
    assert "recorded every 3 steps" in notes(data)


def test_an_unnamed_index_counts_steps(tmp_path, reference):
    """Protects frames that pandas wrote with their index, which is the only count of steps."""
    frame = pd.DataFrame({"sharpness": reference.sharpness.values, "loss": reference.loss.values})
    frame.iloc[::5].to_csv(tmp_path / "run.csv")
    data = ss.analyze(tmp_path / "run.csv", lr=LR, momentum=MOMENTUM)
    assert data.step.values.tolist() == list(range(0, 81, 5))
    frame.iloc[::5].reset_index(drop=True).assign(epoch=range(0, 81, 5)).to_csv(tmp_path / "run.csv")
    data = ss.analyze(tmp_path / "run.csv", lr=LR, momentum=MOMENTUM)
    assert data.step.values.tolist() == list(range(0, 81, 5))


def test_of_a_chart_a_run_is_chosen(tmp_path, reference):
    """Protects charts of several runs: which are there is said, in the words of the library or of the command."""
    path = SAMPLES / "chart.csv"
    assert formats.members(path) == ("calm - run", "other")
    with pytest.raises(ValueError, match="member must be one of calm - run, other"):
        ss.analyze(path, lr=LR, momentum=MOMENTUM)
    data = ss.analyze(formats.read(path, "other"), lr=LR, momentum=MOMENTUM)
    assert data.sharpness.values == pytest.approx(1 + reference.sharpness.values, rel=1e-12)
    words = ("analyze", str(path), "--lr", str(LR), "--momentum", str(MOMENTUM))
    refused = command(*words)
    assert refused.exit_code == 2
    assert "--run must be one of calm - run, other" in refused.output
    assert command(*words, "--run", "calm - run").exit_code == 0


def test_points_of_a_chart_that_are_means_are_told(tmp_path):
    """Protects from charts whose points each stand for many steps: a swing is averaged out of them."""
    frame = pd.read_csv(SAMPLES / "chart.csv")
    frame["other - train/sharpness__MAX"] += 0.5
    frame.to_csv(tmp_path / "chart.csv", index=False)
    data = ss.analyze(formats.read(tmp_path / "chart.csv", "other"), lr=LR, momentum=MOMENTUM)
    assert "points are means of several records" in notes(data)


def test_a_history_of_keras_in_memory(reference):
    """Protects what fit returns: an object with a history and its epochs."""
    kind = type("History", (), {"__module__": "keras.src.callbacks.history"})
    history = kind()
    history.history = {
        "loss": reference.loss.values.tolist(),
        "sharpness": reference.sharpness.values.tolist(),
    }
    history.epoch = list(range(0, 162, 2))
    data = ss.analyze(history, lr=LR, momentum=MOMENTUM)
    assert data.step.values.tolist() == history.epoch
    with pytest.raises(TypeError, match=r"keras\.callbacks\.History"):
        ss.analyze(3)


@pytest.mark.parametrize("name", ["run1_{}.csv", "run-run1-tag-{}.csv", "{}.csv"])
def test_a_folder_of_scalar_tables(tmp_path, reference, name):
    """Protects the tables that TensorBoard's page saves, one for each tag."""
    for tag, values in (
        ("train_sharpness", reference.sharpness),
        ("Loss_train", reference.loss),
        ("lr", reference.lr),
    ):
        frame = pd.DataFrame({"Wall time": 1.7e9, "Step": reference.step.values, "Value": values.values})
        frame.to_csv(tmp_path / name.format(tag), index=False)
    data = ss.analyze(tmp_path, momentum=MOMENTUM)
    assert np.array_equal(data.sharpness, reference.sharpness)
    assert np.array_equal(data.loss, reference.loss)
    one = ss.analyze(tmp_path / name.format("train_sharpness"), lr=LR, momentum=MOMENTUM)
    assert np.array_equal(one.sharpness, reference.sharpness)
    if "run1" in name:
        shutil.copy(
            tmp_path / name.format("train_sharpness"),
            tmp_path / name.format("sharpness").replace("run1", "run2"),
        )
        assert formats.members(tmp_path) == ("run1", "run2")


def documents(reference):
    """Return documents of JSON that hold a run in the ways that libraries write."""
    rows = make_samples.rows(reference)
    frame = pd.DataFrame(rows)
    return {
        "rows": rows,
        "columns": frame.to_dict("list"),
        "pandas": json.loads(frame.to_json(double_precision=15)),
        "split": json.loads(frame.to_json(orient="split", double_precision=15)),
        "table": json.loads(frame.to_json(orient="table", double_precision=15)),
        "nested": [
            {"global_step": r["step"], "train": {"loss": r["loss"]}, "hessian": {"lambdaMax": r["sharpness"]}}
            for r in rows
        ],
        "history": {"config": {"optim": {"lr": LR}}, "history": frame.to_dict("list")},
        "eigs": {"train_loss": frame.loss.tolist(), "eigs": [[r["sharpness"], 0.1] for r in rows]},
    }


@pytest.mark.parametrize("form", ["rows", "columns", "pandas", "split", "table", "nested", "history", "eigs"])
@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_json_in_many_forms(tmp_path, reference, form, suffix):
    """Protects histories as JSON: rows, columns, pandas' forms, nested objects, settings beside."""
    path = tmp_path / f"run{suffix}"
    text = json.dumps(documents(reference)[form]).encode()
    path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    data = ss.analyze(path, momentum=MOMENTUM, **({} if form == "history" else {"lr": LR}))
    assert data.sharpness.values == pytest.approx(reference.sharpness.values, rel=1e-13)
    assert data.loss.values == pytest.approx(reference.loss.values, rel=1e-12, abs=1e-14)
    assert data.step.values.tolist() == reference.step.values.tolist()


@pytest.mark.parametrize("ending", ["", '\n{"step": 81, "sha'])
def test_lines_of_json(tmp_path, reference, ending):
    """Protects logs of a run that was ended while it wrote its last line."""
    text = "\n".join(map(json.dumps, make_samples.rows(reference))) + ending
    (tmp_path / "run.jsonl").write_text(text)
    data = ss.analyze(tmp_path / "run.jsonl", lr=LR, momentum=MOMENTUM)
    assert np.array_equal(data.sharpness, reference.sharpness)


def test_runs_of_a_document(tmp_path, reference):
    """Protects documents with a run for each seed, and settings that all share."""
    columns = documents(reference)["columns"]
    (tmp_path / "run.json").write_text(json.dumps({"lr": LR, "seed 1": columns, "seed 2": columns}))
    assert formats.members(tmp_path / "run.json") == ("seed 1", "seed 2")
    data = ss.analyze(formats.read(tmp_path / "run.json", "seed 2"), momentum=MOMENTUM)
    assert np.array_equal(data.sharpness, reference.sharpness)
    groups = {"train": {"loss": columns["loss"]}, "hessian": {"lambda_max": columns["sharpness"]}, "lr": LR}
    (tmp_path / "run.json").write_text(json.dumps(groups))
    assert formats.members(tmp_path / "run.json") == ()
    assert np.array_equal(ss.analyze(tmp_path / "run.json", momentum=MOMENTUM).loss, reference.loss)


@pytest.mark.parametrize("column", ["run", "Run ID", "seed"])
def test_runs_below_one_another(tmp_path, reference, column):
    """Protects tables of several runs, in a file and in memory."""
    frame = pd.DataFrame(make_samples.rows(reference))
    both = pd.concat([frame.assign(**{column: 1}), (frame + 1).assign(**{column: 2})])
    both.to_csv(tmp_path / "run.csv", index=False)
    for source in (tmp_path / "run.csv", both):
        assert formats.members(source) == ("1", "2")
        data = ss.analyze(formats.read(source, "2"), lr=LR, momentum=MOMENTUM)
        assert data.sharpness.values == pytest.approx(1 + reference.sharpness.values, rel=1e-15)


def test_a_row_for_each_value(tmp_path, reference):
    """Protects exports of metric, step and value, as MLflow's and TensorBoard's are."""
    frame = pd.DataFrame(make_samples.rows(reference)).melt(id_vars="step", var_name="key")
    frame.sample(frac=1.0, random_state=0).sort_values("key", kind="stable").to_csv(
        tmp_path / "run.csv", index=False
    )
    frame.assign(timestamp=1.7e9).to_json(tmp_path / "run.json", orient="records", double_precision=15)
    data = ss.analyze(tmp_path / "run.csv", lr=LR, momentum=MOMENTUM)
    assert np.array_equal(data.sharpness, reference.sharpness)


def test_a_restart_is_refused_unless_it_is_said_which_rows_stand(tmp_path, reference):
    """Protects runs that went back to a checkpoint: the abandoned branch is no part of the run."""
    rows = make_samples.rows(reference)
    lost = [{**row, "sharpness": 9.0, "loss": 9.0} for row in rows[30:45]]
    pd.DataFrame(rows[:30] + lost + rows[30:]).to_csv(tmp_path / "run.csv", index=False)
    given = {"lr": LR, "momentum": MOMENTUM}
    with pytest.raises(
        ValueError, match=r'one value for a step, got 9 and .* step 30 .*keep="last" takes the last'
    ):
        ss.analyze(tmp_path / "run.csv", **given)
    data = ss.analyze(tmp_path / "run.csv", keep="last", **given)
    assert np.array_equal(data.sharpness, reference.sharpness)
    assert "Steps go back" in notes(data)
    first = ss.analyze(tmp_path / "run.csv", keep="first", **given)
    assert (first.sharpness.values[30:45] == 9.0).all()
    words = ("analyze", str(tmp_path / "run.csv"), "--lr", str(LR), "--momentum", str(MOMENTUM))
    assert "--keep last takes the last" in command(*words).output
    assert command(*words, "--keep", "last").exit_code == 0


def test_a_restart_at_another_stride_leaves_nothing_of_the_lost_branch(reference):
    """Protects from steps of the lost branch between those of the new one."""
    table = {"step": [0, 1, 2, 3, 4, 2, 4, 6], "sharpness": [1, 2, 3, 9, 9, 3, 5, 7.0]}
    data = ss.analyze(table, lr=LR, momentum=MOMENTUM, keep="last")
    known = np.isfinite(data.sharpness.values)
    assert data.step.values[known].tolist() == [0, 1, 2, 4, 6]
    assert data.sharpness.values[known].tolist() == [1, 2, 3, 5, 7]


def test_values_that_differ_in_the_last_bits_are_one(reference):
    """Protects logs of several processes, whose sums differ in their order."""
    table = {"step": [0, 0, 1, 1, 2], "sharpness": [1.0, 1.0 + 1e-7, 2.0, 2.0, 3.0]}
    data = ss.analyze(table, lr=LR, momentum=MOMENTUM)
    assert data.sharpness.values.tolist() == [1.0, 2.0, 3.0]
    assert "1 value differs from that of the same step in the last digits" in notes(data)
    table["sharpness"][1] += 1e-5
    with pytest.raises(ValueError, match="sharpness must have one value for a step"):
        ss.analyze(table, lr=LR, momentum=MOMENTUM)
    assert (
        ss.analyze({"sharpness": [1.0, 2, 3], "lr": np.float32([0.1] * 3)}, lr=0.1, momentum=0.5).sizes[
            "step"
        ]
        == 3
    )


def test_epochs_are_steps_only_where_it_is_said_or_harmless(reference):
    """Protects rates from epochs of many updates: fractions are refused with the remedy, repeated ones are no steps."""
    table = {"epoch": [0.0, 0.5, 1.0, 1.5], "sharpness": [1.0, 2.0, 3.0, 4.0]}
    with pytest.raises(
        ValueError, match=r"epoch must hold whole numbers, got 0\.5 in row 2.*updates_per_epoch"
    ):
        ss.analyze(table, lr=LR, momentum=MOMENTUM)
    data = ss.analyze(table, lr=LR, momentum=MOMENTUM, updates_per_epoch=10)
    assert data.step.values.tolist() == [0, 5, 10, 15]
    repeated = ss.analyze(table | {"epoch": [0, 0, 1, 1]}, lr=LR, momentum=MOMENTUM)
    assert repeated.step.values.tolist() == [0, 1, 2, 3]
    assert "Several rows share a value of epoch" in notes(repeated)


def test_what_is_not_understood_is_listed():
    """Protects columns from being passed over without a word."""
    table = {"sharpness": [1.0, 2, 3], "val/loss": [1.0, 1, 1], "speed": [1, 2, 3]}
    text = notes(ss.analyze(table, lr=LR, momentum=MOMENTUM))
    assert "Not used: val/loss, speed." in text
    assert "--column ROLE=NAME" in text


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"optimizer": {"name": "AdamW", "lr": 0.1}}, "got one of AdamW"),
        ({"optimizer": "sgd", "lr": 0.1, "optim": {"lr": 0.2}}, None),
        ({"a": {"lr": 0.1}, "b": {"lr": 0.2}}, "run must have one lr, got a/lr = 0.1, b/lr = 0.2"),
    ],
)  # fmt: skip
def test_settings_that_do_not_agree(tmp_path, settings, says):
    """Protects the threshold from settings of another optimizer, and from one of two learning rates."""
    (tmp_path / "metrics.csv").write_text("step,sharpness\n0,1\n1,2\n2,3\n")
    (tmp_path / "config.json").write_text(json.dumps(settings))
    if says:
        with pytest.raises(ValueError, match=says):
            ss.analyze(tmp_path, momentum=0.5)
    else:
        assert ss.analyze(tmp_path, momentum=0.5).lr.values.tolist() == [0.1] * 3


def test_settings_of_nesterovs_momentum_and_of_a_schedule(tmp_path):
    """Protects the threshold, which Nesterov's momentum lowers and a warmup raises."""
    (tmp_path / "metrics.csv").write_text("step,sharpness\n0,1\n1,2\n2,3\n")
    settings = {
        "lr": {"value": 0.1},
        "momentum": {"value": 0.9},
        "nesterov": {"value": True},
        "warmup_steps": {"value": 400},
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    data = ss.analyze(tmp_path)
    assert data.max_stable_sharpness.values == pytest.approx(3.8 / 0.28)
    assert "warmup_steps is 400: lr is taken as constant" in notes(data)
    assert "The momentum is Nesterov's" in notes(data)


def test_links_beside_a_log_are_not_followed(tmp_path):
    """Protects files elsewhere from a folder of somebody else's."""
    (tmp_path / "secret.json").write_text('{"lr": 0.1}')
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.csv").write_text("step,sharpness\n0,1\n1,2\n2,3\n")
    (folder / "config.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ValueError, match="must have a column lr"):
        ss.analyze(folder, momentum=0.5)


def test_folders_of_runs_are_members(tmp_path):
    """Protects Lightning's folder of versions and Trainer's of checkpoints."""
    for k in range(2):
        folder = tmp_path / "lightning_logs" / f"version_{k}"
        folder.mkdir(parents=True)
        shutil.copy(SAMPLES / "lightning" / "metrics.csv", folder)
    assert formats.members(tmp_path / "lightning_logs") == ("version_0", "version_1")
    assert formats.read(tmp_path / "lightning_logs", "version_1").size("step") == 162
    for step in (9, 80, 10):
        folder = tmp_path / "trainer" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        shutil.copy(SAMPLES / "trainer_state.json", folder)
    assert "Of several runs checkpoint-80 is read" in notes(ss.analyze(tmp_path / "trainer", momentum=0.5))


def test_a_sample_of_a_history_is_told():
    """Protects rates: W&B gives 500 rows of a run at irregular strides."""
    steps = np.sort(np.random.default_rng(0).choice(20_000, 500, replace=False))
    data = ss.analyze({"_step": steps, "sharpness": np.ones(500)}, lr=LR, momentum=MOMENTUM)
    assert "sharpness is a sample: 500 records at irregular strides" in notes(data)


@pytest.mark.parametrize(
    ("losses", "rows", "stride"), [(81, 81, 1), (1000, 20, 50), (977, 19, 50), (400, 200, 2), (4999, 49, 100)]
)
def test_the_stride_of_eigenvalues_follows_from_their_number(losses, rows, stride):
    """Protects sharpnesses from the wrong steps: the code keeps losses // stride rows and no stride."""
    from selfstab.records.formats.edge_of_stability import _stride

    assert losses // stride == rows
    assert _stride(losses, rows)[0] == stride


def test_a_reader_that_is_missing_is_named(tmp_path, monkeypatch):
    """Protects whoever lacks the extra: the module is named, before the file is opened."""
    import sys

    for name, module in (("run.parquet", "pyarrow"), ("run.h5", "h5py"), ("run.pt", "torch")):
        monkeypatch.setitem(sys.modules, module, None)
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(ImportError, match=f"needs {module}, which cannot be imported"):
            ss.analyze(Path(tmp_path / name))
