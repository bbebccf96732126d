"""Single-field mistakes in the corpus, each with the lines that may be named for it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import corpus
import jsonschema
import yaml

from mnemo_ops.inventory import connection_vars
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook.context import INHERITED
from mnemo_ops.playbook.keywords import KEYWORDS
from mnemo_ops.playbook.load import IMPORT, KEYS
from mnemo_ops.playbook.modules import KINDS, kind_of
from mnemo_ops.playbook.task import ACTION, HANDLER, TASK
from mnemo_ops.playbook.task_list import BLOCK, INCLUDE
from mnemo_ops.reference import json_forms

Node = Any


@dataclass(frozen=True)
class Mistake:
    """``text[start:end]`` of a file is something else now.

    :param run: the playbook and the inventory of the command. :param lines: those an error may name, in ``file``.
    :param near: the name that was meant, when the error has to suggest one.
    :param others: files that may be named instead, whatever the line: those that read what is wrong.
    """

    run: tuple[str, str]
    file: str
    start: int
    end: int
    new: str
    lines: range
    near: str = ""
    others: tuple[str, ...] = ()

    def text(self) -> str:
        old = corpus.FILES[self.file]
        return old[: self.start] + self.new + old[self.end :]

    def __repr__(self) -> str:
        return f"{self.file}:{self.lines.start}: {corpus.FILES[self.file][self.start : self.end]!r} -> {self.new!r}"


# by the forms of keywords.py
WRONG: dict[str, tuple[str, ...]] = {
    "any": (),
    "text": ("[a]", "{a: b}", "true"),
    "texts": ("{a: b}", "[[a]]"),
    "choices": ("{a: b}", "[{a: b}]", "[[zz_nothing.yml]]"),
    "identifier": ("a-b", "[a]"),
    "flag": ("maybe", "[true]", "5.5"),
    "late_flag": ("maybe", "[true]", '"{{ ( }}"'),
    "number": ("many", "[1]", "true"),
    "mapping": ("[a]", "5"),
    "variables": ("[a]", "5", "{a-b: 1}", '{a: "{{ ( }}"}', "{1: 2}"),
    "conditions": ('"{{ x }}"', "{a: b}", '"("', "zz_nowhere == 1", "1 | zz_nothing", "1 is zz_nothing", "[[1]]", "''"),
    "items": ("{a: b}", "5", '"{{ zz_nowhere }}"', '"{{ ( }}"'),
    "environment": ("5", "[5]", '{A: "{{ zz_nowhere }}"}'),
    "batches": ("some", "-1", "{a: b}", "[0]"),
    "sudo": ("su", "[sudo]"),
    "strategy": ("debug", "[linear]"),
    "connection": ("winrm", "[ssh]"),
    "order": ("shuffle", "[inventory]"),
    "here": ("elsewhere", "[localhost]"),
    "action": ("zz_nothing", "[a]", "{}", "{path: /x}", "{module: zz_nothing}", "''"),
    "loop_control": ("[a]", "{lop_var: x}", "{loop_var: a-b}", "{pause: long}", "{extended: maybe}"),
    "module_defaults": ("[a]", "{zz_nothing: {}}", "{file: {stat: absent}}", "{file: [a]}"),
    "tasks": ("5", "{a: b}", "[5]", "[[a]]", "[{}]"),
    "handlers": ("5", "{a: b}", "[5]", "[[a]]"),
    "roles": ("5", "{a: b}", "[5]", "[[a]]", "[zz_nothing]"),
}
SPECIAL = {"hosts": ("zz_nothing", "'!zz_nothing'", "[]"), "notify": ("zz_nothing",), "vars_files": ("zz_nothing.yml",)}
BROKEN = (
    "{{ ( }}",
    "{{ 1 | zz_nothing }}",
    "{{ 1 is zz_nothing }}",
    "{{ zz_nowhere }}",
    "{{ lookup('zz_nothing') }}",
    "{% if %}",
)
BAD_YAML = ("[", "'", "{a: {{ b }}}", "!zz x", "*zz", "@a", '"\\q"', "a: b: c")
VALUES = ("{a: {b: [c]}}", "[[a]]", "zz", "1.5", "true", "-1", "")


class Site:
    """One file of the corpus, and how an error may name its lines."""

    def __init__(self, file: str, run: tuple[str, str], others: tuple[str, ...] = ()) -> None:
        self.file, self.run, self.others = file, run, others
        self.source = corpus.FILES[file]
        self.root: Node = yaml.compose(self.source, yaml.SafeLoader)

    def change(self, node: Node, new: str, first: Node, near: str = "") -> Mistake:
        """:param first, node: where the lines that may be named begin and end."""
        start, end = self.span(node)
        if start == end:  # nothing stands there, and the parser says it stands where the next thing does
            start = end = first.end_mark.index + 1
            new = f" {new}"
        last = self.source.count("\n", 0, end) + new.count("\n") + 1
        if new.strip() in BAD_YAML:  # what is left open may close, or fail to, anywhere below
            last = self.source.count("\n") + 1
        lines = range(first.start_mark.line + 1, last + 1)
        return Mistake(self.run, self.file, start, end, new, lines, near, self.others)

    def span(self, node: Node) -> tuple[int, int]:
        start = node.start_mark.index
        return start, start + len(self.source[start : node.end_mark.index].rstrip())


def misspelt(name: str, known: Collection[str]) -> str:
    short = name.rpartition(".")[2]
    at = len(name) - len(short) + (len(short) + 1) // 2
    found = f"{name[:at]}z{name[at:]}"
    assert found not in known
    return found


# -- playbooks -------------------------------------------------------------------------------------------------------


def playbook(site: Site) -> Iterator[Mistake]:
    for play in site.root.value:
        words = dict_of(play)
        if "import_playbook" in words:
            yield from keys(site, play, (*IMPORT, "import_playbook"))
            yield from values(site, play)
            yield site.change(words["import_playbook"][1], "zz.yml", words["import_playbook"][0])
            continue
        yield from keys(site, play, KEYS)
        yield from values(site, play)
        for word in ("pre_tasks", "tasks", "post_tasks", "handlers"):
            if word in words:
                yield from tasks(site, words[word][1], HANDLER if word == "handlers" else TASK)
        if "max_fail_percentage" not in words:
            yield site.change(words["hosts"][0], "remote_user", play)  # a play without hosts


def dict_of(node: Node) -> dict[str, tuple[Node, Node]]:
    return {key.value: (key, value) for key, value in node.value}


def keys(site: Site, mapping: Node, known: Collection[str], extra: str = "zz_extra") -> Iterator[Mistake]:
    """A key is misspelt, there twice, or one more."""
    for key, _ in mapping.value:
        near = key.value.rpartition(".")[2] if len(key.value) > 3 else ""
        yield site.change(key, misspelt(key.value, known), key, near)
    key, value = mapping.value[0]
    row = site.source[slice(site.span(key)[0], site.span(value)[1])] if value.value else f"{key.value}: 1"
    flow = mapping.flow_style or "\n" not in row
    join = ", " if mapping.flow_style else "\n" + " " * key.start_mark.column
    if flow:
        yield site.change(key, f"{row}{join}{key.value}", key)
    yield site.change(key, f"{extra}: 1{join}{key.value}", key)


def values(site: Site, mapping: Node) -> Iterator[Mistake]:
    """A value is of the wrong form, or does not name what is there."""
    for key, value in mapping.value:
        word = key.value
        if word not in KEYWORDS:
            continue
        for wrong in (*WRONG[KEYWORDS[word].form], *SPECIAL.get(word, ())):
            yield site.change(value, wrong, key)
        if word.startswith("with_"):
            for broken in BROKEN:
                yield site.change(value, f'["{broken}"]', key)
        if KEYWORDS[word].form in ("tasks", "handlers", "roles", "variables"):
            continue
        for wrong in BAD_YAML:
            yield site.change(value, wrong, key)


def tasks(site: Site, rows: Node, known: Collection[str] = TASK) -> Iterator[Mistake]:
    for task in rows.value:
        if not isinstance(task, yaml.MappingNode):
            continue
        words = {key.rpartition(".")[2]: pair for key, pair in dict_of(task).items()}
        include = next(
            (word for word in words if word.startswith(("import_", "include_")) and word != "include_vars"), ""
        )
        if "block" in words:
            yield from keys(site, task, BLOCK)
            yield from values(site, task)
            for word in ("block", "rescue", "always"):
                if word in words:
                    yield from tasks(site, words[word][1])
        elif include:
            yield from keys(site, task, INHERITED if include.startswith("import") else INCLUDE)
            yield from values(site, task)
            yield from included(site, include, *words[include])
        elif word := next((word for word in ACTION if word in words), ""):
            yield from keys(site, task, known)
            yield from values(site, task)
            yield from action(site, *words[word])
        else:
            yield from keys(site, task, known)
            yield from values(site, task)
            yield from arguments(site, task)


def action(site: Site, key: Node, value: Node) -> Iterator[Mistake]:
    """A kind behind ``action`` or ``local_action``, and its arguments."""
    if isinstance(value, yaml.MappingNode):
        kind = dict_of(value)["module"][1].value
        yield from keys(site, value, ("module", *module_args.fields_of(kind)))
        args = yaml.MappingNode(value.tag, [one for one in value.value if one[0].value != "module"])
        yield from fields(site, kind, args)
        return
    kind, _, args = value.value.partition(" ")
    yield site.change(value, f"{misspelt(kind, KINDS)} {args}", key, kind)
    for broken in BROKEN:
        yield site.change(value, yaml_text(f"{value.value}{broken}"), key)


def included(site: Site, word: str, key: Node, value: Node) -> Iterator[Mistake]:
    for wrong in ("zz_nothing", "[a]", "", "{}"):
        yield site.change(value, wrong or "''", key)
    if isinstance(value, yaml.MappingNode):
        yield from keys(site, value, ())
        for inner, one in value.value:
            for wrong in ("[a]", "5.5", "''") if inner.value in ("file", "name", "tasks_from") else ("5", "[a]"):
                yield site.change(one, "[a]" if wrong == "5.5" else wrong, inner)


def arguments(site: Site, task: Node) -> Iterator[Mistake]:
    key, value = next((key, value) for key, value in task.value if kind_of(key.value))
    kind = kind_of(key.value)
    more = {"args"} & dict_of(task).keys()
    if any(one.required for one in module_args.fields_of(kind).values()) and not more:
        yield site.change(value, "{}", task)
    yield site.change(value, "[a]", key)
    if more:
        args = dict_of(task)["args"]
        yield from keys(site, args[1], ())
        yield from fields(site, kind, args[1])
    # a second kind
    join = ", " if task.flow_style else "\n" + " " * task.value[0][0].start_mark.column
    yield site.change(key, f"{'ping' if kind != 'ping' else 'stat'}: {{}}{join}{key.value}", task)
    if not isinstance(value, yaml.MappingNode):
        if value.value and "=" not in value.value and kind not in ("meta", "include_vars"):
            for broken in BROKEN:
                yield site.change(value, yaml_text(f"{value.value} {broken}"), key)
        return
    if kind == "set_fact":
        return
    if value.value:
        yield from keys(site, value, module_args.fields_of(kind))
    yield from fields(site, kind, value)


def fields(site: Site, kind: str, args: Node) -> Iterator[Mistake]:
    """An argument has a value that does not fit, or Jinja in it that is wrong."""
    known = module_args.fields_of(kind)
    aliases = getattr(module_args.resource_class(kind), "ALIASES", {})
    for key, value in args.value:
        field = known[aliases.get(key.value, key.value)]
        for wrong in VALUES:
            if not field.expression and not fits(field, yaml.safe_load(wrong)):
                yield site.change(value, wrong, key)
        # where names come from a file only the run can name, nobody knows which there are
        unsure = ("{{ zz_nowhere }}",) if kind == "include_vars" else ()
        for broken in [one for one in BROKEN if one not in unsure and not field.expression]:
            yield site.change(value, yaml_text(broken), key)
        if field.expression:
            for wrong in ('"("', "zz_nowhere", "1 | zz_nothing"):
                yield site.change(value, wrong, key)
        for wrong in BAD_YAML:
            yield site.change(value, wrong, key)


def fits(field: module_args.Field, value: Any) -> bool:
    whole = {**json_forms.of_type(field.hint), "definitions": json_forms.FORMS}
    return not list(jsonschema.Draft7Validator(whole).iter_errors(value))


def yaml_text(text: str) -> str:
    return "'" + text.replace("\n", " ").replace("'", "''") + "'"


def readings(site: Site, node: Node, first: Node) -> Iterator[Mistake]:
    """The name of a variable is misspelt where it is read."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = readings(site, value, key)
            if key.value == "vars":  # found where they are used
                inner = (dataclasses.replace(one, others=(*one.others, site.file)) for one in inner)
            yield from inner
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from readings(site, item, item)
    elif found := re.search(r"{{ ([a-z_]+)[ .]", site.source[slice(*site.span(node))]):
        name = found[1]
        if name not in ("lookup", "query", "range", "optional"):
            start = site.span(node)[0] + found.start(1)
            lines = range(first.start_mark.line + 1, node.end_mark.line + 2)
            end = start + len(name)
            yield Mistake(site.run, site.file, start, end, misspelt(name, ()), lines, name, site.others)


