"""Every error the project raises; one exit code per class.

::

    MnemoError                      1   a bug, when nothing below fits
    ├── UsageError                  2   options, inventory or playbook invalid; nothing was opened
    │   ├── InventoryError          2
    │   ├── PlaybookError           2
    │   ├── TemplateError           2
    │   └── VaultError              2   encrypted, and no password opens it
    ├── Refused                     3   preflight said no; nothing was touched
    ├── Unreachable                 4   no channel to the host
    │   ├── HostKeyUnknown          4
    │   ├── HostKeyChanged          4
    │   ├── AuthenticationFailed    4
    │   ├── SudoRefused             4
    │   ├── PythonMissing           4   the agent needs python3; a leading ``raw`` task may install it
    │   └── ChannelLost             4   the channel broke while a task was running
    │       └── NotAMessage         4   who answers there does not speak as our agent does
    ├── Locked                      5   somebody else works on the host
    ├── StepFailed                  6   a step failed; the state is consistent
    │   ├── CommandFailed           6   a program on the host ended with an error
    │   ├── JobLost                 6   a job on the host was killed, or its end is not known any more
    │   ├── NotStarted              6   Docker does not start a container, or it does not stay up
    │   ├── Unforeseen              6   the agent came upon what nobody foresaw: a bug of ours, or a host that says so
    │   ├── Broken                  6   a tool is there but does not answer ("absent" is not an error)
    │   └── NotYet                  6   unknowable before an earlier step was applied ("unknown" in check mode)
    ├── VerificationFailed          7   verification failed; the previous state was restored
    ├── RollbackFailed              8   manual action needed
    ├── DriftFound                  9   `--check --exit-drift` found something to change
    ├── DoctorFound                10
    └── Interrupted               130   Ctrl-C; can be resumed

The message says what happened, where and why; ``hint`` is the next command or the change to make. This module also
travels to the hosts inside the agent: standard library only.
"""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Type


class MnemoError(Exception):
    """Base of all errors.

    :param message: what happened and why, one sentence.
    :param where: ``file:line``, host or object it happened at; empty when the message says it.
    :param hint: the next command, or what to change.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message

    def to_json(self) -> Dict[str, Any]:
        """The ``error`` object of ``--json`` and of the wire."""
        return {"class": type(self).__name__, "message": self.message, "where": self.where, "hint": self.hint}


class UsageError(MnemoError):
    exit_code = 2


class InventoryError(UsageError):
    pass


class PlaybookError(UsageError):
    pass


class TemplateError(UsageError):
    pass


class VaultError(UsageError):
    pass


class Refused(MnemoError):
    exit_code = 3


class Unreachable(MnemoError):
    exit_code = 4


class HostKeyUnknown(Unreachable):
    pass


class HostKeyChanged(Unreachable):
    pass


class AuthenticationFailed(Unreachable):
    pass


class SudoRefused(Unreachable):
    pass


class PythonMissing(Unreachable):
    pass


class ChannelLost(Unreachable):
    pass


class NotAMessage(ChannelLost):
    pass


class Locked(MnemoError):
    exit_code = 5


class StepFailed(MnemoError):
    exit_code = 6


class CommandFailed(StepFailed):
    pass


class JobLost(StepFailed):
    pass


class NotStarted(StepFailed):
    pass


class Unforeseen(StepFailed):
    pass


class Broken(StepFailed):
    pass


class NotYet(StepFailed):
    pass


class VerificationFailed(MnemoError):
    exit_code = 7


class RollbackFailed(MnemoError):
    exit_code = 8


class DriftFound(MnemoError):
    exit_code = 9


class DoctorFound(MnemoError):
    exit_code = 10


class Interrupted(MnemoError):
    exit_code = 130


STRANGERS = (HostKeyUnknown, HostKeyChanged)  # who answers may be somebody else: nothing is told or tried again
FINAL = (*STRANGERS, AuthenticationFailed, SudoRefused)  # waiting does not mend these


def _classes(root: Type[MnemoError]) -> List[Type[MnemoError]]:
    return [root] + [found for child in root.__subclasses__() for found in _classes(child)]


def from_json(data: Dict[str, Any]) -> MnemoError:
    """The error that :meth:`MnemoError.to_json` described; an unknown class comes back as :class:`MnemoError`."""
    known = {cls.__name__: cls for cls in _classes(MnemoError)}
    cls = known.get(str(data.get("class")), MnemoError)
    return cls(str(data.get("message", "")), where=str(data.get("where", "")), hint=str(data.get("hint", "")))
