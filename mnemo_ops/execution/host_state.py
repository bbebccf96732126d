"""HostState: what is known of a host during a run, and how far its play came; only its own methods change it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Optional, Union

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import dataclass, field, replace
from mnemo_ops.core.model import Handlers, Host, Task
from mnemo_ops.core.secret_text import hidden
from mnemo_ops.errors import MnemoError, StepFailed, from_json
from mnemo_ops.execution.results import Pending, Work

Way = tuple[int, ...]  # a place in a play: numbers of nodes, outer to inner; greater is later
Unsent = list[tuple[int, Union[Work, Handlers]]]


@dataclass(frozen=True)
class Failure:
    """What ended the tasks, and the number of its entry in the order they were taken.

    :param found: what the whole of its entry came to, as ``register`` would name it.
    """

    number: int
    task: Task
    event: Event
    found: Any = None

    def error(self, host: Host) -> MnemoError:
        cause = from_json(self.event.error) if self.event.error else StepFailed(self.event.why)
        cause.message = (
            f"{self.task.name}: {'failed (no_log)' if self.task.no_log else hidden(cause.message, self.task.secrets)}"
        )
        cause.hint = hidden(cause.hint, self.task.secrets)
        cause.where = f"{host.name}, {self.task.where}"
        return cause


@dataclass
class HostState:
    """From play to play: what is known. Within one: where it is, what waits, what ended it.

    :param facts: without prefix. :param results: what tasks registered and set; data, never templates.
    :param included: variables of ``include_vars``: templates, as all variables.
    :param number: of the last task that was taken. :param names: of the tasks that were sent, by id.
    :param undone: the first task a check left undone; :param doubtful: what was registered after it, and may differ.
    :param unsent: what was taken and waits for its turn, with its number; :param waiting: names it will register.
    :param overlays: variables of includes being run. :param failure: what ended the tasks, until a block rescues it.
    :param ended: no task follows, without a failure. :param blocks: around the task at hand.
    :param way: where the play is.
    :param apart: other hosts may know more of themselves than when they met last.
    :param version: of the variables: what was made of an earlier one is stale.
    """

    host: Host
    facts: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    included: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    names: dict[str, str] = field(default_factory=dict)
    undone: str = ""
    doubtful: set[str] = field(default_factory=set)
    unsent: Unsent = field(default_factory=list)
    waiting: dict[str, Pending] = field(default_factory=dict)
    overlays: list[Mapping[str, Any]] = field(default_factory=list)
    failure: Optional[Failure] = None
    ended: bool = False
    blocks: int = 0
    way: Way = (0,)
    apart: bool = True
    version: int = 0

    def begin(self) -> None:
        """A play begins."""
        self.unsent, self.waiting, self.overlays = [], {}, []
        self.failure, self.ended, self.blocks, self.way, self.apart = None, False, 0, (0,), True
        self.version += 1

    # -- what is known -------------------------------------------------------------------------------------------

    def learn(self, facts: Mapping[str, Any]) -> None:
        """Facts, without prefix."""
        self.facts.update(facts)
        self.version += 1

    def set_variables(self, values: Mapping[str, Any], templates: bool = False) -> None:
        """From here on this host has these variables; ``templates``: their values may hold Jinja."""
        (self.included if templates else self.results).update(values)
        self.version += 1

    @contextlib.contextmanager
    def overlaid(self, values: Mapping[str, Any]) -> Iterator[None]:
        """Variables of an include, while it runs."""
        self.overlays = [*self.overlays, values]
        self.version += 1
        try:
            yield
        finally:
            self.overlays = self.overlays[:-1]
            self.version += 1

    def leave_undone(self, name: str) -> None:
        """A check left this task undone; the first one counts."""
        self.undone = self.undone or name

    def doubt(self, names: Iterable[str]) -> None:
        """What has these names may differ in the real run."""
        self.doubtful.update(names)

    # -- what waits ----------------------------------------------------------------------------------------------

    def count(self) -> int:
        """The number of the next entry."""
        self.number += 1
        return self.number

    def put(self, one: Union[Work, Handlers]) -> None:
        self.unsent.append((self.number, one))

    def promise(self, name: str, known: Mapping[str, Any] = MappingProxyType({})) -> None:
        """What is unsent will register this. :param known: what is known of it all the same."""
        self.waiting[name] = Pending(name, known)
        self.version += 1

    def take(self) -> Unsent:
        """What waited, which is going to be sent, or dropped."""
        taken, self.unsent, self.waiting = self.unsent, [], {}
        self.version += 1
        return taken

    def sent(self, tasks: Iterable[Task]) -> None:
        self.names.update({task.id: task.name for task in tasks})

    # -- how far it came -----------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether no task follows, by a failure or without one."""
        return self.ended or self.failure is not None

    def end(self) -> None:
        self.ended = True

    def fail(self, failure: Failure) -> None:
        """The first failure counts."""
        self.failure = self.failure or failure

    def explain(self, found: Any) -> None:
        """What the whole of the entry came to whose failure this is."""
        if self.failure is not None:
            self.failure = replace(self.failure, found=found)

    def rescued(self) -> Optional[Failure]:
        """The failure, which no longer ends the tasks."""
        failure, self.failure = self.failure, None
        return failure

    @contextlib.contextmanager
    def in_block(self) -> Iterator[None]:
        """Somebody may clean up after a failure here."""
        self.blocks += 1
        try:
            yield
        finally:
            self.blocks -= 1

    @contextlib.contextmanager
    def all_the_same(self) -> Iterator[None]:
        """Tasks that are done however it ended (``always``); afterwards it ended so, too."""
        failure, ended = self.failure, self.ended
        self.failure, self.ended = None, False
        yield
        self.failure, self.ended = self.failure or failure, self.ended or ended

    def move(self, way: Way) -> None:
        self.way = way

    def met(self) -> None:
        """All hosts came as far."""
        self.apart = False

    def part(self) -> None:
        """Others may know more of themselves now."""
        self.apart = True
