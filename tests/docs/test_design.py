"""The design page: its layers are the contract's, its vocabulary is the code's, its phases are the package's."""

from __future__ import annotations

import importlib
import inspect
import re
import tomllib
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray

import selfstab as ss
from selfstab import phases
from selfstab.kernels.measures import MEASURES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
HEADER = "| symbol | word | in code | unit | meaning | where |"


def rows(header: str) -> list[list[str]]:
    """Return the cells of every table with this header."""
    lines = PAGE.splitlines()
    out = []
    for k, line in enumerate(lines):
        if line == header:
            body = lines[k + 2 :]
            length = next(i for i, row in enumerate([*body, ""]) if not row.startswith("|"))
            out += [[cell.strip() for cell in row.strip("|").split("|")] for row in body[:length]]
    return out


TERMS = [(word, name.strip("`"), unit, where.strip("`")) for _, word, name, unit, _, where in rows(HEADER)]


# -- layers -------------------------------------------------------------------------------------------------------


def test_the_layers_are_those_of_the_import_contract():
    """Protects a reader from a drawing that the code has left."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    drawing = re.findall(r"^## Layers\n.*?^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
    assert drawing.splitlines() == [layer.replace("selfstab.", "") for layer in contract]


# -- the vocabulary -----------------------------------------------------------------------------------------------


KEEP = ("loss", "sharpness", "weights", "velocity", "gradient_norm", "top_eigenvector")
PRECONDITIONED = ("preconditioned_sharpness", "preconditioner")
FAST = {"optimizer": ss.HeavyBall(0.97, 0.5)}


@cache
def network() -> tuple[ss.DiagonalNetwork, np.ndarray, np.ndarray]:
    """Return a small network, for which nothing is compiled, with a start and what precedes it."""
    rng = np.random.default_rng(0)
    loss = ss.DiagonalNetwork(rng.normal(size=(4, 3)), rng.normal(size=4))
    return loss, *ss.flip_start(loss, loss.initial_weights(scale=0.6), 1e-2)


@cache
def catapult() -> tuple[ss.Product, np.ndarray, np.ndarray, xarray.Dataset]:
    """Return a toy, the minimum that its catapult starts at, the start, and the run."""
    loss = ss.Product()
    minimum = loss.minimum(sharpness=4.0)
    start, previous = ss.flip_start(loss, minimum, 1e-3)
    run = ss.simulate(loss, start=start, steps=400, previous=previous, keep=KEEP, **FAST)
    return loss, minimum, start, run


def simulated() -> xarray.Dataset:
    loss, start, previous = network()
    return ss.simulate(
        loss, ss.HeavyBall(0.1, 0.5), start, 5, previous=previous, keep=(*KEEP, *PRECONDITIONED)
    )


def swept() -> xarray.Dataset:
    loss, start, previous = network()
    axes = {"momentum": [0.0, 0.5], "excess": [0.01], "noise": [0.0, 1e-9]}
    return ss.sweep(
        loss, ss.HeavyBall(1.0), axes, start=start, previous=previous, steps=8, measure=[*MEASURES], threads=1,
        progress=False,
    )  # fmt: skip


def detected() -> xarray.Dataset:
    run = catapult()[-1]
    return ss.catapults(run.sharpness, run.max_stable_sharpness, run.loss)


def beside(function: Callable[..., xarray.Dataset]) -> xarray.Dataset:
    loss, _, start, _ = catapult()
    return function(loss, start=start, steps=5, **FAST)


MAKERS: dict[str, Callable[[], xarray.Dataset]] = {
    "simulate": simulated,
    "sweep": swept,
    "catapults": detected,
    "observables.swing": lambda: ss.observables.swing(catapult()[-1], *catapult()[:2]),
    "analyze": lambda: ss.analyze(catapult()[-1]),
    "constrained_trajectory": lambda: beside(ss.constrained_trajectory),
    "predicted_dynamics": lambda: beside(ss.predicted_dynamics),
    "averaged_flow": lambda: beside(ss.averaged_flow),
    "edge_flow": lambda: beside(ss.edge_flow),
    "rod_flow": lambda: beside(ss.rod_flow),
}


@cache
def dataset(where: str) -> xarray.Dataset:
    """Return what a public function returns, on a small run."""
    return MAKERS[where]()


def defined(where: str) -> object:
    """Return what the column *where* names."""
    try:
        return importlib.import_module(f"selfstab.{where}")
    except ModuleNotFoundError:
        room, _, name = f"selfstab.{where}".rpartition(".")
        return getattr(ss if room == "selfstab" else defined(room.removeprefix("selfstab.")), name)


def names_of(where: str) -> set[str]:
    """Return what an object names: itself, its parameters and attributes, and variables of what it returns."""
    value = defined(where)
    names = {where.rpartition(".")[2], *dir(value)}
    if callable(value):
        names |= {*inspect.signature(value).parameters}
    if where in MAKERS:
        names |= {str(name) for name in dataset(where).variables}
    return names


@pytest.mark.parametrize(("word", "name", "unit", "where"), TERMS, ids=[row[0] for row in TERMS])
def test_a_term_has_its_name_where_the_table_says(word, name, unit, where):
    """Protects the one vocabulary: a name that is renamed is renamed in its table."""
    assert word
    assert name in names_of(where), f"selfstab.{where} has no {name}"


BASES = {
    "lr": Counter(lr=1),
    "step": Counter(step=1),
    "weight": Counter(weight=1),
    "sharpness": Counter(lr=-1),
    "loss": Counter(weight=2, lr=-1),
    "1": Counter(),
}


def dimension(unit: str) -> dict[str, int]:
    """Return the exponents of lr, weight and step in a unit, such as "loss/lr per weight²" or "1/(lr^2 weight^2)"."""
    total: Counter[str] = Counter()
    parts = re.sub(r"²", "^2", unit).split(" per ")
    for k, part in enumerate(parts):
        numerator, _, denominator = part.partition("/")
        for sign, factors in ((1, numerator), (-1, denominator)):
            for word, power in re.findall(r"(\w+)(?:\^(\d))?", factors):
                for base, exponent in BASES[word].items():
                    total[base] += (sign if k == 0 else -sign) * exponent * int(power or 1)
    return {base: exponent for base, exponent in total.items() if exponent}


def test_units_are_read_as_they_are_written():
    """Protects the next test, which compares units: those that are equal and those that are not."""
    assert dimension("loss/lr per weight²") == dimension("1/lr^2") == {"lr": -2}
    assert dimension("1/(lr^2 weight^2)") == dimension("1/lr² per weight²") == {"lr": -2, "weight": -2}
    assert dimension("1/sharpness") == {"lr": 1}
    assert dimension("weight per step") == {"weight": 1, "step": -1}
    assert dimension("1") == {}
    assert dimension("loss per weight") != dimension("loss")


def test_units_are_those_of_the_datasets():
    """Protects a reader of data: a name has one unit in the table and in every dataset that has a unit for it."""
    units = {name: unit for _, name, unit, _ in TERMS if unit}
    compared = set()
    for where in MAKERS:
        for name, variable in dataset(where).variables.items():
            if str(name) in units and "units" in variable.attrs and "deprecated" not in variable.attrs:
                assert dimension(variable.attrs["units"]) == dimension(units[str(name)]), (where, name)
                compared.add(str(name))
    assert len(compared) >= 25, sorted(compared)


def test_a_word_and_a_symbol_stand_once():
    """Protects against two meanings of one word."""
    words = [word for word, *_ in TERMS]
    symbols = [row[0] for row in rows(HEADER) if row[0]]
    assert len(words) == len(set(words)) > 50
    assert len(symbols) == len(set(symbols)) > 25


def public_names() -> set[str]:
    """Return public names, their parameters, and the variables of datasets."""
    names = {str(name) for where in MAKERS for name in dataset(where).variables} | set(MEASURES)
    for room in (ss, ss.theory, ss.plotting, ss.observables, ss.datasets):
        listed = getattr(room, "__all__", dir(room))
        for name in listed:
            value = getattr(room, name)
            names.add(name)
            if inspect.isfunction(value) or inspect.isclass(value):
                names |= {*inspect.signature(value).parameters}
    return names


@pytest.mark.parametrize("name", ["limits", "outcome", "kick", "eta", "beta", "gamma", "critical_sharpness"])
def test_words_that_are_not_used_are_no_public_names(name):
    """Protects the vocabulary from a second word for one thing."""
    assert name not in public_names()
    listed = "".join(row[0] for row in rows("| not | but | because |"))
    assert name.replace("_", " ") in listed


# -- phases, aliases ----------------------------------------------------------------------------------------------


def test_the_phases_are_those_of_the_package():
    """Protects the meaning of stored codes, and their order."""
    table = {int(code.replace("−", "-")): name for code, name, _ in rows("| code | phase | meaning |")}
    assert list(table.items()) == list(phases.LABELS.items())


def test_an_alias_goes_with_the_version_that_the_policy_names():
    """Protects who reads a warning: it names the version that the design page promises."""
    promised = set(re.findall(r"goes with (\d+\.\d+)\.0", PAGE))
    assert promised == {"0.4"}
    sources = [*(ROOT / "selfstab").rglob("*.py")]
    named = {
        version
        for path in sources
        for version in re.findall(r"goes? with version (\d+\.\d+)", path.read_text(encoding="utf-8"))
    }
    assert named == promised
