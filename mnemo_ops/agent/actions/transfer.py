"""Host to host: an ephemeral key that may fetch the files of its run, from one address, for a while; then ssh."""

from __future__ import annotations

import posixpath
import time
from contextlib import closing
from typing import Any, ClassVar, List, Mapping

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.validators import (
    Addresses,
    Files,
    HostName,
    LeaseName,
    Port,
    PublicKey,
    PublicKeys,
    RunId,
    UserName,
)
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import handout, lease
from mnemo_ops.errors import Refused, VerificationFailed

HOURS = 12  # after which sshd itself no longer accepts the key, whatever else happened
KEPT = 2 * lease.SECONDS  # who asks with it what became of its run does so when the other leases have ended


def key_path(machine: Machine, run_id: str) -> str:
    return f"{machine.state_dir}/keys/{run_id}"


@dataclass(frozen=True)
class HostKeys(Action):
    """Public host keys of this server's sshd, for the other host's known_hosts: learned through a trusted channel."""

    kind: ClassVar[str] = "host_keys"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        files = [name for name in machine.names("/etc/ssh") if name.startswith("ssh_host_") and name.endswith(".pub")]
        keys = [" ".join((machine.read_text(f"/etc/ssh/{name}") or "").split()[:2]) for name in files]
        return {"keys": [key for key in keys if key]}


@dataclass(frozen=True)
class MakeKey(Action):
    """A key pair on the fetching host; the private half never leaves it and is removed with the run's lease."""

    run_id: RunId
    kind: ClassVar[str] = "make_key"

    def run(self, machine: Machine) -> Deed:
        yield Progress(note="making an ephemeral key")
        path = key_path(machine, self.run_id)
        undo = [{"kind": "drop_key", "args": {"run_id": self.run_id}}]
        lease.hold(machine, f"key-{self.run_id}", self.run_id, undo, KEPT)
        machine.mkdir(machine.state_dir + "/keys", 0o700)
        if machine.stat(path + ".pub") is None:  # its second half: whoever was killed between the two begins again
            machine.remove(path)
            machine.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"mnemo-{self.run_id}", "-f", path])
        return {"public_key": (machine.read_text(path + ".pub") or "").strip()}


@dataclass(frozen=True)
class DropKey(Action):
    """Remove the key pair and its lease."""

    run_id: RunId
    kind: ClassVar[str] = "drop_key"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        path = key_path(machine, self.run_id)
        for name in (path, path + ".pub", path + ".known_hosts", path + ".fence"):
            machine.remove(name)
        return {}


@dataclass(frozen=True)
class GrantKey(Action):
    """Let a key fetch what :mod:`~mnemo_ops.agent.process.handout` lists and no more, as the login user (sshd(8)).

    :param user: the login user of the inventory. :param addresses: the only ones it may come from.
    """

    run_id: RunId
    user: UserName
    public_key: PublicKey
    addresses: Addresses
    kind: ClassVar[str] = "grant_key"

    def run(self, machine: Machine) -> Deed:
        yield Progress(note="granting the key")
        undo = [{"kind": "revoke_key", "args": {"run_id": self.run_id, "user": self.user}}]
        lease.hold(machine, f"key-{self.run_id}", self.run_id, undo, KEPT)
        path = authorized_keys(machine, self.user)
        account = machine.accounts("passwd")[self.user]
        uid, gid = int(account[2]), int(account[3])
        if machine.stat(posixpath.dirname(path)) is None:
            machine.mkdir(posixpath.dirname(path), 0o700)
            machine.chown(posixpath.dirname(path), uid, gid)
        command = handout.command(machine, self.run_id, uid == 0)
        until = time.strftime("%Y%m%d%H%MZ", time.gmtime(machine.now() + HOURS * 3600))
        options = f'restrict,from="{",".join(self.addresses)}",expiry-time="{until}",command="{command}"'
        line = f"{options} {self.public_key} mnemo-{self.run_id}\n"
        text = _without(machine.read_text(path) or "", self.run_id) + line
        machine.write(path, text.encode(), 0o600, uid, gid)
        return {"path": path}


