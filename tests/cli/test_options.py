"""Options that commands share: losses by name or formula, their settings, starts and outputs."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.cli.options import loss_of, named_values, start_of, write_output
from selfstab.losses.named import NAMES, named_loss
from tests.cli.commands import PRODUCT, assert_refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("simulate", "Nothing", "--start", "1", "--lr", "1", "--steps", "1"),
            "loss must be one of Quadratic",
        ),
        (("simulate", "Product", "--start", "1", "--lr", "1", "--steps", "1"), "start must have shape (2,)"),
        (("simulate", "Product", "--lr", "1", "--steps", "1"), "start must be given"),
        (
            ("simulate", "CubicTaylor", "-p", "curve=1", "--start", "0,0", "--lr", "1", "--steps", "1"),
            "curvature",
        ),
        (
            ("simulate", "u.__class__", "--variables", "u", "--start", "1", "--lr", "1", "--steps", "1"),
            "column",
        ),
        (
            ("simulate", "MLP", "-p", "widths=64.7,1", "--lr", "1", "--steps", "1"),
            "widths must be a whole number",
        ),
        (("simulate", "MLP", "-p", "widths=inf,1", "--lr", "1", "--steps", "1"), "got 'inf'"),
        (("simulate", *PRODUCT, "-p", "c=1", "--lr", "1"), "settings of Product must be left out"),
        (("simulate", *PRODUCT, "-p", "c=1", "-p", "c=2", "--lr", "1"), "parameter c must be given once"),
    ],
)
def test_options_are_refused_by_name(arguments, message):
    """Protects the door of the options that commands share."""
    assert_refused(arguments, message)


@pytest.mark.parametrize("name", NAMES)
def test_every_named_loss_is_made_with_its_defaults(name: str) -> None:
    """Protects: the names the help lists."""
    loss = named_loss(name, {})
    assert loss.dimension >= 1
    assert np.isfinite(loss.value(loss.initial_weights(seed=1, scale=0.5)))


def test_a_value_may_hold_an_equals_sign():
    """Protects settings that are texts: the first = ends the name."""
    assert named_values(("a=1", "b=x=y", "c=")) == {"a": "1", "b": "x=y", "c": ""}
    with pytest.raises(ValueError, match="parameter must be NAME=VALUE, got 'a'"):
        named_values(("a",))


def test_a_formulas_weights_are_its_variables_in_order():
    """Protects starts given as numbers: the first is the first name, and the other letter is the parameter."""
    options = {"loss": "(u*v - c)**2/2 + v", "variables": " v, u ", "parameters": ("c=2",)}
    loss = loss_of(options)
    assert list(loss.weight_names) == ["v", "u"]
    assert loss.value(np.array([3.0, 0.5])) == pytest.approx((1.5 - 2.0) ** 2 / 2 + 3.0, rel=1e-15)


def test_a_flip_straddles_the_start_along_the_top_eigenvector():
    """Protects --flip: the two starts are SIZE to either side, along what LAPACK calls the top eigenvector."""
    loss = ss.Product()
    start, previous = start_of(loss, {"start": "2,0.4", "flip": 0.01})
    top = np.linalg.eigh(loss.hessian(np.array([2.0, 0.4])))[1][:, -1]
    assert 0.5 * (start + previous) == pytest.approx([2.0, 0.4], rel=1e-14)
    assert abs(0.5 * (start - previous) @ top) == pytest.approx(0.01, rel=1e-12)
    assert np.linalg.norm(start - previous) == pytest.approx(0.02, rel=1e-12)
    assert start_of(loss, {"start": "2,0.4", "flip": None})[1] is None


def test_a_loss_with_data_starts_where_it_initializes():
    """Protects losses without a kernel, which need no --start: it is their own initialization of scale 1."""
    loss = loss_of(
        {
            "loss": "DiagonalNetwork",
            "variables": None,
            "parameters": ("samples=4", "features=3", "nonzeros=1"),
        }
    )
    start, previous = start_of(loss, {"start": None, "flip": None})
    assert np.array_equal(start, loss.initial_weights())
    assert previous is None


def test_without_an_output_nothing_is_written(tmp_path, monkeypatch, capsys):
    """Protects the folder one stands in."""
    monkeypatch.chdir(tmp_path)
    write_output(ss.simulate(ss.Quadratic([1.0]), ss.HeavyBall(0.1), [1.0], 3), None)
    assert not [*tmp_path.iterdir()]
    assert capsys.readouterr().out == ""
