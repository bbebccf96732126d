"""The knowledge graph directory as LightRAG keeps it: a graphml, a JSON store and a nano-vectordb, which must agree.

Several processes write it. Each writer takes the lock, reads what others changed since its own last write, and rewrites
all files: temporary files first, every one of them fsynced, then the renames, then the directory. Threads that wait for
the lock at the same time share one rewrite (group commit). Nothing is repaired on reading: what
a file lost stays visible.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import struct
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from durable import sync_directory, write_synced
from embedding import DIMENSIONS, embed

DOCUMENTS = "kv_store_full_docs.json"
VECTORS = "vdb_entities.json"
GRAPH = "graph_chunk_entity_relation.graphml"
FILES = (DOCUMENTS, VECTORS, GRAPH)

_GRAPHML = "http://graphml.graphdrawing.org/xmlns"
_Signature = tuple[int, int, int]


@dataclass(frozen=True)
class Entity:
    """One document in the graph.

    :param id: of the document, a uuid.
    :param sha256: of its content; the vector follows from it.
    :param path: of the original, below the uploads directory.
    """

    id: str
    sha256: str
    path: str


@dataclass
class _Ticket:
    entity: Entity
    done: bool = False
    error: Exception | None = None


@dataclass
class _File:
    """One file in memory: what it says about each entity, ready to be written."""

    name: str
    parse: Callable[[bytes], dict[str, bytes]]
    render: Callable[[dict[str, bytes]], bytes]
    entries: dict[str, bytes] = field(default_factory=dict)
    signature: _Signature | None = None


class LightRag:
    """The store in one directory, which must exist and be writable."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._files = [
            _File(DOCUMENTS, _parse_documents, _render_documents),
            _File(VECTORS, _parse_vectors, _render_vectors),
            _File(GRAPH, _parse_graph, _render_graph),
        ]
        self._pending: list[_Ticket] = []
        self._queue = threading.Lock()
        self._turn = threading.Lock()

    def add(self, entity: Entity) -> None:
        """Add or replace `entity`; when this returns, every file holds it durably.

        :raises OSError: the directory cannot be written; the old files are whole.
        :raises ValueError: a file does not parse; it is left as it is.
        """
        ticket = _Ticket(entity)
        with self._queue:
            self._pending.append(ticket)
        with self._turn:
            if not ticket.done:
                self._commit_pending()
        if ticket.error:
            raise ticket.error

    def lacking(self, identifier: str) -> list[str]:
        """Names of the files that do not hold the entity `identifier`; empty when it is whole.

        :raises ValueError: a file does not parse.
        """
        with self._turn:  # no flock: files are replaced whole, and what was acknowledged is in all of them
            self._read_changed()
            return [file.name for file in self._files if identifier not in file.entries]

    def _commit_pending(self) -> None:
        with self._queue:
            batch, self._pending = self._pending, []
        try:
            with self._locked():
                self._read_changed()
                self._write([ticket.entity for ticket in batch])
        except Exception as error:
            for ticket in batch:
                ticket.error = error
        for ticket in batch:
            ticket.done = True

    def _read_changed(self) -> None:
        for file in self._files:
            signature = self._signature(file.name)
            if signature != file.signature:
                file.entries = file.parse((self.directory / file.name).read_bytes()) if signature else {}
                file.signature = signature

    def _write(self, entities: list[Entity]) -> None:
        renders = {DOCUMENTS: _document, VECTORS: _vector, GRAPH: _node}
        try:
            for file in self._files:
                file.entries.update((entity.id, renders[file.name](entity)) for entity in entities)
                write_synced(self._temporary(file), file.render(file.entries))
            for file in self._files:
                self._temporary(file).replace(self.directory / file.name)
                file.signature = self._signature(file.name)
            sync_directory(self.directory)
        except OSError:
            for file in self._files:
                file.signature = (0, 0, 0)  # memory is ahead of the disk: read again
            raise

    def _temporary(self, file: _File) -> Path:
        return self.directory / f".{file.name}.tmp"

    def _signature(self, name: str) -> _Signature | None:
        try:
            status = (self.directory / name).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    @contextmanager
    def _locked(self) -> Iterator[None]:
        handle = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _document(entity: Entity) -> bytes:
    value = {"content_sha256": entity.sha256, "file_path": entity.path}
    return f"{json.dumps(entity.id)}: {json.dumps(value)}".encode()


def _parse_documents(content: bytes) -> dict[str, bytes]:
    found: dict[str, Any] = json.loads(content)
    return {key: f"{json.dumps(key)}: {json.dumps(value)}".encode() for key, value in found.items()}


def _render_documents(entries: dict[str, bytes]) -> bytes:
    return b"{\n" + b",\n".join(entries.values()) + b"\n}\n"


_ROW = struct.Struct(f"<{DIMENSIONS}f")


def _vector(entity: Entity) -> bytes:
    """The row of the matrix, then the JSON that describes it."""
    about = {"__id__": entity.id, "entity_name": entity.id, "source_id": entity.sha256}
    return _ROW.pack(*embed(entity.sha256)) + json.dumps(about).encode()


def _parse_vectors(content: bytes) -> dict[str, bytes]:
    found = json.loads(content)
    matrix = base64.b64decode(found["matrix"])
    if len(matrix) != _ROW.size * len(found["data"]):
        raise ValueError(f"{VECTORS}: {len(found['data'])} entities, but a matrix of {len(matrix)} bytes")
    rows = (matrix[start : start + _ROW.size] for start in range(0, len(matrix), _ROW.size))
    return {item["__id__"]: row + json.dumps(item).encode() for item, row in zip(found["data"], rows)}


def _render_vectors(entries: dict[str, bytes]) -> bytes:
    matrix = base64.b64encode(b"".join(entry[: _ROW.size] for entry in entries.values()))
    items = b",\n".join(entry[_ROW.size :] for entry in entries.values())
    head = f'{{"embedding_dim": {DIMENSIONS}, "data": [\n'.encode()
    return head + items + b'\n], "matrix": "' + matrix + b'"}\n'


_HEAD = f"""<?xml version='1.0' encoding='utf-8'?>
<graphml xmlns="{_GRAPHML}"><key id="d0" for="node" attr.name="source_id" attr.type="string"/>
<graph edgedefault="undirected">
""".encode()


def _node(entity: Entity) -> bytes:
    return _node_line(entity.id, entity.sha256)


def _node_line(identifier: str, source: str) -> bytes:
    return f'<node id="{escape(identifier)}"><data key="d0">{escape(source)}</data></node>'.encode()


def _parse_graph(content: bytes) -> dict[str, bytes]:
    try:
        nodes = ElementTree.fromstring(content).iter(f"{{{_GRAPHML}}}node")
    except ElementTree.ParseError as error:
        raise ValueError(f"{GRAPH}: {error}") from error
    pairs = [(node.attrib["id"], node.findtext(f"{{{_GRAPHML}}}data") or "") for node in nodes]
    return {identifier: _node_line(identifier, source) for identifier, source in pairs}


def _render_graph(entries: dict[str, bytes]) -> bytes:
    return _HEAD + b"\n".join(entries.values()) + b"\n</graph></graphml>\n"
