"""The proof mount: an export used as its containers will use it, before anything relies on it. The client's half.

Nothing here waits for a server that does not answer (F47): its port is tried first, then a mount in a process that can
be killed, which is gone with it; only then Docker mounts it. These mounts have the options of production but for two:
they are soft, so that they give up, and share no cache: what is done to end them leaves the mounts of others alone.
What Docker has of it is removed by a lease, whoever is killed.
"""

from __future__ import annotations

import errno
import json
import time
from contextlib import suppress
from typing import Any, Callable, ClassVar, Dict, List, Mapping, Sequence

from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine, trial
from mnemo_ops.agent.process import lease
from mnemo_ops.errors import Broken, MnemoError, StepFailed

PORT = 2049
LABEL = "mnemo.proof"
ISOLATED = ("-IS", "-")  # python3 reads the program from its stdin, and nothing of where it is started
LISTENING = "on the server: systemctl status nfs-server; is 2049/tcp open for this host in its firewall?"
SILENCE = 4.0  # seconds a server may take to accept a connection
MOUNTING = 12.0  # seconds a mount may take
GRACE = 150.0  # seconds a server that accepts connections may take for everything: after its restart it waits for 90
ROUNDS = 100
SYSTEM = ("/usr", "/lib", "/lib64", "/lib32")  # what python3 needs, lent to the container, which brings nothing
ELSEWHERE = "/tmp"  # any directory that exists: what is mounted on it in a namespace nobody else sees

Row = Mapping[str, Any]


def directory(id: str) -> str:
    """The name of a proof's directory in an export."""
    return f".mnemo-proof-{id}"


