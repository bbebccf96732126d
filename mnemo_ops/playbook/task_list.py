"""Lists of tasks: blocks, included files, and roles wherever they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from mnemo_ops.agent.base.record import replace
from mnemo_ops.core.model import Block, Entry, Flush, Include, Keywords, Loop, Node
from mnemo_ops.core.paths import shown
from mnemo_ops.documents import yaml_lines
from mnemo_ops.documents.yaml_lines import Rows, Table, shape
from mnemo_ops.errors import PlaybookError
from mnemo_ops.playbook import roles
from mnemo_ops.playbook.context import INHERITED, Place, located, proof
from mnemo_ops.playbook.include_files import candidates
from mnemo_ops.playbook.names import ROLE_KEYS, TASK_KEYS
from mnemo_ops.playbook.roles import Role
from mnemo_ops.playbook.task import HANDLER, LOOPS, entry, identifier, loop
from mnemo_ops.templates.render import is_template

BLOCK = (*INHERITED, "block", "rescue", "always")
ROLE = (*(word for word in INHERITED if word != "notify"), "role")
IMPORT = INHERITED
INCLUDE = (*INHERITED, *LOOPS, "loop_control", "register", "args")
INCLUDE_ROLE = ("name", "role", "tasks_from", "vars_from", "defaults_from", "handlers_from", "apply", "public",
                "allow_duplicates", "rolespec_validate")  # fmt: skip
ROLE_FLAGS = ("public", "allow_duplicates", "rolespec_validate")
Handler = tuple[Entry, tuple[str, ...]]


def nodes(rows: Any, place: Place) -> tuple[Node, ...]:
    """What a list of tasks holds. :raises PlaybookError: (2)."""
    return tuple(node for table in tables(rows, "a task") for node in _node(table, place))


def _node(table: Table, place: Place) -> Iterable[Node]:
    word = next((_short(key) for key in table if isinstance(key, str) and _short(key) in _WORDS), "")
    if "block" in table:
        return _block(table, place)
    if word:
        return _WORDS[word](table, next(key for key in table if _short(str(key)) == word), place)
    found = entry(table, place)
    if found.kind == "meta" and found.args["action"] == "flush_handlers":
        return [Flush(when=found.when, where=found.where)]
    return [found]


def _block(table: Table, place: Place) -> Iterable[Node]:
    table.only("a block", BLOCK, TASK_KEYS)
    inner = place.inside(table)
    rescue, always = (nodes(table.rows(key), inner) for key in ("rescue", "always"))
    inside = nodes(table.rows("block"), inner)
    return [Block(where=table.where(), tasks=inside, rescue=rescue, always=always)] if rescue or always else inside


def handlers(rows: Any, place: Place) -> Iterator[Handler]:
    """Handlers, each with the topics it listens to. :raises PlaybookError: (2)."""
    for table in tables(rows, "a handler"):
        key = next((key for key in table if _short(str(key)) in ("import_tasks", "include_tasks")), "")
        if key:
            table.only("an include", (*INHERITED, key), TASK_KEYS)
            path = _file(table[key], place, table.where(key))
            yield from handlers(_rows(path, place, table.where(key)), place.inside(table))
            continue
        found = entry(table, place, HANDLER)
        if not table.text("name") or is_template(table.text("name")):
            raise table.fail("a handler needs a name without templates", "name")
        if found.run_once:
            raise table.fail("'run_once' of a handler is not supported yet")
        yield found, table.texts("listen")


def tables(rows: Any, what: str) -> Iterator[Table]:
    """The items of a list that should all be mappings."""
    if rows is None:
        return
    if not isinstance(rows, Rows):
        raise PlaybookError(f"this should be a list, not {shape(rows)}", where=getattr(rows, "file", ""))
    for index, row in enumerate(rows):
        if not isinstance(row, Table):
            raise rows.error(f"{what} should be a mapping, not {shape(row)}", where=rows.where(index))
        yield row


def _short(key: str) -> str:
    return str(key).removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")


# -- included files ------------------------------------------------------------------------------------------------


def _import_tasks(table: Table, key: str, place: Place) -> Iterable[Node]:
    table.only("an import", (*IMPORT, key), TASK_KEYS)
    where = table.where(key)
    return task_file(_file(table[key], place, where), place.inside(table), where)


def _file(value: Any, place: Place, where: str) -> Path:
    if isinstance(value, Table):
        value.only("an import", ("file",))
        value = value.text("file")
    if not isinstance(value, str) or not value:
        raise PlaybookError(f"this needs the name of a file, not {shape(value)}", where=where)
    if is_template(value):
        hint = "use include_tasks, or write the name"
        raise PlaybookError("a template as the file of an import is not supported yet", where=where, hint=hint)
    return located(value, place.directories, where)


def _include_tasks(table: Table, key: str, place: Place) -> Iterable[Node]:
    table.only("an include", (*INCLUDE, key), TASK_KEYS)
    where = table.where(key)
    given, apply = table[key], Table(table.file, table.line)
    if isinstance(given, Table):
        given.only("an include", ("file", "apply"))
        apply = given.table("apply")
    value = given.text("file") if isinstance(given, Table) else given
    if not isinstance(value, str) or not value:
        raise PlaybookError(f"'{key}' needs the name of a file, not {shape(value)}", where=where)
    proof(value, where)
    inner = _for_content(table, apply, place)
    repeated = loop(table)
    names = candidates(value, repeated, place.directories)
    if is_template(value):  # a pattern fits the file it stands in, too
        names = {name: path for name, path in names.items() if path.resolve() not in place.within and _tasks_in(path)}
    if not names and not is_template(value):
        located(value, place.directories, where)
    contents = {path: task_file(path, inner, where) for path in dict.fromkeys(names.values())}
    choices = {name: contents[path] for name, path in names.items()}
    if not choices:
        raise PlaybookError(f"no file matches '{value}'", where=where, hint=f"looked in {_listed(place.directories)}")
    return [Include(entry=_about(table, place, "include_tasks", {"file": value}, repeated), choices=choices)]


def _tasks_in(path: Path) -> bool:
    """Whether a file a pattern fits holds tasks, not plays or variables."""
    data = yaml_lines.load(path)
    return data is None or (
        isinstance(data, Rows) and not any(isinstance(row, Table) and "hosts" in row for row in data)
    )


def _listed(directories: Iterable[Path]) -> str:
    return ", ".join(shown(directory) for directory in directories)


def _for_content(table: Table, apply: Table, place: Place) -> Place:
    """What the content of an include inherits: its vars and become, and what ``apply`` says; not its conditions."""
    apply.only("apply", INHERITED, TASK_KEYS)
    own = place.inside(table).given(table.table("vars"))
    inherited = replace(own.keywords, when=place.keywords.when, tags=place.keywords.tags)
    return replace(own, keywords=inherited, included=True).inside(apply)


def _about(table: Table, place: Place, word: str, args: Mapping[str, Any], repeated: Optional[Loop]) -> Entry:
    """The include itself: when it happens, how often, and what chooses."""
    return Entry(
        **vars(place.inside(table).given(table.table("vars")).keywords),
        name=table.text("name") or word,
        kind=word,
        args=args,
        where=table.where(),
        loop=repeated,
        register=identifier(table, "register"),
        files=place.files,
        templates=place.templates,
        variables=place.variables,
        defaults=place.defaults,
    )


def _rows(path: Path, place: Place, where: str) -> Any:
    if path.resolve() in place.within:
        raise PlaybookError(f"{shown(path)} includes itself", where=where)
    data = yaml_lines.load(path, where=where)
    if data is not None and not isinstance(data, Rows):
        raise PlaybookError(f"a file of tasks is a list, not {shape(data)}", where=f"{shown(path)}:1")
    return data


def task_file(path: Path, place: Place, where: str) -> tuple[Node, ...]:
    """What a file of tasks holds."""
    real = path.resolve()
    data = _rows(path, place, where)
    directories = tuple(dict.fromkeys((path.parent, *place.directories)))
    return nodes(data, replace(place, within=(*place.within, real), directories=directories))


# -- roles -----------------------------------------------------------------------------------------------------------


def places_of_roles(place: Place) -> tuple[Path, ...]:
    """Directories that hold roles, nearest first: beside the playbook, the user's, and beside the role itself."""
    home = place.parts.home
    beside = (place.role.path.parent,) if place.role else ()
    return (home / "roles", *beside, home, Path.home() / ".ansible/roles", Path("/etc/ansible/roles"))


