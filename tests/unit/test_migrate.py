"""The order of a migration's steps: what is seen to be wrong is said while old still serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mnemosyne
import pytest

from mnemo_ops.agent.base.record import asdict
from mnemo_ops.checks.findings import refused, shown
from mnemo_ops.checks.preflight import Side
from mnemo_ops.core.model import Host
from mnemo_ops.errors import ChannelLost, Interrupted, NotStarted, Refused, StepFailed, Unreachable
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.journal import Journal
from mnemo_ops.flows.migrate import ends, gone, leftovers, preflight, prepare, promotion, rollback, transfer
from mnemo_ops.flows.migrate.context import Stage
from mnemo_ops.flows.migrate.migration import Migration
from mnemo_ops.stack import definition
from mnemo_ops.stack import settings as stack_settings

OLD, NEW = mnemosyne.host("old", "192.0.2.1"), mnemosyne.host("new", "192.0.2.2")


class Fleet:
    """Two hosts that write down what they are asked, and answer what is said here."""

    def __init__(self, **answers: Callable[[], dict[str, Any]]) -> None:
        self.answers, self.asked = answers, list[str]()

    def session(self, host: Host) -> Any:
        fleet = self

        class Session:
            def act(self, action: Any, **_: Any) -> dict[str, Any]:
                about = getattr(action, "lease", "") or getattr(action, "run_id", "")
                fleet.asked.append(f"{host.name}: {action.kind} {about}")
                return fleet.answers.get(action.kind, dict)()

            ready = act

        return Session()


def migration(tmp_path: Path, fleet: Any, place: Callable[[Host], None] = lambda host: None) -> Migration:
    flow = Flow(fleet, Report("migrate", Style()), tmp_path)
    return Migration(flow, OLD, NEW, lambda host: None, place, (), "20261129T220719Z-0002")


def side(name: str, **survey: Any) -> Side:
    return Side(name, {}, {"troubles": [], "leases": {}, "target": None, **survey})


def test_what_moves_is_asked_of_new_where_old_is_gone(tmp_path: Path) -> None:
    """Of a stack that nobody declares: `--without-old` was refused because old does not answer."""
    told = {"name": "kept", "kind": "postgres", "volume": "kept", "path": "", "service": "db", "docker": ""}
    knows = [False, True]

    def show() -> dict[str, Any]:
        if not knows.pop(0):
            raise Unreachable("old does not answer")
        return {
            "directory": "/srv/notes",
            "files": [],
            "env_files": [],
            "rows": [{"topic": "dataset", "dataset": told}],
        }

    def emptied(is_so: list[bool]) -> Callable[[], dict[str, Any]]:
        def show() -> dict[str, Any]:
            if is_so.pop(0):
                raise Refused("no compose file in /srv/notes")
            return {
                "directory": "/srv/notes",
                "files": [],
                "env_files": [],
                "rows": [{"topic": "dataset", "dataset": told}],
            }

        return show

    hosts = [Host(each.name, each.address, vars={"stack": {"project": "notes"}}) for each in (OLD, NEW)]
    fleet: Any = Fleet(show_stack=show)
    flow = Flow(fleet, Report("migrate", Style()), tmp_path)
    made = Migration(flow, *hosts, lambda host: None, lambda host: None, (), "20261129T220719Z-0002")
    assert [row["name"] for row in made.context.stack["datasets"]] == ["kept"]
    assert fleet.asked == ["old: show_stack ", "new: show_stack "]
    fleet.answers["show_stack"] = emptied([True, False])
    again = Migration(flow, *hosts, lambda host: None, lambda host: None, (), "20261129T220719Z-0002")
    assert [row["name"] for row in again.context.stack["datasets"]] == ["kept"], "old was emptied: it has no project"
    fleet.answers["show_stack"] = show
    knows[:] = [False, False]
    with pytest.raises(Unreachable, match="old"):
        Migration(flow, *hosts, lambda host: None, lambda host: None, (), "20261129T220719Z-0002")


def test_what_no_backup_holds_is_told_once_by_each_flow(tmp_path: Path) -> None:
    """What a container wrote into its own layer was left behind without a word."""
    row = {"topic": "no backup holds", "what": "n-web-1", "value": "7 bytes", "reason": "written: /var/lib/app"}
    rows = [
        {**row, "overrule": f'a volume there, or stack.waived: {{"{key}": "REASON"}}'} for key in ("web:/a", "web:/b")
    ]
    told = {
        "directory": "/srv/notes",
        "files": [],
        "env_files": [],
        "rows": [{**each, "dataset": None} for each in rows],
    }
    fleet: Any = Fleet(show_stack=lambda: told)
    flow = Flow(fleet, Report("backup", Style()), tmp_path)
    host = Host("old", "192.0.2.1", vars={"stack": {"project": "notes", "waived": {"web:/b": "a cache"}}})
    flow.stack(host)
    flow.stack(host)
    assert flow.report.extra["warnings"] == ["old: no backup holds what is in n-web-1 (7 bytes): written: /var/lib/app"]


def test_a_project_in_another_directory_than_declared_is_refused(tmp_path: Path) -> None:
    """Its set would hold another directory's configuration, or none; what goes by records alone may go on."""
    fleet: Any = Fleet(show_stack=lambda: {"directory": "/opt/notes", "files": [], "env_files": [], "rows": []})
    flow = Flow(fleet, Report("backup", Style()), tmp_path)
    host = Host("old", "192.0.2.1", vars={"stack": {"project": "notes"}})
    with pytest.raises(Refused, match=r"lies in /opt/notes, and stack\.directory is /srv/notes") as caught:
        flow.stack(host)
    assert "stack.directory: /opt/notes" in caught.value.hint
    assert flow.stack_as_known(host)["directory"] == "/srv/notes"


