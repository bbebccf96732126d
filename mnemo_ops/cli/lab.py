"""Start and stop disposable servers for the demo and the tests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnemo_ops.cli.options import Run, command

if TYPE_CHECKING:
    from mnemo_ops.lab.directory import Server

ONLY = ("json", "verbose")


@command(
    "lab.up",
    help={
        "hosts": "names, comma separated; default old,new or, as virtual machines, storage,app",
        "tier": "container (boots in seconds) or vm (its own kernel: NFS, disks, a real reboot)",
    },
    only=ONLY,
)
def up(run: Run, hosts: str = "", tier: str = "container") -> None:
    """Start fresh Debian servers with SSH; their inventory is .lab/inventory.yml."""
    from mnemo_ops.lab import reference
    from mnemo_ops.lab import tier as tiers

    root = Path.cwd()
    servers = tiers.up(root, tier, [name for name in hosts.split(",") if name], run.report.step)
    if tier == "container":
        reference.prepare(root, run.report.step)
    _say(run, servers)
    run.report.say("  -> export MNEMO_INVENTORY=.lab/inventory.yml; invoke bootstrap")


@command("lab.down", only=ONLY)
def down(run: Run) -> None:
    """Remove the lab's servers with their data, keys and inventory."""
    from mnemo_ops.lab import reference, tier

    root = Path.cwd()
    reference.remove(root)
    tier.down(root, run.report.step)


@command("lab.status", only=ONLY)
def status(run: Run) -> None:
    """List the servers of this directory's lab."""
    from mnemo_ops.lab import tier

    found = tier.status(Path.cwd())
    _say(run, found)
    if not found:
        run.report.say("there is no lab in this directory; `invoke lab.up` starts one")


@command("lab.ssh", only=ONLY)
def ssh(run: Run, name: str) -> None:
    """Open a shell on a server of the lab."""
    from mnemo_ops.lab import tier

    argv = tier.ssh_command(Path.cwd(), name)
    os.execvp(argv[0], argv)


def _say(run: Run, servers: Sequence[Server]) -> None:
    run.report.extra["servers"] = [vars(each) for each in servers]
    for each in servers:
        port = "" if each.port == 22 else f":{each.port}"
        link = f"  {each.link} on the cable" if each.link else ""
        run.report.say(f"{each.name:12} {each.user}@{each.address}{port}  {each.state}{link}")