# -- inventories -----------------------------------------------------------------------------------------------------

BAD_VARIABLES = {
    "ansible_port": ("ssh", "0", "99999", "[22]", "1.5"),
    "ansible_connection": ("winrm", "[ssh]"),
    "ansible_host": ("[a]", "true", "{a: b}", '"{{ ( }}"', '"{{ zz_nowhere }}"'),
    "ansible_user": ("[a]", "true", '"{{ 1 | zz_nothing }}"'),
    "ansible_become_method": ("su",),
    "ansible_timeout": ("soon", "-1"),
}


def inventory(site: Site) -> Iterator[Mistake]:
    yield from group_of_groups(site, site.root)


def group_of_groups(site: Site, groups: Node) -> Iterator[Mistake]:
    for name, body in groups.value:
        if name.value != "below":
            yield site.change(body, "[a]", name)
            yield site.change(body, "5", name)
        for wrong in BAD_YAML:
            yield site.change(name, wrong, name)
        if not isinstance(body, yaml.MappingNode):
            continue
        yield from keys(site, body, ("hosts", "children", "vars"))
        words = dict_of(body)
        for word in ("hosts", "children", "vars"):
            if word in words:
                yield site.change(words[word][1], "5", words[word][0])
                yield site.change(words[word][1], "[a]", words[word][0])
        if "children" in words:
            yield from group_of_groups(site, words["children"][1])
        for host, variables in words["hosts"][1].value if "hosts" in words else ():
            yield site.change(
                host,
                f"{host.value}: \n{' ' * host.start_mark.column}{host.value}"
                if not words["hosts"][1].flow_style
                else "5",
                host,
            )
            yield site.change(variables, "[a]", host)
            if isinstance(variables, yaml.MappingNode):
                yield from variables_of(site, variables)


