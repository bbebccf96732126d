"""The stand-in application's pure parts, and the load generator against a server that drops what it likes."""

from __future__ import annotations

import base64
import json
import re
import struct
import sys
import threading
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mnemo_ops.lab.app import RECIPES, STACK, lab_env, lab_tls
from mnemo_ops.lab.load import ACKNOWLEDGED, UNACKNOWLEDGED, Load, check

TREE = RECIPES[17].tree
assert TREE
sys.path.insert(0, str(TREE / "app"))  # the image's own import path

import durable  # noqa: E402
import embedding  # noqa: E402
import lightrag  # noqa: E402


def entity(name: str) -> lightrag.Entity:
    return lightrag.Entity(
        str(uuid.uuid5(uuid.NAMESPACE_URL, name)), sha256(name.encode()).hexdigest(), f"users/{name}"
    )


def ids_on_disk(directory: Path) -> list[list[str]]:
    documents = json.loads((directory / lightrag.DOCUMENTS).read_bytes())
    vectors = json.loads((directory / lightrag.VECTORS).read_bytes())
    nodes = ElementTree.parse(directory / lightrag.GRAPH).iter("{http://graphml.graphdrawing.org/xmlns}node")
    return [
        sorted(documents),
        sorted(item["__id__"] for item in vectors["data"]),
        sorted(n.attrib["id"] for n in nodes),
    ]


def test_the_vector_follows_from_the_text_and_fits_float32() -> None:
    vector = embedding.embed("a")
    assert vector == embedding.embed("a") != embedding.embed("b")
    assert len(vector) == 64 and all(-1 <= number < 1 for number in vector)
    assert list(struct.unpack("<64f", struct.pack("<64f", *vector))) == vector
    assert json.loads(embedding.literal(vector)) == vector


