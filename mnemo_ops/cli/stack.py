"""Deploy, back up, restore and migrate the stack."""

from __future__ import annotations

from functools import partial

from mnemo_ops.cli.options import Run, command
from mnemo_ops.errors import InventoryError, UsageError, VerificationFailed

ACCEPT_LOSS = {"accept_loss": "continue although a backup omits something of the database server; the report names it"}
WHICH = "latest, a time (2026-01-31T12:00, the newest backup before it), or the beginning of a backup's id"
BAD = ("damaged", "unreadable")
ANOTHER = "restore another backup, or make a new one: invoke backup"
FLOW = ("inventory", "limit", "json", "verbose", "vars", "yes", "ask_become_pass")


@command(
    "deploy", only=("inventory", "limit", "check", "diff", "json", "verbose", "vars", "exit_drift", "ask_become_pass")
)
def deploy(run: Run) -> None:
    """Deploy the stack as declared: render, load images, start and verify."""
    from mnemo_ops.flows.deploy import deploy as deployed

    host = run.only_host()
    with run.flow() as flow:
        deployed(flow, run.inventory(), host, run.vars, run.check)


@command("backup.create", help=ACCEPT_LOSS, only=(*FLOW, "check"))
def create(run: Run, accept_loss: bool = False) -> None:
    """Make a backup now; containers that write stop meanwhile. --check only checks that it can be made."""
    from mnemo_ops.flows.backup import backup

    host = run.only_host()
    with run.flow() as flow:
        backup(flow, host, run.check, accept_loss)


@command(
    "backup.list",
    help={
        "all": "also list backups that never finished",
        "check": "read every part of every backup and compare its checksum; exit 7 if one differs",
    },
    only=("inventory", "limit", "check", "json", "verbose", "ask_become_pass"),
)
def list_(run: Run, all: bool = False) -> None:
    """List the backups of each host: id, age, size, parts, consistency, state, last restore."""
    from mnemo_ops.flows.backup import condition, list_sets, shown

    with run.flow(reads=True) as flow:
        found = flow.fleet.each(run.hosts(), lambda host: list_sets(flow, host, run.check))
    run.report.extra["sets"] = found
    for host, rows in found.items():
        for row in rows:
            if all or row["state"] != "incomplete":
                run.report.say(f"{host}  {shown(row)}")
        unfinished = sum(row["state"] == "incomplete" for row in rows)
        if len(rows) == unfinished:
            run.report.say(f"{host}: there are no backups")
        if unfinished and not all:
            gone = f"invoke backup.prune --limit {host} removes them"
            run.report.say(f"{host}: {unfinished} backups never finished: --all lists them, {gone}")
    wrong = [
        f"{row['id']} on {host} is {condition(row)}"
        for host, rows in found.items()
        for row in rows
        if row["state"] in BAD
    ]
    if wrong and run.check:
        raise VerificationFailed("; ".join(wrong), hint=ANOTHER)


@command(
    "backup.show",
    help={
        "id": WHICH,
        "parts": "also list the files of the backup with their sizes",
        "tables": "also list the tables with their rows",
        "check": "read every part of the backup and compare its checksum; exit 7 if one differs",
    },
    only=("inventory", "limit", "check", "json", "verbose", "ask_become_pass"),
)
def show(run: Run, id: str, parts: bool = False, tables: bool = False) -> None:
    """Show what a backup holds: its datasets, databases, roles and volumes; values and passwords never."""
    from mnemo_ops.flows import contents
    from mnemo_ops.flows.backup import condition

    host = run.only_host()
    with run.flow(reads=True) as flow:
        found = contents.show(flow, host, id, run.check)
    run.report.extra["set"] = found
    for line in contents.table(found, host.name, parts, tables):
        run.report.say(line)
    if run.check and found["state"] in BAD:
        raise VerificationFailed(f"{found['id']} on {host.name} is {condition(found)}", hint=ANOTHER)


@command(
    "backup.prune",
    help={
        "keep_last": "keep at least this many complete backups (default: 1); the newest restored one always stays",
        "aside": "also remove the previous data that restores keep: they exist nowhere else",
        "check": "remove nothing; list what would be removed",
    },
    only=("inventory", "limit", "check", "json", "verbose", "yes", "ask_become_pass"),
)
def prune(run: Run, keep_last: str = "1", aside: bool = False) -> None:
    """Remove unfinished backups, and backups and images that failed migrations left."""
    from mnemo_ops.flows import backup as flows

    if not keep_last.isdecimal() or int(keep_last) < 1:
        raise UsageError(f"--keep-last {keep_last} is too small: at least one backup must stay", hint="--keep-last 1")
    last, hosts = int(keep_last), run.hosts()
    with run.flow(reads=True) as flow:
        plans = flow.fleet.each(hosts, lambda host: flows.prune_plan(flow, host, last, aside))
    run.report.extra["prune"] = plans
    for host, plan in plans.items():
        for verb, rows in (("goes", plan["remove"]), ("stays", plan["keep"])):
            for row in rows:
                run.report.say(f"{host}  {verb:5}  {row['name']}  {row['bytes'] / 1e6:8.1f} MB  {row['why']}")
    every = [row for plan in plans.values() for row in plan["remove"]]
    total = f"{sum(row['bytes'] for row in every) / 1e6:.1f} MB"
    if not every or run.check:
        run.report.say(f"{len(every)} would be removed, {total}" if every else "nothing to remove")
        return
    run.confirm(f"remove {len(every)} of these for good, {total}")
    with run.flow() as flow:
        names = {host: [row["name"] for row in plan["remove"]] for host, plan in plans.items()}
        busy = [host for host in hosts if names[host.name]]
        gone = flow.fleet.each(busy, lambda host: flows.prune(flow, host, last, aside, names[host.name]))
    run.report.extra["removed"] = gone
    freed = sum(row["bytes"] for rows in gone.values() for row in rows)
    run.report.say(f"{sum(len(rows) for rows in gone.values())} removed, {freed / 1e6:.1f} MB")