def play_roles(rows: Rows, place: Place) -> tuple[Node, ...]:
    """The roles of a play; the same one with the same words runs once, as in Ansible."""
    done: list[tuple[str, Keywords]] = []
    found: list[Node] = []
    for index, row in enumerate(rows):
        found.extend(_listed_role(row, rows.where(index), place, done, ()))
    return tuple(found)


def _listed_role(
    row: Any, where: str, place: Place, done: list[tuple[str, Keywords]], above: tuple[str, ...]
) -> Iterator[Node]:
    name, table = roles.name_of(row, where)
    params = _parameters(table)
    if not name or is_template(name):
        raise PlaybookError("a role needs a name without templates", where=where)
    inner = place.inside(table).given(params)
    role = roles.find(name, places_of_roles(place), where)
    if role.name in above:
        raise PlaybookError(f"role '{role.name}' depends on itself: {' → '.join([*above, role.name])}", where=where)
    for index, needed in enumerate(role.dependencies):
        yield from _listed_role(needed, role.dependencies.where(index), inner, done, (*above, role.name))
    key = (str(role.path), replace(inner.keywords, tags=()))
    if key in done and not role.duplicates:
        return
    done.append(key)
    yield from _role(role, inner, where)


def _parameters(table: Table) -> dict[str, Any]:
    """What a role is given besides keywords: variables, as in Ansible."""
    table = table if isinstance(table, Table) else Table("", 1)
    known = {*ROLE, *ROLE_KEYS, "src", "version", "scm"}
    params = {key: value for key, value in table.items() if key not in known}
    for key, value in params.items():
        if not isinstance(key, str) or not key.isidentifier():
            raise table.fail(f"unknown key {key!r} in a role", key)
        proof(value, table.where(key))
    for key in table:
        if key in ROLE_KEYS and key not in ROLE:
            raise table.fail(f"'{key}' of a role is not supported yet", key)
    return params


