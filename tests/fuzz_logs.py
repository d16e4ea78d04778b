"""Fuzz of logs of text: a run in any form is read to the last bit, and what is damaged ends in one line.

Run it as ``python -m tests.fuzz_logs COUNT SEED``.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

import selfstab as ss
from tests.fuzz import ending

NAMES = {
    "step": ("step", "Step", "global_step", "trainer/global_step", "iteration", "Step [it]", "# step", "_step"),
    "sharpness": (
        "sharpness", "Sharpness (1/lr)", "hessian/lambda_max", "λ_max", "max_hessian_eigenvalue", "eig_1", "top_eig",
        "train/sharpness", "lambda_max(H)", "Largest Hessian Eigenvalue",
    ),
    "loss": ("loss", "train_loss", "Loss/train", "train/loss_step", "Train loss (MSE)"),
}  # fmt: skip
OTHERS = ("val_loss", "accuracy", "test loss", "batch_sharpness", "time", "val_sharpness", "loss (test)")
BLANKS = ("", "NaN", "nan", "None", "-", "--", "#N/A", "?", "null")
SEPARATORS = {",": ".csv", ";": ".csv", "\t": ".tsv", "|": ".csv", "; ": ".txt"}


def run_of(rng):
    """Return steps, sharpness and loss; NaN where the sharpness is not recorded."""
    draw = np.random.default_rng(rng.randrange(2**32))
    size = rng.choice([3, 8, 40])
    step = np.cumsum(draw.integers(1, rng.choice([2, 4]), size))
    sharpness, loss = 10.0 ** draw.integers(-3, 4) * (1.0 + draw.random(size)), np.exp(-draw.random(size))
    if rng.random() < 0.4:
        sharpness[draw.choice(size, size - 3, replace=False)[: size // 3]] = np.nan
    return {"step": step, "sharpness": sharpness, "loss": loss}


def written(rng, folder):
    """Write a run in a form by chance; return its path and the run."""
    run = run_of(rng)
    names = {role: rng.choice(several) for role, several in NAMES.items()}
    if names["sharpness"] == "eig_1" and rng.random() < 0.5:
        names["second"] = "eig_2"
    separator = rng.choice([*SEPARATORS])
    comma = separator != "," and rng.random() < 0.5
    blank = rng.choice(BLANKS)
    columns = {"step": [str(step) for step in run["step"]]}
    for role in ("sharpness", "loss"):
        columns[role] = [blank if np.isnan(value) else repr(float(value)) for value in run[role]]
    if "second" in names:
        columns["second"] = [repr(1e-9)] * len(columns["step"])
    if rng.random() < 0.3:
        columns["loss"] = [
            f"tensor({text})" if "," not in separator else f'"tensor({text})"' for text in columns["loss"]
        ]
        comma = False
    order = [*columns]
    rng.shuffle(order)
    other = rng.choice(OTHERS) if rng.random() < 0.5 else ""
    head = [names[role] for role in order] + ([other] if other else [])
    rows = [
        [columns[role][k] for role in order] + (["0.5"] if other else []) for k in range(len(columns["step"]))
    ]
    if comma:
        rows = [[text.replace(".", ",") for text in row] for row in rows]
    lines = [separator.join(head), *(separator.join(row) for row in rows)]
    if rng.random() < 0.2:
        lines.insert(rng.randrange(1, len(lines)), lines[0])  # begun again
    if rng.random() < 0.2 and len(head) > 1:
        lines = [line + separator.strip(" ") for line in lines]
    for remark in rng.sample(
        ["# a remark", "", "sep=" + separator[0], "# lr=3, momentum=0.25"], rng.choice([0, 0, 1, 2])
    ):
        if not remark.startswith("sep") or separator in SEPARATORS:
            lines.insert(0, remark)
    if any(line.startswith("sep=") for line in lines[1:3]):
        lines = [line for line in lines if not line.startswith("sep=")]
    text = rng.choice(["\n", "\r\n"]).join(lines) + rng.choice(["", "\n", "\n\n"])
    path = folder / f"run{SEPARATORS[separator]}"
    data = text.encode(rng.choice(["utf-8", "utf-8-sig", "utf-16"]))
    if rng.random() < 0.1:
        path, data = Path(f"{path}.gz"), gzip.compress(data)
    path.write_bytes(data)
    return path, run, text


def documented(rng, folder):
    """Write a run as JSON in a form by chance; return its path and the run."""
    run = run_of(rng)
    rows = [
        {name: None if np.isnan(value) else float(value) for name, value in zip(run, values, strict=True)}
        for values in zip(*run.values(), strict=True)
    ]
    for row in rows:
        row["step"] = int(row["step"])
    kind = rng.choice(["rows", "lines", "columns", "nested", "steps", "settings"])
    if kind == "columns":
        document = {name: [row[name] for row in rows] for name in run}
    elif kind == "nested":
        document = [
            {"global_step": row["step"], "train": {"loss": row["loss"]}, "h": {"lmax": row["sharpness"]}}
            for row in rows
        ]
    elif kind == "steps":
        document = {str(row["step"]): {"loss": row["loss"], "sharpness": row["sharpness"]} for row in rows}
    else:
        document = [{"seed": 3}, *rows] if kind == "settings" else rows
    path = folder / ("run.jsonl" if kind == "lines" else "run.json")
    text = "\n".join(map(json.dumps, document)) if kind == "lines" else json.dumps(document)
    path.write_text(text)
    return path, run, text


def check(path, run):
    """Raise AssertionError unless a file is read as the run that it holds."""
    data = ss.analyze(path, lr=0.5, momentum=0.25)
    here = {name: data[name].values for name in ("step", "sharpness", "loss")}
    stays = ~np.isnan(run["sharpness"]) | np.isin(run["step"], here["step"])
    assert here["step"].tolist() == run["step"][stays].tolist()
    for name in ("sharpness", "loss"):
        assert np.array_equal(here[name], run[name][stays], equal_nan=True), name


def damaged(rng, path):
    """Change some bytes of a file."""
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 3, 20])):
        at = rng.randrange(len(data))
        how = rng.random()
        if how < 0.4:
            data[at] = rng.randrange(256)
        elif how < 0.7:
            del data[at : at + rng.choice([1, 5, 50])]
        else:
            data[at:at] = rng.choice(
                [b",", b";", b'"', b"\n", b"[", b"{", b"#", b"\0", b"nan", b"1e999", b"\xff"]
            )
        if not data:
            data = bytearray(b"x")
    path.write_bytes(bytes(data))


def main(count, seed):
    """Run some calls and print what is not as it must be."""
    rng = random.Random(seed)
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for k in range(count):
            for old in folder.iterdir():
                old.unlink()
            path, run, text = (documented if rng.random() < 0.3 else written)(rng, folder)
            try:
                check(path, run)
            except Exception as error:  # whatever it is, it is printed with the file
                wrong += 1
                print(f"{k}: {path.name}: {type(error).__name__}: {error}\n{text[:400]!r}")
                continue
            damaged(rng, path)
            end = ending(lambda path=path: ss.analyze(path, lr=0.5, momentum=0.25))
            if end not in ("refused", "accepted"):
                wrong += 1
                print(f"{k}: {path.name}, damaged: {end}\n{path.read_bytes()[:400]!r}")
    print(f"{count} logs, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])) > 0)
