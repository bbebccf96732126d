"""Agents started by hand: the real zip with one kind more, every python3 we find, and raw pipes."""

from __future__ import annotations

import bz2
import contextlib
import functools
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Optional

from mnemo_ops.agent.base import protocol
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.core.model import Batch, Host, Task
from mnemo_ops.transport import bundle

HERE = Path(__file__).parent
HOST = Host("here", "here", local=True)


REAL = bundle.bundle()
REGISTRY = b"KINDS: Dict[str, str] = {"


@functools.cache
def with_probe(blob: bytes, tools: str = "") -> bytes:
    """The agent's zip with one kind (probe.py) and one action (dawdle.py) more; ``tools`` comes first in its PATH."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bz2.decompress(blob))) as old, zipfile.ZipFile(out, "w") as new:
        files = {name: old.read(name) for name in old.namelist()}
        actions = "mnemo_ops/agent/engine/action.py"
        assert files[actions].count(REGISTRY) == 1
        files[actions] = files[actions].replace(REGISTRY, REGISTRY + b'"dawdle": "dawdle",')
        files["mnemo_ops/agent/actions/dawdle.py"] = (HERE / "dawdle.py").read_bytes()
        files["mnemo_ops/agent/resources/probe.py"] = (HERE / "probe.py").read_bytes()
        if tools:
            machine, path = "mnemo_ops/agent/machine/programs.py", b'SEARCH_PATH = "'
            assert files[machine].count(path) == 1
            files[machine] = files[machine].replace(path, path + tools.encode() + b":")
        for name, data in files.items():
            new.writestr(name, data)
    return bz2.compress(out.getvalue(), 1)


def code(*kinds: str) -> dict[str, str]:
    """What a session sends along with the first request that names these kinds."""
    return bundle.parcel(bundle.needed(frozenset(kinds)) - bundle.core())


def interpreters() -> list[str]:
    """Oldest and newest python3 from 3.9 on that runs here, and the one that runs this."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep)]
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    folders += [str(path / "bin") for path in sorted(root.glob("3.*"))]
    found = {sys.version_info[:2]: sys.executable}
    for minor in range(9, 30):
        for folder in folders:
            program = shutil.which(f"python3.{minor}", path=folder)
            if program and subprocess.run([program, "-c", ""], capture_output=True, check=False).returncode == 0:
                found.setdefault((3, minor), program)
                break
    return [found[version] for version in sorted({min(found), sys.version_info[:2], max(found)})]


class RawAgent:
    """An agent whose pipes the test holds itself, to say what no controller says."""

    def __init__(self, before: bytes = b"", python: str = sys.executable, **options: Any) -> None:
        """:param options: as ``Popen`` takes them."""
        pipe = subprocess.PIPE
        argv = bundle.command(bundle.bundle(), python)
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, **options)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.write(before + bundle.shipment(bundle.bundle()))
        assert self.stdout.readline() == protocol.GREETING

    def write(self, data: bytes) -> None:
        self.stdin.write(data)
        self.stdin.flush()

    def send(self, **message: Any) -> None:
        self.write(protocol.encode(message))

    def receive(self) -> Optional[dict[str, Any]]:
        """The next message that is not a beat."""
        while (message := protocol.receive(self.stdout)) is not None and "beat" in message:
            pass
        return message

    def hello(self, **more: Any) -> Optional[dict[str, Any]]:
        self.send(op="hello", seq=1, **more)
        return self.receive()

    def close_pipes(self) -> None:
        for stream in (self.stdin, self.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    def close(self) -> None:
        self.close_pipes()
        self.process.kill()
        self.process.wait()


def batch(*resources: Resource, **options: Any) -> Batch:
    """The resources as tasks ``task 1``, ``task 2``, …; options as :class:`Task`'s, for all of them."""
    tasks = [
        Task(f"task {number}", f"task {number}", resource, "here:1", **options)
        for number, resource in enumerate(resources, 1)
    ]
    return Batch(tuple(tasks))
