"""Prepare a fresh server, or run any playbook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from mnemo_ops.cli.options import Run, command
from mnemo_ops.errors import UsageError, reason

if TYPE_CHECKING:
    from mnemo_ops.execution.playbook_run import Plays

PLAYS = ("inventory", "limit", "check", "diff", "json", "verbose", "vars", "exit_drift", "ask_become_pass")
TAGS = {
    "tags": "run only tasks with one of these tags, comma separated",
    "skip_tags": "skip tasks with one of these tags",
}


def _shipped(run: Run, name: str, tags: str = "", skip_tags: str = "") -> None:
    """Run one of the shipped playbooks, with the stack's settings filled in."""
    from mnemo_ops.execution.playbook_run import shipped
    from mnemo_ops.stack.definition import words

    with _plays(run, tags, skip_tags) as plays:
        plays.run(shipped(name), lambda host: words(host, plays.inventory.hosts))


@contextmanager
def _plays(run: Run, tags: str, skip_tags: str, start_at: str = "", home: Optional[Path] = None) -> Iterator[Plays]:
    from mnemo_ops.core.options import Options
    from mnemo_ops.execution.playbook_run import Plays

    style = run.report.style
    options = Options(run.check, _names(tags), _names(skip_tags), start_at, int(style.verbose), style.diff)
    inventory = run.inventory(home)
    with run.fleet(aliases=True) as fleet:
        yield Plays(fleet, run.report, inventory, run.limit, run.vars, options)


def _names(text: str) -> frozenset[str]:
    return frozenset(name for name in text.split(",") if name)


@command("bootstrap", help=TAGS, only=PLAYS)
def bootstrap(run: Run, tags: str = "", skip_tags: str = "") -> None:
    """Prepare a fresh server for the stack: tools, Docker, kernel settings."""
    _shipped(run, "bootstrap.yml", tags, skip_tags)


@command("docker-install", help={"version": "install this version of Docker's packages and hold it"}, only=PLAYS)
def docker_install(run: Run, version: str = "") -> None:
    """Install Docker Engine and the Compose plugin, nothing else."""
    if version:
        run.vars["docker_version"] = version
    _shipped(run, "docker.yml")


@command(
    "play", help={**TAGS, "playbook": "path to a playbook", "start_at": "start at the task of this name"}, only=PLAYS
)
def play(run: Run, playbook: str, tags: str = "", skip_tags: str = "", start_at: str = "") -> None:
    """Run a playbook."""
    with _plays(run, tags, skip_tags, start_at, Path(playbook).parent) as plays:
        plays.run(Path(playbook))


@command("docs", help={"kind": "apt, copy, docker_volume, ..."}, only=("verbose",))
def docs(run: Run, kind: str) -> None:
    """Show a module's arguments, defaults and an example: `invoke docs copy`; `docs all` lists every module."""
    from mnemo_ops.reference.tables import page

    run.report.show(run.report.advice.spoken(page(kind).rstrip("\n")))


@command(
    "schema",
    help={"what": "playbook, inventory, or stack (of mnemo.yml)", "output": "write to this file instead of stdout"},
    only=("verbose",),
)
def schema(run: Run, what: str, output: str = "") -> None:
    """Write a JSON Schema for editors: `invoke schema playbook --output playbook.schema.json`."""
    import json

    from mnemo_ops.reference import json_schema
    from mnemo_ops.reference.json_forms import of_dataclass
    from mnemo_ops.stack import settings
    from mnemo_ops.stack.nfs_schema import Nfs

    ours = {"stack": settings.schema(), "nfs": of_dataclass(Nfs)}
    schemas: dict[str, Callable[[], dict[str, Any]]] = {
        "playbook": json_schema.playbook,
        "inventory": lambda: json_schema.inventory(ours),
        "stack": lambda: json_schema.alone(ours["stack"], "What mnemo_ops has to know of a stack: mnemo.yml"),
    }
    if what not in schemas:
        raise UsageError(f"there is no schema for '{what}'", hint=f"valid names: {', '.join(schemas)}")
    text = json.dumps(schemas[what]())
    if not output:
        run.report.show(text)
        return
    try:
        Path(output).write_text(text + "\n")
    except OSError as problem:
        raise UsageError(f"{output} cannot be written: {reason(problem)}") from None
