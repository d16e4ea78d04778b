"""The registry of losses: one line each, read by command line, store, explorer and package."""

import importlib
import pkgutil
import subprocess
import sys
from inspect import isabstract

import pytest

import selfstab as ss
from selfstab import losses
from selfstab.cli.options import LOSS_HELP
from selfstab.explorer.setups import FORMULA, MODELS
from selfstab.losses.base.named_loss import NamedLoss
from selfstab.losses.named import NAMES
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
    assert MODELS.get(name) is getattr(kind, "demonstration", None)


def test_every_toy_is_registered():
    """Protects against a toy that no command line finds."""
    toys = importlib.import_module("selfstab.losses.toys")
    made_there = {n for n, v in vars(toys).items() if isinstance(v, type) and v.__module__ == toys.__name__}
    assert made_there <= {*NAMES}
    assert [*MODELS][-1] == FORMULA
    assert len(MODELS) == 7


def test_every_named_loss_of_the_package_is_registered():
    """Protects against a named loss in any module that no command line finds."""
    for module in pkgutil.walk_packages(losses.__path__, "selfstab.losses."):
        importlib.import_module(module.name)
    classes, to_see = set(), [NamedLoss]
    for kind in to_see:
        to_see.extend(kind.__subclasses__())
        classes.add(kind)
    ours = {kind for kind in classes if kind.__module__.startswith("selfstab.") and not isabstract(kind)}
    assert {kind.__name__ for kind in ours - {Toy}} == {*REGISTRY} == {*NAMES}


def test_nothing_is_imported_before_it_is_asked_for():
    """Protects the start of a command: the registry's own import loads no loss, a name loads its own module."""
    code = (
        "import sys; from selfstab.losses.registry import named_class; "
        "loaded = lambda: sorted(m for m in sys.modules if m.startswith('selfstab.losses.') and 'registry' not in m); "
        "print(loaded()); named_class('Product'); print('selfstab.losses.networks.mlp' in loaded())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:2] == ["[]", "False"]
