"""Show what follows from a compose project."""

from __future__ import annotations

from mnemo_ops.cli.options import Run, command


@command("stack.show", only=("inventory", "limit", "json", "verbose", "ask_become_pass"))
def show(run: Run) -> None:
    """Show what is read from the compose project of each host: datasets, writers, order; why, and what overrules it."""
    from mnemo_ops.flows import derived

    with run.flow(reads=True) as flow:
        found = flow.fleet.each(run.hosts(), lambda host: derived.look(flow, host))
    run.report.extra["stacks"] = found
    for host, told in found.items():
        for line in derived.table(host, told):
            run.report.say(line)