@dataclass(frozen=True)
class RevokeKey(Action):
    """Take the key's line away again, and the list of what it may fetch."""

    run_id: RunId
    user: UserName
    kind: ClassVar[str] = "revoke_key"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        path = authorized_keys(machine, self.user)
        text = machine.read_text(path)
        if text is not None and f"mnemo-{self.run_id}" in text:
            machine.write(path, _without(text, self.run_id).encode())
        handout.forget(machine, self.run_id)
        return {}


def authorized_keys(machine: Machine, user: str) -> str:
    """:raises Refused: there is no such user (3)."""
    account = machine.accounts("passwd").get(user)
    if account is None:
        raise Refused(f"there is no user {user} on this host")
    return account[5] + "/.ssh/authorized_keys"


def _without(text: str, run_id: str) -> str:
    lines = [line for line in each_line(text) if not line.endswith(f" mnemo-{run_id}")]
    return "".join(line + "\n" for line in lines)


@dataclass(frozen=True)
class Release(Action):
    """Run a lease's undo list now."""

    lease: LeaseName
    kind: ClassVar[str] = "release"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        return {"undone": lease.undo(machine, self.lease)}


@dataclass(frozen=True)
class Fetch(Action):
    """Files of another host's handout into a directory; one that is already there with its checksum is not sent again.

    :param files: name, size (bytes) and sha256 of each. :param host_keys: of the other host, as ``ssh_host_*_key.pub``.
    :param target: directory; empty: that of the run's key.
    :raises VerificationFailed: what arrived has another checksum (7).
    """

    run_id: RunId
    user: UserName
    address: HostName
    port: Port
    host_keys: PublicKeys
    target: str
    files: Files
    kind: ClassVar[str] = "fetch"

    def ready(self, machine: Machine) -> Report:
        """Can the other host be reached from here at all?"""
        if not machine.reaches(self.address, self.port, 5.0):
            raise Refused(
                f"this host cannot reach {self.address} port {self.port}",
                hint="open the other host's SSH port to this one, or set mnemo_peer_address in the inventory",
            )
        return {"reaches": self.address}

    def run(self, machine: Machine) -> Deed:
        key = key_path(machine, self.run_id)
        name = self.address if self.port == 22 else f"[{self.address}]:{self.port}"
        known = "".join(f"{name} {line}\n" for line in self.host_keys)
        machine.write(key + ".known_hosts", known.encode(), 0o600)
        target = self.target or posixpath.dirname(key)
        machine.mkdir(target, 0o700)
        total, done = sum(int(row["size"]) for row in self.files), 0
        for row in self.files:
            path = f"{target}/{row['name']}"
            if machine.sha256(path) != row["sha256"]:
                yield from self._one(machine, key, path, row, done, total)
            done += int(row["size"])
            yield Progress(done, total, str(row["name"]))
        return {"bytes": total, "files": len(self.files)}

    def _one(self, machine: Machine, key: str, path: str, row: Mapping[str, Any], done: int, total: int) -> Deed:
        argv = ["ssh", "-q", "-T", "-a", "-x", "-p", str(self.port), "-l", self.user, "-i", key, *_options(key)]
        partial = path + ".partial"
        with machine.making(partial) as sink, machine.spool() as asked:
            asked.write(machine.encoded(row["name"]) + b"\n")
            asked.seek(0)
            argv += [self.address]
            moving = machine.moving(argv, partial, done, total, row["name"], source=asked, sink=sink, into=["cat"])
            with closing(moving) as coming:
                for step in coming:
                    yield step
                    if step.done - done > row["size"]:  # it would fill the disk
                        raise VerificationFailed(f"{row['name']} is longer than its {row['size']} bytes")
            if machine.sha256(partial) != row["sha256"]:
                raise VerificationFailed(f"{row['name']} arrived with another checksum than in the manifest")
        machine.rename(partial, path)
        return {}


def _options(key: str) -> List[str]:
    chosen = {
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": key + ".known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "3",
        "ConnectTimeout": "15",
    }
    return [part for name, value in chosen.items() for part in ("-o", f"{name}={value}")]
