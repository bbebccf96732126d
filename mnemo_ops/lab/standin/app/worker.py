"""Celery's programs: ``worker`` processes documents, ``beat`` finds the forgotten ones, ``flower`` watches.

A job leaves the queue when it is taken (no late acknowledgement), and SIGTERM ends the worker after the job in hand.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import psycopg2
import redis
from broker import dequeue, enqueue
from documents import Database, Documents
from monitor import serve

_FORGOTTEN = "SELECT id::text FROM documents WHERE status <> 'processed' AND updated_at < now() - interval '30 minutes'"
_MARK = "UPDATE documents SET status = %s, updated_at = now() WHERE id = %s"


def process(documents: Documents, identifier: str) -> None:
    """Read the original of a document and write its first chunk."""
    _mark(documents.database, identifier, "processing")
    row = documents.row(identifier)
    if row is None:
        return
    text = (documents.uploads / row["file_path"]).read_bytes()[:200].hex()
    with documents.database.transaction() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(
            "INSERT INTO document_chunks (document_id, position, content) VALUES (%s, 0, %s) ON CONFLICT DO NOTHING",
            (identifier, text),
        )
        cursor.execute(_MARK, ("processed", identifier))


def work(documents: Documents, queue: redis.Redis, stop: threading.Event) -> None:
    """Process jobs until `stop`; the job in hand is finished."""
    while not stop.is_set():
        try:
            identifier = dequeue(queue, seconds=1)
            if identifier:
                process(documents, identifier)
        except (psycopg2.Error, redis.RedisError, OSError) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            stop.wait(1)


def beat(documents: Documents, queue: redis.Redis, stop: threading.Event) -> None:
    """Once a minute, queue again what nobody has finished for half an hour."""
    while not stop.wait(60):
        try:
            with documents.database.transaction() as cursor:
                cursor.execute(_FORGOTTEN)
                forgotten = [identifier for (identifier,) in cursor.fetchall()]
            for identifier in forgotten:
                enqueue(queue, identifier)
        except (psycopg2.Error, redis.RedisError) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)


def _mark(database: Database, identifier: str, status: str) -> None:
    with database.transaction() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")  # a lost mark is found again by beat
        cursor.execute(_MARK, (status, identifier))


def main() -> None:
    roles = {"worker": work, "beat": beat}
    role = next((word for word in sys.argv[1:] if word in {*roles, "flower"}), "worker")
    if role == "flower":
        serve(5555, "flower")
        return
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    documents = Documents(Database(os.environ["DATABASE_URL"]))
    started = time.strftime("%FT%TZ", time.gmtime())
    print(f"{started} {role} started", flush=True)
    roles[role](documents, redis.Redis.from_url(os.environ["REDIS_URL"]), stop)
    print(f"{role} stopped", flush=True)


if __name__ == "__main__":
    main()
