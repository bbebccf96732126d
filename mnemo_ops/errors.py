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

The message says what happened, where and why; ``hint`` is the next command or the change to make. A class has a code
that stays (two digits of the exit code, two of its own); its docstring is what ``explain CODE`` prints. This module
also travels to the hosts inside the agent: standard library only.
"""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Type


class MnemoError(Exception):
    """A bug of mnemo_ops, when no class below fits; base of all errors.

    Cause: mnemo_ops came into a state that it has no error for.
    Now: What ran before it is done; leases undo what a flow had taken for a while. `mnemo-ops lock.status` shows them.
    Remedy: Report it with the whole output (SECURITY.md where it may be a hole). Running the command again is safe.

    :param message: what happened and why, one sentence.
    :param where: ``file:line``, host or object it happened at; empty when the message says it.
    :param hint: the next command, or what to change.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "MN0100"

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
    """An option, or what it names, is wrong.

    Cause: A word of the command line is unknown, contradicts another, or a file it names cannot be read.
    Now: No host was opened; nothing was changed.
    Remedy: Type what the line below the error says; `mnemo-ops --help TASK` shows the task's options.
    """

    exit_code = 2
    code = "MN0200"


class InventoryError(UsageError):
    """The inventory is wrong.

    Cause: A host, a group or a variable at the named file and line is unknown, missing or of another form.
    Now: No host was opened; nothing was changed.
    Remedy: Correct that line. `mnemo-ops schema inventory` writes a schema with which an editor shows such mistakes.
    """

    code = "MN0201"


class PlaybookError(UsageError):
    """The playbook is wrong.

    Cause: A task, a keyword or a module's argument at the named file and line is unknown or of another form.
    Now: No host was opened; nothing was changed.
    Remedy: Correct that line. `mnemo-ops docs MODULE` shows a module's arguments.
    """

    code = "MN0202"


class TemplateError(UsageError):
    """A template is wrong, or needs a variable that nobody sets.

    Cause: Jinja2 cannot read the expression, or a name in it is not defined for this host.
    Now: Nothing was changed by the task that is named; those before it on this host are done.
    Remedy: Correct the expression at the named line, or set the variable in the inventory or with --vars.
    """

    code = "MN0203"


class VaultError(UsageError):
    """An encrypted value or file stays closed.

    Cause: No vault password was given, or none of those given opens it.
    Now: No host was opened; nothing was changed.
    Remedy: Give --vault-password-file; `mnemo-ops secrets.check` tries every value of the inventory.
    """

    code = "MN0204"


class Refused(MnemoError):
    """The preflight refused.

    Cause: Something on a host speaks against what was asked; the message names it.
    Now: Nothing was touched: the stack runs, or does not run, as before.
    Remedy: Do what the line below the error says and run the command again; --check is the preflight alone.
    """

    exit_code = 3
    code = "MN0300"


class Unreachable(MnemoError):
    """There is no channel to the host.

    Cause: Its address does not answer, its port is closed, or a host to jump through is away.
    Now: What the host was doing it finishes or undoes by itself: jobs and leases do not need a connection.
    Remedy: Check ansible_host, the port and the network; then `mnemo-ops lock.status` says what the host does now.
    """

    exit_code = 4
    code = "MN0400"


class HostKeyUnknown(Unreachable):
    """The host's key was never accepted here.

    Cause: It is the first contact with this host from this machine.
    Now: Nothing was sent to it.
    Remedy: Compare the fingerprint with the one on the server's console, then `mnemo-ops hosts.trust --limit HOST`.
    """

    code = "MN0401"


class HostKeyChanged(Unreachable):
    """The host answers with another key than the accepted one.

    Cause: It was installed anew, its address belongs to another machine now, or somebody stands in between.
    Now: Nothing was sent to it, and nothing is tried again.
    Remedy: Ask who runs the host. Once the change is explained: `ssh-keygen -R HOST`, then `mnemo-ops hosts.trust`.
    """

    code = "MN0402"


class AuthenticationFailed(Unreachable):
    """The host does not let this user in.

    Cause: It knows none of the keys offered, or the user does not exist there.
    Now: Nothing was changed.
    Remedy: Check ansible_user and ansible_ssh_private_key_file; `ssh -v USER@HOST` shows what was offered.
    """

    code = "MN0403"


class SudoRefused(Unreachable):
    """The user may not become root.

    Cause: sudo asks for a password that was not given, or its rules do not allow it.
    Now: Nothing was changed.
    Remedy: Give --ask-become-pass or ansible_become_password, or allow it in /etc/sudoers.
    """

    code = "MN0404"


class PythonMissing(Unreachable):
    """The host has no python3.

    Cause: The agent is a Python program and needs python3 of version 3.9 or later.
    Now: Nothing was changed.
    Remedy: Install it: a first task `raw: apt-get -y install python3` may do so.
    """

    code = "MN0405"


class ChannelLost(Unreachable):
    """The connection broke while the host was at work.

    Cause: The network failed, the host was restarted, or its agent was killed.
    Now: The task that was under way may be done or not; running it again is safe. Jobs of flows go on by themselves.
    Remedy: Run the command again; `mnemo-ops lock.status` says what the host does now.
    """

    code = "MN0406"


class NotAMessage(ChannelLost):
    """Who answers there does not speak as our agent does.

    Cause: The program at the other end is damaged, or somebody else answers in its place.
    Now: The connection was ended; what was said was not believed. Other hosts went on.
    Remedy: Log in by hand and look who answers. Until then trust nothing that this host says.
    """

    code = "MN0407"


class Locked(MnemoError):
    """Somebody else works on the host.

    Cause: Another run holds the host's lock, or a run that was killed holds a lease that is not over yet.
    Now: Nothing was touched.
    Remedy: `mnemo-ops lock.status` says who and how long. `mnemo-ops lock.release` ends what nobody will finish.
    """

    exit_code = 5
    code = "MN0500"