@pytest.mark.parametrize("tools", [{}, {"docker": False}], ids=["with docker", "bare when it was surveyed"])
def test_a_disk_that_is_seen_to_hold_something_is_refused_before_anything_is_stopped(
    tools: dict[str, bool], tmp_path: Path
) -> None:
    """A disk that was attached, not mounted, is looked into only once its volume is made.

    Of a bare host nothing was looked into, neither before nor after it was provisioned: old was fenced first.
    """
    filled = asdict(refused("volume.occupied", "graph", "/mnt/data holds file", "move it away first"))
    placed: list[str] = []
    fleet = Fleet(look_at_volumes=lambda: {"findings": [filled] if placed else []})
    run = migration(tmp_path, fleet, lambda host: placed.append(host.name))
    run.context.sides = (side("old"), side("new", tools=tools))
    assert preflight.misplaced(run.context, run.context.sides[1]) == []
    with pytest.raises(Refused, match=r"^new: graph: /mnt/data .*file$") as caught:
        prepare.place(run.context)
    assert caught.value.hint == "move it away first"
    assert placed == ["new"]


@pytest.mark.parametrize(
    ("here", "there", "said"),
    [
        ({"grafana_data": "ours"}, {}, "grafana_data: old has it in ours, here it would be in mnemosyne_grafana_data"),
        ({}, {"grafana_data": "ours"}, "grafana_data: old has it in mnemosyne_grafana_data, here it would be in ours"),
        ({"uploads": "ours"}, {}, "uploads: old has it in ours, here it would be in the stack's directory"),
        ({}, {"uploads": "ours"}, "uploads: old has it in the stack's directory, here it would be in ours"),
        ({"uploads": "ours"}, {"uploads": "ours"}, ""),
    ],
)
def test_a_volume_of_another_name_on_new_is_found_before_anything_is_stopped(
    tmp_path: Path, here: dict[str, str], there: dict[str, str], said: str
) -> None:
    """The compose file is taken along, and names what it named on old."""

    def declared(host: Host, names: dict[str, str]) -> Host:
        volumes = {key: {"type": "external", "name": name} for key, name in names.items()}
        return mnemosyne.host(host.name, host.address, volumes=volumes)

    old, new = declared(OLD, here), declared(NEW, there)
    flow = Flow(Fleet(look_at_volumes=lambda: {"findings": []}), Report("migrate", Style()), tmp_path)  # type: ignore[arg-type]
    rows = definition.volumes(stack_settings.settings(new))
    run = Migration(flow, old, new, lambda host: None, lambda host: None, rows, "20261129T220719Z-0002")
    found = preflight.misplaced(run.context, side("new"))
    assert (said in shown(found[0])) if said else not found


def test_an_interrupted_migration_is_undone_and_what_others_do_is_not(tmp_path: Path) -> None:
    """A backup or a move whose controller is gone is at work still."""
    fleet = Fleet()
    context = migration(tmp_path, fleet).context
    held = {
        "set-20261129T220719Z-0001": "",
        "fence-20261129T220719Z-0001": "20261129T220719Z-0001",
        "key-20261129T220719Z-0001": "20261129T220719Z-0001",
        "set-20261129T220719Z-0b01": "",
        "restore-20261129T220719Z-0b02": "",
        "move-20261129T220719Z-0a01": "20261129T220719Z-0a01",
    }
    there = {"key-20261129T220719Z-0001": "20261129T220719Z-0001"}
    assert leftovers.clean_up(context, side("old", leases=held), side("new", leases=there))
    assert [line for line in fleet.asked if "write_journal" not in line] == [
        "old: forget 20261129T220719Z-0001",
        *(
            "old: release set-20261129T220719Z-0001",
            "old: release fence-20261129T220719Z-0001",
            "old: release key-20261129T220719Z-0001",
        ),
        *("new: forget 20261129T220719Z-0001", "new: release key-20261129T220719Z-0001"),
    ]
    fleet.asked.clear()
    assert not leftovers.clean_up(
        context,
        side("old", leases={"set-20261129T220719Z-0b01": "", "move-20261129T220719Z-0a01": "20261129T220719Z-0a01"}),
        side("new"),
    )
    assert not fleet.asked


