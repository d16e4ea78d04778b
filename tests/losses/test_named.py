"""Losses named in text: settings, states, formulas, families along what data are made from."""

import pickle

import numpy as np
import pytest

import selfstab as ss
from selfstab import datasets
from selfstab.losses.named import NAMES, NamedMaker, named_loss
from selfstab.losses.registry import named_class

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
