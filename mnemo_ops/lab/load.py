"""The lab's load generator: writes documents, keeps a durable list of what was acknowledged, and looks for it later.

Nothing is lost when :func:`check` finds every acknowledged document whole. A write without an answer is not sent again
(it may be there or not) and counts for nothing.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import ssl
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

ACKNOWLEDGED = "acknowledged.jsonl"
UNACKNOWLEDGED = "unacknowledged.jsonl"

_TIMEOUT = 30.0
_BACKOFF = 0.05


class Client:
    """One connection to the application, opened again after an error; for one thread.

    :param base_url: ``http://`` or ``https://`` with host and port.
    :param verify_tls: whether the certificate must be valid for the host.
    """

    def __init__(self, base_url: str, verify_tls: bool) -> None:
        self.base_url = base_url
        url = urllib.parse.urlsplit(base_url)
        if url.scheme == "https":
            context = ssl.create_default_context()
            if not verify_tls:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                url.netloc, timeout=_TIMEOUT, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(url.netloc, timeout=_TIMEOUT)

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of the answer.

        :raises OSError: no connection, or it broke.
        :raises http.client.HTTPException: the answer is not whole.
        """
        try:
            self._connection.request(method, path, body)
            answer = self._connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()


class Load:
    """Writers in threads, from :meth:`start` to :meth:`stop` or to a limit; there is always one.

    :param base_url: where to write; may be assigned anew while the writers run.
    :param directory: the two logs are appended here.
    :param writers: concurrent ones.
    :param documents: stop after this many attempts.
    :param seconds: stop after this time.
    :param size: bytes of a document. :param pause: seconds a writer waits between two documents; may be
        assigned anew, too.
    """

    def __init__(
        self,
        base_url: str,
        directory: Path,
        writers: int = 4,
        documents: int | None = None,
        seconds: float | None = None,
        verify_tls: bool = False,
        size: int = 2048,
        pause: float = 0.0,
    ) -> None:
        self.base_url = base_url
        self.directory = directory
        self.documents = 100_000 if documents is None else documents
        self.seconds = 900.0 if seconds is None else seconds
        self.acknowledged = 0
        self.unacknowledged = 0
        self.longest_gap = 0.0
        """Longest time in seconds between two acknowledgements, any writer: the write outage."""
        self._verify_tls = verify_tls
        self._size = size
        self.pause = pause
        self._seed = random.Random().getrandbits(64)
        self._attempts = 0
        self._last = 0.0
        self._deadline = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._write, name=f"load-{n}", args=(n,)) for n in range(writers)]

    def start(self) -> Load:
        """Start writing.

        :raises OSError: `directory` cannot be written.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._log(ACKNOWLEDGED)
        self._last = time.monotonic()
        self._deadline = self._last + self.seconds
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Let the writers finish the request in hand, and wait for them."""
        self._stopped.set()
        self.wait()

    def wait(self) -> None:
        """Wait until a limit is reached or :meth:`stop` was called."""
        for thread in self._threads:
            thread.join()

    def _write(self, writer: int) -> None:
        client = Client(self.base_url, self._verify_tls)
        try:
            for sequence in self._sequence():
                if client.base_url != self.base_url:
                    client.close()
                    client = Client(self.base_url, self._verify_tls)
                written = self._attempt(client, writer, sequence)
                self._stopped.wait(self.pause if written else max(_BACKOFF, self.pause))
        finally:
            client.close()

    def _sequence(self) -> Iterator[int]:
        while not self._stopped.is_set() and time.monotonic() < self._deadline:
            with self._lock:
                if self._attempts >= self.documents:
                    return
                self._attempts += 1
                sequence = self._attempts
            yield sequence

    def _attempt(self, client: Client, writer: int, sequence: int) -> bool:
        body = self._body(sequence)
        entry: dict[str, Any] = {"sequence": sequence, "sha256": sha256(body).hexdigest(), "size": len(body)}
        path = f"/documents?user=user{writer}&collection=load&filename={sequence}.bin"
        try:
            status, _, answer = client.request("POST", path, body)
            if status == 201:
                self._note_acknowledged({**entry, "id": json.loads(answer)["id"], "time": time.time()})
                return True
            why = f"{status} {answer[:200].decode(errors='replace').strip()}"
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            why = f"{type(error).__name__}: {error}"
        with self._lock:
            self.unacknowledged += 1
            self._log(UNACKNOWLEDGED, {**entry, "why": why, "time": time.time()})
        return False

    def _note_acknowledged(self, entry: Mapping[str, Any]) -> None:
        with self._lock:
            self._log(ACKNOWLEDGED, entry)
            self.acknowledged += 1
            now = time.monotonic()
            self.longest_gap = max(self.longest_gap, now - self._last)
            self._last = now

    def _log(self, name: str, *entries: Mapping[str, Any]) -> None:
        with (self.directory / name).open("a") as file:
            file.writelines(f"{json.dumps(entry)}\n" for entry in entries)
            file.flush()
            os.fsync(file.fileno())

    def _body(self, sequence: int) -> bytes:
        return f"document {sequence}\n".encode() + random.Random(self._seed + sequence).randbytes(self._size)


