"""Show and release locks and leases of hosts."""

from __future__ import annotations

from typing import Any

from mnemo_ops.cli.options import Run, command
from mnemo_ops.errors import UsageError

COMMON = ("inventory", "limit", "json", "verbose", "ask_become_pass")


@command("lock.status", only=COMMON)
def status(run: Run) -> None:
    """Show which run works on each host, and what the host will undo if that run stops."""
    from mnemo_ops.agent.actions.leases import LookAtLocks

    with run.flow(reads=True) as flow:
        found = flow.fleet.each(run.hosts(), lambda host: flow.ready(host, LookAtLocks(flow.settings(host).store)))
    run.report.extra["locks"] = found
    for host, seen in found.items():
        owner, leases = seen["owner"], seen["leases"]
        if owner:
            run.report.say(f"{host}: {owner.get('owner')} runs `{owner.get('command')}` since {owner.get('since')}")
        for name, one in leases.items():
            run.report.say(f"{host}: {name}: {_state(host, one)}")
        if not (owner or leases):
            run.report.say(f"{host}: free")
        if seen["last"]:
            run.report.say(f"{host}: {described(seen['last'])}")
        for moved in seen["moved"]:
            run.report.say(f"{host}: run {moved} moved the stack to another host; here it is fenced and stays stopped")


def described(last: dict[str, Any]) -> str:
    """The run that was last, as its host knows of it."""
    whose = f" of {last['owner']}" if last["owner"] else ""
    parts = [f"last: `{last['command']}`{whose}"]
    parts += [f"run {last['run']}"] if last["run"] else []
    parts += [f"began {last['began']}"] if last["began"] else []
    if not last["how"]:
        return ", ".join(parts) + "; the host has no record of how it ended"
    return ", ".join([*parts, f"ended {last['ended']}: {last['how']}"])


def _state(host: str, one: dict[str, Any]) -> str:
    if one["failing"]:
        why = one["failing"]["why"]
        ends = f"invoke lock.release --limit {host} releases it and lists what stays"
        return f"CANNOT BE UNDONE YET: {why}\n  -> the host keeps retrying; {ends}"
    if one["jobs"]:
        return f"at work: {', '.join(one['jobs'])}"
    left = one["seconds_left"]
    return f"the host undoes it in {left:.0f} s unless its run continues" if left > 0 else "the host is undoing it"


@command(
    "lock.release",
    help={"lease": "name of the lease, as lock.status shows it; default: every lease of the host"},
    only=(*COMMON, "yes"),
)
def release(run: Run, lease: str = "") -> None:
    """Release leases that a killed run left and the host cannot undo; list what stays on the host."""
    from mnemo_ops.agent.actions.leases import EndLease, LookAtLocks

    host = run.only_host()
    with run.flow() as flow:
        leases = flow.ready(host, LookAtLocks())["leases"]
        chosen = [lease] if lease else sorted(leases)
        if lease and lease not in leases:
            raise UsageError(
                f"{host.name} has no lease '{lease}'", hint=f"invoke lock.status --limit {host.name} shows them"
            )
        if chosen:
            run.confirm(f"release {', '.join(chosen)} on {host.name} and stop the jobs of their runs")
        ended = {name: flow.act(host, EndLease(name)) for name in chosen}
    run.report.extra["ended"] = ended
    run.report.host(host.name).add("changed" if ended else "ok")
    if not ended:
        run.report.say(f"{host.name}: there are no leases")
    for name, one in ended.items():
        run.report.say(
            f"{host.name}: {name}: " + ("undone" if one["undone"] else f"released, not undone: {one['why']}")
        )
        for sentence in one["leaves"]:
            run.report.say(f"  left behind: {sentence}")
