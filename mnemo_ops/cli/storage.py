"""Manage the stack's volumes and NFS exports."""

from __future__ import annotations

from mnemo_ops.cli.options import Run, command
from mnemo_ops.cli.provision import PLAYS

NFS = {
    "server": "the NFS server; overrides nfs.server",
    "clients": "the NFS clients, comma separated: hosts, addresses, networks; overrides nfs.clients",
    "volume": "only this export",
}


@command("nfs-setup", help=NFS, only=tuple(option for option in PLAYS if option != "limit"))
def nfs_setup(run: Run, server: str = "", clients: str = "", volume: str = "") -> None:
    """Export directories over NFS; a test mount on each client writes, syncs, locks and reads back."""
    from mnemo_ops.core.options import Options
    from mnemo_ops.flows import nfs_setup as nfs
    from mnemo_ops.stack import nfs_plan

    inventory = run.inventory()
    named = [name.strip() for name in clients.split(",") if name.strip()]
    chosen = nfs_plan.plan(inventory, server, named, volume)
    options = Options(run.check, verbosity=int(run.report.style.verbose), diff=run.report.style.diff)
    with run.flow() as flow:
        nfs.nfs_setup(flow, inventory, chosen, run.vars, options)


VOLUMES = {
    "volume": "only this volume, by its name in the compose file",
    "to": "move the volume's data to the place in stack.volumes; TO repeats the type named there",
    "undo": "move the data of --volume back to where they were before the last move",
}


@command("volumes", help=VOLUMES, only=(*PLAYS, "yes"))
def volumes(run: Run, volume: str = "", to: str = "", undo: bool = False) -> None:
    """Create and check the volumes that stack.volumes of the inventory declares; move the data of one."""
    from mnemo_ops.core.options import Options
    from mnemo_ops.execution.playbook_run import Plays
    from mnemo_ops.flows.deploy import make_volumes
    from mnemo_ops.flows.volume_move import Move

    with run.flow() as flow:
        options = Options(run.check, verbosity=int(run.report.style.verbose), diff=run.report.style.diff)
        plays = Plays(flow.fleet, run.report, run.inventory(), run.limit, run.vars, options)
        if not (to or undo):
            make_volumes(flow, plays, run.hosts(), volume)
            return
        move = Move(flow, plays, run.only_host(), volume, to, undo)
        if move.is_needed() and not run.check:
            run.confirm(f"move {volume} on {move.host.name}; the containers that mount it stop for a moment")
            move.run()
