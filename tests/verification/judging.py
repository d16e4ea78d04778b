"""What every topic's tests share: its entries to measure, and closed forms that are wrong on purpose."""

import pytest

from selfstab import theory
from selfstab.verification import verify


def entries(topic, slow=()):
    """Return the names of a topic's predictions; those that begin with one of `slow` take seconds each."""
    names = [prediction.name for prediction in topic.PREDICTIONS]
    return [
        pytest.param(name, marks=pytest.mark.slow) if slow and name.startswith(slow) else name
        for name in names
    ]


def verdicts(names):
    """Return the verdicts of predictions by name."""
    data = verify(names)
    return dict(zip(data["prediction"].values.tolist(), data["verdict"].values.tolist(), strict=True))


def assert_holds(name):
    """Assert that theory and simulation agree as an entry says."""
    data = verify([name])
    assert data["verdict"].values.tolist() == ["holds"], data["reason"].values[0]


def assert_fail(monkeypatch, form, wrong, names):
    """Assert that each of these entries fails with a closed form of theory, by its name, replaced by a wrong one."""
    monkeypatch.setattr(theory, form, wrong)
    assert verdicts(names) == dict.fromkeys(names, "fails")


def scaled(form, factor):
    """Return a closed form, multiplied."""
    right = getattr(theory, form)
    return lambda *arguments: factor * right(*arguments)


def other_arguments(form, change):
    """Return a closed form of changed arguments."""
    right = getattr(theory, form)
    return lambda *arguments: right(*change(*arguments))
