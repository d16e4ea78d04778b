"""The explorer's server: on this machine's loopback only, for pages that it served itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bokeh.server.server import BaseServer

ADDRESS: Final = "127.0.0.1"
"""The only address that is listened on."""

PATHS: Final = ("/", "/ws")
"""What is answered beside /static/: the page and its socket; Bokeh's routes for other sites' pages are not."""


def server_on(port: int = 0) -> BaseServer:
    """Return the server, listening on a port of 127.0.0.1 (0: a free one); ``run_until_shutdown`` serves.

    Answered are requests for the page, its socket and Bokeh's own files, if they name this address as host, and come
    from no page or from this one. All else is not found: whatever another site, or a name that points here, asks for.

    Bokeh's settings in the environment are dropped.

    Parameters
    ----------
    port
        From 0 to 65 535.

    Raises
    ------
    ImportError
        If Bokeh (extra ``explore``) is missing.
    OSError
        If the port is taken.
    """
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
            origin = request.headers.get("Origin")
            ours = request.host == host and origin in (None, f"http://{host}")
            return {} if known and ours else None

    application = BokehTornado(
        {"/": Application(FunctionHandler(show))}, extra_websocket_origins=[host], use_index=False,
        unused_session_lifetime_milliseconds=5000, check_unused_sessions_milliseconds=2000,
    )  # fmt: skip
    http = HTTPServer(RuleRouter([Rule(OwnPage(), application)]))
    http.add_sockets([socket])
    return BaseServer(IOLoop.current(), application, http)


def serve(port: int, *, browser: bool, say: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C.

    Parameters
    ----------
    port
        Of 127.0.0.1; 0: a free one.
    browser
        Whether to open the page in a browser.
    say
        Is given each line for the user.
    """
    from bokeh.util.logconfig import basicConfig

    from selfstab.explorer.compilation import prepare

    basicConfig(level="ERROR")
    server = server_on(port)
    address = f"http://{ADDRESS}:{server.port}/"
    try:
        say(f"selfstab explore: {address} (Ctrl-C ends it)")
        threading.Thread(target=prepare, name="selfstab-kernels", daemon=True).start()
        if browser:
            import webbrowser

            server.io_loop.add_callback(lambda: webbrowser.open(address))
        server.start()
        server.io_loop.start()
    except KeyboardInterrupt:
        say("ended")
    finally:
        server.stop()
