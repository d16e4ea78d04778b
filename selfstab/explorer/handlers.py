"""What the explorer's server answers: the page, to whoever has its token, and the page's socket."""

from __future__ import annotations

import hmac
import secrets
import time
from typing import Any, Final

from bokeh.embed.server import server_html_page_for_session
from bokeh.server.session import ServerSession
from bokeh.server.views.doc_handler import DocHandler
from bokeh.server.views.ws import WSHandler
from bokeh.util.token import check_token_signature, get_session_id, get_token_payload
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, OutputTransform

from selfstab.explorer.messages import Messages, Refusal

MOST_CONNECTIONS: Final = 2
"""Sockets of a page: the former may not yet be known to be closed when it opens another."""

OPEN_SECONDS: Final = 300.0
"""How long a page waits for its socket: a busy machine may take minutes to load the page's scripts."""

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Of every answer, unless its handler says otherwise."""

_POLICY: Final = (
    # BokehJS makes functions of the page's own texts (unsafe-eval), and puts style sheets into the page.
    "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws://{host}; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""What the page may load: its own scripts and nothing from elsewhere."""

_REFUSED: Final = {
    403: "The address must end in the token that 'selfstab explore' has printed: copy it whole.",
    503: "As many pages are open as may be (--tabs): close one and try again in ten seconds.",
}


class Headers(OutputTransform):
    """Adds the headers of every answer."""

    def __init__(self, request: HTTPServerRequest) -> None:
        """Nothing depends on the request."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Return the answer with the headers that it lacks."""
        for name, value in _HEADERS.items():
            if name not in headers:
                headers[name] = value
        return status_code, headers, chunk


class Unopened:
    """Pages whose socket has not opened yet: they live longer than those whose tab was closed."""

    def __init__(self) -> None:
        self._sessions: dict[str, ServerSession] = {}

    def add(self, session: ServerSession) -> None:
        """Keep a page that is served until its socket opens, for :data:`OPEN_SECONDS` at most."""
        session.block_expiration()
        self._sessions[session.id] = session
        IOLoop.current().call_later(OPEN_SECONDS, self.end, session.id)

    def end(self, identifier: str) -> None:
        """Keep a page as long as its tab from now on."""
        session = self._sessions.pop(identifier, None)
        if session is not None:
            session.unblock_expiration()

    def end_oldest(self) -> None:
        """Make room for another page."""
        if self._sessions:
            self.end(next(iter(self._sessions)))


class Page(DocHandler):  # type: ignore[misc]  # Bokeh's classes are not known to mypy
    """The page, for requests with the token."""

    async def prepare(self) -> None:
        """Refuse requests without the token, or for more pages than there may be."""
        tokens = self.get_query_arguments("token")
        _forget_query(self.request)
        own = self.settings["own_token"].encode()
        if len(tokens) != 1 or not hmac.compare_digest(tokens[0].encode(), own):
            raise HTTPError(403)
        if "Bokeh-Session-Id" in self.request.headers:
            raise HTTPError(403)
        if len([*self.application_context.sessions]) >= self.settings["most_tabs"]:
            self.settings["unopened"].end_oldest()
            raise HTTPError(503)
        await super().prepare()

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Answer with the page, whose scripts carry a number that no other page can know."""
        session = await self.get_session()
        self.settings["unopened"].add(session)
        document = session.document
        page = server_html_page_for_session(
            session, resources=self.application.resources(), title=document.title,
            template=document.template, template_variables=document.template_variables,
        )  # fmt: skip
        nonce = secrets.token_urlsafe(16)
        policy = _POLICY.format(nonce=nonce, host=self.request.host)
        self.set_header("Content-Security-Policy", policy)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(page.replace("<script", f'<script nonce="{nonce}"'))

    def write_error(self, status_code: int, **_: Any) -> None:
        """Answer with a line of words."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(str(_REFUSED.get(status_code, self._reason)) + "\n")


class Socket(WSHandler):  # type: ignore[misc]
    """The socket of a page that was served before, and its messages."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._messages = Messages()

    async def prepare(self) -> None:
        """Refuse sockets that name no page of ours, before they open."""
        _forget_query(self.request)
        words = [word.strip() for word in self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        known = {session.id: session for session in self.application_context.sessions}
        session = known.get(self._session_id(words[1])) if len(words) == 2 and words[0] == "bokeh" else None
        if session is None or session.connection_count >= MOST_CONNECTIONS:
            raise HTTPError(403)
        await super().prepare()

    def _session_id(self, token: str) -> Any:
        """Return the identifier that a token of this server was signed for; None for any other text."""
        application = self.application
        try:
            signed = check_token_signature(token, application.secret_key, application.sign_sessions)
            if not signed or get_token_payload(token)["session_expiry"] <= time.time() + 1.0:
                return None
            return get_session_id(token)
        except Exception:  # whatever reading a text as a token raises
            return None

    async def on_message(self, message: str | bytes) -> None:
        """Pass on what is a message of the page; close the socket at any other."""
        if self.connection is None or self.connection.session.destroyed:
            self.close(1008, "too early or too late")
            return
        self.settings["unopened"].end(self.connection.session.id)
        try:
            parts = self._messages.take(message, self.connection.session.document)
        except Refusal as refusal:
            self.close(1008, str(refusal)[:120])
            return
        for part in parts:
            await super().on_message(part)

    def on_close(self) -> None:
        """Clean up; a page that is gone already hears no more of it."""
        if self.connection is not None and self.connection.session.destroyed:
            self.application.client_lost(self.connection)
        else:
            super().on_close()


def _forget_query(request: HTTPServerRequest) -> None:
    """Take the token out of a request, so that no log and no session holds it."""
    request.uri, request.query = request.path or "", ""
    for arguments in (request.arguments, request.query_arguments, request.body_arguments):
        arguments.clear()
