"""Everything that follows from a project, as rows: what `stack.show` shows, and what flows go by."""

from __future__ import annotations

from typing import List

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import Found
from mnemo_ops.agent.stack.project import around, datasets, running
from mnemo_ops.agent.stack.project.model import Model
from mnemo_ops.agent.stack.project.places import places
from mnemo_ops.agent.stack.project.read import Source
from mnemo_ops.agent.stack.project.rows import TOPICS, Row


def derive(machine: Machine, model: Model, found: Found, where: Source) -> List[Row]:
    """:param found: the project's containers. :param where: what it was read from.

    :raises Broken: Docker does not answer (6).
    """
    every, rows = places(machine, model, where.directory)
    rows = [*_project(model, found, where), *rows, *datasets.rows(machine, model, every, found)]
    rows += running.order(model, found, datasets.stores(rows))
    rows += running.health(model, found)
    rows += running.kept_inside(machine, found)
    rows += around.fixed(model)
    rows += around.around(machine, model, found, where.directory)
    return sorted(rows, key=lambda each: TOPICS.index(each.topic))


def _project(model: Model, found: Found, where: Source) -> List[Row]:
    active = {each.service for each in found}
    by = f"labels of {where.container}" if where.container else "no container: settings of the stack"
    by = f"settings of the stack: {where.moved}" if where.moved else by
    told = f"{len(model.services)} services, {len(active & set(model.services))} of them with containers"
    over = "stack.directory" if not where.container else ""
    rows = [Row("project", model.name, told, f"{', '.join(where.files)} ({by})", over)]
    idle = sorted(name for name, each in model.services.items() if each.profiles and name not in active)
    if idle and found:
        why = "their profiles are not active: no container of them is here"
        rows.append(Row("project", ", ".join(idle), "not run", why, "--profile, or COMPOSE_PROFILES in the env file"))
    if gone := sorted(active - set(model.services)):
        why = "a container, and no compose file describes it"
        rows.append(Row("project", ", ".join(gone), "orphaned", why, "docker compose up --remove-orphans"))
    return rows
