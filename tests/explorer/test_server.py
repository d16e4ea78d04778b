"""The server answers on the loopback only, and its own page only."""

import http.client
import re
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from tests.explorer.serving import serving

pytest.importorskip("bokeh", reason="not run: Bokeh (extra 'explore') is missing")


@pytest.fixture(scope="module")
def server():
    with serving() as (process, port):
        yield process, port


def answer(port, path="/", **headers):
    """Return status, headers and text of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", path, headers={"Host": f"127.0.0.1:{port}"} | names)
    response = connection.getresponse()
    found = response.status, dict(response.getheaders()), response.read().decode("utf-8", "replace")
    connection.close()
    return found


def test_only_the_loopback_is_listened_on(server):
    process, port = server
    listening = [c.laddr for c in psutil.Process(process.pid).net_connections("inet") if c.status == "LISTEN"]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", port)]


def test_the_page_and_its_scripts_come_from_here(server):
    # Protects work without network: whatever the environment asks, nothing is loaded from elsewhere.
    _, port = server
    status, _, page = answer(port)
    assert status == 200
    scripts = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]*)"', page)
    assert len(scripts) >= 3
    assert all(link.startswith(("static/", "/static/", "data:")) for link in scripts), scripts
    assert "cdn." not in page
    assert answer(port, "/" + scripts[-1].lstrip("/").partition("?")[0])[0] == 200


@pytest.mark.parametrize("path", ["/", "/ws", "/static/js/bokeh.min.js"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "localhost.evil.example:{port}"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "null"},
    ],
)
def test_other_sites_are_not_answered(server, path, headers):
    # Protects against a page elsewhere, and against a name elsewhere that points here (DNS rebinding).
    _, port = server
    status, found, _ = answer(port, path, **{k: v.format(port=port) for k, v in headers.items()})
    assert status == 404
    assert not any(name.lower().startswith("access-control") for name in found)


@pytest.mark.parametrize("path", ["/autoload.js", "/metadata", "/static/../page.py", "/other"])
def test_no_other_route_is_open(server, path):
    _, port = server
    status, found, _ = answer(port, path)
    assert status in (403, 404)
    assert not any(name.lower().startswith("access-control") for name in found)


def test_a_socket_opens_for_the_page_only(server):
    _, port = server
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec_WebSocket_Version": "13",
    }
    assert answer(port, "/ws", Origin="http://evil.example", **upgrade)[0] == 404
    # From the page, too, it wants the page's own token.
    assert answer(port, "/ws", Origin=f"http://127.0.0.1:{port}", **upgrade)[0] != 404


def command(*words):
    return [sys.executable, "-m", "selfstab.cli", "explore", "--no-browser", *words]


def test_ctrl_c_ends_it_cleanly():
    process = subprocess.Popen(command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert re.fullmatch(r"selfstab explore: http://127\.0\.0\.1:\d+/ \(Ctrl-C ends it\)\n", line)
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
            command("--port", str(taken.getsockname()[1])), capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert "in use" in done.stderr
    assert done.stderr.count("\n") == 1
