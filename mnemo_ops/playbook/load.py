"""Playbooks: Ansible's words, checked whole before any host hears of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.core.model import Block, Entry, Flush, Include, Keywords, Node, Play, entries
from mnemo_ops.core.paths import shown
from mnemo_ops.core.suggest import nearest, suggest
from mnemo_ops.documents import yaml_lines
from mnemo_ops.documents.yaml_lines import Placed, Rows, Table, shape
from mnemo_ops.errors import PlaybookError
from mnemo_ops.inventory.connection_vars import CONNECTIONS
from mnemo_ops.inventory.load import load_variables
from mnemo_ops.playbook.context import INHERITED, Parts, Place, first_located, flag, inherit, located, proof
from mnemo_ops.playbook.names import PLAY_KEYS
from mnemo_ops.playbook.task_list import handlers, nodes, play_roles, tables
from mnemo_ops.playbook.variable_check import check_variables
from mnemo_ops.templates.render import is_template

__all__ = ["Playbook", "check_variables", "load"]

SECTIONS = ("pre_tasks", "roles", "tasks", "post_tasks", "handlers")
KEYS = (
    *(word for word in INHERITED if word not in ("when", "run_once", "delegate_to", "check_mode", "notify")), *SECTIONS,
    "hosts", "vars_files", "gather_facts", "gather_subset", "serial", "any_errors_fatal", "max_fail_percentage",
    "strategy", "force_handlers", "connection", "remote_user", "order",
)  # fmt: skip
STRATEGIES = ("linear", "free", "host_pinned")  # hosts go side by side here, each at its own pace
IMPORT = ("name", "when", "tags", "vars")
_IMPORTS = ("import_playbook", "ansible.builtin.import_playbook")


@dataclass(frozen=True)
class Playbook:
    path: Path
    plays: tuple[Play, ...]


def load(path: Path) -> Playbook:
    """Read a playbook with its roles and included files.

    :raises PlaybookError: anything in it is unknown, misspelt, missing, of the wrong type or not supported; with file,
        line and the nearest valid name (2). :raises TemplateError: a template is not valid Jinja (2).
    """
    return Playbook(path, tuple(_plays(path, Keywords(), "", ())))


def _plays(path: Path, outer: Keywords, where: str, within: tuple[Path, ...]) -> Iterator[Play]:
    if path.resolve() in within:
        raise PlaybookError(f"{shown(path)} imports itself", where=where)
    data = yaml_lines.load(path, where=where)
    if not isinstance(data, Rows):
        raise PlaybookError(f"a playbook is a list of plays, not {shape(data)}", where=f"{shown(path)}:1")
    home = path.absolute().parent
    for table in tables(data, "a play"):
        key = next((key for key in _IMPORTS if key in table), "")
        if not key:
            yield _play(table, home, outer)
            continue
        table.only("an import", (*IMPORT, key))
        table.text("name")
        if is_template(table[key]):
            raise table.fail(f"a template in '{key}' is not supported yet", key)
        file = located(table.text(key), (home,), table.where(key))
        yield from _plays(file, inherit(table, outer), table.where(key), (*within, path.resolve()))


def _play(table: Table, home: Path, outer: Keywords) -> Play:
    near = next((key for key in table if nearest(str(key), _IMPORTS, cutoff=0.8)), "")
    if near and "hosts" not in table:
        raise table.fail(f"unknown key {near!r} in a list of plays", near, f"did you mean '{_IMPORTS[0]}'?")
    table.only("a play", KEYS, PLAY_KEYS)
    hosts = _hosts(table)
    flag(table, "gather_facts", True)  # facts are always gathered on connect
    table.texts("gather_subset")
    keywords = replace(inherit(table, outer), vars={})  # those of the play are a layer of their own
    parts = Parts(home)
    place = Place(parts, (home,), (home / "files", home), (home / "templates", home), (home,), keywords)
    before = nodes(table.rows("pre_tasks"), place)
    roles = play_roles(table.rows("roles"), place)
    inside = nodes(table.rows("tasks"), place)
    after = nodes(table.rows("post_tasks"), place)
    known = _handlers(table, place)
    sections = [section for section in (before, (*roles, *inside), after) if section]
    found = tuple(node for section in sections for node in (*section, Flush()))
    handlers_ = tuple(_resolved(entry, known) for entry, _ in known.values())
    every = [*entries(found), *handlers_]
    return Play(
        name=table.text("name") or hosts,
        hosts=hosts,
        where=table.where(),
        home=home,
        elevated=any(entry.become for entry in every) or (keywords.become and not every),
        vars=_vars(table, home, outer),
        vars_files=_late_vars_files(table),
        role_defaults=parts.defaults,
        role_vars=parts.vars,
        tasks=tuple(_with_handlers(node, known) for node in found),
        handlers=handlers_,
        topics={name: topics for name, (_, topics) in known.items()},
        serial=_serial(table),
        any_errors_fatal=table.flag("any_errors_fatal"),
        max_fail_percentage=_percentage(table),
        force_handlers=table.flag("force_handlers"),
        local=_local(table),
        user=table.text("remote_user"),
    )


# -- what a play says of itself --------------------------------------------------------------------------------------


def _hosts(table: Table) -> Placed:
    patterns = table.texts("hosts")
    if not any(patterns):
        raise table.fail("a play needs 'hosts'", "hosts", "name a host, a group, or all")
    proof(patterns, table.where("hosts"))
    return Placed(",".join(patterns), table.where("hosts"))


def _vars(table: Table, home: Path, outer: Keywords) -> Mapping[str, Any]:
    """``vars``, then ``vars_files``, which win as in Ansible; those named by a template follow at run time."""
    own = table.table("vars")
    own.names("vars")
    proof(own)
    found: dict[str, Any] = {**outer.vars, **own, "playbook_dir": str(home)}
    where = table.where("vars_files")
    for names in table.choices("vars_files"):
        if not is_template(list(names)):
            more = load_variables(first_located(names, (home,), where), PlaybookError, where)
            more.names(names[0])
            proof(more)
            found.update(more)
    return found


def _late_vars_files(table: Table) -> tuple[tuple[tuple[str, ...], str], ...]:
    late = [names for names in table.choices("vars_files") if is_template(list(names))]
    proof([name for names in late for name in names], table.where("vars_files"))
    return tuple((names, table.where("vars_files")) for names in late)


def _serial(table: Table) -> tuple[Any, ...]:
    value = table.get("serial")
    found = value if isinstance(value, list) else [] if value is None else [value]
    for one in found:
        number = isinstance(one, int) and not isinstance(one, bool) and one > 0
        if not number and not (isinstance(one, str) and one.removesuffix("%").isdigit()):
            raise table.fail(f"'serial' should be a number or a percentage, not {shape(one)}", "serial")
    return tuple(found)


def _percentage(table: Table) -> Any:
    value = table.get("max_fail_percentage")
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise table.fail(f"'max_fail_percentage' should be a number, not {shape(value)}", "max_fail_percentage")
    return value


def _local(table: Table) -> bool:
    own = table.table("vars").text("ansible_connection") or table.text("connection", "ssh")
    connection = own.removeprefix("ansible.builtin.")
    if connection not in CONNECTIONS:
        raise table.fail(f"the connection '{connection}' is not supported yet", "connection", "use ssh or local")
    if table.text("strategy", "linear").removeprefix("ansible.builtin.") not in STRATEGIES:
        raise table.fail("this strategy is not supported yet", "strategy", f"one of {', '.join(STRATEGIES)}")
    if table.text("order", "inventory") != "inventory":
        raise table.fail("'order' other than inventory is not supported yet", "order")
    return connection == "local"


# -- handlers --------------------------------------------------------------------------------------------------------

Known = dict[str, tuple[Entry, tuple[str, ...]]]


def _handlers(table: Table, place: Place) -> Known:
    """By name, in the order Ansible meets them: of roles, of the play, of included roles; the later one wins."""
    parts = [(yaml_lines.load(path), inner) for path, inner in place.parts.handlers]
    parts.append((table.rows("handlers"), place))
    found: Known = {}
    for rows, inner in sorted(parts, key=lambda part: part[1].included):
        for entry, topics in handlers(rows, inner):
            found.pop(entry.name, None)
            found[entry.name] = entry, topics
    return found


def listeners(wanted: str, topics: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Names of the handlers a notification means: by name, by topic, or ``role : name``."""
    short = wanted.partition(" : ")[2]
    return [name for name, own in topics.items() if wanted == name or wanted in own or short == name]


