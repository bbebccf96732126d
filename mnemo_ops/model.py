"""The nouns of the controller: hosts, plays and tasks. Frozen, without behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from mnemo_ops.agent.resource import Resource
from mnemo_ops.secret import Secret

Where = str  # "playbooks/docker.yml:12"


@dataclass(frozen=True)
class Host:
    """A server of the inventory.

    :param vars: its variables after inventory precedence (all < group < host), connection variables included.
    :param known_hosts: file with accepted host keys; ``None`` means the user's ``~/.ssh/known_hosts``.
    """

    name: str
    address: str
    port: int = 22
    user: Optional[str] = None
    key_file: Optional[str] = None
    password: Optional[Secret] = None
    become_password: Optional[Secret] = None
    known_hosts: Optional[str] = None
    python: str = "python3"
    local: bool = False
    groups: tuple[str, ...] = ()
    vars: Mapping[str, Any] = field(default_factory=dict, repr=False)  # may hold passwords


@dataclass(frozen=True)
class Entry:
    """A task as written in a playbook, still a template.

    :param args: raw arguments; strings may hold Jinja.
    :param when: Jinja expressions, all of which must be true.
    :param loop: a list or a Jinja expression; ``None`` when the task does not loop.
    :param flatten: lists inside the loop's list are loops too (``with_items``).
    :param files: directories in which its ``src`` is looked up, nearest first.
    :param vars: variables of its role (defaults below the inventory, vars above the play).
    """

    name: str
    kind: str
    args: Mapping[str, Any]
    where: Where
    when: tuple[str, ...] = ()
    loop: Any = None
    flatten: bool = False
    loop_var: str = "item"
    notify: tuple[str, ...] = ()
    register: str = ""
    tags: tuple[str, ...] = ()
    no_log: bool = False
    ignore_errors: bool = False
    files: tuple[Path, ...] = ()
    templates: tuple[Path, ...] = ()
    vars: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Play:
    """Hosts, and what should be true on them."""

    name: str
    hosts: str
    where: Where
    become: bool = False
    vars: Mapping[str, Any] = field(default_factory=dict)
    tasks: tuple[Entry, ...] = ()
    handlers: tuple[Entry, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A task ready to converge on one host: everything rendered.

    :param files: sha256 -> a file of the controller the host may ask for.
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


@dataclass(frozen=True)
class Batch:
    """What one request asks of a host: tasks in order, then the handlers (by name) that are pending by then.

    :param idle: handlers whose condition is false here: taken off the host's list without being run.
    """

    tasks: tuple[Task, ...]
    handlers: tuple[tuple[str, Task], ...] = ()
    idle: tuple[str, ...] = ()
    check: bool = False
