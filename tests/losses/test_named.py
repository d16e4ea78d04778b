"""Losses by name: the registry, settings as text, formulas, families along what data are made from."""

import importlib
import pickle
import sys
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

import selfstab as ss
from selfstab import datasets
from selfstab.cli.options import LOSS_HELP
from selfstab.explorer.state import FORMULA, MODELS
from selfstab.losses.base.named_loss import NamedLoss, number, numbers, whole
from selfstab.losses.named import NAMES, NamedMaker, named_loss
from selfstab.losses.registry import REGISTRY, named_class
from selfstab.losses.symbolic.toy import Toy


@pytest.mark.parametrize("name", NAMES)
def test_one_line_registers_a_loss_everywhere(name):
    """Protects the recipe for a new toy: command line, store, explorer and package read one registry."""
    kind = named_class(name)
    assert issubclass(kind, NamedLoss)
    assert getattr(ss, name, kind) is kind
    assert kind.__name__ == name
    assert name in LOSS_HELP
    if issubclass(kind, Toy) and kind.demonstration is not None:
        assert MODELS[name] is kind.demonstration


def test_a_new_toy_is_one_class_and_one_line(monkeypatch, tmp_path):
    """Protects the recipe itself: a class and its line, and the command line, a store and `resume` know the toy."""

    class Tilted(Toy):
        text_settings = MappingProxyType({"tilt": "0.25"})

        def __init__(self, tilt):
            super().__init__("(w**2 - 1)**2/4 + tilt*w", "w", {"tilt": tilt})

    monkeypatch.setitem(sys.modules, "selfstab.losses.tilted", SimpleNamespace(Tilted=Tilted))
    monkeypatch.setitem(REGISTRY, "Tilted", ("tilted", ""))
    loss = named_loss("Tilted", {})
    assert loss.value([1.0]) == 0.25
    assert not ss.check_loss(loss, [1.3]).failures
    axes = {"tilt": [0.1, 0.2], "lr": [0.1, 0.2]}
    settings = {"start": [1.0], "steps": 20, "measure": ["final_loss"], "progress": False}
    store = tmp_path / "tilted.zarr"
    data = ss.sweep(loss, ss.HeavyBall(0.1), axes, **settings, store=store).load()
    assert ss.resume(store, progress=False).load().identical(data)


def test_every_toy_is_registered():
    """Protects against a toy that no command line finds."""
    toys = importlib.import_module("selfstab.losses.toys")
    made_there = {n for n, v in vars(toys).items() if isinstance(v, type) and v.__module__ == toys.__name__}
    assert made_there <= {*NAMES}
    assert [*MODELS][-1] == FORMULA
    assert len(MODELS) == 7


TEXTS = {
    "Quadratic": ({"curvatures": "3,0.5,1"}, lambda: ss.Quadratic([3.0, 0.5, 1.0])),
    "CubicTaylor": ({"stabilization": "2.5"}, lambda: ss.CubicTaylor(1.0, 0.0, 2.5)),
    "Product": ({}, ss.Product),
    "DoubleWell": ({}, ss.DoubleWell),
    "Minimalist": ({}, ss.Minimalist),
    "Chain": ({"depth": "4"}, lambda: ss.Chain(4)),
    "Coupled": ({"eps": "0.1"}, lambda: ss.Coupled(0.5, 0.1)),
    "MLP": (
        {"widths": "64,3,10", "samples": "20", "criterion": "cross-entropy", "weight_decay": "0.1"},
        lambda: ss.MLP(
            (64, 3, 10), *datasets.digits(20, "labels"), criterion="cross-entropy", weight_decay=0.1
        ),
    ),
    "DiagonalNetwork": (
        {"samples": "6", "features": "4", "nonzeros": "1", "depth": "3"},
        lambda: ss.DiagonalNetwork(*datasets.sparse_regression(6, 4, 1, 0), 3),
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_text_makes_what_python_makes(name):
    """Protects the command line: each setting reaches the argument it names, the others have their defaults."""
    settings, make = TEXTS[name]
    loss, known = named_loss(name, settings), make()
    assert type(loss) is type(known)
    assert loss.description == known.description


@pytest.mark.parametrize("name", NAMES)
def test_a_state_makes_the_loss_again(name):
    """Protects `resume`: what a store keeps of a loss is enough to make it, with the same state and bits."""
    settings, _ = TEXTS[name]
    loss = named_loss(name, settings)
    again = named_class(name).from_state(loss.state())
    w = np.linspace(0.2, 1.0, loss.dimension)
    assert again.value(w) == loss.value(w)
    assert [*again.state()] == [*loss.state()]
    assert again.description == loss.description


def test_a_formula_is_no_name():
    """Protects formulas on a command line: variables make the text one, also if it is a name."""
    loss = named_loss("k*Product**2/2", {"k": "3"}, ["Product"])
    assert loss.value([2.0]) == 6.0


def test_an_axis_of_data_makes_a_family():
    """Protects sweeps along samples and seeds: the family's loss is that of the same text without the axis."""
    settings = {"samples": "6", "features": "4", "nonzeros": "1", "depth": "3"}
    family = named_loss("DiagonalNetwork", settings, axes={"seed": [0, 1]})
    assert isinstance(family, ss.LossFamily)
    assert dict(family.parameters) == {"samples": 6, "features": 4, "nonzeros": 1, "seed": 0}
    w = np.linspace(0.1, 1.0, 8)
    known = named_loss("DiagonalNetwork", settings | {"seed": "5"})
    assert family.replace(seed=5).value(w) == known.value(w)
    assert family.state()["maker"] == "DiagonalNetwork"
    assert family.state()["settings"] == {"depth": "3"}
    maker = pickle.loads(pickle.dumps(family.make))
    assert maker == NamedMaker("DiagonalNetwork", (("depth", "3"),))
    assert isinstance(named_loss("DiagonalNetwork", settings, axes={"lr": [0.1]}), ss.DiagonalNetwork)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: named_loss("Produkt", {}), "loss must be one of Quadratic, .*, or a formula"),
        (lambda: named_loss("Chain", {"deep": "3"}), "settings of Chain must be one of depth"),
        (lambda: named_loss("Chain", {"depth": "3.5"}), "depth must be a whole number, got '3.5'"),
        (lambda: named_loss("Coupled", {"zeta": "x"}), "zeta must be a number, got 'x'"),
        (lambda: named_loss("Quadratic", {"curvatures": "1,,2"}), "curvatures must be a number, got ''"),
    ],
)
def test_bad_text(call, match):
    """Protects the messages of a command line: the setting, the text, what is allowed."""
    with pytest.raises(ValueError, match=match):
        call()


def test_numbers_in_text():
    """Protects the three readers of numbers."""
    assert number("lr", "1e-3") == 1e-3
    assert whole("depth", "7") == 7
    assert numbers("start", "1,-2.5,3e2").tolist() == [1.0, -2.5, 300.0]
    assert {*REGISTRY} == {*NAMES}
