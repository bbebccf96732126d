"""The nouns of the controller: hosts, plays and tasks. Frozen, without behaviour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Optional, Union

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.core.secret import Secret

Where = str  # "playbooks/docker.yml:12"


@dataclass(frozen=True)
class Host:
    """A server of the inventory.

    :param vars: its variables after inventory precedence (all < group < host), connection variables included.
    :param become: whether tasks are done as ``become_user``, whatever they say; ``None``: as they say.
    :param known_hosts: file with accepted host keys; ``None`` means the user's ``~/.ssh/known_hosts``.
    :param ssh: options of ssh_config(5) its variables name, lower case; what is ``None`` may be in ``~/.ssh/config``.
    :param timeout: seconds a connection may take. :param retries: how often opening one is tried again.
    """

    name: str
    address: str
    port: Optional[int] = None
    user: Optional[str] = None
    key_file: Optional[str] = None
    passphrase: Optional[Secret] = None
    ssh: Mapping[str, str] = field(default_factory=dict)
    timeout: Optional[int] = None
    retries: int = 0
    password: Optional[Secret] = None
    become: Optional[bool] = None
    become_user: Optional[str] = None
    become_password: Optional[Secret] = None
    known_hosts: Optional[str] = None
    python: str = "python3"
    local: bool = False
    groups: tuple[str, ...] = ()
    vars: Mapping[str, Any] = field(default_factory=dict, repr=False)  # may hold passwords


@dataclass(frozen=True, kw_only=True)
class Keywords:
    """What a task says of how it is done, or inherits from its blocks, its role and its play.

    :param when: Jinja expressions, all of which must be true.
    :param become: as another user; ``become_user`` may hold Jinja. :param vars: of the task, its blocks and imports.
    :param role_vars: of the role it belongs to. :param params: what its role and the includes around it are given.
    :param environment: mappings (or Jinja that gives one), outermost first. :param delegate_to: empty or this machine.
    :param check_mode: ``None``: as the command says. :param notify: names of handlers, or Jinja that gives one.
    """

    when: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    vars: Mapping[str, Any] = field(default_factory=dict)
    role_vars: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    become: bool = False
    become_user: str = "root"
    environment: tuple[Any, ...] = ()
    no_log: Union[bool, str] = False
    ignore_errors: Union[bool, str] = False
    check_mode: Optional[bool] = None
    run_once: bool = False
    delegate_to: str = ""
    module_defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notify: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Loop:
    """A list, or Jinja that gives one.

    :param lookup: of ``with_LOOKUP``; empty for ``loop``. :param pause: seconds between two items.
    :param where: file and line of the list.
    """

    items: Any
    lookup: str = ""
    var: str = "item"
    index_var: str = ""
    label: Any = None
    pause: float = 0.0
    extended: bool = False
    where: Where = ""


@dataclass(frozen=True, kw_only=True)
class Retry:
    """``until``: expressions that end it; ``delay`` in seconds; the numbers may be Jinja."""

    until: tuple[str, ...]
    retries: Any = 3
    delay: Any = 5


@dataclass(frozen=True, kw_only=True)
class Entry(Keywords):
    """A task as written in a playbook, still a template.

    :param args: raw arguments; strings may hold Jinja.
    :param resource: what they come to, when that is the same on every host.
    :param changed_when: expressions that decide; empty: the kind decides.
    :param files: directories in which its ``src`` is looked up, nearest first.
    :param defaults: of the roles: below the inventory.
    """

    name: str
    kind: str
    args: Mapping[str, Any]
    where: Where
    resource: Optional[Resource] = None
    loop: Optional[Loop] = None
    register: str = ""
    changed_when: tuple[str, ...] = ()
    failed_when: tuple[str, ...] = ()
    retry: Optional[Retry] = None
    files: tuple[Path, ...] = ()
    templates: tuple[Path, ...] = ()
    variables: tuple[Path, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Tasks with ``rescue`` or ``always``; a block without them is only its tasks."""

    where: Where
    tasks: tuple[Node, ...]
    rescue: tuple[Node, ...] = ()
    always: tuple[Node, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Include:
    """Tasks that are chosen at run time: ``include_tasks``, ``include_role``.

    :param entry: its name, conditions, loop and variables; its argument ``file`` (may be Jinja) chooses.
    :param choices: file name as the template may give it -> what it holds.
    """

    entry: Entry
    choices: Mapping[str, tuple[Node, ...]]


@dataclass(frozen=True, kw_only=True)
class Flush:
    """The place where notified handlers run: the end of a section, or ``meta: flush_handlers``."""

    when: tuple[str, ...] = ()
    where: Where = ""


Node = Union[Entry, Block, Include, Flush]


@dataclass(frozen=True, kw_only=True)
class Play:
    """Hosts, and what should be true on them.

    :param elevated: whether any of its tasks needs root.
    :param vars_files: those with names that hold Jinja; of each the first that exists.
    :param serial: how many hosts at a time, one number or percentage after the other; empty: all.
    """

    name: str
    hosts: str
    where: Where
    home: Path = Path()
    elevated: bool = False
    vars: Mapping[str, Any] = field(default_factory=dict)
    vars_files: tuple[tuple[tuple[str, ...], Where], ...] = ()
    role_defaults: Mapping[str, Any] = field(default_factory=dict)
    role_vars: Mapping[str, Any] = field(default_factory=dict)
    tasks: tuple[Node, ...] = ()
    handlers: tuple[Entry, ...] = ()
    topics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    serial: tuple[Union[int, str], ...] = ()
    any_errors_fatal: bool = False
    max_fail_percentage: Optional[float] = None
    force_handlers: bool = False
    local: bool = False
    user: str = ""


def entries(nodes: Iterable[Node]) -> Iterator[Entry]:
    """Every task that may run, includes and their choices too, in file order."""
    for node in nodes:
        if isinstance(node, Entry):
            yield node
        elif isinstance(node, Block):
            yield from entries((*node.tasks, *node.rescue, *node.always))
        elif isinstance(node, Include):
            yield node.entry
            for chosen in node.choices.values():
                yield from entries(chosen)


@dataclass(frozen=True)
class Task:
    """A task ready to converge on one host: everything rendered.

    :param files: sha256 -> a file of the controller the host may ask for. :param user: do it as this user.
    :param changed: ``changed_when`` where it is a constant. :param failed: ``failed_when: false``.
    :param check: ``check_mode`` of the task. :param secrets: what nothing said of it may show.
    :param perhaps: a check cannot know whether it is done.
    """

    id: str
    name: str
    resource: Resource
    where: Where
    notify: tuple[str, ...] = ()
    register: str = ""
    no_log: bool = False
    ignore_errors: bool = False
    files: Mapping[str, Union[Path, bytes]] = field(default_factory=dict)
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    changed: Optional[bool] = None
    failed: Optional[bool] = None
    check: Optional[bool] = None
    secrets: frozenset[str] = frozenset()
    perhaps: bool = False


@dataclass(frozen=True)
class Handlers:
    """A place in a request where the handlers (by name) that are pending by then run.

    :param idle: handlers whose condition is false here: taken off the host's list without being run.
    """

    ready: tuple[tuple[str, tuple[Task, ...]], ...] = ()
    idle: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """What one request asks of a host, in order.

    :param notified: handlers that tasks elsewhere notified: put on the list first.
    :param undone: the first task the check left undone before this request.
    """

    steps: tuple[Union[Task, Handlers], ...] = ()
    check: bool = False
    notified: tuple[str, ...] = ()
    undone: str = ""

    def tasks(self) -> Iterator[Task]:
        """Every task that may run."""
        for step in self.steps:
            if isinstance(step, Task):
                yield step
            else:
                yield from (task for _, tasks in step.ready for task in tasks)
