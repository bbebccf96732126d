"""A project that somebody started with `docker compose up`, adopted: every flow goes on from there with no line edited
but the second host's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import left_behind
from outcomes import Host, Lab, eventually
from strangers import Project

from mnemo_ops.lab import server
from mnemo_ops.lab.directory import LabDirectory
from mnemo_ops.lab.engine import docker
from mnemo_ops.lab.notes import ARCHIVE, ensure_notes, prepare_notes
from mnemo_ops.lab.notes_client import lost, write

pytestmark = [pytest.mark.lab, pytest.mark.soak, pytest.mark.timeout(1800)]

DIRECTORY, MOVED = "/opt/notes", "/home/notes"
PROGRAM = Path(sys.executable).with_name("mnemo-ops")
BODIES = ("milk", "", "Größe: 'ß' \"\\ %s\n\tlast", "🥛" * 4000)


@pytest.fixture(scope="module")
def lab(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two servers with Docker; on old runs a project that mnemo_ops never heard of."""
    root = tmp_path_factory.mktemp("checkout")
    try:
        server.up(root, ["old", "new"], print)
        made = Lab(root)
        assert made.run("docker-install").code == 0
        prepare_notes(root / "notes")
        for host in (made.old, made.new):
            container = server.container(root, host.name)
            docker("cp", str(ensure_notes(print)), f"{container}:/images.tar")
            host.sh(f"docker load --quiet --input /images.tar && docker volume create {ARCHIVE}")
        docker("cp", str(root / "notes"), f"{server.container(root, 'old')}:{DIRECTORY}")
        made.old.sh(f"cd {DIRECTORY} && docker compose up --detach --build --quiet-pull")
        yield made
    finally:
        server.down(root, print)
        assert left_behind(root) == []


class Typed:
    """Commands as somebody types them in a directory that begins empty."""

    def __init__(self, lab: Lab, home: Path) -> None:
        self.home, self._lab = home, LabDirectory(lab.root)
        home.mkdir()

    def __call__(self, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [PROGRAM, *words], cwd=self.home, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, "NO_COLOR": "1"}, timeout=900,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def must(self, *words: str) -> str:
        code, said = self(*words)
        assert code == 0, said
        return said

    def reached(self, host: Host, name: str) -> str:
        """A line of an inventory for a host of the lab."""
        keys = f"ansible_ssh_private_key_file: {self._lab.key}, mnemo_known_hosts_file: {self._lab.known_hosts}"
        return f"{name}: {{ansible_host: {host.address}, ansible_user: ops, {keys}}}"

    def knows(self, host: Host) -> str:
        """An inventory with only the host: its key is the lab's, which ssh does not offer by itself."""
        (self.home / "inventory.yml").write_text(f"all:\n  hosts:\n    {self.reached(host, host.name)}\n")
        return host.name


def serves(host: Host, directory: str = DIRECTORY) -> None:
    def well() -> bool:
        states = Project(host.sh, directory).states()
        return states.get("web") == ["running healthy"] and states["setup"] == ["exited 0"]

    eventually(f"{host.name} serves", well, 180)


def state(host: Host) -> dict[str, list[str]]:
    """What must survive: all but the volume without a name."""
    return {name: rows for name, rows in Project(host.sh, DIRECTORY).state().items() if name != "cache"}


def test_it_is_adopted_moved_and_adopted_again(lab: Lab, tmp_path: Path) -> None:
    serves(lab.old)
    kept = write(f"http://{lab.old.address}:8080", BODIES)
    containers = lab.old.lines("docker ps -aq --no-trunc | sort")
    files = lab.old.lines(f"find {DIRECTORY} -printf '%p %M %T@\\n' | sort")
    typed = Typed(lab, tmp_path / "first")
    said = typed.must("adopt", "--limit", typed.knows(lab.old))
    assert lab.old.lines("docker ps -aq --no-trunc | sort") == containers
    assert lab.old.lines(f"find {DIRECTORY} -printf '%p %M %T@\\n' | sort") == files, "adopt changed its host"
    assert "cache:/data (a volume without a name)" in said
    typed.must("deploy", "--limit", "old")
    assert lab.old.lines("docker ps -aq --no-trunc | sort") == containers, "a container was made again"

    lab.old.sh(f"mv {DIRECTORY} {MOVED}")
    again = Typed(lab, tmp_path / "second")
    again.knows(lab.old)
    for words in ((), ("--source", MOVED)):
        code, said = again("adopt", "--limit", "old", *words)
        assert code == 3 and f"ln -s {MOVED} {DIRECTORY}" in said, said
    lab.old.sh(f"ln -s {MOVED} {DIRECTORY}")
    again.must("adopt", "--limit", "old", "--source", MOVED)

    again.must("bootstrap", "--limit", "old")
    code, said = again("backup", "--limit", "old")
    assert code == 3 and "cache:/data" in said, "the one volume that no backup holds is not waived by itself"
    path = again.home / "stacks/notes/mnemo.yml"
    path.write_text(path.read_text() + 'waived: {"cache:/data": a queue}\n')
    before = state(lab.old)
    again.must("backup", "--limit", "old")
    serves(lab.old)
    assert state(lab.old) == before and lost(f"http://{lab.old.address}:8080", kept) == []

    variables = again.home / "host_vars/old/stack.yml"
    inventory = again.home / "inventory.yml"
    inventory.write_text(inventory.read_text() + f"    {again.reached(lab.new, 'new')}\n")
    (again.home / "host_vars/new").mkdir()
    (again.home / "host_vars/new/stack.yml").write_text(variables.read_text())
    again.must("migrate", "--from", "old", "--to", "new", "--yes")
    serves(lab.new)
    assert state(lab.new) == before and lost(f"http://{lab.new.address}:8080", kept) == []
    assert lab.old.running() == set(), "the old host serves, too"
