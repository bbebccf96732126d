"""The run's journal on a host, and cleaning up after a run."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, ClassVar, List, Mapping

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.validators import RunId
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import job, lease
from mnemo_ops.errors import Broken


@dataclass(frozen=True)
class WriteJournal(Action):
    """Add a line to the run's journal: durable when this returns."""

    run_id: RunId
    entry: Mapping[str, Any]
    kind: ClassVar[str] = "write_journal"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        machine.mkdir(machine.state_dir, 0o700)
        machine.mkdir(machine.state_dir + "/runs", 0o700)
        path = f"{machine.state_dir}/runs/{self.run_id}.jsonl"
        half = not (machine.read_text(path) or "\n").endswith("\n")  # a line whose end a power cut took
        machine.append(path, b"\n" * half + json.dumps(dict(self.entry)).encode() + b"\n")
        return {}


def steps(machine: Machine, run: str) -> List[str]:
    """How far a run came, by its journal here: phase and status of each line."""
    found = []
    for line in each_line(machine.read_text(f"{machine.state_dir}/runs/{run}.jsonl") or ""):
        with suppress(ValueError, KeyError, TypeError):  # the last one may be half written
            row = json.loads(line)
            found.append(f"{row['phase']} {row['status']}")
    return found


@dataclass(frozen=True)
class Forget(Action):
    """Remove a run's jobs and, when nothing else needs them, the timer and the agent's copy on disk."""

    run_id: RunId
    kind: ClassVar[str] = "forget"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        for name in machine.names(machine.state_dir + "/jobs"):
            if name.startswith(self.run_id):
                job.stop(machine, name)
        lease.tidy(machine)
        return {}


@dataclass(frozen=True)
class AdoptLease(Action):
    """Renew a run's leases from this connection on: a job took them and has ended."""

    run_id: RunId
    kind: ClassVar[str] = "adopt_lease"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        lease.adopt(machine, self.run_id)
        return {"leases": sorted(machine.leases)}


@dataclass(frozen=True)
class RemoveFile(Action):
    """Remove one file of a run; nothing when it is not there."""

    path: str
    kind: ClassVar[str] = "remove_file"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        found = machine.stat(self.path)
        if found is not None and found.kind != "file":
            raise Broken(f"{self.path} is not a file")
        machine.remove(self.path)
        return {}