def test_files_agree_after_concurrent_writers_in_two_processes_worth_of_stores(tmp_path: Path) -> None:
    stores = [lightrag.LightRag(tmp_path), lightrag.LightRag(tmp_path)]
    entities = [entity(str(number)) for number in range(60)]

    def write(start: int) -> None:
        for each in entities[start::6]:
            stores[start % 2].add(each)

    threads = [threading.Thread(target=write, args=(start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ids_on_disk(tmp_path) == [sorted(each.id for each in entities)] * 3
    fresh = lightrag.LightRag(tmp_path)
    assert [fresh.lacking(each.id) for each in entities] == [[]] * 60
    vectors = json.loads((tmp_path / lightrag.VECTORS).read_bytes())
    first = struct.unpack("<64f", base64.b64decode(vectors["matrix"])[:256])
    source = {each.id: each.sha256 for each in entities}[vectors["data"][0]["__id__"]]
    assert list(first) == embedding.embed(source)


def test_what_a_file_lost_is_told_and_not_repaired_by_a_restart_or_the_next_write(tmp_path: Path) -> None:
    lightrag.LightRag(tmp_path).add(entity("kept"))
    (tmp_path / lightrag.VECTORS).unlink()
    store = lightrag.LightRag(tmp_path)
    assert store.lacking(entity("kept").id) == [lightrag.VECTORS]
    store.add(entity("later"))
    assert store.lacking(entity("kept").id) == [lightrag.VECTORS]
    assert store.lacking(entity("later").id) == []
    assert store.lacking(entity("never").id) == list(lightrag.FILES)


@pytest.mark.parametrize("name", lightrag.FILES)
def test_a_torn_file_refuses_writes_and_stays_as_it_is(tmp_path: Path, name: str) -> None:
    lightrag.LightRag(tmp_path).add(entity("kept"))
    torn = (tmp_path / name).read_bytes()[:-20]
    (tmp_path / name).write_bytes(torn)
    store = lightrag.LightRag(tmp_path)
    with pytest.raises(ValueError):
        store.add(entity("later"))
    assert (tmp_path / name).read_bytes() == torn


def test_a_failed_rewrite_fails_every_waiting_writer_and_keeps_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = lightrag.LightRag(tmp_path)
    store.add(entity("kept"))
    before = ids_on_disk(tmp_path)

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(lightrag, "write_synced", full)
        with pytest.raises(OSError):
            store.add(entity("refused"))
    assert ids_on_disk(tmp_path) == before
    store.add(entity("later"))
    assert ids_on_disk(tmp_path) == [sorted([entity("kept").id, entity("later").id])] * 3


def test_an_original_is_written_whole_with_its_directories(tmp_path: Path) -> None:
    durable.write_below(tmp_path, "users/u/documents/d/a.txt", b"content")
    assert (tmp_path / "users/u/documents/d/a.txt").read_bytes() == b"content"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.txt"]


class Flaky(ThreadingHTTPServer):
    """Keeps documents in memory; of every five writes it refuses one and answers one by hanging up."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FlakyHandler)
        self.kept: dict[str, bytes] = {}
        self.writes = 0
        self.lock = threading.Lock()


class FlakyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Flaky

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.writes += 1
            turn = self.server.writes % 5
        if turn == 1:
            self._send(503, b"{}")
            return
        identifier = str(uuid.uuid4())
        self.server.kept[identifier] = body
        if turn == 2:
            self.close_connection = True  # stored, but nobody is told
            return
        self._send(201, json.dumps({"id": identifier}).encode())

    def do_GET(self) -> None:
        name, _, wanted = self.path.lstrip("/").partition("?q=")
        if wanted:
            self._send(200, json.dumps({"ids": list(self.server.kept), "index": "documents_embedding"}).encode())
            return
        content = self.server.kept.get(name.removeprefix("documents/"))
        self._send(404 if content is None else 200, content or b"{}")

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Document-Entity", "whole")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def flaky(loopback: None) -> Iterator[Flaky]:
    with Flaky() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url(server: Flaky) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_only_acknowledged_writes_count_and_every_attempt_is_in_one_log(flaky: Flaky, tmp_path: Path) -> None:
    load = Load(url(flaky), tmp_path, writers=3, documents=50, seconds=60).start()
    load.wait()
    logged = [json.loads(line) for line in (tmp_path / ACKNOWLEDGED).read_text().splitlines()]
    refused = [json.loads(line) for line in (tmp_path / UNACKNOWLEDGED).read_text().splitlines()]
    assert (load.acknowledged, load.unacknowledged) == (len(logged), len(refused)) == (30, 20)
    assert sorted(entry["sequence"] for entry in logged + refused) == list(range(1, 51))
    assert flaky.writes == 50
    checked = check(url(flaky), tmp_path / ACKNOWLEDGED)
    assert checked.whole and checked.found == 30


def test_lost_changed_and_unindexed_documents_are_told(flaky: Flaky, tmp_path: Path) -> None:
    Load(url(flaky), tmp_path, writers=1, documents=10, seconds=60).start().wait()
    lost, changed, *_ = [json.loads(line)["id"] for line in (tmp_path / ACKNOWLEDGED).read_text().splitlines()]
    del flaky.kept[lost]
    flaky.kept[changed] += b"!"
    checked = check(url(flaky), tmp_path / ACKNOWLEDGED)
    assert not checked.whole
    assert checked.missing == [lost]
    assert checked.wrong == [f"{changed}: other bytes"]
    assert checked.unsearchable == [lost]
    assert checked.found == checked.acknowledged - 2


def test_a_load_ends_by_time_when_nobody_answers(loopback: None, tmp_path: Path) -> None:
    load = Load("http://127.0.0.1:9", tmp_path, writers=2, seconds=0.3).start()
    load.wait()
    assert load.acknowledged == 0 < load.unacknowledged
    assert (tmp_path / ACKNOWLEDGED).read_text() == ""


def test_a_line_that_was_not_finished_was_not_acknowledged(flaky: Flaky, tmp_path: Path) -> None:
    log = tmp_path / ACKNOWLEDGED
    log.write_text('{"id": "00000000-0000-0000-0000-000000000000", "sha')
    assert check(url(flaky), log).acknowledged == 0


def test_the_lab_has_a_value_for_every_variable_that_the_compose_file_reads() -> None:
    env = dict(line.split("=", 1) for line in lab_env().splitlines() if "=" in line and not line.startswith("#"))
    compose = (STACK / "docker-compose.prod.yml").read_text()
    read = set(re.findall(r"\$\{(\w+)}", compose))  # what has no default
    assert {name for name in read if not env.get(name)} == set()
    assert "CHANGE_ME" not in str(env)
    assert len({value for name, value in env.items() if re.search("PASSWORD|SECRET_KEY|API_KEY", name)}) >= 5


def test_tls_files_are_what_nginx_reads_and_the_key_is_private(tmp_path: Path) -> None:
    lab_tls(tmp_path / "ssl")
    wanted = set(re.findall(r"/etc/nginx/ssl/(\S+);", (STACK / "nginx" / "nginx.conf").read_text()))
    assert {path.name for path in (tmp_path / "ssl").iterdir()} == wanted
    assert (tmp_path / "ssl" / "privkey.pem").stat().st_mode & 0o777 == 0o600
