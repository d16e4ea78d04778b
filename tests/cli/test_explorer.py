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

    def serve(port: int, *, browser: bool, say: Any, token: str | None, limit: float, tabs: int) -> None:
        calls.append((port, browser, token, limit, tabs))
        say("at an address")

    monkeypatch.setattr(server, "serve", serve)
    assert run("explore").output == "at an address\n"
    assert run("explore", "--port", "65535", "--no-browser").exit_code == 0
    assert run("explore", "--token", "a" * 20, "--limit", "7", "--tabs", "3").exit_code == 0
    monkeypatch.setenv("SELFSTAB_EXPLORE_TOKEN", "b" * 20)
    assert run("explore").exit_code == 0
    assert calls == [
        (0, True, None, 120.0, 12), (65535, False, None, 120.0, 12), (0, True, "a" * 20, 7.0, 3),
        (0, True, "b" * 20, 120.0, 12),
    ]  # fmt: skip
    monkeypatch.setattr(click, "echo", calls.append)
    run("explore")
    assert calls[-1] == "at an address"


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    """Protects against an OverflowError of the socket: a port is of 16 bits."""
    monkeypatch.setattr(server, "serve", lambda *_, **__: pytest.fail("it ran"))
    assert_refused(("explore", "--port", port), "Invalid value for '--port'")


@pytest.mark.parametrize("token", ["", "short", "a" * 257, "a/b" * 10, "é" * 20, "a" * 20 + "\n"])
def test_a_token_that_is_none_is_refused_and_not_shown(token: str) -> None:
    """Protects the address: a secret that is empty, guessed, or changed by an address is no secret."""
    done = run("explore", "--no-browser", "--token", token)
    assert done.exit_code == 2
    assert "16 to 256 letters" in done.stderr
    assert not token or token not in done.stderr
