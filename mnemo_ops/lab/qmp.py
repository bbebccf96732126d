"""QEMU's control socket: one command, one answer (QEMU Machine Protocol)."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mnemo_ops.errors import StepFailed

_SECONDS = 30.0


class Monitor:
    """A connection to a running QEMU; made by :func:`monitor`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("r", encoding="utf-8")
        self._events: list[dict[str, Any]] = []
        self._read()  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """:raises StepFailed: (exit code 6) QEMU refuses, with its words, or does not answer."""
        self._connection.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            message = self._read()
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise StepFailed(f"QEMU refuses {command}: {message['error']['desc']}")
            self._events.append(message)

    def wait_for(self, event: str, **data: str) -> None:
        """Until QEMU tells of an event with these data. :raises StepFailed: (exit code 6) it does not."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            for told in self._events:
                if told.get("event") == event and data.items() <= told.get("data", {}).items():
                    return
            self._events = [self._read()]
        raise StepFailed(f"no {event} within {_SECONDS:.0f} s")

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except TimeoutError as error:
            raise StepFailed("QEMU does not answer on its control socket") from error
        if not line:
            raise StepFailed("QEMU has ended")
        message: dict[str, Any] = json.loads(line)
        return message


@contextmanager
def monitor(path: Path) -> Iterator[Monitor]:
    """:raises OSError: nobody listens there."""
    # an address may have 107 bytes, a checkout's path more
    directory = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(f"/proc/self/fd/{directory}/{path.name}")
            yield Monitor(connection)
    finally:
        os.close(directory)
