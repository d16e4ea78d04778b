"""The server answers on the loopback only, to whoever has its token, and ends when it is told to."""

import re
import signal
import socket
import subprocess
import time
from urllib.parse import urlsplit

import psutil
import pytest

pytest.importorskip("bokeh", reason="not run: Bokeh (extra 'explore') is missing")

from tests.explorer.client import Tab, answer, session_token
from tests.explorer.serving import COMMAND, IMPATIENT, serving

HANGS = "*".join(f"(u**2 + {k}*v**2 + sin({k}*u))" for k in range(1, 30))
"""A formula that SymPy differentiates for ten seconds and more."""


@pytest.fixture(scope="module")
def server():
    with serving() as (process, address):
        yield process, address


def port_of(address):
    return urlsplit(address).port


def test_only_the_loopback_is_listened_on(server):
    process, address = server
    listening = [c.laddr for c in psutil.Process(process.pid).net_connections("inet") if c.status == "LISTEN"]
    assert [(one.ip, one.port) for one in listening] == [("127.0.0.1", port_of(address))]


def test_the_page_and_its_scripts_come_from_here(server):
    # Protects work without network: whatever the environment asks, nothing is loaded from elsewhere.
    _, address = server
    status, _, page = answer(address)
    assert status == 200
    scripts = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]*)"', page)
    assert len(scripts) >= 3
    assert all(link.startswith(("static/", "/static/", "data:")) for link in scripts), scripts
    assert "cdn." not in page
    assert answer(address, "/" + scripts[-1].lstrip("/").partition("?")[0])[0] == 200


def test_a_page_is_for_who_has_the_token(server):
    """Protects the user from others of the machine: no page, whole or in part, without the secret of the address."""
    _, address = server
    token = urlsplit(address).query.partition("=")[2]
    assert len(token) >= 43  # 256 bits
    wrong = ["", token[:-1], token + "a", token.swapcase(), "%C3%A9", "%00", "%ff", f"{token}&token={token}"]
    for path in ("/", "/?", "/?bokeh-session-id=1", *(f"/?token={one}" for one in wrong)):
        status, headers, page = answer(address, path)
        assert status in (400, 403), path
        assert "bokeh" not in page.lower()
        assert "Set-Cookie" not in headers
    assert answer(address, "/", Cookie=f"token={token}", Authorization=f"token {token}")[0] == 403


def test_the_token_is_in_no_answer(server):
    """Protects the secret: the page does not repeat it, neither in words nor in the token of its session."""
    from bokeh.util.token import get_token_payload

    _, address = server
    token = urlsplit(address).query.partition("=")[2]
    _, headers, page = answer(address, Cookie="other=1")
    assert token not in page
    assert token not in str(headers)
    assert get_token_payload(session_token(page)).keys() == {
        "session_expiry",
        "headers",
        "cookies",
        "arguments",
    }
    assert not any(
        get_token_payload(session_token(page))[name] for name in ("headers", "cookies", "arguments")
    )


@pytest.mark.parametrize("path", [None, "/", "/static/js/bokeh.min.js", "/static/no"])
def test_no_site_may_frame_or_read_an_answer(server, path):
    """Protects against a page elsewhere that shows this one, reads it, or is told its address."""
    _, address = server
    headers = answer(address, path)[1]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert (policy["default-src"], policy["frame-ancestors"]) == ("'none'", "'none'")
    assert "unsafe-inline" not in policy.get("script-src", "")


@pytest.mark.parametrize("path", [None, "/ws", "/static/js/bokeh.min.js"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "localhost:{port}"},
        {"Host": "localhost.evil.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:{port}.evil.example"},
        {"Origin": ""},
        {"Origin": "null"},
    ],
)
def test_other_sites_are_not_answered(server, path, headers):
    # Protects against a page elsewhere, and against a name elsewhere that points here (DNS rebinding).
    _, address = server
    own = {"Origin": f"http://127.0.0.1:{port_of(address)}"} if path == "/ws" else {}
    sent = {k: v.format(port=port_of(address)) for k, v in headers.items()}
    status, found, _ = answer(address, path, **(own | sent))
    assert status == 404
    assert not any(name.lower().startswith("access-control") for name in found)


@pytest.mark.parametrize("path", ["/autoload.js", "/metadata", "/static/../page.py", "/other", "//", "/ws/"])
def test_no_other_route_is_open(server, path):
    _, address = server
    status, found, _ = answer(address, f"{path}?{urlsplit(address).query}")
    assert status in (403, 404)
    assert not any(name.lower().startswith("access-control") for name in found)


def upgrade(address, protocol=None, origin=True):
    """Return the status of a request to open a socket."""
    headers = {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec_WebSocket_Version": "13",
    }  # fmt: skip
    if origin:
        headers["Origin"] = f"http://127.0.0.1:{port_of(address)}"
    if protocol is not None:
        headers["Sec_WebSocket_Protocol"] = protocol
    return answer(address, "/ws", **headers)[0]