def variables_of(site: Site, variables: Node) -> Iterator[Mistake]:
    for key, value in variables.value:
        for wrong in BAD_VARIABLES.get(key.value, ()):
            yield site.change(value, wrong, key)
        if key.value in connection_vars.KNOWN:
            yield site.change(key, misspelt(key.value, ()), key, key.value)
        join = ", " if variables.flow_style else "\n" + " " * key.start_mark.column
        for wrong in (f"{connection_vars.LATER[0]}: true", "5: 1", f"{key.value}: 1"):
            yield site.change(key, f"{wrong}{join}{key.value}", key)


def ini(run: tuple[str, str]) -> Iterator[Mistake]:
    """Lines of an INI inventory that are none."""
    source, file = corpus.FILES["hosts.ini"], "hosts.ini"
    at = 0
    for number, line in enumerate(source.splitlines(), 1):
        for new in ini_lines(line):
            yield Mistake(run, file, at, at + len(line), new, range(number, number + 1))
        at += len(line) + 1


def ini_lines(line: str) -> Iterator[str]:
    if line.startswith("["):
        yield from (line[:-1], line[:-1] + ":zz]", line.replace("[", "[["), "[]", "[:vars]")
    elif "ansible_port" in line:
        yield from (line + " zz", line + " =5", line + " 'a", line.replace("=22", "=ssh"), line.replace("=22", "=0"))
        yield from (line.replace("port", "pzort"), line + " ansible_become_flags=x", line + " ansible_become_method=su")
    elif "ansible_connection" in line:
        yield from (line.replace("=ssh", "=winrm").replace("=local", "=winrm"), line + " ansible_become_flags=x")
    elif line in ("servers", "others"):
        yield line.replace("e", "ez", 1)
    elif line.startswith("group_site"):
        yield from ("group_site", "=5", "ansible_become_flags=x")


