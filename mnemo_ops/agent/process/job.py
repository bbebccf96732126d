"""Jobs: long deeds that outlive the connection, as transient systemd units with a state file.

The agent starts a job, follows its state file and, after a reconnect, finds it again by its name.
A directory per job below ``state_dir/jobs``: ``request.json`` (0600, removed as soon as the job has read it: it may
hold secrets) and ``state.json`` (written by rename; the last one holds the report or the error).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import Any, Callable, Dict, Generator, Mapping, Optional

from mnemo_ops.agent.engine import action as actions
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import lease
from mnemo_ops.errors import Broken, ChannelLost, JobLost, MnemoError, from_json, named, reason

LINGERING = 75.0  # seconds the last state waits for a controller that lost its connection
ATTENDING = 5.0  # seconds between renewals of what a job holds
STARTING = 20.0  # seconds a unit may take to write its first state


def directory(machine: Machine, name: str) -> str:
    return f"{machine.state_dir}/jobs/{name}"


def unit(name: str) -> str:
    return "mnemo-job-" + name


def start(machine: Machine, name: str, request: Mapping[str, Any], attach: bool = False) -> None:
    """Start the job unless it already runs or has ended well: starting twice is re-attaching.

    :param attach: after a reconnect: one that ended badly meanwhile, or was killed, is not started again either.
    """
    state = read_state(machine, name)
    failed = state is not None and "error" in state
    if attach or (state is not None and "report" in state):
        return
    if failed:  # its last word was written; its process waits for somebody who asks for it
        stop(machine, name)
    elif is_alive(machine, name):
        return
    where = directory(machine, name)
    machine.remove(where)
    lease.watch(machine, where)  # before there is anything secret
    machine.write(where + "/request.json", json.dumps(request).encode(), 0o600)
    # the argument vector names files only: `ps` and the unit's journal show no value
    argv = machine.starting("run_job", where)
    machine.run(["systemd-run", "--quiet", "--collect", "--unit", unit(name), "--service-type", "exec", "--", *argv])


def follow(
    machine: Machine, name: str, stop: Callable[[], bool], patience: float = STARTING
) -> Generator[Dict[str, Any], None, Dict[str, Any]]:
    """Yield the job's progress until it ends; return its report.

    :param patience: seconds in which it must have begun.
    :param stop: true when nobody listens any more: the job goes on, the following ends.
    :raises ChannelLost: ``stop`` became true (4).
    :raises JobLost: it died without a word (killed, or the host was rebooted) (6); its own error otherwise.
    """
    shown: Any = None
    began = time.monotonic()
    while not stop():
        state = read_state(machine, name)
        if state is not None and "report" in state:
            report: Dict[str, Any] = state["report"]
            return report
        if state is not None and "error" in state:
            raise from_json(state["error"])
        if state is not None and state.get("progress") != shown:
            shown = state["progress"]
            yield shown
        if not is_alive(machine, name) and (state is not None or time.monotonic() - began > patience):
            final = read_state(machine, name)  # it may have ended between the two looks
            if final is None or not ("report" in final or "error" in final):
                if final is None and patience < STARTING:
                    raise JobLost("the job on the host ended, and the host has no record of its result")
                raise JobLost("the job on the host died: it was killed, or the host rebooted")
        time.sleep(0.1)
    raise ChannelLost("the controller closed the connection")


def is_alive(machine: Machine, name: str) -> bool:
    done = machine.ask(["systemctl", "is-active", "--quiet", unit(name)], check=False)
    if done.rc == 0:
        return True
    shown = machine.ask(["systemctl", "show", "--property=ActiveState", "--value", unit(name)], check=False)
    return shown.out.strip() in ("activating", "reloading", "deactivating")


def stop(machine: Machine, name: str) -> None:
    """End a job and forget it; nothing when there is none."""
    if is_alive(machine, name):
        machine.run(["systemctl", "stop", unit(name)], check=False)
    machine.remove(directory(machine, name))


def sweep(machine: Machine, undone: bool) -> None:
    """Forget jobs that were killed: once what they left is undone; those that had ended once nobody asks any more."""
    for name in machine.names(machine.state_dir + "/jobs"):
        state, found = read_state(machine, name), machine.stat(directory(machine, name))
        ended = state is not None and ("report" in state or "error" in state)  # their controller may still come
        age = machine.now() - found.mtime_ns / 1e9 if found is not None else 0.0
        if (not 0 <= age < LINGERING or (undone and not ended)) and not is_alive(machine, name):
            machine.remove(directory(machine, name))


def read_state(machine: Machine, name: str) -> Optional[Dict[str, Any]]:
    text = machine.read_text(directory(machine, name) + "/state.json")
    return None if text is None else dict(json.loads(text))


def run(machine: Machine, where: str) -> None:
    """The job itself: read the request, do the deed, leave the report or the error."""
    text = machine.read_text(where + "/request.json")
    if text is None:
        raise MnemoError(f"{where} holds no request")
    machine.remove(where + "/request.json")
    request = json.loads(text)

    ended, one = threading.Event(), threading.Lock()

    def leave(state: Mapping[str, Any]) -> None:
        # how far it is need not outlive a power cut, and the stack may be waiting for it
        last = "progress" not in state
        with one:
            if not ended.is_set():  # nothing is said after the last word
                with machine.replacing(where + "/state.json", 0o600, durable=last) as file:
                    file.write(json.dumps(state).encode())
                if last:
                    ended.set()

    def tell(done: int = 0, total: int = 0, note: str = "") -> None:
        leave({"progress": {"done": done, "total": total, "note": note}})

    tell(note="starting")
    threading.Thread(target=_attend, args=(machine, ended, tell), daemon=True).start()
    try:
        deed = actions.build(request["kind"], request["args"]).run(machine)
        last, shown = 0.0, ""
        while True:
            try:
                progress = next(deed)
            except StopIteration as end:
                leave({"report": end.value or {}})
                return
            machine.note = ""  # of the step before
            if progress.note != shown or time.monotonic() - last >= 0.2:
                last, shown = time.monotonic(), progress.note
                tell(progress.done, progress.total, progress.note)
    except MnemoError as error:
        leave({"error": error.to_json()})
    except OSError as error:
        leave({"error": Broken(f"{error.filename or request['kind']}: {reason(error)}").to_json()})
    except Exception as error:  # a bug must reach the operator, too
        leave({"error": MnemoError(named(error)).to_json()})
    finally:
        ended.set()


def linger(machine: Machine, where: str) -> None:
    """Keep the last state for whoever comes back; when nobody does, nothing is left of the job."""
    end = machine.monotonic() + LINGERING
    while machine.stat(where) is not None:
        if machine.monotonic() > end:
            machine.remove(where)
            lease.tidy(machine)
            return
        machine.sleep(0.5)


def _attend(machine: Machine, ended: threading.Event, tell: Callable[..., None]) -> None:
    """Renew the job's leases, and tell what a long step notes: an agent's heartbeat knows nothing of a job."""
    while not ended.wait(ATTENDING):
        with contextlib.suppress(MnemoError, OSError):  # a disk that is full for a moment must not end the renewals
            lease.renew_held(machine)
            if machine.note:
                tell(note=machine.note)
