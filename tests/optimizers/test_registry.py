"""Optimizers are found by name, whoever defines them."""

from __future__ import annotations

import importlib.metadata

import pytest

import selfstab as ss
from selfstab.optimizers import registry as base
from selfstab.optimizers.registry import optimizer_named, registered
from tests.optimizers.own import TwoMomenta


def test_an_optimizer_is_known_by_its_name():
    """Protects registration: a subclass is found, a name of ours is not taken, an unfinished class is none."""
    assert registered()["HeavyBall"] is ss.HeavyBall
    assert optimizer_named("TwoMomenta") is TwoMomenta
    with pytest.raises(ValueError, match=r"optimizer must be one of .*got 'Momentum'.*"):
        optimizer_named("Momentum")
    other = type("HeavyBall", (TwoMomenta,), {"__module__": __name__})
    assert optimizer_named(f"{__name__}.HeavyBall") is other
    unfinished = type("Unfinished", (ss.Optimizer,), {"__module__": __name__})
    assert "Unfinished" not in registered()
    with pytest.raises(TypeError, match="abstract"):
        unfinished(0.1)
    assert registered()["HeavyBall"] is ss.HeavyBall


def test_an_installed_package_announces_its_optimizers(monkeypatch):
    """Protects packages of others: an entry point of our group is loaded, once, before names are looked up."""
    loaded = []

    class Entry:
        def load(self):
            loaded.append(type("Announced", (TwoMomenta,), {"__module__": __name__}))

    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [Entry()] * (group == "selfstab.optimizers")
    )
    base._load_all.cache_clear()
    assert optimizer_named("Announced") is loaded[0]
    assert registered()["Announced"] is loaded[0]
    assert len(loaded) == 1


def test_a_package_that_cannot_be_loaded_keeps_no_other_from_work(monkeypatch):
    """Protects the command line and stores from a broken package: its optimizers are told of, the others are there."""

    class Broken:
        value = "broken.optimizers"

        def load(self):
            raise ImportError("no module named broken")

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Broken()])
    base._load_all.cache_clear()
    with pytest.warns(
        UserWarning, match=r"the optimizers of broken.optimizers cannot be loaded: .*no module named"
    ):
        assert registered()["HeavyBall"] is ss.HeavyBall
