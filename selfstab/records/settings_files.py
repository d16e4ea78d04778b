"""Settings that stand in a file of their own beside a log, under a name that training code gives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from selfstab.notices import printable
from selfstab.records import trees
from selfstab.records.columns.roles import rank

NAMES: Final = (
    "hparams.yaml", "config.yaml", "config.json", "hparams.json", "args.json", "params.json", "hyperparameters.json",
    "hyperparams.json", "settings.json", "params.yaml", "args.yaml",
)  # fmt: skip
"""Files that are looked for in the log's own folder."""

LOGS: Final = (
    "metrics.csv", "trainer_state.json", "results.txt", "data.hdf5", "history.csv", "history.json", "history.jsonl",
    "history.parquet", "progress.csv", "log.csv", "logs.csv", "log.json", "log.jsonl", "metrics.json", "metrics.jsonl",
    "training.csv", "training.log", "training_log.csv", "train_log.csv", "wandb-history.jsonl", "run.csv",
    "results.csv", "results.json", "mlflow.db", "mlruns.db",
)  # fmt: skip
"""Names under which training code keeps its log, each in a folder of its own."""

_MOST_BYTES: Final = 2**20
_ROLES: Final = ("lr", "momentum")


def beside(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings of a folder, by names joined with '/', and notes on where they are from.

    Parameters
    ----------
    folder
        Where the log is. No link in it is followed.

    Returns
    -------
    attributes
        Numbers and texts; empty without such a file, or if none is understood.
    notes
        One sentence for each file.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "config.json").write_text('{"optimizer": {"lr": 0.1, "momentum": 0.9}}')
    >>> beside(folder)
    ({'optimizer/lr': 0.1, 'optimizer/momentum': 0.9}, ('config.json beside it gives lr 0.1, momentum 0.9.',))
    """
    attributes: dict[str, Any] = {}
    notes = []
    for name in NAMES:
        path = folder / name
        if path.is_symlink() or not path.is_file():
            continue
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise ValueError("it is too large")
            document = _document(path)
            found = trees.scalars(_plain(document)) if isinstance(document, dict) else {}
        except ImportError:
            notes.append(f"{name} beside it is not read: PyYAML cannot be imported.")
            continue
        except Exception:  # any error of a parser: settings are no part of the record
            notes.append(f"{name} beside it is not understood; its settings are not used.")
            continue
        told = [
            f"{role} {printable(str(value))}"
            for role in _ROLES
            for key, value in found.items()
            if rank(role, key) is not None and not isinstance(value, bool)
        ]
        if told:
            notes.append(f"{name} beside it gives {', '.join(told[:8])}.")
        attributes = found | attributes
    return attributes, tuple(notes)


def of_log(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what :func:`beside` does of a log's folder, if the log has a name of :data:`LOGS`; else nothing.

    Parameters
    ----------
    path
        The log.

    Examples
    --------
    >>> of_log(Path("my_own.csv"))
    ({}, ())
    """
    return beside(path.absolute().parent) if path.name in LOGS else ({}, ())


def _document(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    import yaml

    return yaml.safe_load(text)


def _plain(document: Any) -> Any:
    """Return a document in which W&B's {"value": ...} stands for the value."""
    if not isinstance(document, dict):
        return document
    return {
        name: part["value"]
        if isinstance(part, dict) and part.keys() <= {"value", "desc"} and "value" in part
        else part
        for name, part in document.items()
        if name not in ("_wandb", "wandb_version")
    }
