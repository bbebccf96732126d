"""Runs: what was done on hosts and from here, and what is left to do about it."""

from __future__ import annotations

from mnemo_ops.cli.options import Run, command

NEWEST = 20  # runs that are shown


@command(
    "runs",
    help={"all": f"every run, not only the newest {NEWEST} and those that need something"},
    only=("inventory", "limit", "json", "verbose", "ask_become_pass"),
)
def runs(run: Run, all: bool = False) -> None:
    """Backups, restores, migrations and moves of volumes: when each began, how it ended, and the next command."""
    from mnemo_ops.flows.runs import latest, rows, shown

    with run.flow(reads=True) as flow:
        every, silent = rows(flow, run.hosts())
    chosen = every if all else latest(every, NEWEST)
    spoken = run.report.advice.spoken
    run.report.extra["runs"] = [{**row.to_json(), "next": spoken(row.next)} for row in chosen]
    for row in chosen:
        run.report.say(shown(row))
        if row.next:
            run.report.say(f"  -> {row.next}")
    if len(chosen) < len(every):
        run.report.say(f"{len(every) - len(chosen)} older ones: --all shows them")
    if not every:
        run.report.say("no run is recorded here or there")
    if silent:
        for error in silent[1:]:
            run.report.say(f"  failed   {error}")
        raise silent[0]