@pytest.mark.parametrize(
    ("fails", "asked", "said"),
    [
        ("", ["mark_target", "compose_up", "drop_lease"], ""),
        ("compose_up", ["mark_target", "compose_up"], "new retries the start for 15 minutes"),
        ("mark_target", ["mark_target"], "not every service runs yet"),
    ],
)
def test_past_the_point_of_no_return_new_itself_starts_everything(
    tmp_path: Path, fails: str, asked: list[str], said: str
) -> None:
    def fail() -> dict[str, Any]:
        raise NotStarted("nginx: its port is taken")

    fleet = Fleet(**({fails: fail} if fails else {}))
    run = migration(tmp_path, fleet)
    try:
        promotion.promote(run.context)
    except NotStarted as error:
        with pytest.raises(StepFailed) as caught:
            rollback.give_up(run.context, run.steps, error)
        assert caught.value.message.endswith(said)
    of_new = [line.split()[1] for line in fleet.asked if line.startswith("new: ")]
    assert [kind for kind in of_new if kind not in ("write_journal", "forget")] == asked


def test_before_the_fence_becomes_final_new_knows_how_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet()
    context = migration(tmp_path, fleet).context
    context.host_keys = ["ssh-ed25519 AAAA"]
    monkeypatch.setattr(transfer, "question", lambda context: {})
    promotion.promote(context)
    kinds = [" ".join(line.split()[:2]) for line in fleet.asked]
    assert kinds.index("new: mark_target") < kinds.index("old: settle_fence") and kinds.count("new: mark_target") == 2


def test_a_run_to_another_host_is_not_said_to_be_removed_there(tmp_path: Path) -> None:
    """Old may have been on its way to somebody else when it was interrupted, who holds a copy: --abort is still due."""
    run = "20261129T220719Z-0001"
    Journal(tmp_path, run).write({"run": run, "phase": "quiesce", "status": "began", "from": "old", "to": "third"})
    fleet = Fleet()
    context = migration(tmp_path, fleet).context
    assert ends.unfinished(context) == set()
    leftovers.clean_up(context, side("old", leases={f"fence-{run}": run}), side("new"))
    assert f"old: release fence-{run}" in fleet.asked and not [one for one in fleet.asked if "journal" in one]
    last = Journal(tmp_path, run).lines()[-1]
    assert (last["phase"], last["status"], last["from"], last["to"]) == ("quiesce", "began", "old", "third")


def test_a_run_that_serves_without_old_is_not_aborted_when_old_is_back(tmp_path: Path) -> None:
    """It failed at the end, so no line says that it is complete; and old, whose fence was not final, serves again."""
    run = "20261129T220719Z-0001"
    for step in ("verify done", "promote intent", "finish failed"):
        phase, status = step.split()
        Journal(tmp_path, run).write({"run": run, "phase": phase, "status": status, "from": "old", "to": "new"})
    fleet = Fleet()
    mark = {"run": run, "state": "serving", "hosts": ["old", "new"]}
    new = side("new", leases={f"target-{run}": run}, target=mark)
    assert leftovers.clean_up(migration(tmp_path, fleet).context, side("old"), new) == set()
    assert not fleet.asked and Journal(tmp_path, run).lines()[-1]["phase"] == "finish"


def test_what_was_left_is_removed_where_this_machine_can_write_nothing_down(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("no directory")
    fleet, run = Fleet(), "20261129T220719Z-0001"
    left = side("old", leases={f"fence-{run}": run})
    assert leftovers.clean_up(migration(tmp_path, fleet).context, left, side("new")) == {run}
    assert f"old: write_journal {run}" in fleet.asked


def test_a_full_disk_here_ends_a_run_only_before_its_point_of_no_return(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("no directory")
    fleet = Fleet()
    context = migration(tmp_path, fleet).context
    with pytest.raises(StepFailed, match=r"runs/2026.* cannot be written"):
        context.note("quiesce", "began")
    context.stage = Stage.PROMOTED
    promotion.promote(context)
    assert context.stage == Stage.SERVING


def test_who_interrupts_twice_in_the_moment_of_no_return_hears_what_the_hosts_do(tmp_path: Path) -> None:
    def interrupt() -> dict[str, Any]:
        raise KeyboardInterrupt

    fleet = Fleet(settle_fence=interrupt, survey=interrupt)
    run = migration(tmp_path, fleet)
    with pytest.raises(KeyboardInterrupt) as first:
        promotion.promote(run.context)
    with pytest.raises(Interrupted, match="either old serves again within two minutes, or new does"):
        rollback.give_up(run.context, run.steps, first.value)
    assert run.context.journal.steps()[-1].endswith(" failed")


def test_a_fence_that_was_final_when_old_was_asked_is_written_down(tmp_path: Path) -> None:
    """The answer was lost: old may be gone when somebody goes on, and `runs` names the command that goes on."""

    def lost() -> dict[str, Any]:
        raise ChannelLost("the connection broke")

    fleet = Fleet(settle_fence=lost, survey=lambda: {"fence": {"run": "20261129T220719Z-0002", "state": "final"}})
    run = migration(tmp_path, fleet)
    with pytest.raises(ChannelLost) as error:
        promotion.promote(run.context)
    with pytest.raises(StepFailed):
        rollback.give_up(run.context, run.steps, error.value)
    assert gone.SETTLED in run.context.journal.steps()
