"""Adopt a compose project that runs already."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnemo_ops.cli.options import Run, command
from mnemo_ops.errors import HostKeyUnknown, InventoryError, MnemoError, Refused, UsageError

if TYPE_CHECKING:
    from mnemo_ops.core.model import Host
    from mnemo_ops.flows.adopt import Place

LOCAL = ("localhost", "127.0.0.1", "::1")
# as ssh takes it: [user@]host[:port], an IPv6 address in brackets
_SSH = re.compile(r"(?:(?P<user>[^@]+)@)?(?P<host>\[[^]]+\]|[^\[\]:,!&*?]+)(?::(?P<port>\d{1,5}))?")


@command(
    "adopt",
    help={
        "project": "Compose's name of the project; needed where the host has several",
        "source": "the directory of the host with the compose files, where they are no longer where the labels say",
        "out": "the directory here for its files (default: stacks/PROJECT)",
    },
    only=("inventory", "limit", "check", "json", "verbose", "ask_become_pass"),
)
def adopt(run: Run, project: str = "", source: str = "", out: str = "") -> None:
    """Adopt a running compose project: copy its files, write inventory.yml and mnemo.yml; its host is only read."""
    from mnemo_ops.flows.adopt import adopt as adopted
    from mnemo_ops.flows.engine import Flow

    place = _place(run)
    with run.fleet(reads=True) as opened:
        flow = Flow(opened, run.report, place.home.absolute() / ".mnemo")
        try:
            adopted(flow, place, project, source, out, run.check)
        except MnemoError as error:
            if place.known is None:
                error.hint = _without_inventory(error, place.host, run.limit)
            raise


def _place(run: Run) -> Place:
    """The host, and the inventory that has it or will.

    :raises UsageError: no host is named, or the inventory does not have it (2).
    """
    from mnemo_ops.flows.adopt import Place

    try:
        path = run.path()
    except UsageError:
        path = Path("inventory.yml")
    if path.exists():
        inventory = run.inventory()
        return Place(path, inventory, _known(run, path), {})
    if not run.limit:
        hint = "invoke adopt --limit root@192.0.2.10 writes one; an alias of ~/.ssh/config will do"
        raise UsageError("there is no inventory yet, so --limit names the host", hint=hint)
    host, variables = _spoken(run.limit, run)
    return Place(path, None, host, variables)


def _without_inventory(error: MnemoError, host: Host, limit: str) -> str:
    """The hint for who has none yet: the host as it was typed, and ssh itself for its key."""
    if isinstance(error, HostKeyUnknown):
        port = ["-p", str(host.port)] if host.port else []
        to = f"{host.user}@{host.address}" if host.user else host.address
        return f"compare it with the server's console while you accept it: {shlex.join(['ssh', *port, to])}"
    name = re.escape(shlex.quote(host.name))
    return re.sub(rf"--limit {name}(?![\w.-])", lambda _: f"--limit {shlex.quote(limit)}", error.hint)


def _known(run: Run, path: Path) -> Host:
    """A host of the inventory, by its name there or as ssh names it."""
    from mnemo_ops.core.paths import shown

    try:
        return run.only_host()
    except InventoryError:
        host, variables = _spoken(run.limit, run)
        for each in run.inventory().select("all"):
            same = each.address == host.address and (host.port or 22) == (each.port or 22)
            if each.name == host.name or (same and host.user in (None, each.user)):
                return each
        words = ", ".join(f"{key}: {value}" for key, value in variables.items())
        raise UsageError(
            f"{shown(path)} has no host {run.limit}",
            hint=f"add it there, below hosts: {host.name}: {{{words}}}; or name another inventory: -i NEW.yml",
        ) from None


def _spoken(text: str, run: Run) -> tuple[Host, dict[str, Any]]:
    """A host as ssh names it, and its variables for an inventory. :raises UsageError: it is none (2)."""
    from mnemo_ops.agent.base import validators
    from mnemo_ops.core.model import Host

    if text in LOCAL:
        return Host("localhost", "localhost", local=True), {"ansible_connection": "local"}
    found = _SSH.fullmatch(text)
    hint = "like root@192.0.2.10, ops@[2001:db8::1]:2222, or an alias of ~/.ssh/config"
    if found is None or int(found["port"] or 22) not in range(1, 65536):
        raise UsageError(f"--limit {text} names no host as ssh does", hint=hint)
    try:
        address = str(validators.host(found["host"].strip("[]")))
        user = str(validators.user_name(found["user"])) if found["user"] else None
    except Refused as error:
        raise UsageError(f"--limit {text}: {error.message}", hint=hint) from None
    port = int(found["port"]) if found["port"] else None
    given = {"ansible_host": address, "ansible_user": user, "ansible_port": port}
    variables = {key: value for key, value in given.items() if value is not None}
    name = address.replace(":", "-")
    if name == address and not port:
        variables.pop("ansible_host")
    return Host(name, address, port, user, become_password=run.become_password), variables
