"""Running one task on a small host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.engine.converge import Task, converge
from mnemo_ops.agent.machine import Machine


class Nobody:
    """No handlers here."""

    def add(self, names: Sequence[str]) -> None:
        pass


def run(task: Task, machine: Machine, check: bool = False) -> Event:
    """``ok``: what was observed is what is desired; ``changed``: it was observed again after applying, and is."""
    (event,) = converge([task], machine, check, Nobody(), lambda task: None)
    return event


def run_all(tasks: Sequence[Task], machine: Machine, check: bool = False) -> list[Event]:
    return list(converge(tasks, machine, check, Nobody(), lambda task: None))


def task(kind: str, *, register: bool = False, **args: Any) -> Task:
    return Task(kind, kind, args, register=register)
