"""The proof mount's other half: what the server sees of it. The directories of a proof are removed by a lease."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Sequence

from mnemo_ops.agent.actions.nfs_proof_mount import directory
from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import lease
from mnemo_ops.errors import Refused


@dataclass(frozen=True)
class CheckExports(Action):
    """Whether directories can be exported at all. Only a preflight.

    :param paths: of the directories. :param made: those of them that are made when they are missing.
    """

    paths: Sequence[str]
    made: Sequence[str]
    kind: ClassVar[str] = "check_exports"

    def ready(self, machine: Machine) -> Report:
        """:raises Refused: one does not exist, is no directory, or lies on a read-only file system (3)."""
        for path in self.paths:
            stat = machine.stat(path, follow=True)
            if stat is None and path not in self.made:
                raise Refused(
                    f"{path} does not exist, and mnemo_ops creates directories below /srv/nfs only",
                    hint=f"mount its disk, or: mkdir {path}",
                )
            if stat is not None and stat.kind != "directory":
                raise Refused(f"{path} is not a directory", hint="export a directory")
            if machine.is_read_only(path):
                raise Refused(
                    f"{path} is on a read-only file system: no client could write to it",
                    hint=f"findmnt --target {path} shows it; mount it with rw, or give another path",
                )
        return {}


@dataclass(frozen=True)
class HoldProof(Action):
    """Answer for the directories of proofs: they are removed when nobody does any more, whoever is killed meanwhile.

    :param id: of the run. :param proofs: ids of the proofs of its clients.
    """

    id: str
    proofs: Sequence[str]
    paths: Sequence[str]
    kind: ClassVar[str] = "hold_proof"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        undo = [{"kind": "clear_proof", "args": {"id": proof, "paths": list(self.paths)}} for proof in self.proofs]
        lease.hold(machine, f"served-{self.id}", self.id, undo)
        return {}


@dataclass(frozen=True)
class ReadProof(Action):
    """What lies on the server's own disk of what a client wrote: by path, ``sha256``, ``uid`` and ``gid``."""

    id: str
    paths: Sequence[str]
    kind: ClassVar[str] = "read_proof"

    def run(self, machine: Machine) -> Deed:
        found: Dict[str, Any] = {}
        for path in self.paths:
            yield Progress(note=f"reading {path}")
            written = f"{path}/{directory(self.id)}/written"
            stat = machine.stat(written)
            if stat is not None and stat.kind == "file":  # a client may put anything there
                found[path] = {"sha256": machine.sha256(written), "uid": stat.uid, "gid": stat.gid}
        return found


@dataclass(frozen=True)
class ClearProof(Action):
    """Remove a proof's directories."""

    id: str
    paths: Sequence[str]
    kind: ClassVar[str] = "clear_proof"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        for path in self.paths:
            machine.remove(f"{path}/{directory(self.id)}")
        return {}
