"""Every error the project raises; one exit code per class.

::

    MnemoError                      1   a bug, when nothing below fits
    ├── UsageError                  2   options, inventory or playbook invalid; no host was contacted
    │   ├── InventoryError          2
    │   ├── PlaybookError           2
    │   ├── TemplateError           2
    │   └── VaultError              2   an encrypted value or file that no given password decrypts
    ├── Refused                     3   the preflight refused; nothing was changed
    ├── Unreachable                 4   no connection to the host
    │   ├── HostKeyUnknown          4
    │   ├── HostKeyChanged          4
    │   ├── AuthenticationFailed    4
    │   ├── SudoRefused             4
    │   ├── PythonMissing           4   the agent needs python3; a leading ``raw`` task may install it
    │   └── ChannelLost             4   the connection broke while a task was running
    │       └── NotAMessage         4   what answers there is not our agent
    ├── Locked                      5   another run holds the host
    ├── StepFailed                  6   a step failed; the state is consistent
    │   ├── CommandFailed           6   a program on the host failed
    │   ├── JobLost                 6   a job on the host was killed, or nobody knows how it ended
    │   ├── NotStarted              6   a container does not start, or does not stay up
    │   ├── Unforeseen              6   the agent failed unexpectedly: a bug of ours, or a host that claims one
    │   ├── Broken                  6   a tool is installed but does not answer ("absent" is not an error)
    │   └── NotYet                  6   unknown until an earlier step is applied ("unknown" in check mode)
    ├── VerificationFailed          7   verification failed; the previous state was restored
    ├── RollbackFailed              8   manual action needed
    ├── DriftFound                  9   `--check --exit-drift` found something to change
    ├── DoctorFound                10   the doctor found problems
    └── Interrupted               130   Ctrl-C; the run can be resumed

The message says what happened, where and why; ``hint`` is the next command or the change to make. Each class
has a code that never changes: two digits of the exit code, two of its own. ``explain CODE`` prints its docstring. This
module also travels to the hosts inside the agent: standard library only.
"""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Type


