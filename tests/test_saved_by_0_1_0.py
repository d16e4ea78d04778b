"""What version 0.1.0 wrote is read: stores go on, datasets analyze, pickles load."""

import json
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray

import selfstab as ss
from selfstab.provenance import deciding_bits

SAVED = Path(__file__).parent / "saved_by_0_1_0"


@pytest.fixture
def unpacked(tmp_path):
    """Return the function that unpacks a saved folder."""

    def unpack(name: str) -> Path:
        shutil.unpack_archive(SAVED / f"{name}.zip", tmp_path / name)
        return tmp_path / name

    return unpack


def dataset(name: str) -> xarray.Dataset:
    """Return a saved dataset."""
    with xarray.open_dataset(SAVED / name) as data:
        return data.load()


def with_versions_of_today(store: Path, blas: bool) -> None:
    """Let a store say that today's libraries made it: theirs decide bits, and another machine has others.

    Numba's version, which 0.1.0 wrote too, is one that is not installed: kernels are compiled without it today.
    """
    today = {name: text for name, text in deciding_bits(blas).items() if name != "bits_since"}
    for path, inside in ((store / "selfstab-sweep/zarr.json", False), (store / "zarr.json", True)):
        document = json.loads(path.read_bytes())
        # The root repeats what its groups say.
        group = document["consolidated_metadata"]["metadata"]["selfstab-sweep"] if inside else document
        group["attributes"]["made_by"] |= today | {"numba": "0.61.0"}
        path.write_text(json.dumps(document))


UNFINISHED = ("warmup",)
"""Stores with phases, of runs that were killed."""


@pytest.mark.parametrize(("name", "blas"), [("product", False), ("warmup", False), ("network", True)])
def test_a_store_goes_on(unpacked, monkeypatch, name, blas):
    """Protects stores: a finished one and one that was killed give the bits that 0.1.0 computed.

    Their settings are compared as they were written; a later version of selfstab goes on with them, and says that their
    blocks have the phases of theirs.
    """
    monkeypatch.setattr(ss, "__version__", "9.9")
    store = unpacked(f"{name}.zarr")
    with_versions_of_today(store, blas)
    if name in UNFINISHED:
        with pytest.warns(UserWarning, match="its finished blocks have the phases of version 0.1"):
            ss.resume(store, progress=False)
    data = ss.resume(store, progress=False).load()
    before = dataset(f"{name}.nc")
    for measure in before:
        assert data[measure].values.tobytes() == before[measure].values.tobytes(), measure
    assert dict(data.sizes) == dict(before.sizes)
    for coordinate in before.coords:
        assert np.array_equal(data[coordinate], before[coordinate])


def test_a_sweep_has_the_bits_of_0_1_0():
    """Protects the numbers themselves: the same call computes the same bits."""
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), size=1e-3)
    before = dataset("product.nc")
    axes = {name: before[name].values for name in ("momentum", "excess")}
    with pytest.warns(
        DeprecationWarning, match="measure 'peak_excess' is now called 'peak_excess_sharpness'"
    ):
        data = ss.sweep(
            loss,
            ss.HeavyBall(1.0),
            axes,
            start=start,
            previous=previous,
            steps=600,
            measure=[*before],
            progress=False,
        )
    for measure in before:
        assert data[measure].values.tobytes() == before[measure].values.tobytes(), measure


def test_a_run_has_the_bits_of_0_1_0():
    """Protects single runs: every variable that 0.1.0 recorded is the same to the bit."""
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), size=1e-3)
    before = dataset("run.nc")
    keep = ["loss", "sharpness", "weights", "velocity", "gradient_norm"]
    run = ss.simulate(loss, ss.HeavyBall(0.97, 0.9), start, 300, previous=previous, keep=keep)
    # A norm comes from the BLAS, which adds in an order of its own on each processor.
    assert run["gradient_norm"].values == pytest.approx(before["gradient_norm"].values, rel=1e-14)
    for variable in (*keep[:-1], "lr", "max_stable_sharpness", "diverged_at"):
        assert run[variable].values.tobytes() == before[variable].values.tobytes(), variable


@pytest.mark.parametrize("name", ["run.nc", "run.npz", "run.zarr"])
def test_a_saved_run_is_analyzed(unpacked, name):
    """Protects saved datasets: `analyze` reads them, and finds the catapult that the run had."""
    path = unpacked(name) if name.endswith(".zarr") else SAVED / name
    data = ss.analyze(path, momentum=0.9)
    assert float(data.overshoot[0]) == pytest.approx(8.58, abs=5e-3)