def besides(file: str, run: tuple[str, str]) -> Iterator[Mistake]:
    """Files of variables that a playbook reads."""
    site = Site(file, run, ("uses_hosts.yml",))
    for key, value in site.root.value:
        yield site.change(key, f"{key.value}: 1\n{key.value}", key)
        yield site.change(key, f"5: 1\n{key.value}", key)
        for wrong in BAD_YAML:
            yield site.change(value, wrong, key)
        if key.value == "group_level" and "servers" in file:
            for broken in BROKEN:
                yield site.change(value, f'"{broken}"', key)
    for whole in ("[a]", "5"):
        yield Mistake(run, file, 0, len(site.source), whole, range(1, 2))


def every() -> list[Mistake]:
    found: list[Mistake] = []
    for name in corpus.PLAYBOOKS:
        site = Site(name, (name, "hosts.yml"))
        found.extend((*playbook(site), *readings(site, site.root, site.root)))
    for name, run in (
        ("included.yml", "structure.yml"),
        ("roles/web/tasks/main.yml", "words.yml"),
        ("roles/web/tasks/more.yml", "structure.yml"),
        ("roles/base/tasks/main.yml", "words.yml"),
    ):
        site = Site(name, (run, "hosts.yml"))
        found.extend((*tasks(site, site.root), *readings(site, site.root, site.root)))
    for name in ("handlers.yml", "roles/web/handlers/main.yml"):
        site = Site(name, ("words.yml", "hosts.yml"))
        found.extend(tasks(site, site.root, HANDLER))
    run = ("uses_hosts.yml", "hosts.yml")
    found.extend(inventory(Site("hosts.yml", run)))
    found.extend(ini(("uses_hosts.yml", "hosts.ini")))
    for name in corpus.BESIDE:
        found.extend(besides(name, run))
    return list(dict.fromkeys(found))