@dataclass(frozen=True)
class ProveMounts(Action):
    """Mount each export and write, fsync, rename and lock there as the user that will: in a container, or from the
    host where there is no Docker.

    :param id: of the proof on this client: letters, digits, ``-``. :param server: its address.
    :param exports: ``name``, ``path``, ``uid``, ``gid`` and ``options`` (of the mount) of each.
    :returns: ``container``, and by name the rows of :mod:`~mnemo_ops.agent.machine.trial`, or ``error`` and ``hint``.
    """

    id: str
    server: str
    exports: Sequence[Row]
    kind: ClassVar[str] = "prove_mounts"

    def ready(self, machine: Machine) -> Report:
        """``proofs``: what cannot be mounted from here, by name, with ``error`` and ``hint``; nothing is left of it."""
        why = machine.unreachable(self.server, PORT, SILENCE)
        if why:
            closed = {"error": f"{self.server} does not accept connections on port {PORT}: {why}", "hint": LISTENING}
            return {"proofs": {row["name"]: closed for row in self.exports}}
        if machine.which("modprobe"):
            machine.ask(["modprobe", "--quiet", "nfsv4"], check=False)  # its time is not the server's
        tried = {row["name"]: self._alone(machine, row, MOUNTING) for row in self.exports}
        return {"proofs": {name: found for name, found in tried.items() if found}}

    def run(self, machine: Machine) -> Deed:
        in_container = docker.is_installed(machine)
        proofs: Dict[str, Row] = {}
        try:
            if in_container:
                yield Progress(note="starting an empty container")
                lease.hold(machine, _lease(self.id), self.id, [{"kind": "drop_proof", "args": {"id": self.id}}])
                label = f"LABEL {LABEL}={self.id}"
                machine.run(["docker", "import", "--change", label, "-", _name(self.id)], data=bytes(10240))  # empty
            for row in self.exports:
                yield Progress(note=f"{row['name']}: write, fsync, rename, lock")
                silent = next((found for found in proofs.values() if found.get("silent")), None)
                proofs[row["name"]] = silent or self._one(machine, row, in_container)
        finally:
            if any(found.get("silent") for found in proofs.values()):
                lease.leave(machine, _lease(self.id))  # a container that waits for the server is in nobody's way
            else:
                with suppress(MnemoError):  # what cannot be removed yet, the lease's timer will
                    if lease.undo(machine, _lease(self.id)):
                        lease.tidy(machine)
        return {"container": in_container, "proofs": proofs}

    def _one(self, machine: Machine, row: Row, in_container: bool) -> Row:
        if not in_container:
            return self._alone(machine, row, GRACE, uid=row["uid"], gid=row["gid"], **self._use(ELSEWHERE))
        try:
            return self._explained(self._in_container(machine, row), row)
        except StepFailed as error:
            found = {"error": f"{self.server}:{row['path']}: {error.message}", "hint": error.hint}
            return {**found, "silent": True} if error.hint == LISTENING else found

    def _alone(self, machine: Machine, row: Row, limit: float, **use: Any) -> Row:
        """In a process that can be killed, on a mount that gives up by itself and is gone with the process."""
        mount = {"source": ":" + row["path"], "target": ELSEWHERE, "options": _giving_up(row["options"])}
        asked = {"look": self._mounted(machine, row), **mount}
        argv = [machine.python, *ISOLATED, json.dumps({**asked, **use})]
        try:
            found: Row = json.loads(machine.ask(argv, data=_program(), timeout=limit).out)
        except Broken as silence:
            found = {"step": "mount", "errno": errno.ETIMEDOUT, "error": silence.message}
        return self._explained(found, row)

    def _use(self, where: str) -> Dict[str, Any]:
        return {"directory": f"{where}/{directory(self.id)}", "rounds": ROUNDS}

    def _mounted(self, machine: Machine, row: Row) -> List[str]:
        """Where this export is mounted already: a handle that is stale there is one for whoever uses it."""
        every = mounts.mounted(machine).items()
        return [
            path
            for path, found in every
            if found.fstype in ("nfs", "nfs4") and found.source in (":" + row["path"], f"{self.server}:{row['path']}")
        ]

    # -- in a container ----------------------------------------------------------------------------------------------

    def _in_container(self, machine: Machine, row: Row) -> Row:
        name, label = _name(self.id), ("--label", f"{LABEL}={self.id}")
        volume = f"{name}-{row['name']}"
        options = docker.pairs("--opt", {"type": "nfs", "o": _giving_up(row["options"]), "device": ":" + row["path"]})
        docker.run(machine, "volume", "create", *label, *options, volume)
        python = machine.realpath(machine.python)
        lent = {*SYSTEM, python.rpartition("/bin/")[0] or "/usr"}
        words = ["--rm", "--interactive", "--network", "none", "--pull", "never", *label]
        for path in sorted(path for path in lent if machine.stat(path, follow=True) is not None):
            words += ["--mount", f"type=bind,src={path},dst={path},readonly"]
        words += ["--user", f"{row['uid']}:{row['gid']}", "--volume", f"{volume}:/proof:nocopy", "--entrypoint", python]
        argv = ["docker", "run", *words, name, *ISOLATED, json.dumps(self._use("/proof"))]
        with machine.spool() as program, machine.spool() as said:
            program.write(_program())
            program.seek(0)
            machine.pipe(argv, source=program, sink=said, tick=self._watch(machine, row))
            said.seek(0)
            found: Row = json.loads(said.read())
        return found

    def _watch(self, machine: Machine, row: Row) -> Callable[[], None]:
        """While a container waits: a server that is gone ends it, one that is slow does not."""
        began = looked = time.monotonic()
        missed = 0

        def look() -> None:
            nonlocal looked, missed
            if time.monotonic() - began > GRACE:
                raise Broken(f"it did not answer within {GRACE:.0f} s", hint=LISTENING)
            if time.monotonic() - looked > 2.0:
                missed = missed + 1 if machine.unreachable(self.server, PORT, SILENCE) else 0
                looked = time.monotonic()
            if missed == 2:
                raise Broken(f"the server stopped answering on port {PORT} during a write", hint=LISTENING)

        return look

    # -- what is said ------------------------------------------------------------------------------------------------

    def _explained(self, found: Row, row: Row) -> Row:
        """The step and the error number of a trial, in words: what it means here and what to do."""
        if "error" not in found:
            return found
        meant, hint = (MOUNTED if found["step"] == "mount" else USED).get(found["errno"], ("", ""))
        what = f"{found['step']}: {found['error']}"
        meant = f"{meant.format(**row)} ({what})" if meant else what
        return {"error": f"{self.server}:{row['path']}: {meant}", "hint": hint.format(**row)}


