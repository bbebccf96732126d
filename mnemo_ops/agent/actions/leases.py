"""What a host holds of runs that have not ended: looked at, and ended by hand where it cannot be undone."""

from __future__ import annotations

from typing import Any, ClassVar, Dict

from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import host_lock, job, lease
from mnemo_ops.agent.stack import last_run
from mnemo_ops.errors import MnemoError, named, reason


@dataclass(frozen=True)
class LookAtLocks(Action):
    """``owner``: who works on the host now, if anybody; ``leases``: what is undone when nobody renews it.

    ``moved``: runs that moved a stack away from here; ``last``: the run that was last, as far as records tell.

    :param store: of the stack's sets.
    """

    store: str = ""
    kind: ClassVar[str] = "look_at_locks"

    def ready(self, machine: Machine) -> Report:
        leases: Dict[str, Any] = {
            name: {
                "run": each["run"],
                "seconds_left": round(lease.seconds_left(machine, each), 1),
                "undo": [deed["kind"] for deed in each["undo"]],
                "failing": each.get("failing"),
                "jobs": [unit for unit in _jobs(machine, each["run"]) if job.is_alive(machine, unit)],
            }
            for name, each in lease.names(machine).items()
        }
        fences = last_run.records(machine, f"{machine.state_dir}/fences")
        moved = [fence["run"] for fence, _ in fences if fence.get("state") == "final"]
        return {
            "owner": host_lock.owner(machine),
            "leases": leases,
            "moved": moved,
            "last": last_run.of(machine, self.store),
        }


@dataclass(frozen=True)
class ListRuns(Action):
    """Runs that left a record here, newest first: which, of which command, how they ended, and who is at work still.

    :param store: of the stack's sets.
    """

    store: str = ""
    kind: ClassVar[str] = "list_runs"

    def ready(self, machine: Machine) -> Report:
        leases = lease.names(machine)
        working = {str((host_lock.owner(machine) or {}).get("run") or "")}
        working |= {each["run"] for each in leases.values()}
        rows = []
        for each in last_run.every(machine, self.store):
            jobs = any(job.is_alive(machine, unit) for unit in _jobs(machine, each.run))
            at_work = each.state == last_run.OPEN and (
                each.run in working or jobs or any(name.endswith(each.run) for name in leases)
            )
            state = "at work" if at_work else each.state
            told = {"run": each.run, "command": each.command, "at": each.at, "how": each.how, "state": state}
            rows.append({**told, "exit_code": each.code, "hosts": list(each.hosts)})
        return {"runs": rows}


@dataclass(frozen=True)
class EndLease(Action):
    """End the jobs of a lease's run, undo what it covers; what cannot be undone is left, and told.

    Afterwards the host is free for the next run in any case.
    """

    lease: str
    kind: ClassVar[str] = "end_lease"

    def run(self, machine: Machine) -> Deed:
        found = lease.names(machine).get(self.lease)
        if found is None:
            return {"undone": False, "why": "", "leaves": []}
        for unit in _jobs(machine, found["run"]):
            yield Progress(note=f"ending the job {unit}")
            job.stop(machine, unit)
        yield Progress(note=f"undoing what {self.lease} covers")
        machine.run(["systemctl", "stop", f"{lease.UNIT}.service"], check=False)  # its own try may take minutes
        try:
            lease.undo(machine, self.lease)
        except Exception as error:  # whatever it is: the host is to be free
            why = reason(error) if isinstance(error, MnemoError) else named(error)
            return {"undone": False, "why": why, "leaves": lease.forget(machine, self.lease)}
        finally:
            lease.tidy(machine)
        return {"undone": True, "why": "", "leaves": []}


def _jobs(machine: Machine, run: str) -> Any:
    return [name for name in machine.names(machine.state_dir + "/jobs") if run and name.startswith(run)]
