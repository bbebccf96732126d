"""Where a task stands in a play, and what it inherits from there: keywords, directories, the role it belongs to."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from mnemo_ops.agent.base.record import dataclass, field, replace
from mnemo_ops.core.model import Keywords
from mnemo_ops.documents.yaml_lines import Placed, Rows, Table, shape
from mnemo_ops.errors import PlaybookError, TemplateError
from mnemo_ops.inventory.connection_vars import FIXED, NAMES
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook.modules import kind_of
from mnemo_ops.playbook.roles import Role
from mnemo_ops.templates.references import uses
from mnemo_ops.templates.render import find, is_template

INHERITED = (
    "name", "when", "tags", "vars", "become", "become_user", "become_method", "environment", "no_log", "ignore_errors",
    "check_mode", "run_once", "delegate_to", "module_defaults", "collections", "notify",
)  # fmt: skip
OF_TASKS = ("ansible_become", "ansible_become_user", "ansible_python_interpreter")  # variables a play, too, may set
HERE = ("localhost", "127.0.0.1", "::1")  # what delegate_to calls this machine
SELF = ("{{ inventory_hostname }}", "{{inventory_hostname}}")  # delegate_to the host itself: nothing to do


@dataclass
class Parts:
    """What a play gathers while it is read: what its roles let the whole play see.

    :param handlers: files of handlers in the order roles are used, each with the place of that use.
    """

    home: Path
    handlers: list[tuple[Path, Place]] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)
    vars: dict[str, Any] = field(default_factory=dict)

    def use(self, role: Role) -> None:
        """Defaults and vars of a role are seen by the whole play, as in Ansible."""
        self.defaults.update(role.defaults)
        self.vars.update(role.vars)


@dataclass(frozen=True)
class Place:
    """The place of a task.

    :param directories: where included files of tasks are looked up; nearest first, as ``files`` and ``templates``.
    :param variables: where files of variables are looked up. :param role: the role it belongs to.
    :param within: the files being read, outermost first. :param included: inside what is chosen at run time.
    """

    parts: Parts
    directories: tuple[Path, ...]
    files: tuple[Path, ...]
    templates: tuple[Path, ...]
    variables: tuple[Path, ...]
    keywords: Keywords
    defaults: Mapping[str, Any] = field(default_factory=dict)
    role: Optional[Role] = None
    within: tuple[Path, ...] = ()
    included: bool = False

    def inside(self, table: Table) -> Place:
        """The place inside a block, an include, or a task itself."""
        return replace(self, keywords=inherit(table, self.keywords))

    def given(self, params: Mapping[str, Any]) -> Place:
        """The place where these win over what tasks set, as in Ansible: what a role or an include is given."""
        return replace(self, keywords=replace(self.keywords, params={**self.keywords.params, **params}))

    def in_role(self, role: Role) -> Place:
        """The place of a role's tasks."""
        own = {"role_name": role.name, "ansible_role_name": role.name, "role_path": str(role.path)}
        return replace(
            self,
            directories=(role.path / "tasks", role.path, *self.directories),
            files=(role.path / "files", role.path, *self.files),
            templates=(role.path / "templates", role.path, *self.templates),
            variables=(role.path / "vars", role.path, *self.variables),
            keywords=replace(
                self.keywords,
                vars={**self.keywords.vars, **own},
                role_vars={**self.keywords.role_vars, **role.vars},
            ),
            defaults={**self.defaults, **role.defaults},
            role=role,
        )


def _no_connection(own: Table, play: bool) -> None:
    """Variables that say how a host is reached come too late here. :raises PlaybookError: there is one (2)."""
    for name in own:
        known = name in NAMES and own[name] not in FIXED.get(name, ())
        if known and name not in (*OF_TASKS, *(["ansible_connection"] if play else [])):
            hint = "remote_user of the play, or the inventory" if name == "ansible_user" else "the inventory, or --vars"
            raise own.fail(f"'{name}' among 'vars' is not supported yet", name, f"set it in {hint}")