@command(
    "restore",
    help={
        "id": WHICH,
        "host": "same as --limit",
        "undo": "undo the last restore",
        **ACCEPT_LOSS,
    },
    only=(*FLOW, "check"),
)
def restore(run: Run, id: str = "", host: str = "", undo: bool = False, accept_loss: bool = False) -> None:
    """Restore a backup: verified against its manifest before it replaces the data; --undo reverts it."""
    from mnemo_ops.flows import restore as flows

    if host:
        run.limit_to(host)
    target = run.only_host()
    if undo == bool(id):
        raise UsageError(
            "say which backup: --id latest, --id PREFIX; or --undo", hint="`invoke backup.list` lists the backups"
        )
    if not run.check:  # what it would do is said, and asked, once the host was looked at
        run.can_ask(
            f"replace the data of {target.name} " + ("by undoing a restore" if undo else f"with the backup {id}")
        )
    sure = None if run.check else run.confirm
    with run.flow() as flow:
        if undo:
            flows.undo(flow, target, sure)
        else:
            flows.restore(flow, target, id, sure, accept_loss)


@command(
    "migrate",
    help={
        "from_": "the host that serves the stack now",
        "to": "the host that will serve the stack",
        "method": "dump (the only method)",
        "abort": "remove what an interrupted or failed migration left on both hosts",
        "without_old": "the host of --from is lost: let --to serve its copy, if that copy was verified",
        **ACCEPT_LOSS,
    },
    only=(*FLOW, "check"),
)
def migrate(
    run: Run,
    from_: str = "",
    to: str = "",
    method: str = "dump",
    abort: bool = False,
    accept_loss: bool = False,
    without_old: bool = False,
) -> None:
    """Migrate the stack to another host: verified before cut-over, rolled back if verification fails."""
    from mnemo_ops.flows.deploy import fetch_images, place_volumes, provision
    from mnemo_ops.flows.journal import new_id
    from mnemo_ops.flows.migrate.images import Means
    from mnemo_ops.flows.migrate.migration import Migration
    from mnemo_ops.stack import definition
    from mnemo_ops.stack.settings import settings

    if method != "dump":
        raise UsageError(f"there is no method {method}; valid: dump")
    old, new = run.host(from_, "--from"), run.host(to, "--to")
    if old.name == new.name:
        raise UsageError(f"--from and --to are the same host: {old.name}", hint="name another host with --to")
    if abort and without_old:
        raise UsageError("--abort and --without-old exclude each other", hint="--abort needs both hosts")
    if abort and run.check:
        hint = f"invoke lock.status --limit {old.name},{new.name} changes nothing, and shows what a run left"
        raise UsageError("--abort and --check exclude each other", hint=hint)
    id = new_id()
    if without_old and not run.check:
        risk = f"if {old.name} comes back without its fence, both hosts serve"
        run.confirm(f"let {new.name} serve from its copy, without {old.name}: {risk}")
    elif abort:
        run.confirm(f"abort an unfinished migration and remove its copy from {new.name}")
    elif not run.check:
        run.confirm(f"stop the stack on {old.name} and move it to {new.name}")
    with run.flow(id) as flow:
        inventory = run.inventory()
        if settings(old).project and not settings(new).project:
            hint = f"cp -r host_vars/{old.name} host_vars/{new.name}, where `adopt` wrote it; or group_vars of both"
            raise InventoryError(f"{new.name} has no `stack`, and needs the one of {old.name}", hint=hint)
        make, place = (partial(each, flow, inventory, extra_vars=run.vars) for each in (provision, place_volumes))
        rows = definition.volumes(settings(new), inventory.hosts)
        fetch = partial(fetch_images, flow, inventory, run.vars)
        means = Means(fetch, partial(definition.override, inventory.hosts, extra=run.vars))
        migration = Migration(flow, old, new, make, place, rows, id, accept_loss, without_old, means)
        (migration.abort if abort else migration.check if run.check else migration.run)()


backup_create, backup_list, backup_show, backup_prune = create, list_, show, prune
