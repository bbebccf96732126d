"""The application's HTTP service: documents in, documents out, nearest documents, and an honest /health.

``POST /documents?user=U&collection=C&filename=F`` with the bytes as body answers 201 when file, entity and row are
durable. ``GET /documents/ID`` answers the bytes, with ``?meta=1`` what is known about them;
``GET /search?q=ID_OR_TEXT`` the ids nearest to it.
What the stores refuse (database read-only or away, directory not writable) is 503, and nothing was stored.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psycopg2
import redis
from broker import enqueue
from documents import Database, Documents, Upload, is_id
from lightrag import FILES

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_LARGEST = 100 << 20


class BadRequest(Exception):
    """What the client sent cannot be a document."""


class Application:
    """The stores and the queue behind the service."""

    def __init__(self, documents: Documents, queue: redis.Redis) -> None:
        self.documents = documents
        self.queue = queue

    def health(self) -> dict[str, str]:
        """Each part and ``ok``, or what is wrong with it."""
        checks: dict[str, Callable[[], object]] = {
            "database": self._select,
            "uploads": lambda: TemporaryFile(dir=self.documents.uploads).close(),
            "lightrag": lambda: _readable(self.documents.graph.directory),
            "redis": self.queue.ping,
        }
        return {name: _outcome(check) for name, check in checks.items()}

    def _select(self) -> None:
        with self.documents.database.transaction() as cursor:
            cursor.execute("SELECT 1")


class Service(ThreadingHTTPServer):
    """Answers requests until :meth:`drain`, which lets those that have begun finish."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], application: Application) -> None:
        super().__init__(address, Handler)
        self.application = application
        self.draining = False
        self._waiting: set[socket.socket] = set()
        self._lock = threading.Lock()

    def drain(self) -> None:
        """Take no more connections and end the ones that wait for a request; ``server_close`` waits for the rest."""
        self.draining = True
        self.shutdown()
        with self._lock:
            for connection in self._waiting:
                _end_input(connection)

    def waits(self, connection: socket.socket, waiting: bool) -> None:
        """Note whether `connection` is between two requests."""
        with self._lock:
            (self._waiting.add if waiting else self._waiting.discard)(connection)
            if waiting and self.draining:
                _end_input(connection)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Service

    def handle_one_request(self) -> None:
        self.server.waits(self.connection, True)
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True
        finally:
            self.server.waits(self.connection, False)
        self.close_connection = self.close_connection or self.server.draining

    def parse_request(self) -> bool:
        self.server.waits(self.connection, False)
        return super().parse_request()

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are nginx's to log."""

    def _answer(self, act: Callable[[str, dict[str, str]], None]) -> None:
        url = urlsplit(self.path)
        try:
            act(url.path, dict(parse_qsl(url.query)))
        except BadRequest as error:
            self.close_connection = True  # the body may not have been read
            self._json(400, {"error": str(error)})
        except (psycopg2.Error, OSError) as error:
            if isinstance(error, ConnectionError):
                raise
            self._json(503, {"error": f"{type(error).__name__}: {error}".strip()})
        except ValueError as error:
            self._json(500, {"error": str(error)})

    def _get(self, path: str, query: dict[str, str]) -> None:
        documents = self.server.application.documents
        if path == "/health":
            checks = self.server.application.health()
            healthy = set(checks.values()) == {"ok"}
            self._json(200 if healthy else 503, {"status": "ok" if healthy else "failed", "checks": checks})
        elif path == "/search":
            self._json(200, documents.nearest(query.get("q", "")))
        elif path.startswith("/documents/"):
            self._document(path.removeprefix("/documents/"), "meta" in query)
        else:
            self._json(404, {"error": "no such page"})

    def _document(self, identifier: str, meta: bool) -> None:
        documents = self.server.application.documents
        row = documents.row(identifier) if is_id(identifier) else None
        if row is None:
            self._json(404, {"error": "no such document"})
            return
        row["entity"] = "lacks " + ", ".join(lacking) if (lacking := documents.graph.lacking(identifier)) else "whole"
        if meta:
            self._json(200, row)
            return
        try:
            content = (documents.uploads / row["file_path"]).read_bytes()
        except FileNotFoundError:
            self._json(500, {"error": f"the row is there, but not the file {row['file_path']}"})
            return
        headers = {f"X-Document-{name.title().replace('_', '-')}": str(value) for name, value in row.items()}
        self._send(200, "application/octet-stream", content, headers)

    def _post(self, path: str, query: dict[str, str]) -> None:
        size = self.headers.get("Content-Length", "")
        if path != "/documents" or not size.isdigit() or int(size) > _LARGEST:
            raise BadRequest("POST /documents takes at most 100 MiB with a Content-Length")
        user, collection, filename = (query.get(name, default) for name, default in _DEFAULTS.items())
        for name in (user, collection, filename):
            if not _NAME.fullmatch(name):
                raise BadRequest(f"{name!r} is not a name: letters, digits, dot, dash and underscore")
        content = self.rfile.read(int(size))
        if len(content) != int(size):
            raise BadRequest("the body ended early")
        row = self.server.application.documents.add(Upload(user, collection, filename, content))
        enqueue(self.server.application.queue, row["id"])
        self._json(201, {"id": row["id"], "sha256": row["sha256"], "size": row["size"]})

    def _json(self, status: int, value: Mapping[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(value).encode() + b"\n", {})

    def _send(self, status: int, kind: str, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        if self.server.draining:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


_DEFAULTS = {"user": "anonymous", "collection": "default", "filename": "document.txt"}


def _end_input(connection: socket.socket) -> None:
    with suppress(OSError):  # the client left first
        connection.shutdown(socket.SHUT_RD)


def _outcome(check: Callable[[], object]) -> str:
    try:
        check()
    except (psycopg2.Error, redis.RedisError, OSError) as error:
        return f"{type(error).__name__}: {error}".strip()
    return "ok"


def _readable(directory: Path) -> None:
    for name in {entry.name for entry in directory.iterdir()} & set(FILES):
        (directory / name).open("rb").close()


def main() -> None:
    url = os.environ["DATABASE_URL"]
    print(f"starting with DATABASE_URL={url}", flush=True)  # as the application does (app.md, A25)
    database = Database(url)
    application = Application(Documents(database), redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5))
    try:
        with database.transaction(schema=True):
            pass
    except psycopg2.Error as error:
        print(f"tables not created yet: {error}", file=sys.stderr, flush=True)
    service = Service(("0.0.0.0", 8000), application)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=service.drain).start())
    service.serve_forever(poll_interval=0.1)
    service.server_close()


if __name__ == "__main__":
    main()
