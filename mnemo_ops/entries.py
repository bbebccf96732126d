"""Task lists of playbooks and roles: every key is known or refused, every name that can be checked is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mnemo_ops import schema, yaml_lines
from mnemo_ops.ansible_words import LOOP_CONTROL_KEYS, MODULES, TASK_KEYS
from mnemo_ops.errors import PlaybookError, TemplateError
from mnemo_ops.kinds import KINDS, kind_of
from mnemo_ops.model import Entry
from mnemo_ops.spelling import suggest
from mnemo_ops.template import find, is_template
from mnemo_ops.template_engine import file_options
from mnemo_ops.template_uses import uses, uses_of_file
from mnemo_ops.yaml_lines import Rows, Table, shape, shown

COMMON = ("name", "when", "tags", "no_log", "ignore_errors", "vars", "become", "become_user")
TASK = (*COMMON, "loop", "with_items", "loop_control", "register", "notify", "args")
HANDLER = (*COMMON, "notify", "args", "listen")
BLOCK = (*COMMON, "block")
INCLUDE = ("name", "when", "tags", "vars", "become", "become_user")
INCLUDES = ("import_tasks", "include_tasks")


@dataclass(frozen=True)
class Place:
    """Where a task stands, and what it inherits from there.

    :param directories: where files of included tasks are looked up.
    :param within: the files being read, outermost first.
    """

    directories: tuple[Path, ...]
    files: tuple[Path, ...]
    templates: tuple[Path, ...]
    become: bool
    when: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    vars: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    no_log: bool = False
    ignore_errors: bool = False
    within: tuple[Path, ...] = ()


def tasks(rows: Any, place: Place) -> Iterator[Entry]:
    """Entries of a list of tasks, blocks and included files flattened. :raises PlaybookError: (2)."""
    for table in tables(rows, "a task"):
        include = next((key for key in table if isinstance(key, str) and _short(key) in INCLUDES), "")
        if "block" in table:
            table.only("a block", BLOCK, TASK_KEYS)
            yield from tasks(table.rows("block"), _inherit(table, place))
        elif include:
            table.only("an include", (*INCLUDE, include), TASK_KEYS)
            yield from _included(table, include, _inherit(table, place))
        else:
            yield _entry(table, place, TASK)


def handlers(rows: Any, place: Place) -> Iterator[tuple[Entry, tuple[str, ...]]]:
    """Handlers, each with the topics it listens to. :raises PlaybookError: (2)."""
    for table in tables(rows, "a handler"):
        entry = _entry(table, place, HANDLER)
        if not table.text("name") or is_template(table.text("name")):
            raise table.fail("a handler needs a name without templates", "name")
        yield entry, table.texts("listen")


def tables(rows: Any, what: str) -> Iterator[Table]:
    """The items of a list that should all be mappings."""
    if rows is None:
        return
    if not isinstance(rows, Rows):
        raise PlaybookError(f"expected a list here, not {shape(rows)}", where=getattr(rows, "file", ""))
    for index, row in enumerate(rows):
        if not isinstance(row, Table):
            raise rows.error(f"{what} should be a mapping, not {shape(row)}", where=rows.where(index))
        yield row


def _short(key: str) -> str:
    return key.removeprefix("ansible.builtin.")


# -- what a task inherits ------------------------------------------------------------------------------------------


def _inherit(table: Table, place: Place) -> Place:
    """The place inside a block, an include, or a task itself."""
    become(table, place.become)
    own = table.table("vars")
    own.names("vars")
    proof(own)
    return replace(
        place,
        when=place.when + conditions(table),
        tags=place.tags + tags(table),
        vars={**place.vars, **own} if own else place.vars,
        no_log=place.no_log or table.flag("no_log"),
        ignore_errors=place.ignore_errors or table.flag("ignore_errors"),
    )


def become(table: Table, wanted: bool) -> None:
    """Refuse another user than the play's: one agent runs as one user."""
    if table.flag("become", wanted) != wanted:
        hint = f"the play says become: {str(wanted).lower()}; put this task into a play of its own"
        raise table.fail("'become' of a task that differs from its play is not supported yet", "become", hint)
    if table.text("become_user", "root") != "root":
        raise table.fail("'become_user' other than root is not supported yet", "become_user")