class StepFailed(MnemoError):
    """A step failed on the host.

    Cause: The message says which and why.
    Now: The state is consistent: what was taken for a while was given back, and the stack serves as the message says.
    Remedy: Mend the cause and run the command again: what is right already is left alone.
    """

    exit_code = 6
    code = "MN0600"


class CommandFailed(StepFailed):
    """A program on the host ended with an error.

    Cause: Its last lines stand in the message.
    Now: The state is consistent; what the program itself did stays.
    Remedy: Mend what it complains of and run the command again.
    """

    code = "MN0601"


class JobLost(StepFailed):
    """A job on the host was killed, or its end is not known.

    Cause: The host was restarted, its memory was full, or somebody ended the job.
    Now: The host undoes what the job had taken for a while, by itself and also without a connection.
    Remedy: `mnemo-ops lock.status` says when that is done; then run the command again.
    """

    code = "MN0602"


class NotStarted(StepFailed):
    """A container does not start, or does not stay up.

    Cause: Its port is taken, its image or configuration is wrong, or a service that it needs is away.
    Now: Its data are untouched; the message names each container and Docker's own words.
    Remedy: `docker logs CONTAINER` on the host; mend the cause; `mnemo-ops deploy` brings the stack up.
    """

    code = "MN0603"


class Unforeseen(StepFailed):
    """The agent came upon what nobody foresaw.

    Cause: It is a bug of mnemo_ops, or a host that says so.
    Now: The state is consistent: what was taken for a while is given back by the host itself.
    Remedy: Report it with the whole output. Running the command again is safe.
    """

    code = "MN0604"


class Broken(StepFailed):
    """A tool of the host is there but does not answer as it should.

    Cause: It is damaged, its service is down, or a disk behind it is full or fails.
    Now: Nothing more was changed after it was asked; what had been done before stays.
    Remedy: Type the tool's command on the host, mend what it says, and run the command again.
    """

    code = "MN0605"


class NotYet(StepFailed):
    """It cannot be known before an earlier step was applied.

    Cause: A check looks at what an earlier task would have made first.
    Now: Nothing was changed. In a check such a task counts as unknown.
    Remedy: Run the command without --check.
    """

    code = "MN0606"


class VerificationFailed(MnemoError):
    """What was made is not equal to what it was made from.

    Cause: Rows, files or checksums differ; the message names the first.
    Now: The previous state is in place again and serves.
    Remedy: Keep the output. Look whether something writes past the fence, or a disk fails; then run the command again.
    """

    exit_code = 7
    code = "MN0700"


class RollbackFailed(MnemoError):
    """Rollback did not finish.

    Cause: What it needs is away: Docker is down, a disk is full, a port is taken.
    Now: The data are kept under the names in the message; the host keeps retrying by itself.
    Remedy: Mend the cause that the message names; `mnemo-ops lock.status` tells when it is done.
    """

    exit_code = 8
    code = "MN0800"


class DriftFound(MnemoError):
    """The hosts differ from what is declared.

    Cause: Somebody changed them by hand, or the declaration changed since.
    Now: Nothing was changed: it was a check with --exit-drift.
    Remedy: Read the lines above it; run the command without --check.
    """

    exit_code = 9
    code = "MN0900"


class DoctorFound(MnemoError):
    """The doctor found something.

    Cause: A check of the stack is at or above the severity of --fail-on.
    Now: Nothing was changed.
    Remedy: Each finding above names its own remedy.
    """

    exit_code = 10
    code = "MN1000"


class Interrupted(MnemoError):
    """The operator interrupted the run.

    Cause: Ctrl-C, or the terminal was closed.
    Now: What was taken for a while is given back: by this run before it ended, or by the host itself.
    Remedy: Run the command again: it goes on or begins anew. `mnemo-ops lock.status` says what the host does now.
    """

    exit_code = 130
    code = "MN1300"


_MEANINGS: Dict[Type[BaseException], str] = {
    EOFError: "it ended too early",
    MemoryError: "out of memory",
    KeyboardInterrupt: "interrupted",
    GeneratorExit: "interrupted",
}


def reason(error: BaseException) -> str:
    """Why, in words, also where an error has no text: a time-out of a socket, a connection that just ends."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, BaseException):  # of urllib
        return reason(inner)
    if isinstance(error, TimeoutError):  # its own text is a number, or nothing
        return "no answer in time"
    said = getattr(error, "strerror", None) or str(error).strip().rstrip(": ")
    return said or next((text for kind, text in _MEANINGS.items() if isinstance(error, kind)), type(error).__name__)


def named(error: BaseException) -> str:
    """With its class, for who mends a bug: ``KeyError: 'name'``."""
    name, why = type(error).__name__, reason(error)
    return name if why == name else f"{name}: {why}"


STRANGERS = (HostKeyUnknown, HostKeyChanged)  # who answers may be somebody else: nothing is told or tried again
FINAL = (*STRANGERS, AuthenticationFailed, SudoRefused)  # waiting does not mend these


def classes(root: Type[MnemoError] = MnemoError) -> List[Type[MnemoError]]:
    """Every class of errors, ``root`` first."""
    return [root] + [found for child in root.__subclasses__() for found in classes(child)]


def from_json(data: Dict[str, Any]) -> MnemoError:
    """The error that :meth:`MnemoError.to_json` described; an unknown class comes back as :class:`MnemoError`."""
    known = {cls.__name__: cls for cls in classes()}
    cls = known.get(str(data.get("class")), MnemoError)
    return cls(str(data.get("message", "")), where=str(data.get("where", "")), hint=str(data.get("hint", "")))
