"""One task of a playbook: every key is known or refused, every name that can be checked is checked."""

from __future__ import annotations

from typing import Any, Optional

from mnemo_ops.core.model import Entry, Loop, Retry
from mnemo_ops.core.suggest import few_of, nearest, suggest
from mnemo_ops.documents.yaml_lines import Placed, Table, shape
from mnemo_ops.errors import PlaybookError
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook.context import INHERITED, Place, conditions, located, proof
from mnemo_ops.playbook.modules import ALL, KINDS, kind_of
from mnemo_ops.playbook.names import LOOP_CONTROL_KEYS, MODULES, TASK_KEYS
from mnemo_ops.playbook.sources import is_remote, named
from mnemo_ops.templates.engine import file_options
from mnemo_ops.templates.references import check_file
from mnemo_ops.templates.render import is_template

LOOPS = ("loop", *(f"with_{name}" for name in (
    "items", "list", "dict", "fileglob", "first_found", "flattened", "indexed_items", "lines", "nested",
    "random_choice", "sequence", "subelements", "together",
)))  # fmt: skip
TASK = (
    *INHERITED, *LOOPS, "loop_control", "register", "args", "changed_when", "failed_when", "until", "retries",
    "delay",
)  # fmt: skip
HANDLER = (*TASK, "listen")
ACTION = ("action", "local_action")  # older forms: the kind stands behind the word
LOOP_CONTROL = ("loop_var", "index_var", "label", "pause", "extended")
OTHERS = ("block", "import_tasks", "include_tasks", "import_role", "include_role")  # words that stand where kinds do


def entry(table: Table, place: Place, keys: tuple[str, ...] = TASK) -> Entry:
    """A task or a handler. :raises PlaybookError: (2)."""
    table = _plain(table, keys)
    key = _kind_key(table, keys)
    kind, where = kind_of(key), table.where(key)
    inner = place.inside(table)
    args = _arguments(table, key, kind, where, inner)
    _sources(kind, args, inner)
    return Entry(
        **vars(inner.keywords),
        name=table.text("name") or kind,
        kind=kind,
        args=args,
        where=table.where(),
        resource=module_args.constant(kind, args, table.where()),
        loop=loop(table),
        register=identifier(table, "register"),
        changed_when=conditions(table, "changed_when"),
        failed_when=conditions(table, "failed_when"),
        retry=_retry(table),
        files=place.files,
        templates=place.templates,
        variables=place.variables,
        defaults=place.defaults,
    )


def _plain(table: Table, keys: tuple[str, ...]) -> Table:
    """A task of one of the older forms as it is written today: the kind is a key, ``local_action`` is delegated."""
    word = next((word for word in ACTION if table.get(word) is not None), "")
    if not word:
        return table
    args: Any = table[word]
    if isinstance(args, Table):
        if "module" not in args:
            near = next((key for key in args if nearest(str(key), ["module"])), None)
            raise args.fail(
                f"'{word}' needs the name of a module as 'module'", near, "did you mean 'module'?" if near else ALL
            )
        kind, args = args.text("module"), args.copy()
        args.pop("module", None)
    else:
        kind, _, args = table.text(word).strip().partition(" ")
    if not kind_of(kind) or kind in keys:
        raise table.fail(
            f"'{word}' should begin with the name of a module, not {kind!r}", word, suggest(kind, KINDS, few=0) or ALL
        )
    if kind in table:
        raise table.fail(f"a task has one module; this one has '{word}' and '{kind}'", kind)
    if word == "local_action" and table.get("delegate_to") is not None:
        raise table.fail("'local_action' already runs on this machine; remove 'delegate_to'", "delegate_to")
    plain = table.copy()
    del plain[word]
    plain[kind], plain.lines[kind] = args or None, table.lines[word]
    if word == "local_action":
        plain["delegate_to"] = "localhost"
    return plain


def _kind_key(table: Table, keys: tuple[str, ...]) -> str:
    """The one key of a task that names its kind."""
    what = "task" if keys is TASK else "handler"
    for key in table:
        if key in ("rescue", "always"):  # then another key was to be the block
            other = next((one for one in table if nearest(str(one), ["block"], cutoff=0.7)), key)
            raise table.fail(
                f"'{key}' works only with a 'block', and this task has none", other, "did you mean 'block'?"
            )
        if key not in keys and (key in TASK_KEYS or str(key).startswith("with_")):
            near = nearest(str(key), LOOPS, cutoff=0.8) if str(key).startswith("with_") else ""
            if near:
                raise table.fail(f"unknown key {key!r} in a {what}", key, f"did you mean '{near}'?")
            hint = "use loop" if str(key).startswith("with_") else _further_in(table, key)
            raise table.fail(f"'{key}' of a {what} is not supported yet", key, hint)
    others = [key for key in table if key not in keys]
    kinds = [key for key in others if isinstance(key, str) and kind_of(key)]
    if len(kinds) > 1:
        hint = next((hint for key in reversed(kinds) if (hint := _further_in(table, key))), "")
        raise table.fail(f"a {what} has one module; this one has '{kinds[0]}' and '{kinds[1]}'", kinds[1], hint)
    for key in others:
        if key not in kinds:
            raise _unknown(table, key, keys, what, bool(kinds))
    if not kinds:
        raise table.fail(f"a {what} needs a module", hint=ALL)
    return str(kinds[0])


