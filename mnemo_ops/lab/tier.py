"""The lab's two kinds of servers behind the same words: containers, and virtual machines."""

from __future__ import annotations

from pathlib import Path

from mnemo_ops.errors import UsageError
from mnemo_ops.lab import server, vm
from mnemo_ops.lab.directory import LabDirectory, Server
from mnemo_ops.lab.engine import Report

TIERS = {"container": ("old", "new"), "vm": ("storage", "app")}  # and how their servers are called


def up(root: Path, tier: str, names: list[str], report: Report) -> list[Server]:
    """:param names: none for the tier's own. Raises as :func:`server.up` and :func:`vm.up`."""
    if tier not in TIERS:
        raise UsageError(f"no tier `{tier}`", hint=f"one of {', '.join(TIERS)}")
    bring = vm.up if tier == "vm" else server.up
    return bring(root, names or TIERS[tier], report)


def down(root: Path, report: Report) -> None:
    """Remove the lab, whatever it is made of."""
    vm.down(root, report)
    server.down(root, report)


def status(root: Path) -> list[Server]:
    """All servers, by name."""
    return vm.status(root) or server.status(root)


def ssh_command(root: Path, name: str) -> list[str]:
    """The argument vector of an ssh to a server; append the remote command."""
    is_virtual = LabDirectory(root).machine(name).exists()
    return vm.ssh_command(root, name) if is_virtual else server.ssh_command(root, name)