def inherit(table: Table, outer: Keywords) -> Keywords:
    """The keywords of a play, a block, an include or a task, on top of those around it. :raises PlaybookError: (2)."""
    own = table.table("vars")
    own.names("vars")
    proof(own)
    proof(table.text("name"), table.where("name"))
    table.texts("collections")
    if table.text("become_method", "sudo") not in ("sudo", "ansible.builtin.sudo"):
        raise table.fail("'become_method' other than sudo is not supported yet", "become_method")
    _no_connection(own, "hosts" in table)
    user = Placed(table.text("become_user"), table.where("become_user")) or outer.become_user
    proof(user, table.where("become_user"))
    user = Placed(own.text("ansible_become_user"), own.where("ansible_become_user")) or user
    check = table.get("check_mode")
    notify = tuple(Placed(text, table.where("notify")) for text in table.texts("notify"))
    proof(notify, table.where("notify"))
    return replace(
        outer,
        when=outer.when + conditions(table, "when"),
        tags=outer.tags + tags(table),
        vars={**outer.vars, **own} if own else outer.vars,
        become=own.flag("ansible_become", table.flag("become", outer.become)),
        become_user=user,
        environment=outer.environment + _environment(table),
        no_log=flag(table, "no_log", outer.no_log),
        ignore_errors=flag(table, "ignore_errors", outer.ignore_errors),
        check_mode=outer.check_mode if check is None else table.flag("check_mode"),
        run_once=table.flag("run_once", outer.run_once),
        delegate_to=_delegate(table, outer.delegate_to),
        module_defaults=_module_defaults(table, outer.module_defaults),
        notify=outer.notify + notify,
    )


def flag(table: Table, key: str, outer: Union[bool, str]) -> Union[bool, str]:
    """True, false, or the template that decides."""
    value = table.get(key)
    if isinstance(value, str) and is_template(value):
        proof(value, table.where(key))
        return value
    return outer if value is None else table.flag(key)


def _environment(table: Table) -> tuple[Any, ...]:
    value = table.get("environment")
    found = value if isinstance(value, list) else [] if value is None else [value]
    for one in found:
        if not isinstance(one, Table) and not is_template(one):
            raise table.fail(f"'environment' should be a mapping, not {shape(one)}", "environment")
    proof(value, table.where("environment"))
    return tuple(found)


def _delegate(table: Table, outer: str) -> str:
    value = table.text("delegate_to")
    if not value:
        return outer
    if value in SELF:
        return ""
    if value not in HERE:
        hint = "move the task to a play of its own for that host"
        raise table.fail(f"'delegate_to: {value}' is not supported yet, only localhost", "delegate_to", hint)
    return "localhost"


def _module_defaults(table: Table, outer: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    found = {kind: dict(args) for kind, args in outer.items()}
    given = table.table("module_defaults")
    for name in given:
        kind = kind_of(str(name))
        if not kind:
            raise given.fail(f"module_defaults: the module '{name}' is not supported yet", name)
        args = module_args.named(kind, given[name], given.where(name))
        proof(args)
        found.setdefault(kind, {}).update(args)
    return found


def tags(table: Table) -> tuple[str, ...]:
    return tuple(tag.strip() for text in table.texts("tags") for tag in text.split(",") if tag.strip())


def conditions(table: Table, key: str) -> tuple[str, ...]:
    """The expressions of ``when`` and its like, checked for syntax."""
    value = table.get(key)
    if value is None:
        return ()
    found: list[str] = []
    for index, item in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(item, (str, bool, int)) or item == "":
            raise table.fail(f"'{key}' should be an expression, not {shape(item)}", key)
        if isinstance(item, str) and ("{{" in item or "{%" in item):
            raise table.fail(f"'{key}' is already an expression", key, "write it without {{ }}")
        where = value.where(index) if isinstance(value, Rows) else table.where(key)
        uses("{{ " + str(item) + " }}", where)
        found.append(Placed(str(item), where))
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
    elif isinstance(value, (list, tuple)):
        for item in value:
            proof(item, where)


def located(name: str, directories: tuple[Path, ...], where: str) -> Path:
    """A file or directory of the controller. :raises PlaybookError: it is nowhere (2)."""
    try:
        return find(name, directories)
    except TemplateError as problem:
        raise PlaybookError(problem.message, where=where, hint=problem.hint) from None


def first_located(names: Sequence[str], directories: tuple[Path, ...], where: str) -> Path:
    """The first of these files that exists. :raises PlaybookError: none does (2)."""
    for name in names[:-1]:
        with contextlib.suppress(PlaybookError):
            return located(name, directories, where)
    return located(names[-1], directories, where)
