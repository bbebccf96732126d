"""Disposable servers for the demo and the tests."""

from __future__ import annotations

import os
from pathlib import Path

from mnemo_ops.cli.options import Run, command

ONLY = ("json", "verbose")


@command("lab.up", help={"hosts": "names, comma separated"}, only=ONLY)
def up(run: Run, hosts: str = "old,new") -> None:
    """Fresh Debian servers, reachable by SSH, with an inventory at .lab/inventory.yml."""
    from mnemo_ops.lab import reference, server

    root = Path.cwd()
    names = [name for name in hosts.split(",") if name]
    servers = server.up(root, names, run.report.step)
    reference.prepare(root, run.report.step)
    run.report.extra["servers"] = [vars(each) for each in servers]
    for each in servers:
        run.report.say(f"{each.name:12} {each.user}@{each.address}  {each.state}")
    run.report.say("  -> export MNEMO_INVENTORY=.lab/inventory.yml; invoke bootstrap")


@command("lab.down", only=ONLY)
def down(run: Run) -> None:
    """Remove the servers, their data, keys and inventory. Nothing stays behind."""
    from mnemo_ops.lab import reference, server

    root = Path.cwd()
    reference.remove(root)
    server.down(root, run.report.step)


@command("lab.status", only=ONLY)
def status(run: Run) -> None:
    """The servers of this directory's lab."""
    from mnemo_ops.lab import server

    found = server.status(Path.cwd())
    run.report.extra["servers"] = [vars(each) for each in found]
    for each in found:
        run.report.say(f"{each.name:12} {each.user}@{each.address}  {each.state}")
    if not found:
        run.report.say("no lab here; invoke lab.up")


@command("lab.ssh", only=ONLY)
def ssh(run: Run, name: str) -> None:
    """A shell on a server of the lab."""
    from mnemo_ops.lab import server

    argv = server.ssh_command(Path.cwd(), name)
    os.execvp(argv[0], argv)