def tags(table: Table) -> tuple[str, ...]:
    return tuple(tag.strip() for text in table.texts("tags") for tag in text.split(",") if tag.strip())


def conditions(table: Table) -> tuple[str, ...]:
    """The expressions of ``when``, checked for syntax."""
    value = table.get("when")
    if value is None:
        return ()
    found = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, (str, bool, int)) or item == "":
            raise table.fail(f"'when' should be an expression, not {shape(item)}", "when")
        if isinstance(item, str) and ("{{" in item or "{%" in item):
            raise table.fail("'when' is an expression already", "when", "write it without {{ }}")
        uses("{{ " + str(item) + " }}", table.where("when"))
        found.append(str(item))
    return tuple(found)


def proof(value: Any, where: str = "") -> None:
    """Check the syntax of every template inside a value. :raises TemplateError: (2)."""
    if isinstance(value, str):
        if is_template(value):
            uses(value, where)
    elif isinstance(value, Table):
        for key, item in value.items():
            proof(item, value.where(key))
    elif isinstance(value, Rows):
        for index, item in enumerate(value):
            proof(item, value.where(index))


# -- included files ------------------------------------------------------------------------------------------------


def _included(table: Table, key: str, place: Place) -> Iterator[Entry]:
    where = table.where(key)
    value = table[key]
    if isinstance(value, Table):
        value.only("an include", ("file",), ("apply",))
        value = value.text("file")
    if not isinstance(value, str) or not value:
        raise PlaybookError(f"'{key}' needs the name of a file, not {shape(value)}", where=where)
    if is_template(value):
        raise PlaybookError(f"a template as the file of '{key}' is not supported yet", where=where)
    if _short(key) == "include_tasks" and "tags" in table:
        raise table.fail("'tags' of include_tasks is not supported yet", "tags", "use import_tasks")
    yield from task_file(located(value, place.directories, where), place, where)


def located(name: str, directories: tuple[Path, ...], where: str) -> Path:
    """A file or directory of the controller. :raises PlaybookError: it is nowhere (2)."""
    try:
        return find(name, directories)
    except TemplateError as problem:
        raise PlaybookError(problem.message, where=where, hint=problem.hint) from None


def task_file(path: Path, place: Place, where: str) -> Iterator[Entry]:
    """Entries of a file with tasks."""
    real = path.resolve()
    if real in place.within:
        raise PlaybookError(f"{shown(path)} includes itself", where=where)
    data = yaml_lines.load(path, where=where)
    if data is not None and not isinstance(data, Rows):
        raise PlaybookError(f"a file of tasks is a list, not {shape(data)}", where=f"{shown(path)}:1")
    directories = tuple(dict.fromkeys((path.parent, *place.directories)))
    yield from tasks(data, replace(place, within=(*place.within, real), directories=directories))


# -- one task ------------------------------------------------------------------------------------------------------


def _entry(table: Table, place: Place, keys: tuple[str, ...]) -> Entry:
    key = _kind_key(table, keys)
    kind, where = kind_of(key), table.where(key)
    inner = _inherit(table, place)
    args = _arguments(table, key, kind, where)
    loop, flatten = _loop(table)
    control = table.table("loop_control")
    control.only("loop_control", ("loop_var",), LOOP_CONTROL_KEYS)
    notify = table.texts("notify")
    if is_template(list(notify)):
        raise table.fail("a template in 'notify' is not supported yet", "notify")
    proof(table.get("name"), table.where("name"))
    _sources(kind, args, inner)
    return Entry(
        name=table.text("name") or kind,
        kind=kind,
        args=args,
        where=table.where(),
        when=inner.when,
        loop=loop,
        flatten=flatten,
        loop_var=_identifier(control, "loop_var", "item"),
        notify=notify,
        register=_identifier(table, "register", ""),
        tags=inner.tags,
        no_log=inner.no_log,
        ignore_errors=inner.ignore_errors,
        files=place.files,
        templates=place.templates,
        vars=inner.vars,
        defaults=place.defaults,
    )


