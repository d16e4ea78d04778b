"""The explorer's server: on this machine's loopback only, for whoever has its token."""

from __future__ import annotations

import multiprocessing
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from selfstab import validation
from selfstab.explorer import process, tasks
from selfstab.explorer.setups import STARTS

if TYPE_CHECKING:
    from bokeh.server.server import BaseServer

ADDRESS: Final = "127.0.0.1"
"""The only address that is listened on."""

PATHS: Final = ("/", "/ws")
"""What is answered beside /static/: the page and its socket; Bokeh's routes for other sites' pages are not."""

TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,256}")
"""What a token may be."""

TABS: Final = 12
"""Pages open at a time: each has processes and pictures of its own."""

LARGEST_MESSAGE: Final = 2**17
"""Bytes of a frame of the socket."""

UNUSED_MILLISECONDS: Final = 5000
"""How long a page lives after its tab was closed; one whose tab is still being opened lives longer."""

CHECK_MILLISECONDS: Final = 2000
"""How often pages whose tab was closed are looked for."""

SESSION_SECONDS: Final = 30 * 24 * 3600
"""How long a page may open its socket anew."""

PREPARE_SECONDS: Final = 600.0
"""Longest compilation ahead of any page."""


def checked_token(token: str | None) -> str:
    """Return a token, a new one of 256 random bits by default, or raise."""
    if token is None:
        return secrets.token_urlsafe(32)
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        # Not shown: it is a secret.
        raise ValueError("token must be 16 to 256 letters, digits, - or _; leave it out for a random one")
    return token


def server_on(
    port: int = 0, *, token: str | None = None, limit: float = process.LIMIT_SECONDS, tabs: int = TABS
) -> tuple[BaseServer, str]:
    """Return the server, listening on a port of 127.0.0.1, and the address of the page with its token.

    Answered are requests for the page that carry the token, the socket of a page served before, and Bokeh's own files,
    if they name this address as host. The socket must come from the page; the others from no page or from this one.
    All else is refused: whatever another site, another user, or a name that points here asks for.

    Bokeh's settings in the environment are dropped.

    Parameters
    ----------
    port
        From 0 to 65 535; 0: a free one.
    token
        16 to 256 letters, digits, ``-`` or ``_``; by default random.
    limit
        Seconds that a part of a page's work may take.
    tabs
        Most pages open at a time.

    Raises
    ------
    ImportError
        If Bokeh (extra ``explore``) is missing.
    ValueError, TypeError
        If an argument is not as above.
    OSError
        If the port is taken.
    """
    token = checked_token(token)
    limit, tabs = validation.real("limit", limit, above=0), validation.integer("tabs", tabs, at_least=1)
    try:
        from bokeh.application import Application
        from bokeh.application.handlers.function import FunctionHandler
        from bokeh.server.server import BaseServer
        from bokeh.server.tornado import BokehTornado
        from bokeh.settings import settings
    except ImportError as error:
        raise ImportError(
            f"the explorer needs Bokeh (pip install 'selfstab[explore]'), which cannot be imported: {error}"
        ) from None
    from tornado.httpserver import HTTPServer
    from tornado.httputil import HTTPServerRequest
    from tornado.ioloop import IOLoop
    from tornado.netutil import bind_sockets
    from tornado.routing import Matcher, Rule, RuleRouter

    from selfstab.explorer.handlers import Headers, Page, Socket, Unopened
    from selfstab.explorer.page import show

    # Settings may ask Bokeh to load its scripts from elsewhere, and to accept other origins.
    for name in [name for name in os.environ if name.startswith("BOKEH_")]:
        del os.environ[name]
    settings.resources = "server"
    settings.allowed_ws_origin = []
    (socket,) = bind_sockets(port, ADDRESS)
    host = f"{ADDRESS}:{socket.getsockname()[1]}"

    class OwnPage(Matcher):
        """Matches what the page itself may ask for."""

        def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
            known = request.path in PATHS or request.path.startswith("/static/")
            origins = request.headers.get_list("Origin")
            ours = origins == [f"http://{host}"] or (not origins and request.path != "/ws")
            return {} if known and ours and request.host == host else None

    application = BokehTornado(
        {"/": Application(FunctionHandler(lambda document: show(document, limit)))},
        extra_websocket_origins=[host], use_index=False, unused_session_lifetime_milliseconds=UNUSED_MILLISECONDS,
        check_unused_sessions_milliseconds=CHECK_MILLISECONDS, session_token_expiration=SESSION_SECONDS,
        websocket_max_message_size_bytes=LARGEST_MESSAGE,
        # A session is known by a signature of this server; the requests' headers and cookies stay out of it.
        secret_key=secrets.token_bytes(32), sign_sessions=True, include_headers=[], include_cookies=[],
        transforms=[Headers], own_token=token, most_tabs=tabs, unopened=Unopened(), log_function=lambda handler: None,
    )  # fmt: skip
    own = {"application_context": application.applications["/"], "bokeh_websocket_path": "/ws"}
    application.add_handlers(".*", [("/", Page, own), ("/ws", Socket, own)])
    http = HTTPServer(
        RuleRouter([Rule(OwnPage(), application)]), max_body_size=2**16, max_header_size=2**14,
        idle_connection_timeout=60,
    )  # fmt: skip
    http.add_sockets([socket])
    STARTS.elsewhere = True
    return BaseServer(IOLoop.current(), application, http), f"http://{host}/?token={token}"