def _with_handlers(node: Node, known: Known) -> Node:
    """The node with every ``notify`` resolved."""
    if isinstance(node, Entry):
        return _resolved(node, known)
    if isinstance(node, Block):
        tasks, rescue, always = (
            tuple(_with_handlers(one, known) for one in part) for part in (node.tasks, node.rescue, node.always)
        )
        return replace(node, tasks=tasks, rescue=rescue, always=always)
    if isinstance(node, Include):
        choices = {name: tuple(_with_handlers(one, known) for one in inner) for name, inner in node.choices.items()}
        return replace(node, choices=choices)
    return node


def _resolved(entry: Entry, known: Known) -> Entry:
    """``notify`` as names of handlers; topics become the handlers that listen to them, templates wait."""
    names: dict[str, None] = {}
    topics = {name: own for name, (_, own) in known.items()}
    for wanted in entry.notify:
        found = [wanted] if is_template(wanted) and known else listeners(wanted, topics)
        if not found:
            hint = suggest(wanted, [*known, *(topic for own in topics.values() for topic in own)])
            hint = hint or "add it under handlers:"
            where = wanted.where if isinstance(wanted, Placed) else entry.where
            raise PlaybookError(f"no handler is called '{wanted}'", where=where, hint=hint)
        names.update(dict.fromkeys(found))
    return replace(entry, notify=tuple(names)) if entry.notify else entry