def _role(role: Role, place: Place, where: str, tasks: str = "main", handlers: str = "main") -> tuple[Node, ...]:
    place.parts.use(role)
    for part in (role.defaults, role.vars):
        proof(part)
    inner = place.in_role(role)
    found: dict[str, Optional[Path]] = {"tasks": role.file("tasks", tasks), "handlers": role.file("handlers", handlers)}
    for (folder, path), name in zip(found.items(), (tasks, handlers)):
        if path is None and name != "main":
            raise PlaybookError(f"role '{role.name}' has no {folder}/{name}.yml", where=where)
    if found["handlers"]:
        place.parts.handlers.append((found["handlers"], inner))
    return task_file(found["tasks"], inner, where) if found["tasks"] else ()


def _import_role(table: Table, key: str, place: Place) -> Iterable[Node]:
    table.only("an import", (*IMPORT, key), TASK_KEYS)
    return _named_role(table, key, place, place.inside(table))


def _include_role(table: Table, key: str, place: Place) -> Iterable[Node]:
    table.only("an include", (*INCLUDE, key), TASK_KEYS)
    words = _role_words(table, key)
    inner = _for_content(table, words.table("apply"), place)
    content = _named_role(table, key, place, inner)
    about = _about(table, place, "include_role", {"file": "role"}, loop(table))
    return [Include(entry=about, choices={"role": content})]


def _role_words(table: Table, key: str) -> Table:
    words = table[key]
    if not isinstance(words, Table):
        raise table.fail(f"'{key}' should be a mapping, not {shape(words)}", key, f"write {key}: {{name: ROLE}}")
    words.only("a role", INCLUDE_ROLE)
    for flag in ROLE_FLAGS:
        words.flag(flag)
    return words


def _named_role(table: Table, key: str, place: Place, inner: Place) -> tuple[Node, ...]:
    words = _role_words(table, key)
    name = words.text("name") or words.text("role")
    for one in ("name", "role", "tasks_from", "vars_from", "defaults_from", "handlers_from"):
        if is_template(words.text(one)):
            raise words.fail(f"a template in '{one}' of a role is not supported yet", one)
    if not name:
        raise words.fail("a role needs a name", "name")
    where = table.where(key)
    main = {one: words.text(f"{one}_from", "main") for one in ("defaults", "vars", "tasks", "handlers")}
    parts = [main[one].removesuffix(".yml").removesuffix(".yaml") for one in ("tasks", "handlers")]
    role = roles.find(name, places_of_roles(place), where, main["defaults"], main["vars"])
    before: list[Node] = []
    for index, needed in enumerate(role.dependencies):
        before.extend(_listed_role(needed, role.dependencies.where(index), inner, [], (role.name,)))
    return (*before, *_role(role, inner, where, *parts))


_WORDS = {
    "import_tasks": _import_tasks,
    "include_tasks": _include_tasks,
    "import_role": _import_role,
    "include_role": _include_role,
}
