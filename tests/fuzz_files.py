"""Damaged and hostile files and stores: each is read, mended, or refused by one clean line.

    python tests/fuzz_files.py COUNT SEED

Prints as JSON, in its last line, how many were refused and accepted, the slowest, and those that ended in any other
way: another exception, a message of several lines or with control characters, more than five seconds or three
gigabytes, or a change to what lies elsewhere.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import xarray

import selfstab as ss
from selfstab.kernels import modules
from selfstab.records import formats
from selfstab.sweeps.storage import layout
from selfstab.sweeps.sweep import resume

HANGS = 60
"""Seconds after which a call hangs, on the slowest machine."""

SECONDS = 5.0
MEMORY = 3 * 2**30

SAMPLES = Path(__file__).parent / "records" / "samples"
LOGS = {"lightning": "", "keras.csv": "", "trainer_state.json": "", "mlruns": "", "wandb.csv": "", "results.txt": "",
        "tensorboard": "tensorboard", "run.pt": "torch", "wandb.parquet": "pyarrow", "wandb.feather": "pyarrow",
        "central_flows": "h5py", "edge_of_stability": "torch"}  # fmt: skip
"""Samples, and what reads them beside selfstab."""

SWEEP = {"axes": {"lr": np.linspace(0.1, 1.0, 100)}, "start": [1.0], "steps": 2, "measure": ["final_loss", "phase"],
         "noise": 0.1, "repeats": 3, "progress": False, "threads": 1}  # fmt: skip
JUNK = [None, True, -1, 0, 1, 2**31, 2**62, 2**80, 1e308, float("nan"), "", "../../elsewhere/canary", "|O", "object",
        "pickle", "\x1b[2J", [], [[]], {}, {"id": "pickle"}, [{"id": "pickle"}], [{"name": "numcodecs.pickle"}],
        [2**40], [0], [-1], ["x"], "a" * 10_000, [1] * 1000, {"a": {"a": {"a": {}}}}, "<U99999999", "<f8", "float128",
        {"name": "sharding_indexed", "configuration": {}}]  # fmt: skip


def prototypes(folder: Path) -> dict[str, Path]:
    """Write a file of each kind, and a store."""
    run = ss.simulate(ss.CubicTaylor(1.0), ss.HeavyBall(1.9, 0.5), [0.3, 0.1], 60)
    paths = {}
    for name in ("run.nc", "run.npz", "run.zarr", "run.csv"):
        paths[name] = folder / name
        formats.format_to_write(paths[name]).write(run, paths[name])
    paths["two.zarr"] = folder / "two.zarr"
    run.to_zarr(paths["two.zarr"], zarr_format=2, consolidated=False)
    paths["three.nc"] = folder / "three.nc"
    run.to_netcdf(paths["three.nc"], engine="netcdf4", format="NETCDF3_64BIT")
    paths["store"] = folder / "store"
    layout.LARGEST_CHUNK = 40
    swept(paths["store"])
    return paths | logs(folder)


def logs(folder: Path) -> dict[str, Path]:
    """Copy the samples of other libraries' logs, those whose readers are installed."""
    paths = {}
    for name, module in LOGS.items():
        if not module or find_spec(module):
            paths[name] = folder / name
            (shutil.copytree if (SAMPLES / name).is_dir() else shutil.copy)(SAMPLES / name, paths[name])
    return paths


def swept(path: Path) -> xarray.Dataset:
    """Go on with the store's sweep."""
    return ss.sweep(ss.Quadratic([1.0]), ss.HeavyBall(0.5), store=path, **SWEEP).load()


def resumed(path: Path) -> xarray.Dataset:
    """Go on with whatever sweep a store says it holds."""
    return resume(path, progress=False, threads=1).load()


def analyzed(path: Path) -> None:
    """Read all columns of a run, then analyze it."""
    table = formats.read(path)
    for name in table.columns:
        assert len(table.columns[name]) == table.size(name)
    ss.analyze(path, momentum=0.5)


def mutated_bytes(rng: random.Random, file: Path) -> str:
    """Change some bytes of a file."""
    data = bytearray(file.read_bytes())
    how = rng.choice(["flip", "cut", "zeros", "twice", "numbers", "long"])
    at = rng.randrange(len(data) + 1)
    if how == "flip":
        for _ in range(rng.choice([1, 1, 3, 20])):
            if data:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del data[at:]
    elif how == "zeros":
        data[at : at + 8] = bytes(8)
    elif how == "twice":
        data[at:at] = data[: rng.randrange(len(data) + 1)]
    elif how == "numbers":
        data[at : at + 8] = rng.choice([b"\xff" * 8, (2**31).to_bytes(8, "little"), rng.randbytes(8)])
    else:
        data += bytes(rng.choice([1, 1000]))
    file.write_bytes(data)
    return how