def serve(
    port: int,
    *,
    browser: bool,
    say: Callable[[str], None],
    token: str | None = None,
    limit: float = process.LIMIT_SECONDS,
    tabs: int = TABS,
) -> None:
    """Serve the page until Ctrl-C, and end the program then.

    Parameters
    ----------
    port
        Of 127.0.0.1; 0: a free one.
    browser
        Whether to open the page in a browser.
    say
        Is given each line for the user; the first has the page's address with its token.
    token, limit, tabs
        As of :func:`server_on`.
    """
    server, address = server_on(port, token=token, limit=limit, tabs=tabs)
    from bokeh.util.logconfig import basicConfig

    basicConfig(level="ERROR")
    loop = server.io_loop
    process.begin_forkserver()
    ahead = process.TabProcess(PREPARE_SECONDS)
    with (
        _opened(address, browser) as shown,
        _ended_by_signals(lambda: loop.add_callback_from_signal(loop.stop)),
    ):
        say(f"selfstab explore: {address} (Ctrl-C ends it)")
        threading.Thread(target=_prepare, args=(ahead,), name="selfstab-kernels", daemon=True).start()
        if shown is not None:
            import webbrowser

            # It may wait for the browser.
            threading.Thread(target=webbrowser.open, args=(shown,), daemon=True).start()
        server.start()
        loop.start()
    say("ended")
    _leave()


def _leave() -> None:
    """End this process and those of its pages at once; taking the interpreter apart would take seconds."""
    process.STARTING.acquire(timeout=5.0)  # from now on none starts
    for child in multiprocessing.active_children():
        child.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _prepare(ahead: process.TabProcess) -> None:
    # Compiling ahead is a convenience: a page that needs a kernel says what is wrong with it.
    with suppress(process.WorkError, process.Interrupted):
        for _ in ahead.answers(tasks.prepare):
            pass
    ahead.close()


@contextmanager
def _opened(address: str, browser: bool) -> Iterator[str | None]:
    """Give the address of a file of this user's that leads to the page; None without a browser.

    The browser's command line, which other users of the machine can read, then has no token.
    """
    if not browser:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="selfstab-explore-"))  # for this user only
    try:
        file = folder / "open.html"
        file.write_text(
            '<!DOCTYPE html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
            f'<meta http-equiv="refresh" content="0; url={address}"><a href="{address}">selfstab explore</a>',
            encoding="utf-8",
        )
        yield file.as_uri()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _ended_by_signals(end: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C and a request to terminate call `end`; once they did, another changes nothing."""

    def handle(number: int, frame: Any) -> None:
        end()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    try:
        yield
    finally:
        # The program ends now, and nothing is to interrupt that.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
