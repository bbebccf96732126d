"""The stack's life: deploy, back up, restore, migrate."""

from __future__ import annotations

from functools import partial

from mnemo_ops.cli.options import Run, command
from mnemo_ops.errors import UsageError, VerificationFailed

ACCEPT_LOSS = {"accept_loss": "go on also where something of the database server is in no set; the report names it"}
FLOW = ("inventory", "limit", "json", "verbose", "vars", "yes", "ask_become_pass")


@command(
    "deploy", only=("inventory", "limit", "check", "diff", "json", "verbose", "vars", "exit_drift", "ask_become_pass")
)
def deploy(run: Run) -> None:
    """Render, load images, start, and check deeply: the stack of a host as declared."""
    from mnemo_ops.flows.deploy import deploy as deployed

    host = run.only_host()
    with run.flow() as flow:
        deployed(flow, run.inventory(), host, run.vars, run.check)


@command("backup.create", help=ACCEPT_LOSS, only=(*FLOW, "check"))
def create(run: Run, accept_loss: bool = False) -> None:
    """One set of everything, now; what writes is stopped meanwhile. With --check only whether it can be made."""
    from mnemo_ops.flows.backup import backup

    host = run.only_host()
    with run.flow() as flow:
        backup(flow, host, run.check, accept_loss)


@command(
    "backup.list",
    help={
        "all": "also sets that were never finished",
        "check": "read every part of every set and compare its checksum; exit 7 when one differs",
    },
    only=("inventory", "limit", "check", "json", "verbose", "ask_become_pass"),
)
def list_(run: Run, all: bool = False) -> None:
    """The sets of each host: id, age, size, parts, consistency, whole or not, and when last restored."""
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
            run.report.say(f"{host}: no sets")
        if unfinished and not all:
            gone = f"invoke backup.prune --limit {host} removes them"
            run.report.say(f"{host}: {unfinished} never finished: --all shows them, {gone}")
    wrong = [
        f"{row['id']} on {host} is {condition(row)}"
        for host, rows in found.items()
        for row in rows
        if row["state"] in ("damaged", "unreadable")
    ]
    if wrong and run.check:
        raise VerificationFailed("; ".join(wrong), hint="restore another set; make a new one: invoke backup")


@command(
    "backup.prune",
    help={
        "keep_last": "complete sets that stay at least (default: 1); the newest one that was restored stays always",
        "aside": "also what restores keep beside what serves: data that are nowhere else",
        "check": "remove nothing, say what would go",
    },
    only=("inventory", "limit", "check", "json", "verbose", "yes", "ask_become_pass"),
)
def prune(run: Run, keep_last: str = "1", aside: bool = False) -> None:
    """Remove what is no backup: unfinished sets, and the sets and images that failed migrations left."""
    from mnemo_ops.flows import backup as flows

    if not keep_last.isdecimal() or int(keep_last) < 1:
        raise UsageError(f"--keep-last {keep_last}: there must be at least one set", hint="--keep-last 1")
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
        run.report.say(f"{len(every)} would go, {total}" if every else "nothing to remove")
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
        "id": "latest, a time (2026-01-31T12:00, the newest set before it), or the beginning of a set's id",
        "host": "the same as --limit",
        "undo": "take the last restore back",
        **ACCEPT_LOSS,
    },
    only=(*FLOW, "check"),
)
def restore(run: Run, id: str = "", host: str = "", undo: bool = False, accept_loss: bool = False) -> None:
    """A set into this stack: compared with its manifest before it is swapped in, undoable afterwards."""
    from mnemo_ops.flows import restore as flows

    if host:
        run.limit_to(host)
    target = run.only_host()
    if undo == bool(id):
        raise UsageError("say which set: --id latest, --id PREFIX; or --undo", hint="invoke backup.list shows the sets")
    if not run.check:  # what it would do is said, and asked, once the host was looked at
        run.can_ask(f"replace the data of {target.name} " + ("by undoing a restore" if undo else f"with the set {id}"))
    sure = None if run.check else run.confirm
    with run.flow() as flow:
        if undo:
            flows.undo(flow, target, sure)
        else:
            flows.restore(flow, target, id, sure, accept_loss)


@command(
    "migrate",
    help={
        "from_": "the host that serves now",
        "to": "the host that shall serve",
        "method": "dump, the only one yet",
        "abort": "undo what an interrupted or failed migration left on both hosts",
        "without_old": "the host of --from is gone for good: --to serves from its copy, if that was proven complete",
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
    """The whole stack from one host to another: proven equal before anybody is let in, back by itself if not."""
    from mnemo_ops.flows.deploy import place_volumes, provision
    from mnemo_ops.flows.journal import new_id
    from mnemo_ops.flows.migrate.migration import Migration
    from mnemo_ops.stack import definition

    if method != "dump":
        raise UsageError(f"--method {method} is not known; methods: dump")
    old, new = run.host(from_, "--from"), run.host(to, "--to")
    if old.name == new.name:
        raise UsageError(f"--from and --to are the same host: {old.name}", hint="name another host with --to")
    if abort and without_old:
        raise UsageError("--abort and --without-old: one of them", hint="--abort needs both hosts")
    id = new_id()
    if without_old and not run.check:
        risk = f"should {old.name} not be fenced for good and start again, both serve"
        run.confirm(f"let {new.name} serve from its copy, without {old.name}: {risk}")
    elif abort:
        run.confirm(f"end an unfinished migration and remove its copy from {new.name}")
    elif not run.check:
        run.confirm(f"stop the stack on {old.name} and move it to {new.name}")
    with run.flow(id) as flow:
        inventory = run.inventory()
        make, place = (partial(each, flow, inventory, extra_vars=run.vars) for each in (provision, place_volumes))
        rows = definition.volumes(definition.settings(new), inventory.hosts)
        migration = Migration(flow, old, new, make, place, rows, id, accept_loss, without_old)
        (migration.abort if abort else migration.check if run.check else migration.run)()


backup_create, backup_list, backup_prune = create, list_, prune