@dataclass
class Checked:
    """What became of the acknowledged documents: ids, with the reason where there is one."""

    acknowledged: int = 0
    found: int = 0
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unsearchable: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return self.found == self.acknowledged and not (self.missing or self.wrong or self.unsearchable)


def check(
    base_url: str, acknowledged_file: Path, readers: int = 4, searches: int = 20, verify_tls: bool = False
) -> Checked:
    """Read every acknowledged document back: bytes by sha256, and its entity; search for a sample by vector.

    :param acknowledged_file: a line that was being written when the generator died is ignored.
    :param searches: how many documents, evenly spread, must be their own nearest neighbour through the index.
    :raises OSError: the application does not answer.
    """
    entries = _entries(acknowledged_file)
    sample = entries[:: max(1, len(entries) // searches)] if searches else []
    local = threading.local()
    clients: list[Client] = []

    def ask(path: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        if not hasattr(local, "client"):
            local.client = Client(base_url, verify_tls)
            clients.append(local.client)
        client: Client = local.client
        return client.request("GET", path)

    checked = Checked(acknowledged=len(entries))
    try:
        with ThreadPoolExecutor(readers) as pool:
            for entry, verdict in zip(entries, pool.map(lambda entry: _verdict(ask, entry), entries), strict=True):
                _sort(checked, entry["id"], verdict)
            for entry, found in zip(sample, pool.map(lambda entry: _searchable(ask, entry["id"]), sample), strict=True):
                if not found:
                    checked.unsearchable.append(entry["id"])
    finally:
        for client in clients:
            client.close()
    return checked


_Ask = Callable[[str], tuple[int, http.client.HTTPMessage, bytes]]


def _verdict(ask: _Ask, entry: Mapping[str, Any]) -> str:
    status, headers, body = ask(f"/documents/{entry['id']}")
    if status == 404:
        return "missing"
    if status != 200:
        return f"{status} {body[:200].decode(errors='replace').strip()}"
    if sha256(body).hexdigest() != entry["sha256"]:
        return "other bytes"
    entity = headers.get("X-Document-Entity", "not told")
    return "" if entity == "whole" else f"entity {entity}"


def _sort(checked: Checked, identifier: str, verdict: str) -> None:
    if not verdict:
        checked.found += 1
    elif verdict == "missing":
        checked.missing.append(identifier)
    else:
        checked.wrong.append(f"{identifier}: {verdict}")


def _searchable(ask: _Ask, identifier: str) -> bool:
    status, _, body = ask(f"/search?q={identifier}")
    if status != 200:
        return False
    answer = json.loads(body)
    return bool(answer["index"]) and identifier in answer["ids"]


def _entries(file: Path) -> list[dict[str, Any]]:
    lines = file.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]  # what follows the last newline is not whole


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mnemo_ops.lab.load", description=__doc__)
    parser.add_argument("base_url")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--check", action="store_true", help="only look for what was acknowledged before")
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--documents", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--verify-tls", action="store_true")
    given = parser.parse_args()
    if given.check:
        checked = check(given.base_url, given.directory / ACKNOWLEDGED, given.writers, verify_tls=given.verify_tls)
        print(json.dumps({**asdict(checked), "whole": checked.whole}))
        return 0 if checked.whole else 7
    load = Load(
        given.base_url, given.directory, given.writers, given.documents, given.seconds, verify_tls=given.verify_tls
    )
    started = time.monotonic()
    load.start()
    try:
        load.wait()
    except KeyboardInterrupt:
        load.stop()
    rate = load.acknowledged / (time.monotonic() - started)
    print(
        json.dumps(
            {
                "acknowledged": load.acknowledged,
                "unacknowledged": load.unacknowledged,
                "per_second": round(rate, 1),
                "longest_gap_seconds": round(load.longest_gap, 3),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
