"""Leases: what must be undone by itself when nobody renews it.

Whoever changes something for a while (a fence, a key, stopped services) first writes a lease: a deadline and the deeds
that undo the change. The holder renews it while it lives. A systemd timer of the host runs what has expired, also after
a reboot, and removes itself with the last lease. So a killed controller leaves nothing behind and an old host serves
again.
"""

from __future__ import annotations

import fcntl
import json
import posixpath
import re
import shlex
from contextlib import contextmanager, suppress
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

from mnemo_ops.agent.base.run_id import RUN_ID
from mnemo_ops.agent.engine import action as actions
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Broken, MnemoError, NotStarted, RollbackFailed, StepFailed, named, reason

SECONDS = 45.0  # an unrenewed lease ends after this long
AGAIN = "`invoke lock.status` says free when the host has undone everything; then run the same command again"
TRYING = 900.0  # seconds in which the host tries to start what does not start; then the next run may begin
LOOK = 15.0  # seconds until systemd looks once, whatever became of who was making the timer
UNIT = "mnemo-lease"
UNITS = "/etc/systemd/system"

SERVICE = """[Unit]
Description=mnemo_ops: undo what an interrupted run left
After=docker.service

[Service]
Type=oneshot
ExecStart={command}
"""
TIMER = """[Unit]
Description=mnemo_ops: look for leases that nobody renewed

[Timer]
OnActiveSec=5
OnBootSec=20
OnUnitInactiveSec=5
AccuracySec=1

[Install]
WantedBy=timers.target
"""
DAMAGED = {"kind": "nothing that is known", "args": {}}  # no undo may be taken for done
_is_run = re.compile(rf"{RUN_ID}(-\d+)?", re.ASCII).fullmatch


def _until(machine: Machine, seconds: float) -> Dict[str, Any]:
    """When a lease ends: by a clock that nobody sets and that stands still while the machine sleeps."""
    boot = (machine.read_text("/proc/sys/kernel/random/boot_id") or "").strip()
    return {"deadline": machine.now() + seconds, "until": machine.monotonic() + seconds, "boot": boot}


def seconds_left(machine: Machine, lease: Mapping[str, Any]) -> float:
    """Until a lease ends unless it is renewed; below zero when it has."""
    if "boot" not in lease:  # of an earlier version
        return float(lease["deadline"]) - machine.now()
    here = (machine.read_text("/proc/sys/kernel/random/boot_id") or "").strip()
    return float(lease["until"]) - machine.monotonic() if lease["boot"] == here else -1.0  # who held it is gone


def _directory(machine: Machine) -> str:
    return machine.state_dir + "/leases"


def _unit(machine: Machine, end: str) -> str:
    """Its path; a state directory of its own has no part in the host's units."""
    usual = machine.state_dir == "/var/lib/mnemo_ops"
    return f"{UNITS if usual else machine.state_dir + '/units'}/{UNIT}.{end}"


def _path(machine: Machine, name: str) -> str:
    return f"{_directory(machine)}/{name}.json"


