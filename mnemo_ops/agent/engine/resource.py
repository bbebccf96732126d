"""Resource: one thing on a host that can be declared, observed and put right."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any, ClassVar, Mapping, Type

from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.errors import MnemoError

if TYPE_CHECKING:
    from mnemo_ops.agent.machine import Machine


class Resource:
    """A frozen dataclass per kind; its fields are the schema and the documentation.

    ``desired`` is pure, ``observe`` never writes, ``apply`` changes only what differs. A missing tool means the thing
    is absent; a tool that does not answer raises :class:`~mnemo_ops.errors.Broken`; what cannot be known before an
    earlier step was applied raises :class:`~mnemo_ops.errors.NotYet`.
    """

    kind: ClassVar[str]
    on_controller: ClassVar[bool] = False  # done by whoever reads the playbook: no host is asked
    tells_facts: ClassVar[bool] = False  # "ansible_facts" of its state are facts of the host from then on
    changes: ClassVar[bool] = True  # False: doing it changes nothing (a request, a wait); a check leaves it out

    def desired(self) -> State:
        """What should be: ``None`` for "must not exist". Only the keys given here are compared."""
        raise NotImplementedError

    def target(self, observed: State) -> State:
        """What should be, given what is: :meth:`desired`, except for edits, which say only how a text should differ.

        Pure, and at rest where it points: ``target(target(x)) == target(x)``; the loop checks it.
        """
        return self.desired()

    def observe(self, machine: Machine) -> State:
        """What is: ``None`` for "does not exist". May hold more keys than ``desired`` (they reach ``register``)."""
        raise NotImplementedError

    def apply(self, machine: Machine, change: Change) -> State:
        """Change what ``change`` names and nothing else.

        :returns: ``None``: the loop observes again to see whether it worked. A deed (a command, a restart) returns the
            record of what it did instead, compared with ``desired`` in the same way: looking again would do it twice.
        """
        raise NotImplementedError


@functools.cache
def resource_class(kind: str) -> Type[Resource]:
    """The class of a kind: each has a module of its name below ``resources``, and a host imports only what it is sent.

    :raises KeyError: there is no such kind.
    """
    try:
        module = importlib.import_module("mnemo_ops.agent.resources." + kind)
    except ModuleNotFoundError:
        raise KeyError(kind) from None
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Resource) and value.__dict__.get("kind") == kind:
            return value
    raise KeyError(kind)


def build(kind: str, args: Mapping[str, Any]) -> Resource:
    """The resource a task of the wire names."""
    try:
        cls = resource_class(kind)
    except KeyError:
        raise MnemoError(f"the controller did not send the module '{kind}' to the agent: this is a bug") from None
    return cls(**args)
