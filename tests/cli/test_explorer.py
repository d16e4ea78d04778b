"""The command explore: its words reach the server, and it listens where a server can."""

from __future__ import annotations

from typing import Any

import click
import pytest

from selfstab.explorer import server
from tests.cli.commands import assert_refused, run


def test_words_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the defaults: a free port, and the page opened; what the server says is printed."""
    calls = []

    def serve(port: int, *, browser: bool, say: Any) -> None:
        calls.append((port, browser))
        say("at an address")

    monkeypatch.setattr(server, "serve", serve)
    assert run("explore").output == "at an address\n"
    assert run("explore", "--port", "65535", "--no-browser").exit_code == 0
    assert calls == [(0, True), (65535, False)]
    monkeypatch.setattr(click, "echo", calls.append)
    run("explore")
    assert calls[-1] == "at an address"


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    """Protects against an OverflowError of the socket: a port is of 16 bits."""
    monkeypatch.setattr(server, "serve", lambda *_, **__: pytest.fail("it ran"))
    assert_refused(("explore", "--port", port), "Invalid value for '--port'")
