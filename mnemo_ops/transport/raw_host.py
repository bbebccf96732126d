"""A bare host: no python3 yet, so no agent; the ``raw`` tasks a play begins with run through a shell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.resources.raw import Raw
from mnemo_ops.core.model import Batch, Host, Task
from mnemo_ops.errors import MnemoError, StepFailed
from mnemo_ops.transport.raw_shell import raw


class BareHost:
    """Takes batches as a session does, of ``raw`` tasks only."""

    bare = True
    pending_handlers: Sequence[str] = ()

    def __init__(self, host: Host, become: bool) -> None:
        self._host, self._become = host, become
        self.facts: Mapping[str, Any] = {}
        self.login = host.user or ""

    def converge(self, batch: Batch) -> Iterator[Event]:
        for task in (one for one in batch.tasks() if not one.perhaps):
            yield Event(task.id, "progress", after={"note": "the host has no python3 yet: running it in a shell"})
            event = self._foreseen(task) if batch.check else self._run(task)
            yield event
            if event.status == "failed" and not task.ignore_errors:
                return

    def _foreseen(self, task: Task) -> Event:
        return Event(task.id, "ok" if task.changed is False else "changed", before={}, after={}, foreseen=True)

    def _run(self, task: Task) -> Event:
        if not isinstance(task.resource, Raw):
            raise MnemoError(f"{self._host.name} has no python3 and {task.name} needs it: this is a bug")
        try:
            said = raw(self._host, self._become, task.resource.free_form)
        except StepFailed as error:
            return Event.failure(task.id, error)
        state = {"rc": said.rc, "stdout": said.out, "stderr": said.err}
        if said.rc == 0:
            return Event(task.id, "ok" if task.changed is False else "changed", after=state)
        words = (said.err.strip() or said.out.strip())[-1500:]
        return Event(task.id, "failed", before=state, after={"rc": 0}, why=f"ended with {said.rc}: {words}")
