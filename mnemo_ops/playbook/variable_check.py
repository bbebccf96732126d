"""Undefined variables, found before a connection is opened."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.core.model import Block, Entry, Include, Node, Play, entries
from mnemo_ops.core.paths import shown
from mnemo_ops.core.suggest import suggest
from mnemo_ops.documents.yaml_lines import Placed, Rows, Table
from mnemo_ops.errors import MnemoError, PlaybookError
from mnemo_ops.inventory.load import load_variables
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook.context import located
from mnemo_ops.playbook.include_files import candidates
from mnemo_ops.playbook.names import BARE_FACTS, FACTS, VARIABLES
from mnemo_ops.templates.engine import file_options
from mnemo_ops.templates.references import Use, uses, uses_of_file
from mnemo_ops.templates.render import Scope, Unready, condition, find, is_template
from mnemo_ops.vault.cipher import Vaulted

# what a template is told of itself
TOLD_BY_TEMPLATES = ("host", "path", "fullpath", "destpath", "uid", "mtime", "run_date")
# what the runner adds
OF_THE_RUN = (
    "ansible_check_mode", "ansible_connection", "ansible_diff_mode", "ansible_facts", "ansible_failed_result",
    "ansible_failed_task", "ansible_host", "ansible_index_var", "ansible_loop", "ansible_loop_var",
    "ansible_managed", "ansible_play_batch",
    "ansible_play_hosts", "ansible_play_hosts_all", "ansible_play_name", "ansible_run_tags", "ansible_skip_tags",
    "ansible_verbosity", "ansible_version", "hostvars", "play_hosts", "vars",
    *(f"template_{name}" for name in TOLD_BY_TEMPLATES),
)  # fmt: skip
AT_RUN_TIME = frozenset({*OF_THE_RUN, *(f"ansible_{name}" for name in FACTS)})
# each interface is a fact of its own name, and each database of getent; which there are, the host knows
OF_THE_HOST = re.compile(
    r"getent_\w+|ansible_(lo|(eth|en|wl|ww|br|bond|team|docker|veth|virbr|vlan|wg|tun|tap|ib|venet)\w*\d\w*)"
)


@dataclass
class Reading:
    """What a check looked at in the variables of a host.

    :param weighed: values counted, not only which names there are and which templates.
    """

    names: set[str] = field(default_factory=set)
    weighed: bool = False

    def of(self, host_vars: Mapping[str, Any]) -> object:
        """Hosts for which this is equal need one look."""
        if self.weighed:
            return {name: str(value) for name, value in host_vars.items()}
        found = {name: host_vars[name] for name in self.names if name in host_vars}
        return {name: str(value) if is_template(value) else "" for name, value in found.items()}


def check_variables(play: Play, host_vars: Mapping[str, Any], known: Collection[str] = ()) -> Reading:
    """Every variable a play reads on a host must be defined, asked for with ``is defined``, or have a ``default``.

    :param host_vars: variables of the host, with those of ``--vars``. :param known: names set by earlier plays.
    :returns: what this went by.
    :raises PlaybookError: with file, line and the nearest name (2).
    """
    every = [*entries(play.tasks), *play.handlers]
    names = names_set(play)
    if names is None or ANY in known:  # a file of variables only the run can name: nobody knows what it holds
        return Reading()
    reading = Reading()
    late = AT_RUN_TIME | names | set(known) | loop_names(every)
    for entry in (*_certain(play.tasks), *play.handlers):
        _Check(play, entry, host_vars, late, reading).run()
    return reading


def _certain(nodes: Iterable[Node]) -> Iterator[Entry]:
    """Tasks that run when their place is reached; of several files a template chooses from, nobody knows which."""
    for node in nodes:
        if isinstance(node, Entry):
            yield node
        elif isinstance(node, Block):
            yield from _certain((*node.tasks, *node.rescue, *node.always))
        elif isinstance(node, Include):
            yield node.entry
            if len({id(chosen) for chosen in node.choices.values()}) == 1 or not is_template(node.entry.args["file"]):
                yield from _certain(next(iter(node.choices.values())))


ANY = "*"  # stands for names nobody can know before the run


def names_set(play: Play) -> Optional[set[str]]:
    """Variables the tasks of a play set on their way; ``None`` when that cannot be known before the run."""
    names: set[str] = set()
    if play.vars_files:
        return None
    for entry in (*entries(play.tasks), *play.handlers):
        names |= {entry.register} if entry.register else set()
        if entry.kind == "set_fact" and is_template(list(entry.args)):
            return None
        if entry.kind == "set_fact":
            names |= {str(name) for name in entry.args}
        names |= {BARE_FACTS[entry.kind]} if entry.kind in BARE_FACTS else set()
        if entry.kind == "include_vars":
            found = _included(entry)
            if found is None:
                return None
            names |= found
    return names


def _included(entry: Entry) -> Optional[set[str]]:
    if isinstance(entry.args.get("name"), str):
        return None if is_template(entry.args["name"]) else {entry.args["name"]}
    value = str(entry.args.get("file") or "")
    if is_template(dict(entry.args)) or not value:
        files = set(candidates(value, entry.loop, entry.variables).values()) if value else set()
        return {str(name) for path in files for name in _names_in(path)} if files else None
    return {
        str(name) for name in load_variables(located(value, entry.variables, entry.where), PlaybookError, entry.where)
    }


def _names_in(path: Path) -> Collection[Any]:
    """Names a file of variables defines; none when it is no such file: a pattern fits many."""
    try:
        return load_variables(path, PlaybookError)
    except PlaybookError:
        return ()


def loop_names(every: Iterable[Entry]) -> set[str]:
    """Variables of loops around included tasks: the tasks do not know which include brings them in."""
    loops = [entry.loop for entry in every if entry.loop is not None and entry.kind in INCLUDES]
    return {name for loop in loops for name in (loop.var, loop.index_var) if name}


INCLUDES = ("include_tasks", "include_role")


class _Check:
    """One task: what it reads, against what there is."""

    def __init__(
        self, play: Play, entry: Entry, host_vars: Mapping[str, Any], late: Collection[str], reading: Reading
    ) -> None:
        self._entry, self._reading = entry, reading
        loop = {entry.loop.var, entry.loop.index_var} if entry.loop is not None else set()
        self._late = {*late, *loop}  # defined, but not before the run
        # the first that has a name wins
        self._layers = (
            entry.params, entry.vars, entry.role_vars, play.role_vars, play.vars, host_vars, entry.defaults,
            play.role_defaults,
        )  # fmt: skip
        self._seen: set[str] = set()
        self._guarded = {use.name for text in entry.when for use in uses("{{ " + text + " }}") if use.guarded}

    def run(self) -> None:
        entry = self._entry
        until = entry.retry.until if entry.retry else ()
        for text in (*entry.when, *entry.changed_when, *entry.failed_when, *until):
            self._expression(text, entry.where)
        try:
            self._check_arguments(self._entry)
        except PlaybookError:
            if not any(self._is_false(text) for text in self._entry.when):
                raise

    def _check_arguments(self, entry: Entry) -> None:
        if entry.loop is not None:
            self._check([entry.loop.items, entry.loop.label], entry.loop.where)
        for value in (*entry.environment, entry.become_user if entry.become else None):
            self._check(value, entry.where)
        expressions = {name for name, one in self._fields().items() if one.expression}
        for key, value in entry.args.items():
            where = entry.args.where(key) if isinstance(entry.args, Table) else entry.where
            if key not in expressions:
                self._check(value, where)
                continue
            for index, text in enumerate(value if isinstance(value, list) else [value]):
                self._expression(text, value.where(index) if isinstance(value, Rows) else where)
        for path in self._template_files():
            for use in uses_of_file(path, file_options(entry.args)):
                self._use(use, f"{shown(path)}:{use.line}")

    def _expression(self, text: Any, where: str) -> None:
        self._check("{{ " + str(text) + " }}", text.where if isinstance(text, Placed) else where)

    @functools.cached_property
    def _scope(self) -> Scope:
        scope = Scope()
        for layer in reversed(self._layers):
            scope = scope.plus(layer)
        return scope.plus({name: Unready(name) for name in self._late}, final=True)

    def _is_false(self, text: str) -> bool:
        """Whether a condition is known to be false already: then the task may read what is not defined here."""
        self._reading.weighed = True
        try:
            return not condition(text, self._scope)
        except (Unready, MnemoError):
            return False

    def _fields(self) -> Mapping[str, module_args.Field]:
        return module_args.fields_of(self._entry.kind) if self._entry.kind not in INCLUDES else {}

    def _template_files(self) -> Iterator[Any]:
        for name, one in self._fields().items():
            value = self._entry.args.get(name)
            if one.source == "template" and isinstance(value, str) and not is_template(value):
                yield find(value, self._entry.templates)

    def _check(self, value: Any, where: str, inside: str = "") -> None:
        if isinstance(value, str):
            where = value.where if isinstance(value, Placed) else where
            for use in uses(value, where) if is_template(value) else ():
                self._use(use, where, inside)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                self._check(key, where, inside)
                self._check(item, value.where(key) if isinstance(value, Table) and not inside else where, inside)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._check(item, value.where(index) if isinstance(value, Rows) and not inside else where, inside)
        elif isinstance(value, Vaulted):
            value.reveal()  # a password that is missing is missing now

    def _use(self, use: Use, where: str, inside: str = "") -> None:
        if use.name in self._late or use.name in self._seen:
            return
        self._reading.names.add(use.name)
        if use.guarded or use.name in self._guarded or OF_THE_HOST.fullmatch(use.name):
            return
        layer = next((layer for layer in self._layers if use.name in layer), None)
        if layer is not None:
            self._seen.add(use.name)
            self._check(layer[use.name], where, use.name)
            return
        place = f", which variable '{inside}' reads," if inside else ""
        if use.name in VARIABLES:
            raise PlaybookError(f"the variable '{use.name}'{place} is not supported yet", where=where)
        names = [*self._late, *(name for layer in self._layers for name in layer)]
        hint = suggest(use.name, names, few=0) or "define it, pass --vars, or use default()"
        raise PlaybookError(f"the variable '{use.name}'{place} is undefined", where=where, hint=hint)