def mutated_document(rng: random.Random, file: Path) -> str:
    """Change one value of a file of metadata, or leave it out."""
    document = json.loads(file.read_bytes())
    place, path = document, []
    while True:
        keys = [*place] if isinstance(place, dict) else [*range(len(place))]
        if not keys:
            return "nothing"
        key = rng.choice(keys)
        path.append(str(key))
        if not isinstance(place[key], (dict, list)) or not place[key] or rng.random() < 0.3:
            break
        place = place[key]
    if rng.random() < 0.15:
        del place[key]
    else:
        place[key] = rng.choice(JUNK)
    if rng.random() < 0.1 and isinstance(place, dict):
        place[rng.choice(["\x1b[2J", "../x", "filters", "storage_transformers", "\u202e"])] = rng.choice(JUNK)
    file.write_text(json.dumps(document))
    return "/".join(path)[:80]


def replaced(rng: random.Random, file: Path, elsewhere: Path) -> str:
    """Put something else in place of a file or a folder."""
    how = rng.choice(["link", "link", "hard link", "pipe", "folder", "nothing", "other", "socket of nobody"])
    other = rng.choice(list(file.parent.iterdir()))
    if how == "other" and other.is_file() and file.is_file():
        file.write_bytes(other.read_bytes())
        return how
    whole = file.is_dir()
    shutil.rmtree(file) if whole else file.unlink()
    if how == "link":
        file.symlink_to(elsewhere if whole else elsewhere / "canary")
    elif how == "hard link":
        os.link(elsewhere / "canary", file)
    elif how == "pipe":
        os.mkfifo(file)
    elif how == "folder":
        file.mkdir()
    elif how.startswith("socket"):
        file.symlink_to("/proc/self/fd/0")
    return how


def hostile(rng: random.Random, path: Path, elsewhere: Path) -> str:
    """Change a run or a store in one to three places; say how."""
    said = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        inside = [entry for entry in path.rglob("*") if not entry.is_symlink()] if path.is_dir() else [path]
        plain = [entry for entry in inside if entry.is_file() and entry.stat().st_nlink == 1]
        documents = [entry for entry in plain if entry.name in ("zarr.json", ".zarray", ".zattrs", ".zgroup")]
        how = rng.random()
        try:
            if documents and how < 0.45:
                file = rng.choice(documents)
                said.append(f"{file.relative_to(path.parent)} {mutated_document(rng, file)}")
            elif path.is_dir() and how < 0.7:
                file = rng.choice(inside)
                said.append(f"{file.relative_to(path.parent)} {replaced(rng, file, elsewhere)}")
            elif plain:
                file = rng.choice(plain)
                said.append(f"{file.relative_to(path.parent)} {mutated_bytes(rng, file)}")
        except (ValueError, KeyError, TypeError, IndexError):  # metadata that an earlier change left damaged
            continue
    return "; ".join(said)


def ending(call) -> str:
    """Return how a call ends: refused, accepted, mended, or what is wrong with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            call()
        except (ValueError, TypeError, OSError, UserWarning) as error:
            text = str(error)
            if type(error) not in (ValueError, TypeError, UserWarning) and "selfstab" not in type(error).__module__ \
                    and not isinstance(error, OSError):  # fmt: skip
                return f"{type(error).__name__}: {text}"
            return "refused" if text and text.isprintable() else f"message {text!r}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return "accepted"


def main(count: int, seed: int) -> None:
    """Read or go on with `count` files and stores, and print what became of them."""
    faulthandler.enable()
    modules.compiled = lambda source: SimpleNamespace(**modules.plain(source))
    rng = random.Random(seed)
    counts, wrong, slowest = {"refused": 0, "accepted": 0}, [], (0.0, "")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = prototypes(folder)
        for path in paths.values():
            swept(path) if path.name == "store" else analyzed(path)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        for number in range(count):
            kind = rng.choice([*paths, "store", "store"])
            place, elsewhere = folder / "place", folder / "elsewhere"
            elsewhere.mkdir()
            (elsewhere / "canary").write_text("mine")
            place.mkdir()
            path = place / kind
            shutil.copytree(paths[kind], path) if paths[kind].is_dir() else shutil.copy(paths[kind], path)
            changes = hostile(rng, path, elsewhere)
            # The last line before a crash or a hang says which it was.
            print(number, kind, ascii(changes)[:300], file=sys.stderr, flush=True)
            if kind != "store":
                calls = [lambda path=path: analyzed(path)]
            else:
                calls = [
                    lambda path=path: resume(path, progress=False, threads=1).load(),
                    lambda path=path: swept(path),
                ]
                rng.shuffle(calls)
            for call in calls:
                faulthandler.dump_traceback_later(HANGS, exit=True)
                began = time.perf_counter()
                how = ending(call)
                seconds = time.perf_counter() - began
                faulthandler.cancel_dump_traceback_later()
                if [entry.name for entry in elsewhere.iterdir()] != ["canary"] or (
                    (elsewhere / "canary").read_text() != "mine"
                ):
                    how = "what lies elsewhere was changed"
                if seconds > SECONDS:
                    how = f"{seconds:.1f} s"
                if how in counts:
                    counts[how] += 1
                else:
                    wrong.append(f"{kind} {ascii(changes)[:300]}: {how[:300]}")
                slowest = max(slowest, (seconds, f"{kind} {ascii(changes)[:200]}"))
            shutil.rmtree(place)
            shutil.rmtree(elsewhere)
    print(json.dumps({**counts, "slowest": slowest, "wrong": wrong}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
