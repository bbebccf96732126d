"""A play on one host, without a channel: the agent's own loop over a temporary root."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Optional

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.engine.check_taint import Undone
from mnemo_ops.agent.engine.converge import converge
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.main import _tasks
from mnemo_ops.agent.process.host_lock import PendingHandlers
from mnemo_ops.core.model import Batch, Host, Task
from mnemo_ops.core.options import Options
from mnemo_ops.errors import MnemoError
from mnemo_ops.execution.host_run import PlayRun
from mnemo_ops.execution.host_state import HostState
from mnemo_ops.execution.play_sync import Crew
from mnemo_ops.playbook import load as playbook
from mnemo_ops.transport import session


class Session:
    """A host in a directory: the agent's loop without the channel."""

    def __init__(self, root: Path) -> None:
        self.facts: Mapping[str, Any] = {"distribution": "Debian", "motd": "{{ not_a_template }}"}
        self.login, self.bare = "root", False
        self.pending_handlers: Sequence[str] = ()
        self.batches: list[Batch] = []
        self.fetched: list[str] = []
        self._root = root
        self._undone = Undone()

    def converge(self, batch: Batch) -> Iterator[Event]:
        self.batches.append(batch)
        self._undone.first = self._undone.first or batch.undone
        machine = Machine(str(self._root), read_only=batch.check, fetch=self._fetch)
        notified = PendingHandlers(machine)
        notified.add([*(self.pending_handlers if batch.check else ()), *batch.notified])
        for step in session.gathered(batch.steps):
            if not (yield from self._step(step, batch.check, machine, notified)):
                break
        self.pending_handlers = notified.names()

    def _step(self, step: Any, check: bool, machine: Machine, notified: PendingHandlers) -> Any:
        if isinstance(step, list):
            return (yield from self._run(step, check, machine, notified))
        for name in step.idle:
            notified.remove(name)
        for name, tasks in step.ready:
            if name in notified.names():
                if not (yield from self._run(tasks, check, machine, notified)):
                    return False
                notified.remove(name)
        return True

    def _run(self, tasks: Sequence[Task], check: bool, machine: Machine, notified: PendingHandlers) -> Any:
        rows = _tasks(json.loads(json.dumps([session.row(task) for task in tasks])))
        failed = False
        for event in converge(rows, machine, check, notified, lambda task: None, self._undone):
            yield event
            ignored = next(row for row in rows if row.id == event.id).ignore_errors
            failed = failed or (event.status == "failed" and not ignored)
        return not failed

    def forget(self) -> None:
        """The next run has an agent of its own."""
        self._undone = Undone()

    def _fetch(self, sha256: str, into: IO[bytes]) -> None:
        self.fetched.append(sha256)
        blobs = {key: value for batch in self.batches for task in batch.tasks() for key, value in task.files.items()}
        found = blobs[sha256]
        into.write(found if isinstance(found, bytes) else found.read_bytes())


class Reach:
    """The one host of a bench; this machine is another."""

    def __init__(self, session: Session, here: Session) -> None:
        self._session, self._here = session, here
        self.hung_up = 0

    def session(self) -> Session:
        return self._session

    def here(self) -> Session:
        return self._here

    def again(self, timeout: float, connect_timeout: Optional[float], pause: float) -> Session:
        self._session.facts = {**self._session.facts, "init_started": self.hung_up}
        return self._session

    def hang_up(self) -> None:
        self.hung_up += 1


class Bench:
    """A playbook, a host and what happened there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / "root"
        for name in ("etc", "srv", "tmp"):
            (self.root / name).mkdir(parents=True)
            (home / "here" / name).mkdir(parents=True)
        self.session = Session(self.root)
        self.here = Session(home / "here")
        self.reach = Reach(self.session, self.here)
        self.state = HostState(Host("old", "old"))
        self.error: Optional[MnemoError] = None
        self.tasks: dict[str, Task] = {}

    def write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def play(self, text: str, extra: Optional[Mapping[str, Any]] = None, **options: Any) -> list[tuple[str, str]]:
        """Run the first play of a playbook; (name, status) in order."""
        book = playbook.load(self.write("site.yml", text))
        host = Host("old", "old", vars={"inventory_hostname": "old", "site": "lab"})
        play = book.plays[0]
        playbook.check_variables(play, {**host.vars, **(extra or {})})
        self.state.host = host
        crew = Crew(play, [host], [host], {"old": self.state}, Options(**options))
        self.events, self.error = [], None
        self.session.forget()
        try:
            for task, event in PlayRun(play, self.state, self.reach, crew, extra or {}, Options(**options)).run():
                if event.status != "progress":
                    self.events.append((task, event))
        except MnemoError as error:
            self.error = error
        self.tasks = {task.name: task for task, _ in self.events}
        return [(task.name, event.status) for task, event in self.events]

    def why(self, name: str) -> str:
        return next(event.why for task, event in self.events if task.name == name)

    def read(self, name: str) -> str:
        return (self.root / name.lstrip("/")).read_text()


def tasks(text: str, head: str = "") -> str:
    indented = "".join(f"    {line}\n" for line in text.strip("\n").splitlines())
    return f"- hosts: all\n{head}  tasks:\n{indented}"
