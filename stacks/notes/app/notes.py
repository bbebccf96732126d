"""Keeps notes: 201 when Postgres, MariaDB, SQLite and a file have one; GET /notes/ID reads all four back."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import sys
import threading
import tomllib
import uuid
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg2
import pymysql
from worker import queue

CONFIG = tomllib.loads(Path("/etc/notes.toml").read_text())
FILES, SECRETS = Path(CONFIG["attachments"]), Path("/run/secrets")
ID = re.compile(r"/notes/([0-9a-f-]{36})")


def secret(name: str) -> str:
    return (SECRETS / name).read_text().strip()


def postgres() -> Any:
    return psycopg2.connect(**CONFIG["postgres"], password=secret("postgres_app"), connect_timeout=5)


def mariadb() -> Any:
    return pymysql.connect(**CONFIG["mariadb"], password=secret("mariadb_app"), charset="utf8mb4", connect_timeout=5)


def sqlite() -> sqlite3.Connection:
    connection = sqlite3.connect(CONFIG["sqlite"], timeout=10)
    connection.executescript(
        "PRAGMA journal_mode = wal; PRAGMA synchronous = full;"
        "CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;"
    )
    return connection


def run(connect: Callable[[], Any], sql: str, *values: object) -> Any:
    """The first row of a statement in a transaction that is committed, or None."""
    with closing(connect()) as connection:
        cursor = connection.cursor()
        cursor.execute(sql, values)
        found = cursor.fetchone() if cursor.description else None
        connection.commit()
        return found


def write_file(name: str, body: str) -> None:
    temporary = FILES / f".{name}.tmp"
    with temporary.open("w") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(FILES / name)
    directory = os.open(FILES, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def add(body: str) -> str:
    """Keep a note everywhere; its id."""
    name = str(uuid.uuid4())
    raw = psycopg2.Binary(body.encode())
    run(postgres, "INSERT INTO notes (id, body, original) VALUES (%s, %s, lo_from_bytea(0, %s))", name, body, raw)
    run(mariadb, "INSERT INTO notes (id, body) VALUES (%s, %s)", name, body)
    run(sqlite, "INSERT INTO notes VALUES (?, ?)", name, body)
    write_file(name, body)
    try:
        queue("LPUSH", "notes", name)
        queue("INCR", "kept")
    except OSError as error:
        print(f"{name} is not queued: {error}", file=sys.stderr)
    return name


def read(name: str) -> dict[str, str | None]:
    """What each store has of a note."""
    file = FILES / name
    rows = {
        "postgres": run(postgres, "SELECT body, lo_get(original) FROM notes WHERE id = %s", name),
        "mariadb": run(mariadb, "SELECT body FROM notes WHERE id = %s", name),
        "sqlite": run(sqlite, "SELECT body FROM notes WHERE id = ?", name),
    }
    original = rows["postgres"] and bytes(rows["postgres"][1]).decode()
    found = {store: row and row[0] for store, row in rows.items()}
    return {**found, "large object": original, "file": file.read_text() if file.exists() else None}


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(self.show)

    def do_POST(self) -> None:
        self.answer(self.keep)

    def show(self) -> tuple[int, Any]:
        if self.path == "/health":
            read(str(uuid.uuid4()))
            return 200, {"greeting": os.environ["NOTES_GREETING"]}
        asked = ID.fullmatch(self.path)
        found = read(asked[1]) if asked else {}
        return (200, found) if any(body is not None for body in found.values()) else (404, {})

    def keep(self) -> tuple[int, Any]:
        if self.path != "/notes":
            return 404, {}
        return 201, {"id": add(self.rfile.read(int(self.headers["Content-Length"])).decode())}

    def answer(self, work: Callable[[], tuple[int, Any]]) -> None:
        try:
            status, document = work()
        except (psycopg2.Error, pymysql.Error, sqlite3.Error, OSError) as error:
            status, document = 503, {"error": f"{type(error).__name__}: {error}"}
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    if "health" in sys.argv:
        urlopen("http://127.0.0.1:8080/health", timeout=5).close()
    else:
        server = ThreadingHTTPServer(("", 8080), Page)
        server.daemon_threads = False
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        server.serve_forever()
        server.server_close()
