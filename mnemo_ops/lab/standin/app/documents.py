"""Documents as the application keeps them: the original in a file, an entity in LightRAG, a row and vector in Postgres.

The row is committed last, so a row that anyone can see has its file and its entity on disk.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import psycopg2
from durable import write_below
from embedding import embed, literal
from lightrag import Entity, LightRag

UPLOADS = Path("/app/uploads")
LIGHTRAG = Path("/app/data/lightrag")

# what the application's create_all() makes at start; the advisory lock lets two processes start at once
SCHEMA = """
SELECT pg_advisory_xact_lock(20260117);
CREATE EXTENSION IF NOT EXISTS vector;
CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE TABLE IF NOT EXISTS collections (
    user_id text NOT NULL,
    id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, id)
);
CREATE TABLE IF NOT EXISTS documents (
    id uuid PRIMARY KEY,
    user_id text NOT NULL,
    collection_id text NOT NULL,
    filename text NOT NULL,
    file_path text NOT NULL,
    sha256 text NOT NULL,
    size bigint NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    embedding vector(64) NOT NULL,
    FOREIGN KEY (user_id, collection_id) REFERENCES collections (user_id, id)
);
CREATE TABLE IF NOT EXISTS document_chunks (
    id bigserial PRIMARY KEY,
    document_id uuid NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    position integer NOT NULL,
    content text NOT NULL,
    UNIQUE (document_id, position)
);
CREATE INDEX IF NOT EXISTS documents_embedding ON documents USING hnsw (embedding vector_cosine_ops);
CREATE INDEX IF NOT EXISTS documents_filename ON documents USING gin (filename gin_trgm_ops);
"""

_INSERT = """
INSERT INTO collections (user_id, id) VALUES (%(user_id)s, %(collection_id)s) ON CONFLICT DO NOTHING;
INSERT INTO documents (id, user_id, collection_id, filename, file_path, sha256, size, embedding)
VALUES (%(id)s, %(user_id)s, %(collection_id)s, %(filename)s, %(file_path)s, %(sha256)s, %(size)s, %(embedding)s)
"""
_COLUMNS = ("id", "user_id", "collection_id", "filename", "file_path", "sha256", "size", "status", "created_at")
_NEAREST = "SELECT id::text FROM documents ORDER BY embedding <=> %s::vector LIMIT 10"
_THROUGH_INDEX = "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL hnsw.ef_search = 200"


@dataclass(frozen=True)
class Upload:
    """What a client sends: names without a slash, and the bytes."""

    user: str
    collection: str
    filename: str
    content: bytes


class Database:
    """Connections to Postgres, handed out one per request and checked before use."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: SimpleQueue[Any] = SimpleQueue()
        self._has_schema = False

    @contextmanager
    def transaction(self, schema: bool = False) -> Iterator[Any]:
        """A cursor; commits at the end of the block, rolls back on an exception.

        :param schema: create missing tables first; the api does at start, and no other program may.
        :raises psycopg2.Error: the database does not answer or refuses.
        """
        connection = self._connection()
        try:
            if schema and not self._has_schema:
                with connection, connection.cursor() as cursor:
                    cursor.execute(SCHEMA)
                self._has_schema = True
            with connection, connection.cursor() as cursor:
                yield cursor
        except BaseException:
            connection.close()
            raise
        self._idle.put(connection)

    def _connection(self) -> Any:
        while True:
            try:
                connection = self._idle.get_nowait()
            except Empty:
                return psycopg2.connect(self._url, connect_timeout=5)
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                return connection
            except psycopg2.Error:  # the server was restarted since
                connection.close()


class Documents:
    """The three stores together.

    :param uploads: directory of the originals.
    :param lightrag: directory of the knowledge graph.
    """

    def __init__(self, database: Database, uploads: Path = UPLOADS, lightrag: Path = LIGHTRAG) -> None:
        self.database = database
        self.uploads = uploads
        self.graph = LightRag(lightrag)

    def add(self, upload: Upload) -> dict[str, Any]:
        """Store `upload` under a new id; when this returns, file, entity and row are durable.

        :raises psycopg2.Error: the database does not answer or is read-only.
        :raises OSError: a directory cannot be written.
        """
        identifier = str(uuid.uuid4())
        sha256 = hashlib.sha256(upload.content).hexdigest()
        folder = f"users/{upload.user}/collections/{upload.collection}/documents/{identifier}"
        path = f"{folder}/{upload.filename}"
        row = {
            "id": identifier,
            "user_id": upload.user,
            "collection_id": upload.collection,
            "filename": upload.filename,
            "file_path": path,
            "sha256": sha256,
            "size": len(upload.content),
            "embedding": literal(embed(sha256)),
        }
        with self.database.transaction(schema=True) as cursor:
            cursor.execute(_INSERT, row)  # first, so that a database that refuses leaves no file behind
            write_below(self.uploads, path, upload.content)
            self.graph.add(Entity(identifier, sha256, path))
        return row

    def row(self, identifier: str) -> dict[str, Any] | None:
        """The document's row, or None."""
        with self.database.transaction() as cursor:
            cursor.execute(f"SELECT {', '.join(_COLUMNS)} FROM documents WHERE id = %s", (identifier,))
            found = cursor.fetchone()
        return dict(zip(_COLUMNS, map(_plain, found))) if found else None

    def nearest(self, query: str) -> Mapping[str, Any]:
        """The ten documents nearest to a document (by id) or to a text, through the vector index.

        :return: ``ids``, best first, and ``index``, the one that the plan uses or None.
        """
        with self.database.transaction() as cursor:
            cursor.execute(_THROUGH_INDEX)
            cursor.execute("SELECT sha256 FROM documents WHERE id = %s", (query if is_id(query) else None,))
            known = cursor.fetchone()
            vector = literal(embed(known[0] if known else hashlib.sha256(query.encode()).hexdigest()))
            cursor.execute(f"EXPLAIN (FORMAT JSON) {_NEAREST}", (vector,))
            plan = cursor.fetchone()[0][0]["Plan"]
            cursor.execute(_NEAREST, (vector,))
            return {"ids": [found for (found,) in cursor.fetchall()], "index": _index(plan)}


def is_id(text: str) -> bool:
    """Whether `text` is a document's id as :meth:`Documents.add` writes it."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _index(plan: Mapping[str, Any]) -> str | None:
    inner = [_index(child) for child in plan.get("Plans", [])]
    return plan.get("Index Name") or next(filter(None, inner), None)


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, str)) else str(value)
