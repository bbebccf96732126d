"""Undefined variables, found before a connection is opened."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mnemo_ops import schema
from mnemo_ops.ansible_words import FACTS, VARIABLES
from mnemo_ops.errors import MnemoError, PlaybookError
from mnemo_ops.model import Entry, Play
from mnemo_ops.spelling import suggest
from mnemo_ops.template import Scope, Unready, condition, find, is_template
from mnemo_ops.template_engine import file_options
from mnemo_ops.template_uses import Use, uses, uses_of_file
from mnemo_ops.vault import Vaulted
from mnemo_ops.yaml_lines import Table, shown

# each interface is a fact of its own name; which there are, the host knows
INTERFACE = re.compile(
    r"ansible_(lo|(eth|en|wl|ww|br|bond|team|docker|veth|virbr|vlan|wg|tun|tap|ib|venet|ens)\w*\d\w*)"
)
AT_RUN_TIME = frozenset(
    {"ansible_facts", "ansible_check_mode", "ansible_managed", *(f"ansible_{name}" for name in FACTS)}
)


def check_variables(play: Play, host_vars: Mapping[str, Any], known: Collection[str] = ()) -> None:
    """Every variable a play reads on a host must be defined, asked for with ``is defined``, or have a ``default``.

    :param host_vars: variables of the host, with those of ``--vars``. :param known: names registered by earlier plays.
    :raises PlaybookError: with file, line and the nearest name (2).
    """
    results = {entry.register for entry in play.tasks if entry.register}
    for entry in (*play.tasks, *play.handlers):
        loop = {entry.loop_var} if entry.loop is not None else set()
        _Check(play, entry, host_vars, AT_RUN_TIME | results | loop | set(known)).run()


class _Check:
    """One task: what it reads, against what there is."""

    def __init__(self, play: Play, entry: Entry, host_vars: Mapping[str, Any], late: Collection[str]) -> None:
        self._entry = entry
        self._late = late  # defined, but not before the run
        self._layers = (entry.vars, play.vars, host_vars, entry.defaults)  # the first that has a name wins
        self._seen: set[str] = set()
        self._guarded = {use.name for text in entry.when for use in uses("{{ " + text + " }}") if use.guarded}

    def run(self) -> None:
        for text in self._entry.when:
            self._check("{{ " + text + " }}", self._entry.where)
        try:
            self._check_arguments(self._entry)
        except PlaybookError:
            if not any(self._is_false(text) for text in self._entry.when):
                raise

    def _check_arguments(self, entry: Entry) -> None:
        self._check(entry.loop, entry.where)
        for key, value in entry.args.items():
            self._check(value, entry.args.where(key) if isinstance(entry.args, Table) else entry.where)
        for path in self._template_files():
            for use in uses_of_file(path, file_options(entry.args)):
                self._use(use, f"{shown(path)}:{use.line}")

    @functools.cached_property
    def _scope(self) -> Scope:
        scope = Scope()
        for layer in reversed(self._layers):
            scope = scope.plus(layer)
        return scope.plus({name: Unready(name) for name in self._late}, final=True)

    def _is_false(self, text: str) -> bool:
        """Whether a condition is known to be false already: then the task may read what is not defined here."""
        try:
            return not condition(text, self._scope)
        except (Unready, MnemoError):
            return False

    def _template_files(self) -> Iterator[Any]:
        for name, field in schema.fields_of(self._entry.kind).items():
            value = self._entry.args.get(name)
            if field.source == "template" and isinstance(value, str) and not is_template(value):
                yield find(value, self._entry.templates)

    def _check(self, value: Any, where: str, inside: str = "") -> None:
        if isinstance(value, str):
            for use in uses(value, where) if is_template(value) else ():
                self._use(use, where, inside)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                self._check(key, where, inside)
                self._check(item, value.where(key) if isinstance(value, Table) and not inside else where, inside)
        elif isinstance(value, list):
            for item in value:
                self._check(item, where, inside)
        elif isinstance(value, Vaulted):
            value.reveal()  # a password that is missing is missing now

    def _use(self, use: Use, where: str, inside: str = "") -> None:
        guarded = use.guarded or use.name in self._guarded
        if guarded or use.name in self._late or use.name in self._seen or INTERFACE.fullmatch(use.name):
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