PICKLES = {
    "heavy_ball": ss.HeavyBall(ss.LinearWarmup(0.1, 0.2, 5), 0.9, 0.1),
    "constant": ss.HeavyBall(ss.Constant(0.1)),
    "initialization": ss.Initialization(1, 0.5),
}
LOSSES = ("product", "cubic", "quadratic", "formula", "mlp", "diagonal")


def unpickled(name: str) -> object:
    """Return a saved object; modules that have moved are found, with a warning that says so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the module selfstab", DeprecationWarning)
        return pickle.loads((SAVED / f"{name}.pickle").read_bytes())


@pytest.mark.parametrize("name", PICKLES)
def test_pickled_settings_load(name):
    """Protects pickles of optimizers and starts: they are equal to those made today."""
    assert unpickled(name) == PICKLES[name]


@pytest.mark.parametrize("name", LOSSES)
def test_pickled_losses_load(name):
    """Protects pickles of losses: of each kind, with the value and the Hessian of one made today."""
    inputs = np.arange(8.0).reshape(2, 4) / 8
    today = {
        "product": ss.Product(), "cubic": ss.CubicTaylor(4.0), "quadratic": ss.Quadratic([2.0, 1.0]),
        "formula": ss.SymbolicLoss("(u*v-c)**2/2", ["u", "v"], {"c": 1.0}),
        "mlp": ss.MLP((4, 3, 1), inputs, np.array([[1.0], [-1.0]])),
        "diagonal": ss.DiagonalNetwork(*ss.datasets.sparse_regression(4, 3, 1, 0)),
    }[name]  # fmt: skip
    loss = unpickled(name)
    w = today.initial_weights(3)
    assert type(loss) is type(today)
    assert loss.value(w) == today.value(w)
    assert np.array_equal(loss.hessian(w), today.hessian(w))


def test_a_moved_module_warns_and_is_the_new_one():
    """Protects scripts that import a module of 0.1: they get today's names and a line that says where these are."""
    import importlib
    import sys

    from selfstab.former_names import MOVED

    for old, new in MOVED.items():
        sys.modules.pop(f"selfstab.{old}", None)
        with pytest.warns(DeprecationWarning, match=f"the module selfstab.{old} is now selfstab.{new}"):
            module = importlib.import_module(f"selfstab.{old}")
        today = importlib.import_module(f"selfstab.{new}")
        assert all(getattr(module, name) is value for name, value in vars(today).items() if name[:2] != "__")
        sys.modules.pop(f"selfstab.{old}", None)


def test_a_moved_module_hides_no_public_name():
    """Protects functions: importing a module sets its name in its package, and would take a function's place."""
    import importlib
    import inspect

    from selfstab.former_names import MOVED

    for old in MOVED:
        package, _, name = f"selfstab.{old}".rpartition(".")
        today = vars(importlib.import_module(package)).get(name)
        assert today is None or inspect.ismodule(today), old
        assert package != "selfstab" or name not in ss.__all__, old


@pytest.mark.parametrize(
    ("text", "goes_on"),
    [("(u*v - 1)**2/2 + tanh(u)", True), ("abs(u)*v**2", False), ("log(1 + exp(u*v))", False)],
)
def test_stores_of_formulas_in_other_functions_do_not_go_on(tmp_path, text, goes_on):
    """Protects stores from two sets of bits: kinks, and what is computed in stable functions now, had others in 0.1."""
    axes, path = {"lr": [0.1, 0.2]}, tmp_path / "a.zarr"

    def swept():
        return ss.sweep(
            ss.SymbolicLoss(text, ["u", "v"]), ss.HeavyBall(0.1), axes, start=[0.5, 0.3], steps=3,
            measure=["final_loss"], store=path, progress=False,
        )  # fmt: skip

    swept()
    for file, inside in ((path / "selfstab-sweep/zarr.json", False), (path / "zarr.json", True)):
        document = json.loads(file.read_bytes())
        group = document["consolidated_metadata"]["metadata"]["selfstab-sweep"] if inside else document
        made_by = group["attributes"]["made_by"]
        # As version 0.1 wrote it, with another text of the kernel.
        group["attributes"]["made_by"] = {
            name: value for name, value in made_by.items() if name not in ("kernels", "formula")
        } | {"kernel": "sha256 0"}
        file.write_text(json.dumps(document))
    if goes_on:
        swept()
    else:
        with pytest.raises(ValueError, match=r"formula is not set there and .in stable functions. here"):
            swept()
