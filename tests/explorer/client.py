"""A tab without a browser: the page's token, its socket, and messages of any kind."""

from __future__ import annotations

import asyncio
import html
import http.client
import json
import re
import time
from urllib.parse import urlsplit

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect


def answer(address, path=None, **headers):
    """Return status, headers and text of an answer."""
    where = urlsplit(address)
    connection = http.client.HTTPConnection("127.0.0.1", where.port, timeout=30)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(
        "GET",
        f"{where.path}?{where.query}" if path is None else path,
        headers={"Host": f"127.0.0.1:{where.port}"} | names,
    )
    response = connection.getresponse()
    found = response.status, dict(response.getheaders()), response.read().decode("utf-8", "replace")
    connection.close()
    return found


def session_token(page):
    """Return the token of a page's session."""
    return re.search(r'"token":"([^"]+)"', html.unescape(page)).group(1)


class Tab:
    """A page that was served, with its socket open and its document pulled."""

    def __init__(self, address, *, pull=True, wait=0.0):
        self.address, self.loop, self.number = address, asyncio.new_event_loop(), 0
        status, _, page = answer(address)
        assert status == 200, status
        self.token, self.received = session_token(page), []
        time.sleep(wait)
        self.socket = self._run(self._open)
        assert self.message()["header"]["msgtype"] == "ACK"
        if pull:
            self.send("PULL-DOC-REQ", {})
            reply = self.message()
            while reply["header"]["msgtype"] != "PULL-DOC-REPLY":  # pictures may come before
                reply = self.message()
            self.document = reply["content"]["doc"]

    def again(self):
        """Open another socket of the same page."""
        self.socket = self._run(self._open)
        assert self.message()["header"]["msgtype"] == "ACK"

    def heard(self, seconds):
        """Take what the server says until it is silent for so long; return whether the socket is still open."""

        async def take():
            while True:
                try:
                    part = await asyncio.wait_for(self.socket.read_message(), seconds)
                except TimeoutError:
                    return True
                self.received.append(part)
                if part is None:
                    return False

        return self._run(take)

    async def _open(self):
        where = urlsplit(self.address)
        request = HTTPRequest(
            f"ws://{where.netloc}/ws",
            headers={"Origin": f"http://{where.netloc}", "Sec-WebSocket-Protocol": f"bokeh, {self.token}"},
        )
        return await websocket_connect(request, max_message_size=2**26)

    def _run(self, call, timeout=30.0):
        async def run():
            return await asyncio.wait_for(call(), timeout)

        return self.loop.run_until_complete(run())

    def part(self, timeout=30.0):
        """Return what the server sends next, None when it has closed the socket; raise if it sends nothing."""
        part = self._run(self.socket.read_message, timeout)
        self.received.append(part)
        return part

    def message(self, timeout=30.0):
        """Return the next message; None when the socket is closed."""
        header = self.part(timeout)
        if header is None:
            return None
        header, metadata, content = json.loads(header), self.part(), json.loads(self.part())
        assert metadata == "{}"
        for _ in range(2 * header.get("num_buffers", 0)):
            self.part()
        return {"header": header, "content": content}

    def write(self, *parts):
        """Send parts of messages as they are."""
        for part in parts:
            self._run(lambda part=part: self.socket.write_message(part, binary=isinstance(part, bytes)))

    def send(self, kind, content):
        """Send a message."""
        self.number += 1
        self.write(json.dumps({"msgid": str(self.number), "msgtype": kind}), "{}", json.dumps(content))

    def change(self, model, attribute, value):
        """Send a change of a model."""
        event = {"kind": "ModelChanged", "model": {"id": model}, "attr": attribute, "new": value}
        self.send("PATCH-DOC", {"events": [event]})

    def models(self):
        """Return each model that is defined in the document: its id, kind and attributes."""
        found = []

        def walk(node):
            if isinstance(node, dict):
                if node.get("type") == "object" and "id" in node:
                    found.append((node["id"], node["name"], node.get("attributes", {})))
                for inner in node.values():
                    walk(inner)
            elif isinstance(node, list):
                for inner in node:
                    walk(inner)

        walk(self.document)
        return found

    def widget(self, name):
        """Return the id of a control by the class that the page gives it."""
        return next(i for i, _, at in self.models() if f"widget-{name}" in at.get("css_classes", []))

    def named(self, name):
        """Return the id of a model by its name."""
        return next(i for i, _, at in self.models() if at.get("name") == name)

    def until(self, words, timeout=100.0):
        """Read messages until a text of the document holds the words, and return it."""
        texts = []
        while True:
            try:
                message = self.message(timeout)
            except TimeoutError:
                raise AssertionError(f"no {words!r} in {texts}") from None
            assert message is not None, "the socket is closed"
            for event in message["content"].get("events", []):
                if event.get("attr") == "text":
                    texts.append(event["new"])
                    if words in event["new"]:
                        return event["new"]

    def close(self):
        """Close the socket."""
        self.socket.close()
        self._run(lambda: asyncio.sleep(0.05))
        self.loop.close()