def _unknown(table: Table, key: Any, keys: tuple[str, ...], what: str, has_kind: bool) -> PlaybookError:
    short = str(key).rpartition(".")[2]
    if short in MODULES or (isinstance(key, str) and key.count(".") >= 2 and not suggest(short, KINDS, few=0)):
        hint = few_of(short, KINDS, ALL)
        return PlaybookError(f"the module '{key}' is not supported yet", where=table.where(key), hint=hint)
    if has_kind:
        hint = _further_in(table, key) or suggest(str(key), {*keys, *TASK_KEYS})
        return PlaybookError(f"unknown key {key!r} in a {what}", where=table.where(key), hint=hint)
    hint = suggest(short, [*KINDS, *keys, *TASK_KEYS, *OTHERS], few=0) or ALL
    return PlaybookError(f"unknown module {key!r}", where=table.where(key), hint=hint)


def _further_in(table: Table, key: Any) -> str:
    """Where an argument belongs that stands beside its kind; empty when it is none."""
    for other in table:
        kind = kind_of(other) if isinstance(other, str) and other != key else ""
        if kind and module_args.takes(kind, key):
            return f"it is an argument of {kind}: indent it by two more columns, below '{other}:'"
    return ""


def _arguments(table: Table, key: str, kind: str, where: str, place: Place) -> Table:
    args = module_args.named(kind, table[key], where)
    more = module_args.named(kind, table.table("args"), where)
    for name, value in more.items():
        if name in args:
            raise more.fail(f"{kind}: '{name}' is given twice", name)
        args[name], args.lines[name] = value, more.lines[name]
    args.decimal |= more.decimal
    for name, value in place.keywords.module_defaults.get(kind, {}).items():
        args.setdefault(name, value)
    proof(args)
    module_args.check(kind, args)
    return args


# -- repeating -----------------------------------------------------------------------------------------------------


def loop(table: Table) -> Optional[Loop]:
    """``loop`` or one of the ``with_`` words, and how it is controlled."""
    given = [key for key in LOOPS if table.get(key) is not None]
    control = table.table("loop_control")
    control.only("loop_control", LOOP_CONTROL, LOOP_CONTROL_KEYS)
    if not given:
        return None
    if len(given) == 2:
        raise table.fail(f"give either '{given[0]}' or '{given[1]}'", given[1])
    key, value = given[0], table[given[0]]
    proof(value, table.where(key))
    proof(control)
    if key == "loop" and not isinstance(value, list) and not is_template(value):
        hint = "use the filter dict2items" if isinstance(value, dict) else ""
        raise table.fail(f"'loop' should be a list or an expression, not {shape(value)}", key, hint)
    if key == "with_items" and isinstance(value, dict):
        raise table.fail(f"'with_items' should be a list or an expression, not {shape(value)}", key, "use with_dict")
    pause = control.get("pause", 0)
    if isinstance(pause, bool) or not isinstance(pause, (int, float)):
        raise control.fail(f"'pause' should be a number of seconds, not {shape(pause)}", "pause")
    label = control.get("label")
    return Loop(
        items=value,
        lookup="" if key == "loop" else key.removeprefix("with_"),
        var=identifier(control, "loop_var", "item"),
        index_var=identifier(control, "index_var"),
        label=Placed(label, control.where("label")) if isinstance(label, str) else label,
        pause=float(pause),
        extended=control.flag("extended"),
        where=table.where(key),
    )


def _retry(table: Table) -> Optional[Retry]:
    until = conditions(table, "until")
    found = {}
    for key, default in (("retries", 3), ("delay", 5)):
        value = table.get(key, default)
        proof(value, table.where(key))
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number and not is_template(value) and not str(value).isdigit():
            raise table.fail(f"'{key}' should be a number, not {shape(value)}", key)
        found[key] = value
    if "retries" in table and not until:  # Ansible's own rule: again while it fails
        return Retry(until=(), **found)
    return Retry(until=until, **found) if until else None


def identifier(table: Table, key: str, default: str = "") -> str:
    name = table.text(key, default)
    if name and not name.isidentifier():
        raise table.fail(f"'{key}' should be the name of a variable, not {name!r}", key)
    return name


# -- files of the controller -----------------------------------------------------------------------------------------


def _sources(kind: str, args: Table, place: Place) -> None:
    """Files of the controller that are named without templates must be there."""
    for name, one in module_args.fields_of(kind).items():
        value = args.get(name)
        if not one.source or not isinstance(value, str) or is_template(value) or is_remote(kind, args) is not False:
            continue
        value = named(one, value)
        path = located(value, place.templates if one.source == "template" else place.files, args.where(name))
        if path.is_dir() and kind not in ("copy", "assemble"):
            raise args.fail(f"'{value}' is a directory", name)
        if one.source == "template":
            check_file(path, file_options(args), place.templates)
