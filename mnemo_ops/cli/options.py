"""What every task shares: the common options, one report, exit codes instead of tracebacks."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from invoke.tasks import Task

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.secrecy import can_hide, ordinary
from mnemo_ops.cli.extra_vars import variables
from mnemo_ops.core.next_command import Advice, again
from mnemo_ops.core.secret import Secret
from mnemo_ops.core.visible import in_a_line
from mnemo_ops.errors import Interrupted, MnemoError, UsageError, named
from mnemo_ops.execution.report import Report, Style

if TYPE_CHECKING:  # what only some tasks need is imported by them: `--list` must not wait for it
    from mnemo_ops.core.model import Host
    from mnemo_ops.execution.session_pool import Fleet
    from mnemo_ops.flows.engine import Flow
    from mnemo_ops.inventory.load import Inventory

OFFERED = 3  # commands that are offered to choose from
INVENTORIES = ("inventory.yml", "inventories/production.yml")
COMMON: dict[str, tuple[Any, str]] = {
    "inventory": ("", "inventory file or directory (default: $MNEMO_INVENTORY, ./inventory.yml)"),
    "limit": ("", "only these hosts: names, groups, globs; a:b combines, !a excludes"),
    "check": (False, "change nothing; show what would change"),
    "diff": (False, "show the differences"),
    "json": (False, "print one JSON document on stdout, progress on stderr"),
    "yes": (False, "do not ask for confirmation"),
    "vars": ([], "k=v, @FILE or {k: v}, repeatable; the strongest precedence"),
    "exit_drift": (False, "with --check: exit 9 when something would change"),
    "vault_password_file": ([], "file with a vault password, a program that prints it, or - for stdin; repeatable"),
    "vault_id": ([], "label@source, source as above or prompt; repeatable"),
    "ask_vault_pass": (False, "ask for a vault password"),
    "ask_become_pass": (False, "ask for the sudo password of hosts whose variables set none"),
    "verbose": (False, "also show tasks that change nothing, and the traceback of a bug"),
}
VAULT = ("vault_password_file", "vault_id", "ask_vault_pass")
SHORT = {  # Ansible's
    "inventory": "i", "verbose": "v", "ask_become_pass": "K", "ask_vault_pass": "J", "limit": "l", "check": "C",
    "diff": "D", "vars": "e", "tags": "t",
}  # fmt: skip

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else its thread prints a traceback beside our error


@dataclass
class Run:
    """One command: its options, its report, and the way to hosts."""

    report: Report
    inventory_path: str = ""
    limit: str = ""
    yes: bool = False
    vars: dict[str, Any] = field(default_factory=dict)
    become_password: Optional[Secret] = None
    private: Sequence[Path] = ()  # files with a vault password

    @property
    def check(self) -> bool:
        return self.report.style.check

    def inventory(self, playbook_dir: Optional[Path] = None) -> Inventory:
        """:param playbook_dir: more variables lie there. :raises InventoryError: there is none, or it is wrong (2)."""
        from mnemo_ops.inventory.load import load

        found = load(self.path(), playbook_dir, self.vars)
        found.become_password = self.become_password
        self.report.mask.spare(found.hosts)
        hosts = found.hosts.values()
        words = ordinary([*found.hosts, *(host.user or "" for host in hosts)])
        given = [one for host in hosts for one in (host.password, host.become_password, host.passphrase) if one]
        self.report.mask.learn(one.reveal() for one in given if can_hide(one.reveal(), words))
        return found

    def path(self) -> Path:
        chosen = self.inventory_path or os.environ.get("MNEMO_INVENTORY", "")
        if chosen:
            return Path(chosen)
        for name in INVENTORIES:
            if Path(name).exists():
                return Path(name)
        raise UsageError(
            f"there is no inventory: neither {' nor '.join(INVENTORIES)} exists in this directory",
            hint="name one with --inventory; README.md shows an example",
        )

    def hosts(self, pattern: str = "all") -> list[Host]:
        """The hosts of a pattern, narrowed by ``--limit``. :raises UsageError: none is left (2)."""
        found = self.inventory().select(pattern, self.limit)
        if not found:
            raise UsageError(f"no host of the inventory matches '{pattern}' and --limit '{self.limit}'")
        return found

    def host(self, name: str, option: str) -> Host:
        """The one host an option names. :raises UsageError: none or several (2)."""
        if not name:
            known = [host.name for host in self.inventory().select("all")]
            raise UsageError(f"{option} is missing; it names a host of the inventory", hint=self._again(option, known))
        found = self.inventory().select(name, self.limit)
        if not found:
            raise UsageError(f"{option} {name} is outside of --limit {self.limit}", hint=self._again("--limit", ()))
        if len(found) != 1:
            hint = self._again(option, [host.name for host in found])
            raise UsageError(f"{option} {name} matches {len(found)} hosts", hint=hint)
        return found[0]

    def _again(self, option: str, values: Sequence[str]) -> str:
        """The same command with one value of the option; of many values the first few."""
        also = ("-l", "--host") if option == "--limit" else ()
        return again(self.report.command, option, values[:OFFERED], also)

    def limit_to(self, host: str) -> None:
        """``--host``, another word for ``--limit``. :raises UsageError: both are given, and differ (2)."""
        if self.limit:
            one, other = ({found.name for found in self.inventory().select("all", word)} for word in (host, self.limit))
            if one != other:
                raise UsageError(
                    f"--limit {self.limit} and --host {host} are not the same hosts", hint="give --limit alone"
                )
        self.limit = host
        self.report.advice = Advice(self.inventory_path, host)

    def only_host(self) -> Host:
        """The host of ``--limit``, or the only one of the inventory."""
        found = self.hosts()
        if len(found) != 1:
            names = [host.name for host in found]
            raise UsageError(f"several hosts: {', '.join(names)}; name one of them", hint=self._again("--limit", names))
        return found[0]

    def can_ask(self, what: str) -> None:
        """:raises UsageError: it will have to be confirmed, and nobody is there to ask (2)."""
        if not self.yes and not sys.stdin.isatty():
            raise UsageError(f"this would {what}; stdin is not a terminal, so nobody can confirm it", hint="add --yes")

    def confirm(self, what: str) -> None:
        """A person says yes, or ``--yes`` did. :raises UsageError: nobody is there to ask, or says no (2)."""
        self.can_ask(what)
        if self.yes:
            return
        try:
            said = input(in_a_line(f"This will {what}. Type yes: ")).strip()
        except (KeyboardInterrupt, EOFError):
            print(file=sys.stderr)
            raise Interrupted("interrupted; nothing was changed") from None
        if said != "yes":
            raise UsageError("not confirmed; nothing was changed")

    @contextmanager
    def fleet(self, run: str = "", reads: bool = False, aliases: bool = False) -> Iterator[Fleet]:
        """Sessions; hosts are locked unless nothing is written. ``aliases``: as of ``Fleet``."""
        from mnemo_ops.execution.session_pool import fleet
        from mnemo_ops.transport.session import Lock

        lock = None if self.check or reads else Lock(self.report.command, run)
        with fleet(self.report, lock, aliases) as opened:
            yield opened

    @contextmanager
    def flow(self, run: str = "", reads: bool = False) -> Iterator[Flow]:
        """What flows stand on; journals and keys lie in ``.mnemo`` beside the inventory."""
        from mnemo_ops.flows.engine import Flow

        self._mask()
        path = self.path().absolute()
        home = (path if path.is_dir() else path.parent) / ".mnemo"
        with self.fleet(run, reads) as opened:
            yield Flow(opened, self.report, home, self.private)

    def _mask(self) -> None:
        """Let no secret of the env files show; say once which cannot be hidden."""
        from mnemo_ops.stack.masking import names_of, secrets_of
        from mnemo_ops.stack.settings import settings

        shown: set[tuple[str, str]] = set()
        inventory = self.inventory()
        for host in inventory.select("all", self.limit):  # what speaks against others is theirs
            chosen = settings(host)
            self.report.mask.spare(names_of(chosen))
            values, names = secrets_of(chosen, [*inventory.hosts, host.address, host.user or ""])
            self.report.mask.learn(values)
            shown |= {(chosen.env_file, name) for name in names}
        warnings = self.report.extra.setdefault("warnings", []) if shown else []
        for file, name in sorted(shown):
            warning = f"{file}: the value of {name} is short or a common word, so messages do not mask it"
            if warning not in warnings:
                self.report.say(f"  WARNING  {warning}")
                warnings.append(warning)


class Command(Task[Any]):
    """An invoke task with the short flags of cli.md; automatic ones would differ from task to task."""

    def arg_opts(self, name: str, default: Any, taken_names: Any) -> dict[str, Any]:
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        if name in SHORT:
            options["names"] = (*options["names"], SHORT[name])
        return options


def command(
    name: str,
    *,
    iterable: Sequence[str] = (),
    help: Optional[dict[str, str]] = None,
    only: Sequence[str] = tuple(COMMON),
) -> Callable[[Callable[..., None]], Command]:
    """Make a task of a function ``(run, **own options)``: parse, call, print; the exit code is the error's class.

    :param only: the common options it takes.
    """

    only = (*only, *(key for key in VAULT if "inventory" in only and key not in only))  # it may be encrypted

    def wrap(body: Callable[..., None]) -> Command:
        own = list(inspect.signature(body).parameters.values())[1:]

        def task(context: Any, **given: Any) -> None:
            sys.exit(_execute(name, body, given))

        parameters = [inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        parameters += [each.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for each in own]
        parameters += [
            inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=COMMON[key][0]) for key in only
        ]
        task.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        task.__doc__ = body.__doc__
        task.__name__ = body.__name__
        task.__module__ = body.__module__
        texts = {**{key: COMMON[key][1] for key in only}, **(help or {})}
        repeated = [*iterable, *(key for key in only if COMMON[key][0] == [])]
        # invoke takes a word for a parameter only when that has no default, and then asks for it itself
        positional = [each.name for each in own if each.default is inspect.Parameter.empty]
        return Command(
            task,
            name=name.rpartition(".")[2],
            help=texts,
            iterable=repeated,
            positional=positional,
            auto_shortflags=False,
        )

    return wrap


def _execute(name: str, body: Callable[..., None], given: dict[str, Any]) -> int:
    sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)  # invoke forbids it: every start would compile anew
    flags = {key: given.pop(key, False) for key in ("check", "diff", "json", "verbose", "exit_drift")}
    report = Report(name, Style(**flags))
    try:
        for value in given.values():
            if isinstance(value, str) and value.startswith("--"):  # invoke takes it for the value of the one before
                raise UsageError(f"'{value}' is not a value", hint=f"mnemo-ops --help {name}")
        texts = given.pop("vars", [])
        run = Run(report, given.pop("inventory", ""), given.pop("limit", ""), given.pop("yes", False))
        report.advice = Advice(run.inventory_path, run.limit)
        if given.pop("ask_become_pass", False):
            run.become_password = _become_password()
            report.mask.learn([run.become_password.reveal()])
        vaults = [given.pop(key, COMMON[key][0]) for key in VAULT]
        with _vaults(report, *vaults) as keys:
            run.private = [Path(source.said).expanduser().absolute() for source in keys.sources]
            for text in texts:
                run.vars.update(variables(text))
            body(run, **given)
    except MnemoError as error:
        return report.finish(error)
    except KeyboardInterrupt:
        return report.finish(Interrupted("interrupted", hint="run the same command again: it skips what is done"))
    except Exception as error:
        if flags["verbose"]:
            report.trace(traceback.format_exc())
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        bug = MnemoError(f"a bug: {named(error)}", where=where, hint="--verbose shows the traceback")
        return report.finish(bug)
    return report.finish()


def _vaults(report: Report, files: Sequence[str], ids: Sequence[str], ask: bool) -> AbstractContextManager[Any]:
    """The vault passwords of the command; what they open is masked."""
    from mnemo_ops.vault.cipher import Keyring, unlocked
    from mnemo_ops.vault.passwords import sources

    return unlocked(Keyring(tuple(sources(files, ids, ask)), report.mask.learn))


def _become_password() -> Secret:
    """:raises UsageError: nobody is there to ask (2)."""
    from getpass import getpass

    if not sys.stdin.isatty():
        raise UsageError(
            "--ask-become-pass: stdin is not a terminal, so nobody can type the password",
            hint="set ansible_become_password, e.g. by !vault",
        )
    return Secret(getpass("sudo's password: "))