_DENIED = (
    "the server does not let this host mount it",
    "on the server: exportfs -v; is the address it sees this host by among them? mnemo_peer_address says it",
)
_GONE = ("the server does not answer", LISTENING)
_STALE = (
    "stale file handle: the directory on the server is not the one that was mounted",
    "put the old one back on the server, or stop what uses it here (docker compose down), then run this again",
)
# by the number of the error: what it means
MOUNTED: Dict[Any, Any] = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), _DENIED),
    **dict.fromkeys((errno.ETIMEDOUT, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EIO), _GONE),
    errno.ENOENT: ("the server exports nothing there to this host", _DENIED[1]),
    errno.EPROTONOSUPPORT: (
        "the server does not speak the version of NFS asked for with {options}",
        "on the server: cat /proc/fs/nfsd/versions; +4.2 should be there (/etc/nfs.conf.d)",
    ),
    errno.ENODEV: ("this kernel knows no NFS", "modprobe nfs says why"),
    errno.EINVAL: ("this kernel does not take the options {options}", "dmesg says which"),
    errno.ESTALE: _STALE,
}
USED: Dict[Any, Any] = {
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        ("{uid}:{gid} may not write there", "nfs.exports.{name}.owner must be the number of the user that writes"),
    ),
    **dict.fromkeys((errno.ETIMEDOUT, errno.EIO), _GONE),
    errno.EROFS: ("it is read-only", "on the server: exportfs -v (rw?) and findmnt --target {path}"),
    errno.ENOSPC: ("no space is left there", "on the server: df {path}; df --inodes {path}"),
    errno.EDQUOT: ("the quota of {uid} is used up", "on the server: quota --user {uid}"),
    errno.ENOLCK: ("the server gives no locks", "on the server: systemctl status nfs-server"),
    errno.ESTALE: _STALE,
}


@dataclass(frozen=True)
class DropProof(Action):
    """Remove what a proof left on a client. :raises Broken: some of it is still in use (6)."""

    id: str
    kind: ClassVar[str] = "drop_proof"

    def run(self, machine: Machine) -> Deed:
        yield Progress(note="removing the proof's container and volumes")
        self._remove_containers(machine)
        if self._names(machine, "ps", "--all"):  # it waits for a server that is gone: its requests end with an error
            for path, found in mounts.mounted(machine).items():
                if found.fstype in ("nfs", "nfs4") and f"/{_name(self.id)}-" in path:
                    self._try(machine, "umount", "-f", path)
            self._remove_containers(machine)
        for name in self._names(machine, "volume", "ls"):
            self._try(machine, "docker", "volume", "rm", name)
        for name in self._names(machine, "image", "ls"):
            self._try(machine, "docker", "image", "rm", "--force", name)
        left = [name for words in (("ps", "--all"), ("volume", "ls")) for name in self._names(machine, *words)]
        if left:
            raise Broken(f"still in use: {', '.join(left)}")
        return {}

    def _remove_containers(self, machine: Machine) -> None:
        for name in self._names(machine, "ps", "--all"):
            self._try(machine, "docker", "rm", "--force", name)

    def _names(self, machine: Machine, *words: str) -> List[str]:
        return docker.ask(machine, *words, "--quiet", "--filter", f"label={LABEL}={self.id}").split()

    @staticmethod
    def _try(machine: Machine, *argv: str) -> None:
        with suppress(Broken):
            machine.run(argv, timeout=15.0, check=False)


def _giving_up(options: str) -> str:
    """The same mount, but one that ends with an error some ten seconds after its server fell silent."""
    waits = {"hard": "soft", "timeo=600": "timeo=30", "retrans=2": "retrans=1"}
    return ",".join([*(waits.get(word, word) for word in options.split(",")), "nosharecache"])


def _name(id: str) -> str:
    """Of what Docker has of a proof; the name of an image has no capitals."""
    return f"mnemo-proof-{id.lower()}"


def _lease(id: str) -> str:
    return f"proof-{id}"


def _program() -> bytes:
    """The source of the trial, wherever this agent was loaded from."""
    source: str = trial.__loader__.get_source(trial.__name__)  # type: ignore[union-attr]
    return source.encode()