@contextmanager
def _exclusive(machine: Machine, wait: bool = True) -> Iterator[bool]:
    """One at a time: a renewal, the watchdog, a release. Without ``wait`` false is given when another is at it."""
    machine.mkdir(machine.state_dir, 0o700)
    machine.mkdir(_directory(machine), 0o700)
    path = machine.state_dir + "/leases.lock"
    with machine.open_lock(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def hold(machine: Machine, name: str, run: str, undo: Sequence[Mapping[str, Any]], seconds: float = SECONDS) -> None:
    """Write the lease, before the change it covers; this process renews it from now on (:func:`renew_held`).

    :param name: of the lease; holding it again replaces its undo list.
    :param undo: actions as ``{"kind": ..., "args": {...}}``, in the order in which they are to run.
    :param seconds: it ends so long after the last renewal.
    """
    with _exclusive(machine):
        _look_after(machine)
        lease = {"run": run, "undo": list(undo), "seconds": seconds, **_until(machine, seconds)}
        machine.write(_path(machine, name), json.dumps(lease).encode(), 0o600)
    machine.leases.add(name)


def watch(machine: Machine, where: str) -> None:
    """Make the directory of a job; the timer looks after it: one may be killed before its first lease."""
    with _exclusive(machine):
        _look_after(machine)
        machine.mkdir(where, 0o700)


def adopt(machine: Machine, run: str) -> None:
    """Renew the leases of this run from now on: the connection broke and came back."""
    for name, lease in _all(machine).items():
        if run and lease["run"] == run:
            machine.leases.add(name)


def renew_held(machine: Machine) -> None:
    """Push the deadline of every lease this process holds.

    Never waits: an undo may take minutes, and a heartbeat that waited for it would look like a dead agent.
    """
    if not machine.leases:
        return
    with _exclusive(machine, wait=False) as alone:
        if alone:
            _push(machine)


def _push(machine: Machine) -> None:
    for name in sorted(machine.leases):
        lease = _read(machine, name)
        if lease is None:
            machine.leases.discard(name)  # it expired and was undone; whoever relies on it will find out
            continue
        lease.update(_until(machine, float(lease.get("seconds", SECONDS))))
        machine.write(_path(machine, name), json.dumps(lease).encode(), 0o600)


@contextmanager
def guarded(machine: Machine, name: str) -> Iterator[None]:
    """What is done in it is not undone meanwhile. :raises Broken: the lease had expired (6)."""
    with _exclusive(machine):
        if _read(machine, name) is None:
            raise _expired(name)
        yield


def release(machine: Machine, name: str, settle: Callable[[], object] = lambda: None) -> None:
    """End a lease without undoing anything: the change stays.

    :param settle: makes the change final; nothing can expire between it and the end of the lease.
    :raises Broken: it expired and was undone (6).
    """
    with _exclusive(machine):
        if _read(machine, name) is None:
            raise _expired(name)
        settle()
        machine.remove(_path(machine, name))
    machine.leases.discard(name)


def _expired(name: str) -> Broken:
    return Broken(f"the run did not renew {name} for {SECONDS:.0f} s, so this host undid what it covered", hint=AGAIN)


def leave(machine: Machine, name: str) -> None:
    """Renew a lease no more: the timer undoes what it covers, as often as it takes."""
    machine.leases.discard(name)


def undo(machine: Machine, name: str) -> bool:
    """Run a lease's undo list now and end it; false when there is none. One that fails the host tries from now on."""
    with _exclusive(machine):
        try:
            return _undo(machine, name)
        finally:
            _push(machine)  # it may have taken long: our other leases must not look abandoned


def _undo(machine: Machine, name: str) -> bool:
    """One deed after the other; each that is done is taken off the list, so that no later one does it again."""
    lease = _read(machine, name)
    if lease is None:
        return False
    while lease["undo"]:
        deed = lease["undo"][0]
        try:
            for _ in actions.build(deed["kind"], deed["args"]).run(machine):
                pass
        except Exception as error:
            since = float((lease.get("failing") or {}).get("since", machine.now()))
            if not (isinstance(error, NotStarted) and machine.now() - since > TRYING):
                why = error.message if isinstance(error, MnemoError) else named(error)
                lease.update(failing={"since": since, "why": why}, deadline=0.0, until=0.0)  # the host's from now on
                machine.leases.discard(name)
                with suppress(OSError):  # the disk may be full: why it fails is then not kept
                    machine.write(_path(machine, name), json.dumps(lease).encode(), 0o600)
                raise
            print(f"lease {name}: given up after {TRYING:.0f} s: {named(error)}")
        lease["undo"] = lease["undo"][1:]
        if lease["undo"]:
            machine.write(_path(machine, name), json.dumps(lease).encode(), 0o600)
    machine.remove(_path(machine, name))
    machine.leases.discard(name)
    return True


def undo_because(
    machine: Machine, name: str, problem: BaseException, state: Callable[[], str] = lambda: "it is undone"
) -> None:
    """Undo what a problem left half done; the problem itself, which is told what is true now, is the caller's to raise.

    :param state: what is true once it is undone.

    :raises StepFailed: done, but for containers that do not start (6). :raises RollbackFailed: not done yet (8). The
        host goes on trying in both cases, and the problem is told, too.
    """
    try:
        undo(machine, name)
    except (MnemoError, OSError) as another:  # a full disk, too
        leave(machine, name)
        if isinstance(another, NotStarted):
            tries = f"the host retries for {TRYING / 60:.0f} more minutes"
            raise StepFailed(f"{problem}; {state()}, but {reason(another)}; {tries}", hint=another.hint) from problem
        raise RollbackFailed(
            f"{problem}; rollback did not finish: {reason(another)}; the host retries every few seconds",
            hint=getattr(another, "hint", "") or "`invoke lock.status` shows how far it came",
        ) from problem
    if isinstance(problem, MnemoError):
        problem.message += f"; {state()}"


def forget(machine: Machine, name: str) -> List[str]:
    """End a lease that cannot be undone; what it leaves, a sentence each, with the command for it."""
    with _exclusive(machine):
        lease = _read(machine, name)
        if lease is None:
            return []
        left = [_given_up(machine, deed) for deed in lease["undo"]]
        machine.remove(_path(machine, name))
    machine.leases.discard(name)
    return [sentence for sentence in left if sentence]


def _given_up(machine: Machine, deed: Mapping[str, Any]) -> str:
    try:
        action = actions.build(deed["kind"], deed["args"])
        said = action.leaves(machine)
        if action.last:
            for _ in action.run(machine):
                pass
    except Exception as error:  # of a newer version, or Docker does not answer: it is ended all the same
        return f"what {deed.get('kind')} should have undone ({named(error)})"
    return said


def expire(machine: Machine, sweep: Callable[[Machine, bool], object] = lambda machine, undone: None) -> List[str]:
    """What the timer does: undo what nobody renewed; remove the timer when no lease is left. Names of the undone.

    :param sweep: forgets what else is left of runs that were killed; whether something was undone just now.
    """
    undone: List[str] = []
    with _exclusive(machine):
        for name, lease in _all(machine).items():
            if seconds_left(machine, lease) < 0:
                try:
                    _undo(machine, name)
                    undone.append(name)
                except Exception as error:  # try again at the next tick; one lease must not hold up the others
                    print(f"lease {name} could not be undone yet: {named(error)}")
        sweep(machine, bool(undone))
        # it is this very unit that would wait for its own end
        if not _tidy(machine, "--no-block") and not _is_active(machine):
            _install(machine, _service(machine))  # whoever wanted to was killed
    return undone


def tidy(machine: Machine) -> None:
    """Remove the timer and the agent's copy on disk when no lease and no job needs them any more."""
    with _exclusive(machine):
        _tidy(machine)


def _tidy(machine: Machine, *options: str) -> bool:
    """False: they are still needed."""
    if _all(machine) or machine.names(machine.state_dir + "/jobs"):
        return False
    if machine.stat(_unit(machine, "timer")) is not None:  # made first, removed last
        # stopped first: one that goes on and is not enabled would be taken for whole, and be gone after a reboot
        machine.run(["systemctl", *options, "stop", f"{UNIT}.timer"], check=False)
        machine.run(["systemctl", "disable", f"{UNIT}.timer"], check=False)
        if not options:
            machine.run(["systemctl", "stop", f"{UNIT}.service"], check=False)
        machine.remove(_unit(machine, "service"))
        machine.remove(_unit(machine, "timer"))  # last: while it is there, a killed tidy is done again
        if not options:  # of a unit at work it would forget that it may take long, and end it as failed
            machine.run(["systemctl", "daemon-reload"], check=False)
            # a failure of the service would be listed for ever, although there is no such unit any more
            machine.run(["systemctl", "reset-failed", f"{UNIT}.service"], check=False)
    for name in machine.names(machine.state_dir):
        if name.startswith("agent-"):
            machine.remove(f"{machine.state_dir}/{name}")
    return True


def names(machine: Machine) -> Dict[str, Dict[str, Any]]:
    """Leases that exist, by name."""
    return _all(machine)


def _read(machine: Machine, name: str) -> Optional[Dict[str, Any]]:
    text = machine.read_text(_path(machine, name))
    if text is None:
        return None
    try:
        found = dict(json.loads(text))
        return {
            **found,
            "run": found["run"] if _is_run(str(found["run"])) else "",  # "2" would stand for every job
            "deadline": float(found.get("deadline", 0.0)),
            "undo": list(found["undo"]),
        }
    except (ValueError, TypeError, KeyError):
        why = "its file is damaged, so the host does not know what to undo"
        return {"run": "", "deadline": 0.0, "undo": [DAMAGED], "failing": {"since": 0.0, "why": why}}


def _all(machine: Machine) -> Dict[str, Dict[str, Any]]:
    found = {
        file[:-5]: _read(machine, file[:-5]) for file in machine.names(_directory(machine)) if file.endswith(".json")
    }
    return {name: lease for name, lease in found.items() if lease is not None}


def _look_after(machine: Machine) -> None:
    """The timer, before there is what it looks after: whenever this process is killed, or the power is cut.

    A look is asked of systemd first: it removes what is left of a timer that was only half made.
    """
    service = _service(machine)
    if machine.read(_unit(machine, "service")) == service and _is_active(machine):
        return
    look = f"{UNIT}-look-{machine.monotonic() * 1000:.0f}"
    once = ["--on-active", f"{LOOK:.0f}", "--timer-property", "AccuracySec=1"]
    program = machine.starting("run_watchdog")
    machine.run(["systemd-run", "--quiet", "--collect", "--unit", look, *once, "--", *program])
    _install(machine, service)
    machine.run(["systemctl", "stop", f"{look}.timer"], check=False)


def _service(machine: Machine) -> bytes:
    return SERVICE.format(command=shlex.join(machine.starting("run_watchdog"))).encode()


def _is_active(machine: Machine) -> bool:
    return machine.ask(["systemctl", "is-active", "--quiet", f"{UNIT}.timer"], check=False).rc == 0


def _install(machine: Machine, service: bytes) -> None:
    machine.mkdir(posixpath.dirname(_unit(machine, "service")))
    machine.write(_unit(machine, "timer"), TIMER.encode(), 0o644)
    machine.write(_unit(machine, "service"), service, 0o644)
    machine.run(["systemctl", "daemon-reload"])
    machine.run(["systemctl", "enable", "--now", f"{UNIT}.timer"])