class MnemoError(Exception):
    """A bug in mnemo_ops: no other error fits.

    Cause: mnemo_ops reached a state that it has no error for.
    Now: Finished steps stay done. The hosts undo temporary changes of a flow; `mnemo-ops lock.status` lists them.
    Remedy: Report the whole output (a security hole: see SECURITY.md). You can safely run the command again.

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
    """An option, or something it names, is wrong.

    Cause: An argument is unknown or contradicts another one, or mnemo_ops cannot read a file that it names.
    Now: mnemo_ops connected to no host and changed nothing.
    Remedy: Type what the line below the error says. `mnemo-ops --help TASK` lists the options of a task.
    """

    exit_code = 2
    code = "MN0200"


class InventoryError(UsageError):
    """The inventory is wrong.

    Cause: At the named file and line, a host, group or variable is unknown, missing or of the wrong type.
    Now: mnemo_ops connected to no host and changed nothing.
    Remedy: Correct that line. `mnemo-ops schema inventory` writes a schema, so that your editor marks such mistakes.
    """

    code = "MN0201"


class PlaybookError(UsageError):
    """The playbook is wrong.

    Cause: At the named file and line, a task, keyword or module argument is unknown or of the wrong type.
    Now: mnemo_ops connected to no host and changed nothing.
    Remedy: Correct that line. `mnemo-ops docs MODULE` lists the arguments of a module.
    """

    code = "MN0202"


class TemplateError(UsageError):
    """A template is wrong, or uses an undefined variable.

    Cause: Jinja2 cannot parse the expression, or a variable in it is not defined for this host.
    Now: The named task changed nothing. Earlier tasks on this host are done.
    Remedy: Correct the expression at the named line, or set the variable in the inventory or with --vars.
    """

    code = "MN0203"


class VaultError(UsageError):
    """mnemo_ops cannot decrypt a value or a file.

    Cause: You gave no vault password, or none of those you gave decrypts it.
    Now: mnemo_ops connected to no host and changed nothing.
    Remedy: Give --vault-password-file. `mnemo-ops secrets.check` tries every value of the inventory.
    """

    code = "MN0204"


class Refused(MnemoError):
    """The preflight check refused the command.

    Cause: The preflight found a problem on a host; the message names it.
    Now: mnemo_ops changed nothing: the stack is up or down, as it was before.
    Remedy: Do what the line below the error says, then run the command again. With --check it runs the preflight alone.
    """

    exit_code = 3
    code = "MN0300"


class Unreachable(MnemoError):
    """mnemo_ops cannot connect to the host.

    Cause: Its address does not answer, its port is closed, or a jump host is down.
    Now: The host finishes or undoes by itself what it was doing: jobs and leases need no connection.
    Remedy: Check ansible_host, the port and the network. Then `mnemo-ops lock.status` shows what the host is doing.
    """

    exit_code = 4
    code = "MN0400"


class HostKeyUnknown(Unreachable):
    """Nobody has accepted the host's key on this machine.

    Cause: This machine connects to this host for the first time.
    Now: mnemo_ops sent nothing to the host.
    Remedy: Compare the fingerprint with the one on the server's console, then run `mnemo-ops hosts.trust --limit HOST`.
    """

    code = "MN0401"


class HostKeyChanged(Unreachable):
    """The host's key is not the one that was accepted.

    Cause: Somebody reinstalled the host, another machine has its address now, or somebody intercepts the connection.
    Now: mnemo_ops sent nothing to the host and does not retry.
    Remedy: Ask who runs the host. Once the change is explained: `ssh-keygen -R HOST`, then `mnemo-ops hosts.trust`.
    """

    code = "MN0402"


class AuthenticationFailed(Unreachable):
    """The host refused the login.

    Cause: The host accepts none of the keys offered, or the user does not exist there.
    Now: mnemo_ops changed nothing.
    Remedy: Check ansible_user and ansible_ssh_private_key_file. `ssh -v USER@HOST` shows which keys ssh offers.
    """

    code = "MN0403"


class SudoRefused(Unreachable):
    """sudo refused to make the user root.

    Cause: sudo wants a password that you did not give, or the rules in /etc/sudoers do not allow it.
    Now: mnemo_ops changed nothing.
    Remedy: Give --ask-become-pass, set ansible_become_password, or allow the user in /etc/sudoers.
    """

    code = "MN0404"


class PythonMissing(Unreachable):
    """The host has no python3.

    Cause: The agent is a Python program and needs python3, version 3.9 or later.
    Now: mnemo_ops changed nothing.
    Remedy: Install it; a first task `raw: apt-get -y install python3` can do that.
    """

    code = "MN0405"


class ChannelLost(Unreachable):
    """The connection broke while the host was working.

    Cause: The network failed, the host restarted, or somebody killed its agent.
    Now: The task may or may not be done; you can safely run it again. Jobs of flows need no connection.
    Remedy: Run the command again. `mnemo-ops lock.status` shows what the host is doing.
    """

    code = "MN0406"


class NotAMessage(ChannelLost):
    """The host's answer is not a message of the mnemo_ops agent.

    Cause: The agent on the host is damaged, or another program answers in its place.
    Now: mnemo_ops closed the connection and discarded the answer. Other hosts carried on.
    Remedy: Log in by hand and find out which program answers. Until then, trust nothing that this host reports.
    """

    code = "MN0407"


class Locked(MnemoError):
    """Another run holds the host.

    Cause: Another run holds the host's lock, or a killed run left a lease that has not expired.
    Now: mnemo_ops changed nothing.
    Remedy: `mnemo-ops lock.status` shows who holds it. `mnemo-ops lock.release` ends a run that nobody will finish.
    """

    exit_code = 5
    code = "MN0500"


class StepFailed(MnemoError):
    """A step failed on the host.

    Cause: The message names the step and the reason.
    Now: The state is consistent: temporary changes of the run are undone. The message says whether the stack is up.
    Remedy: Fix the cause and run the command again; it leaves alone what is already right.
    """

    exit_code = 6
    code = "MN0600"


class CommandFailed(StepFailed):
    """A program on the host failed.

    Cause: The message quotes the last lines of its output.
    Now: The state is consistent; what the program itself changed stays.
    Remedy: Fix what it complains about and run the command again.
    """

    code = "MN0601"


class JobLost(StepFailed):
    """A job on the host was killed, or nobody knows how it ended.

    Cause: The host restarted or ran out of memory, or somebody killed the job.
    Now: The host undoes temporary changes of the job by itself; it needs no connection.
    Remedy: `mnemo-ops lock.status` shows when the host has finished; then run the command again.
    """

    code = "MN0602"


class NotStarted(StepFailed):
    """A container does not start, or does not stay up.

    Cause: Its port is taken, its image or configuration is wrong, or a service that it needs is down.
    Now: Its data is untouched. The message names each container and quotes Docker.
    Remedy: Run `docker logs CONTAINER` on the host and fix the cause. Then `mnemo-ops deploy` starts the stack.
    """

    code = "MN0603"


class Unforeseen(StepFailed):
    """The agent failed in a way that mnemo_ops has no error for.

    Cause: mnemo_ops has a bug, or the host claims that it has one.
    Now: The state is consistent: the host undoes temporary changes of the run by itself.
    Remedy: Report the whole output. You can safely run the command again.
    """

    code = "MN0604"


class Broken(StepFailed):
    """A tool on the host is installed but does not answer properly.

    Cause: The tool is damaged, its service is down, or its disk is full or failing.
    Now: mnemo_ops changed nothing after it asked the tool. What it did before stays.
    Remedy: Type the tool's command on the host, fix what it reports, and run the command again.
    """

    code = "MN0605"


class NotYet(StepFailed):
    """The result is unknown until an earlier step is applied.

    Cause: The check looks at something that an earlier task would create first.
    Now: mnemo_ops changed nothing. A check counts such a task as unknown.
    Remedy: Run the command without --check.
    """

    code = "MN0606"


class VerificationFailed(MnemoError):
    """The copy differs from its source.

    Cause: Rows, files or checksums differ; the message names the first difference.
    Now: The previous state is back in place and serves.
    Remedy: Keep the output. Look for a failing disk or a program that bypasses the fence. Then run the command again.
    """

    exit_code = 7
    code = "MN0700"


class RollbackFailed(MnemoError):
    """Rollback did not finish.

    Cause: Something that it needs is missing: Docker is down, a disk is full, or a port is taken.
    Now: The host keeps the data under the names in the message, and keeps retrying.
    Remedy: Fix the cause that the message names. `mnemo-ops lock.status` shows when the rollback is done.
    """

    exit_code = 8
    code = "MN0800"


class DriftFound(MnemoError):
    """The hosts differ from the declared state.

    Cause: Somebody changed the hosts by hand, or the declaration has changed since the last run.
    Now: mnemo_ops changed nothing: you ran a check with --exit-drift.
    Remedy: Read the lines above the error, then run the command without --check.
    """

    exit_code = 9
    code = "MN0900"


class DoctorFound(MnemoError):
    """The doctor found problems.

    Cause: At least one check of the stack reached the severity of --fail-on.
    Now: mnemo_ops changed nothing.
    Remedy: Each finding above names its remedy.
    """

    exit_code = 10
    code = "MN1000"


class Interrupted(MnemoError):
    """You interrupted the run.

    Cause: You pressed Ctrl-C, or the terminal closed.
    Now: The run undid its temporary changes before it ended, or the host undoes them by itself.
    Remedy: Run the command again: it continues or starts over. `mnemo-ops lock.status` shows what the host is doing.
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
    name, why = type(error).__name__, str(error) if getattr(error, "filename", None) else reason(error)
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
