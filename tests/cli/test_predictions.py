"""The command verify: names, exit codes and JSON of the predictions."""

from __future__ import annotations

import json

import pytest

from selfstab import verification
from tests.cli.commands import assert_refused, run


def test_verify_exit_codes_and_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects: the exit code is the registry's, and JSON is JSON."""
    result = run("verify", "Q1 regions", "--json")
    assert result.exit_code == 0
    assert json.loads(result.output)["coords"]["prediction"]["data"] == ["Q1 regions"]
    monkeypatch.setattr(verification, "exit_code", lambda data: 3)
    assert run("verify", "Q1 regions").exit_code == 3


def test_predictions_are_listed() -> None:
    """Protects the way to a name: one line each, nothing is run."""
    lines = run("verify", "--list").output.splitlines()
    assert [line[:32].strip() for line in lines] == [p.name for p in verification.PREDICTIONS]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("verify", "q1 regons"), "got 'q1 regons'; like it: Q1 regions"),
        (("verify", "☃"), "got '☃'; selfstab verify --list shows all"),
    ],
)
def test_a_prediction_that_is_none_is_refused(arguments, message):
    """Protects the way to a name: those most like it, or how to list all."""
    assert_refused(arguments, message)
