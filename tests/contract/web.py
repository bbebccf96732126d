"""A small web server on the loopback, as working as a test needs it; for the kinds that fetch."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

FILES = {"/tool": b"\0tool\xff" * 1000, "/text": "grüße\n".encode()}
LIST = "".join(f"{hashlib.sha256(data).hexdigest()}  ./{name[1:]}\n" for name, data in FILES.items())


class Site(BaseHTTPRequestHandler):
    """Files, redirects, a login, an echo of what was asked."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        Site.asked.append(f"{self.command} {self.path}")
        self.path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path in FILES:
            self._send(200, FILES[self.path], "application/octet-stream")
        elif self.path == "/sums":
            self._send(200, LIST.encode(), "text/plain")
        elif self.path == "/packed":
            self._send(200, gzip.compress(b"unpacked"), "text/plain", **{"Content-Encoding": "gzip"})
        elif self.path.startswith("/moved/"):
            self._send(int(self.path.split("/")[2]), b"", "text/plain", Location="/echo")
        elif self.path == "/login":
            right = "Basic " + base64.b64encode(b"me:secret").decode()
            if self.headers.get("Authorization") == right:
                self._send(200, b'{"in": true}', "application/json")
            else:
                self._send(401, b"who?", "text/plain", **{"WWW-Authenticate": 'Basic realm="x"'})
        elif self.path == "/echo":
            found = {"method": self.command, "body": body.decode(), "headers": dict(self.headers)}
            self._send(200, json.dumps(found).encode(), "application/json", **{"Set-Cookie": "a=b"})
        else:
            self._send(404, b"nothing here", "text/plain; charset=ascii")

    do_POST = do_PUT = do_HEAD = do_GET

    def _send(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


_at: list[str] = []


def site() -> str:
    """The URL of the server that is open, without a slash at the end."""
    return _at[-1]


@contextmanager
def opened() -> Iterator[None]:
    with HTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="site")
        thread.start()
        _at.append(f"http://127.0.0.1:{server.server_port}")
        try:
            yield
        finally:
            _at.pop()
            server.shutdown()
            thread.join()
