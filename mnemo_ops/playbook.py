"""Playbooks: Ansible's words, checked whole before any host hears of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mnemo_ops import yaml_lines
from mnemo_ops.ansible_words import PLAY_KEYS
from mnemo_ops.entries import Place, become, handlers, located, proof, tables, tags, tasks
from mnemo_ops.errors import PlaybookError
from mnemo_ops.inventory import load_variables
from mnemo_ops.model import Entry, Play
from mnemo_ops.roles import Role, roles
from mnemo_ops.spelling import suggest
from mnemo_ops.template import is_template
from mnemo_ops.undefined import check_variables
from mnemo_ops.yaml_lines import Rows, Table, shape, shown

__all__ = ["Playbook", "check_variables", "load"]

SECTIONS = ("pre_tasks", "tasks", "post_tasks", "handlers")
KEYS = ("name", "hosts", "become", "become_user", "vars", "vars_files", "roles", "tags", "gather_facts", *SECTIONS)


@dataclass(frozen=True)
class Playbook:
    path: Path
    plays: tuple[Play, ...]


def load(path: Path) -> Playbook:
    """Read a playbook with its roles and included files.

    :raises PlaybookError: anything in it is unknown, misspelt, missing, of the wrong type or not supported; with file,
        line and the nearest valid name (2). :raises TemplateError: a template is not valid Jinja (2).
    """
    data = yaml_lines.load(path)
    if not isinstance(data, Rows):
        raise PlaybookError(f"a playbook is a list of plays, not {shape(data)}", where=f"{shown(path)}:1")
    home = path.absolute().parent
    return Playbook(path, tuple(_play(table, home) for table in tables(data, "a play")))


def _play(table: Table, home: Path) -> Play:
    for key in ("import_playbook", "ansible.builtin.import_playbook"):
        if key in table:
            raise table.fail(f"'{key}' is not supported yet", key)
    table.only("a play", KEYS, PLAY_KEYS)
    become(table, table.flag("become"))
    table.flag("gather_facts")
    place = Place(
        directories=(home,),
        files=(home / "files", home),
        templates=(home / "templates", home),
        become=table.flag("become"),
        tags=tags(table),
    )
    used = roles(table, home, place)
    shared = _shared(used, place)
    known = _handlers(table, used, shared)
    entries = [
        *tasks(table.rows("pre_tasks"), shared),
        *(entry for role in used for entry in role.tasks(shared)),
        *tasks(table.rows("tasks"), shared),
        *tasks(table.rows("post_tasks"), shared),
    ]
    return Play(
        name=table.text("name") or _hosts(table),
        hosts=_hosts(table),
        where=table.where(),
        become=place.become,
        vars=_vars(table, home),
        tasks=tuple(_resolved(entry, known) for entry in entries),
        handlers=tuple(_resolved(entry, known) for entry, _ in known.values()),
        tags=place.tags,
    )


def _hosts(table: Table) -> str:
    patterns = table.texts("hosts")
    if not any(patterns):
        raise table.fail("a play needs 'hosts'", "hosts", "name a host, a group, or all")
    if is_template(list(patterns)):
        raise table.fail("a template in 'hosts' is not supported yet", "hosts", "use --limit")
    return ",".join(patterns)


def _vars(table: Table, home: Path) -> Mapping[str, Any]:
    """``vars``, then ``vars_files``, which win as in Ansible."""
    own = table.table("vars")
    own.names("vars")
    proof(own)
    found: dict[str, Any] = {**own, "playbook_dir": str(home)}
    for name in table.texts("vars_files"):
        if is_template(name):
            raise table.fail("a template in 'vars_files' is not supported yet", "vars_files")
        where = table.where("vars_files")
        more = load_variables(located(name, (home,), where), PlaybookError, where)
        more.names(name)
        proof(more)
        found.update(more)
    return found


def _shared(used: Iterable[Role], place: Place) -> Place:
    """Variables of every role of a play are seen by the whole play, as in Ansible."""
    defaults = {name: value for role in used for name, value in role.defaults.items()}
    variables = {name: value for role in used for name, value in role.vars.items()}
    return replace(place, defaults=defaults, vars=variables)


Handlers = dict[str, tuple[Entry, tuple[str, ...]]]


def _handlers(table: Table, used: Iterable[Role], shared: Place) -> Handlers:
    """By name; those of the play win over those of roles."""
    found: Handlers = {}
    for role in used:
        found.update({entry.name: (entry, topics) for entry, topics in role.handlers(shared)})
    found.update({entry.name: (entry, topics) for entry, topics in handlers(table.rows("handlers"), shared)})
    return found


def _resolved(entry: Entry, known: Handlers) -> Entry:
    """``notify`` as names of handlers; topics become the handlers that listen to them."""
    names: dict[str, None] = {}
    for wanted in entry.notify:
        found = [name for name, (_, topics) in known.items() if wanted == name or wanted in topics]
        if not found:
            hint = suggest(wanted, [*known, *(topic for _, topics in known.values() for topic in topics)])
            hint = hint or "add it below handlers:"
            raise PlaybookError(f"no handler is called '{wanted}'", where=entry.where, hint=hint)
        names.update(dict.fromkeys(found))
    return replace(entry, notify=tuple(names)) if entry.notify else entry
