"""The key of a migration on real servers: what new can do with it on old, whoever it logs in as."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from outcomes import STATE, STORE
from outcomes import Host as Server

from mnemo_ops.agent.actions.backup import SetFiles
from mnemo_ops.agent.actions.transfer import Fetch, GrantKey, HostKeys, MakeKey, Release
from mnemo_ops.errors import CommandFailed
from mnemo_ops.inventory.load import load
from mnemo_ops.lab import server
from mnemo_ops.lab.directory import LabDirectory
from mnemo_ops.transport.session import AgentSession, connect

pytestmark = pytest.mark.lab

RUN = "20261129T220719Z-f5d5"
SIZE = 30 << 20


class Pair:
    """Two bare servers, their agents, and a set on old whose key new has."""

    def __init__(self, root: Path, old: AgentSession, new: AgentSession) -> None:
        self.old, self.new, self.agents = Server(root, "old"), Server(root, "new"), (old, new)
        self.directory = f"{STORE}/{RUN}"
        self.old.sh(
            f"mkdir -p -m 700 {self.directory}; head -c {SIZE} /dev/urandom >{self.directory}/a.tar.zst;"
            f"echo other >{STORE}/other; ln -s /etc/shadow {self.directory}/link"
        )
        sums = self.old.sh(f"sha256sum <{self.directory}/a.tar.zst").split()[0]
        part = f'{{"name": "a.tar.zst", "bytes": {SIZE}, "sha256": "{sums}"}}'
        about = '"project": "p", "created": 1, "consistency": "quiesced", "datasets": {}, "volumes": {}'
        text = f'{{"format": 2, "id": "{RUN}", "parts": [{part}], {about}}}'
        self.old.sh(f"echo '{text}' >{self.directory}/manifest.json")

    def grant(self, user: str, address: str = "") -> None:
        old, new = self.agents
        public = new.act(MakeKey(RUN))["public_key"]
        old.act(GrantKey(RUN, user, public, [address or self.new.address]))
        self.keys = old.act(HostKeys())["keys"]
        self.files = old.act(SetFiles(self.directory, RUN))["files"]
        self.user = user

    def fetch(self, files: Any = None) -> Any:
        rows = self.files if files is None else files
        return self.agents[1].act(Fetch(RUN, self.user, self.old.address, 22, self.keys, self.directory, rows))

    def tried(self, what: str, *options: str, data: str = "") -> str:
        """What root of new gets out of old with the key: its stdout."""
        key = f"{STATE}/keys/{RUN}"
        known = f"-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null {' '.join(options)}"
        line = what.format(key=key, known=known, at=f"{self.user}@{self.old.address}")
        return self.new.sh(f"printf '{data}' | timeout 20 {line} 2>/dev/null || true")

    def release(self) -> None:
        for agent in self.agents:
            agent.act(Release(f"key-{RUN}"))


@pytest.fixture(scope="module")
def pair(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    root: Path = tmp_path_factory.mktemp("checkout")
    try:
        server.up(root, ["old", "new"], print)
        hosts = {host.name: host for host in load(LabDirectory(root).inventory).hosts.values()}
        with ExitStack() as open_:
            yield Pair(root, *(open_.enter_context(connect(hosts[name], become=True)) for name in ("old", "new")))
    finally:
        server.down(root, print)


@pytest.fixture(params=["root", "the login user"])
def granted(pair: Pair, request: pytest.FixtureRequest) -> Iterator[Pair]:
    pair.old.sh("sed -i 's/^#*PermitRootLogin.*/PermitRootLogin prohibit-password/' /etc/ssh/sshd_config")
    pair.old.sh("systemctl reload ssh")
    pair.grant("root" if request.param == "root" else pair.old.ssh[-1].partition("@")[0])
    yield pair
    pair.release()
    pair.new.sh(f"rm -rf {STORE}")


def test_the_files_of_the_run_arrive(granted: Pair) -> None:
    assert granted.fetch()["bytes"] == sum(file["size"] for file in granted.files)
    for name in ("a.tar.zst", "manifest.json"):
        path = f"{granted.directory}/{name}"
        assert granted.new.sh(f"sha256sum {path}") == granted.old.sh(f"sha256sum {path}")


TRIES = {
    "a command": ("ssh -i {key} {known} {at} cat /etc/shadow", ""),
    "a shell": ("ssh -tt -i {key} {known} {at}", "cat /etc/shadow\\n"),
    "a path": ("ssh -T -i {key} {known} {at}", "/etc/shadow\\n"),
    "a way out": ("ssh -T -i {key} {known} {at}", "../other\\n"),
    "a link": ("ssh -T -i {key} {known} {at}", "link\\n"),
    "an option": ("ssh -T -i {key} {known} {at} -- -h", "-h\\n"),
    "sftp": ("sftp -q -b - -i {key} {known} {at} >/dev/null; cat /root/got", "get /etc/shadow /root/got\\n"),
    "scp": ("scp -q -i {key} {known} {at}:/etc/shadow /root/got; cat /root/got", ""),
    "old scp": ("scp -O -q -i {key} {known} {at}:/etc/shadow /root/got; cat /root/got", ""),
    "a way through": ("ssh -W 127.0.0.1:22 -i {key} {known} {at}", ""),
}


@pytest.mark.parametrize("how", TRIES)
def test_nothing_else_of_old_is_read(how: str, granted: Pair) -> None:
    what, data = TRIES[how]
    assert granted.tried(what, data=data) == ""


def test_nothing_is_written(granted: Pair) -> None:
    granted.tried("sftp -q -b - -i {key} {known} {at}", data="put /etc/hostname /root/put\\n")
    granted.tried("scp -O -q -i {key} {known} /etc/hostname {at}:/root/put")
    assert granted.old.sh("ls /root/put /root/hostname /home/*/put 2>/dev/null || true") == ""


def test_a_file_that_is_not_the_runs_is_an_error_of_the_fetch_and_leaves_nothing(granted: Pair) -> None:
    row = {"name": "other", "size": 6, "sha256": hashlib.sha256(b"other\n").hexdigest()}
    with pytest.raises(CommandFailed):
        granted.fetch([row])
    assert granted.new.sh(f"ls -A {granted.directory}") == ""


def test_once_it_is_revoked_the_key_opens_nothing(granted: Pair) -> None:
    read = ("ssh -T -i /root/stolen {known} {at}", "manifest.json\\n")
    granted.new.sh(f"cp {STATE}/keys/{RUN} /root/stolen")
    assert '"format": 2' in granted.tried(read[0], data=read[1])
    granted.release()
    assert granted.tried(read[0], data=read[1]) == ""
    assert granted.old.sh(f"ls -A {STATE}/handouts {STATE}/keys 2>/dev/null || true").split() in (
        [],
        [f"{STATE}/handouts:"],
    )


def test_from_another_address_it_opens_nothing(pair: Pair) -> None:
    pair.grant("root", "192.0.2.77")
    try:
        assert pair.tried("ssh -T -i {key} {known} {at}", data="manifest.json\\n") == ""
    finally:
        pair.release()