def _kind_key(table: Table, keys: tuple[str, ...]) -> str:
    """The one key of a task that names its kind."""
    what = "task" if keys is TASK else "handler"
    for key in table:
        if key not in keys and (key in TASK_KEYS or str(key).startswith("with_")):
            hint = "use loop" if str(key).startswith("with_") else ""
            raise table.fail(f"'{key}' of a {what} is not supported yet", key, hint)
    others = [key for key in table if key not in keys]
    kinds = [key for key in others if isinstance(key, str) and kind_of(key)]
    if len(kinds) > 1:
        raise table.fail(f"a {what} has one kind; this one has '{kinds[0]}' and '{kinds[1]}'", kinds[1])
    for key in others:
        if key not in kinds:
            raise _unknown(table, key, keys, what, bool(kinds))
    if not kinds:
        raise table.fail(f"a {what} needs a kind", hint=f"one of {', '.join(sorted(KINDS))}")
    return str(kinds[0])


def _unknown(table: Table, key: Any, keys: tuple[str, ...], what: str, has_kind: bool) -> PlaybookError:
    short = str(key).rpartition(".")[2]
    if short in MODULES or (isinstance(key, str) and key.count(".") >= 2 and not suggest(short, KINDS, few=0)):
        hint = f"the kinds are {', '.join(sorted(KINDS))}"
        return PlaybookError(f"the kind '{key}' is not supported yet", where=table.where(key), hint=hint)
    if has_kind:
        return PlaybookError(
            f"unknown key {key!r} in a {what}", where=table.where(key), hint=suggest(str(key), {*keys, *TASK_KEYS})
        )
    hint = suggest(short, [*KINDS, *keys, *TASK_KEYS, *INCLUDES], few=0) or f"the kinds are {', '.join(sorted(KINDS))}"
    return PlaybookError(f"unknown kind {key!r}", where=table.where(key), hint=hint)


def _arguments(table: Table, key: str, kind: str, where: str) -> Table:
    args = schema.named(kind, table[key], where)
    more = schema.named(kind, table.table("args"), where)
    for name, value in more.items():
        if name in args:
            raise more.fail(f"{kind}: '{name}' is given twice", name)
        args[name], args.lines[name] = value, more.lines[name]
    proof(args)
    schema.check(kind, args)
    return args


def _loop(table: Table) -> tuple[Any, bool]:
    given = [key for key in ("loop", "with_items") if table.get(key) is not None]
    if not given:
        return None, False
    if len(given) == 2:
        raise table.fail("give either 'loop' or 'with_items'", given[1])
    value, flatten = table[given[0]], given[0] == "with_items"
    if not isinstance(value, list) and not is_template(value):
        hint = "use the filter dict2items" if isinstance(value, dict) else ""
        raise table.fail(f"'{given[0]}' should be a list or an expression, not {shape(value)}", given[0], hint)
    proof(value, table.where(given[0]))
    return value, flatten


def _identifier(table: Table, key: str, default: str) -> str:
    name = table.text(key, default)
    if name and not name.isidentifier():
        raise table.fail(f"'{key}' should be the name of a variable, not {name!r}", key)
    return name


def _sources(kind: str, args: Table, place: Place) -> None:
    """Files of the controller that are named without templates must be there."""
    for name, one in schema.fields_of(kind).items():
        value = args.get(name)
        remote = args.get("remote_src", False)
        if not one.source or not isinstance(value, str) or is_template(value) or schema.truth(remote) is not False:
            continue
        path = located(value, place.files if one.source == "file" else place.templates, args.where(name))
        if path.is_dir() and (one.source == "template" or kind != "copy"):
            raise args.fail(f"'{value}' is a directory", name)
        if one.source == "template":
            uses_of_file(path, file_options(args))