def test_a_socket_opens_for_a_page_that_was_served(server):
    """Protects sessions: a socket needs an Origin, and the signed token of a page; it makes no session of its own."""
    _, address = server
    _, _, page = answer(address)
    own = session_token(page)
    head, _, signature = own.partition(".")
    other = session_token(answer(address)[2])
    for protocol in (
        None, "bokeh", "bokeh,", "bokeh, x", "bokeh, x.y", f"bokeh, {head}", f"bokeh, {head}.", f"other, {own}",
        f"bokeh, {head}.{signature[::-1]}", f"bokeh, {head}.{other.partition('.')[2]}", f"bokeh, {own}, {own}",
        "bokeh, " + "a" * 8000,
    ):  # fmt: skip
        assert upgrade(address, protocol) == 403, protocol
    assert upgrade(address, f"bokeh, {own}", origin=False) == 404
    tab = Tab(address)
    assert tab.named("diagram")
    tab.close()


def test_more_pages_than_there_may_be_are_refused():
    """Protects memory: each page has a process and pictures; a page that is closed makes room."""
    with serving("--tabs", "1") as (_, address):
        tab = Tab(address)
        assert answer(address)[0] == 503
        tab.close()
        while answer(address)[0] == 503:  # its page lives for some seconds
            time.sleep(0.5)


def test_a_page_waits_for_its_socket_and_ends_with_its_tab():
    """Protects pages of a busy machine, whose scripts come late, and memory: other pages are not waited for."""
    with serving(command=IMPATIENT) as (_, address):
        tab = Tab(address, wait=0.5)  # many times as long as a page without a tab has
        assert tab.named("diagram")
        tab.close()
        for _ in range(2):  # in place of the page whose tab was closed, then of one that was never opened
            while answer(address)[0] == 503:
                time.sleep(0.05)


@pytest.mark.slow
def test_a_formula_that_takes_for_ever_stops_no_other_tab_and_ends_with_its_own():
    """Protects the other tabs, the user who types another formula, the machine after a tab, and Ctrl-C."""
    with serving("--limit", "600") as (process, address):
        first = Tab(address)
        first.until(" ms")
        first.change(first.widget("model"), "value", "Formula")
        first.until(" ms")
        first.change(first.widget("formula"), "value", HANGS)
        first.until("checking")
        second = Tab(address)
        second.until(" ms")
        second.change(second.widget("momentum"), "value", 0.5)
        second.until(" ms")
        first.change(first.widget("formula"), "value", "u**")
        first.until("expression must be a formula")
        first.change(first.widget("formula"), "value", HANGS)
        first.until("checking")
        before = {child.pid for child in psutil.Process(process.pid).children()}
        first.close()
        tree = psutil.Process(process.pid)
        busy = len(tree.children(recursive=True))
        while len(tree.children(recursive=True)) == busy:  # its page lives for some seconds
            time.sleep(0.2)
        assert {child.pid for child in tree.children()} == before  # the forkserver stays
        second.change(second.widget("model"), "value", "Formula")
        second.until(" ms")
        second.change(second.widget("formula"), "value", HANGS)
        second.until("checking")
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "ended\n", "")
        _, alive = psutil.wait_procs(children, timeout=60)
        assert alive == []


@pytest.mark.slow
def test_work_beyond_its_limit_is_ended_and_said():
    """Protects a tab from its own formula: it ends, the page says why, and takes the next one."""
    with serving("--limit", "4") as (_, address):
        tab = Tab(address)
        tab.change(tab.widget("model"), "value", "Formula")
        tab.change(tab.widget("formula"), "value", HANGS)
        tab.until("ended after 4 s")
        tab.change(tab.widget("formula"), "value", "u**")
        tab.until("expression must be a formula")


@pytest.mark.slow
def test_a_socket_that_is_cut_leaves_no_traceback():
    """Protects the terminal: tabs that vanish while pictures come, and pages that never open a socket."""
    with serving() as (process, address):
        for _ in range(4):
            tab = Tab(address)
            tab.change(tab.widget("momentum"), "value", 0.5)
            tab.socket.stream = None
            tab.socket.protocol.stream.socket.close()  # no closing words
            answer(address)
        time.sleep(9.0)  # their pages are gone now
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "ended\n", "")


def test_ctrl_c_ends_it_cleanly():
    process = subprocess.Popen(
        [*COMMAND, "--token", "a" * 20], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    assert re.fullmatch(r"selfstab explore: http://127\.0\.0\.1:\d+/\?token=a{20} \(Ctrl-C ends it\)\n", line)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == "ended\n"
    assert err == ""


def test_a_port_that_is_taken_is_told_in_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = subprocess.run(
            [*COMMAND, "--port", str(taken.getsockname()[1])], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert "in use" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_file_that_opens_the_page_is_this_users(monkeypatch, tmp_path):
    """Protects the token: a browser's command line, which all users see, names a file that only this one reads."""
    from selfstab.explorer import server

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with server._opened("http://127.0.0.1:1/?token=secret", browser=True) as shown:
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o077 == 0
        assert "secret" not in shown
        assert 'url=http://127.0.0.1:1/?token=secret"' in (folder / "open.html").read_text()
    assert list(tmp_path.iterdir()) == []
