"""Hostile messages to a running explorer: it lives, answers at once, says nothing in the terminal, reads no file."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sys
import time
from pathlib import Path

from tornado.httpclient import HTTPClientError
from tornado.websocket import WebSocketClosedError

from tests.explorer.client import Tab, answer
from tests.explorer.hostile import message
from tests.explorer.serving import serving

HANGS = 30.0
"""Seconds after which an answer counts as none, also on a busy machine; the slowest is printed."""

CANARY = b"\x89PNG\r\n\x1a\n" + b"canary in a file of the user's"
EACH = 250
"""Messages between two looks at whether the server answers."""


def main(count: int, seed: int, folder: Path) -> None:
    """Send `count` messages and print what became of them."""
    rng, slowest, refused, sent = random.Random(seed), 0.0, 0, 0
    canary = folder / "canary.png"
    canary.write_bytes(CANARY)
    (folder / "canary.svg").write_text("<svg>canary in a file of the user's</svg>")
    before = canary.stat().st_atime_ns
    wrong = []
    with serving("--limit", "20", "--tabs", "100", folder=folder) as (process, address):
        tab, models = None, []
        while sent < count:
            if tab is None:
                tab = Tab(address, pull=not models)
                models = models or [(i, kind) for i, kind, _ in tab.models()]
            path = rng.choice([str(canary), "canary.png", "./canary.svg", canary.as_uri(), "@canary.png"])
            sent += 1
            with contextlib.suppress(WebSocketClosedError):
                tab.write(*message(rng, models, path))
            if not tab.heard(0.003):
                refused += 1
                wrong += received(tab)
                try:
                    tab.again()
                except HTTPClientError:  # the page is too old
                    tab.close()
                    tab = None
            if sent % EACH == 0:
                began = time.perf_counter()
                if answer(address, "/static/js/bokeh.min.js")[0] != 200:
                    wrong.append("no answer")
                slowest = max(slowest, time.perf_counter() - began)
        if tab is not None:
            tab.heard(2.0)
            wrong += received(tab)
            tab.close()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    if (process.returncode, out, err) != (0, "ended\n", ""):
        wrong.append(f"{process.returncode} {out[-500:]!r} {err[-2000:]!r}")
    if canary.stat().st_atime_ns != before:
        wrong.append("the canary was read")
    if slowest > HANGS:
        wrong.append(f"an answer took {slowest:.1f} s")
    print(json.dumps({"sent": sent, "closed": refused, "slowest": slowest, "wrong": wrong}))


def received(tab):
    """Return what the server has sent to a tab and should not have."""
    parts, tab.received = tab.received, []
    return [
        f"sent {str(part)[:300]}" for part in parts if "canary in" in str(part) or "data:image" in str(part)
    ]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
