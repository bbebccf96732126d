"""A volume's data from where they are to where the inventory wants them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mnemo_ops.agent.actions.transfer import Release
from mnemo_ops.agent.actions.volume_move import MoveVolume, ReturnVolume
from mnemo_ops.agent.base.progress import Report as Answer
from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.stack.volume_move.moving import STAGED, job_of, staged
from mnemo_ops.core.model import Host
from mnemo_ops.core.suggest import suggest
from mnemo_ops.errors import ChannelLost, MnemoError, Refused, UsageError
from mnemo_ops.execution.playbook_run import Plays, shipped
from mnemo_ops.flows.deploy import look_at_volumes
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.journal import new_id
from mnemo_ops.stack import definition
from mnemo_ops.stack.settings import Settings

Row = Mapping[str, Any]


class Move:
    """One run: :meth:`is_needed` looks and says what would be done, :meth:`run` does it.

    :param to: the type the inventory declares for the volume; empty with ``undo``.
    :raises UsageError: the stack has no such volume, or the inventory declares another type (2).
    """

    def __init__(self, flow: Flow, plays: Plays, host: Host, key: str, to: str, undo: bool) -> None:
        self.flow, self.plays, self.host, self.key, self.undo = flow, plays, host, key, undo
        self.say = flow.report.step
        chosen = flow.settings(host)
        rows = definition.volumes(chosen, plays.inventory.hosts)
        self.row = _declared([*rows, *(_paths(chosen) if undo else ())], key, to, undo)
        self.project = chosen.project
        external = self.row["type"] == "external"
        self.staged = self.row["name"] if external else staged(self.project, key)
        self.staged = "" if undo else self.staged  # the host knows what was kept: its first answer says
        # only of a directory is known before it is there how much it will hold
        directory = self.row["directory"] if self.row["type"] == "bind" else ""
        made = {"driver": "local", "options": self.row.get("driver_options", {}), "labels": self.row["labels"]}
        target = {"name": self.row["name"], "external": external, "directory": directory, **made}
        self.action = MoveVolume(flow.stack(host), key, new_id(), target, self.staged, undo)
        self.alive = False
        self.plan: Any = None

    def is_needed(self) -> bool:
        """Look, and show the plan. :raises Refused: it cannot be done; nothing was touched (3)."""
        self.say(f"look where {self.key} is on {self.host.name}")
        answer = self._look()
        last = answer["last"]
        if last is not None and last["state"] != "moved":
            if answer["alive"]:
                self._refuse_another(last)
                self.alive = True
                self.action = replace(self.action, run_id=last["id"])
                self.say(f"the move of {self.key} is still running on {self.host.name}: following it")
                return True
            if self.plays.options.check:
                self.say(f"this would first finish an interrupted move of {self.key}, then move it")
                self.flow.report.host(self.host.name).add("changed")
                return True
            self._clean_up(last)
            answer = self._look()
        if self.undo:
            self._turn_back(answer["last"])
            answer = self._look()
        stale = answer["stale"]
        if stale and not self.plays.options.check:
            self._drop_prepared()
            stale = False
        self.plan = answer["plan"]
        if self.plan is not None and not self.undo and not stale:
            look_at_volumes(self.flow, self.host, [self._next()], moving=True)
        self._tell()
        return self.plan is not None

    def _look(self) -> Answer:
        return self.flow.ready(self.host, self.action)

    def _refuse_another(self, last: Row) -> None:
        """:raises Refused: the move that is at work goes elsewhere: its end is not that of this one (3)."""
        if not _same(last["target"], self.action.target):
            raise Refused(
                f"run {last['id']} is moving {self.key} to {_where(last['target'])} on {self.host.name}",
                hint="wait for it, then run this command again",
            )

    def _clean_up(self, last: Row) -> None:
        """End what was interrupted: back, or on where the new volume was in place; its lease would do the same."""
        self.say(f"finish the interrupted move ({last['id']})")
        self.flow.forget(self.host, last["id"])
        self.flow.act(self.host, Release(f"move-{last['id']}"))
        self.flow.act(self.host, ReturnVolume(self.flow.stack(self.host), self.key))
        self.flow.report.host(self.host.name).add("changed")

    def _turn_back(self, last: Any) -> None:
        """:raises Refused: there is no move to undo, or the inventory still wants what it made (3)."""
        if last is None:
            raise Refused(f"there is no move of {self.key} to undo on {self.host.name}")
        source, wanted = last["source"], self.action.target
        if not _same(source, wanted):
            raise Refused(
                f"{self.key} would go back to {_where(source)}, and stack.volumes.{self.key} says {_where(wanted)}",
                hint=f"restore the previous stack.volumes.{self.key} in the inventory, then run this command again",
            )
        self.staged = last["kept"] or source["name"]
        self.action = replace(self.action, staged=self.staged)

    def _tell(self) -> None:
        report, plan = self.flow.report, self.plan
        report.extra.update(volume=self.key, to=self.row["type"])
        if plan is None:
            self.say(f"nothing to do: {self.key} is in {_where(self.action.target)}")
            report.host(self.host.name).add("ok")
            return
        size = ""
        if plan["bytes"] is not None:
            size = f", {plan['bytes'] / 1e6:.1f} MB in {plan['entries']} files and directories"
        self.say(f"move {self.key} from {_where(plan['source'])} to {_where(self.action.target)}{size}")
        stopped = ", ".join(plan["services"]) or "nothing"
        report.say(f"  the stack runs during the copy; at the end these stop for a moment: {stopped}")
        report.say(f"  kept: {plan['kept'] or plan['source']['name']}, the old one")
        report.extra.update({"from": _where(plan["source"]), "services": plan["services"]})
        if self.plays.options.check:
            report.host(self.host.name).add("changed")

    def run(self) -> None:
        """:raises StepFailed: a step failed, everything is as before (6). :raises VerificationFailed: (7)."""
        if not self.alive:
            self._prepare_or_drop()
        with self._ending():
            done = self.flow.act(self.host, self.action, job=job_of(self.action.run_id))
        report = self.flow.report
        report.extra.update(done)
        if not done["moved"]:
            return
        report.host(self.host.name).add("changed")
        report.step(f"{self.key} is in {_where(self.action.target)}: {done['files']} files, all hashes match")
        report.say(f"  kept: {done['kept'] or 'the old volume, which the stack does not own'}")
        if not self.undo:
            report.say(
                f"  -> to undo it: restore the previous stack.volumes, then invoke volumes --volume {self.key} --undo"
            )
        report.summary.append(f"write outage {done['write_outage_seconds']:.1f} s")

    def _prepare(self) -> None:
        """The place the data go to, made by the playbook of its type under a name of its own; the new override."""
        words = definition.words(self.host, self.plays.inventory.hosts)
        plays = replace(self.plays, limit=self.host.name)
        if not self.undo:
            self.say(f"make {_where(self.action.target)}")
            plays.run(shipped("volumes.yml"), lambda host: {**words, "stack_volumes": [self._next()]})
        if self.plan["source"]["name"] != self.row["name"]:
            self.say("write the override with the new name beside the one in use")
            options = replace(self.plays.options, tags=frozenset({"override"}))
            other = {**words, "override_name": definition.OVERRIDE_NAME + ".next"}
            replace(plays, options=options).run(shipped("stack.yml"), lambda host: other)

    def _next(self) -> Row:
        """The row of the place the data go to, until it gets the volume's name."""
        labels = {"mnemo.stack": self.project, STAGED: self.key}
        labels = self.row["labels"] if self.row["type"] == "external" else labels
        return {**self.row, "name": self.staged, "labels": labels, "written": False}

    def _ending(self) -> Any:
        return self.flow.forgetting(self.host, self.action.run_id, f"move-{self.action.run_id}", self._state)

    def _drop_prepared(self) -> None:
        """The place that a run prepared which never began to move anything."""
        self.flow.act(self.host, ReturnVolume(self.flow.stack(self.host), self.key, prepared=True))

    def _prepare_or_drop(self) -> None:
        """Nothing is moved yet, so nothing of it stays. Errors as of :meth:`run`."""
        try:
            self._prepare()
        except ChannelLost as error:
            error.message += f"; {self.key} lies where it was"
            error.hint = "the same command begins anew"
            raise
        except BaseException:
            with suppress(MnemoError, KeyboardInterrupt):  # the next run does it
                self._drop_prepared()
            raise

    def _state(self) -> str:
        with suppress(MnemoError):  # the next run does it
            self._drop_prepared()
        last = self.flow.ready(self.host, self.action)["last"]
        moved = last is not None and last["id"] == self.action.run_id and last["state"] == "moved"
        return f"{self.key} is moved" if moved else f"{self.key} lies where it was"


def _declared(rows: list[dict[str, Any]], key: str, to: str, undo: bool) -> Row:
    """The row the inventory declares. :raises UsageError: it declares none, or another type (2)."""
    if to and undo:
        raise UsageError(
            "--to and --undo exclude each other", hint="--undo moves the data back to their previous place"
        )
    known = {row["key"]: row for row in rows}
    if key not in known:
        what = f"the stack has no volume '{key}'" if key else "--volume is missing: which one is to be moved?"
        raise UsageError(what, hint=suggest(key, known))
    kind = known[key]["type"]
    if to and to != kind:
        raise UsageError(
            f"stack.volumes.{key} says {kind}, not {to}",
            hint=f"first declare its new place, stack: {{volumes: {{{key}: {{type: {to}, ...}}}}}}",
        )
    return known[key]


def _paths(chosen: Settings) -> list[dict[str, Any]]:
    """The paths of the stack that may be volumes and are none: where an undone move may go back to."""
    free = [row.path for row in definition.datasets(chosen) if row.path not in ("", ".") and not row.volume]
    paths = {path: f"{chosen.directory}/{path}" for path in free}
    return [
        {"key": key, "type": "path", "name": path, "labels": {}, "directory": path,
         "driver_options": {"type": "none", "o": "bind", "device": path}}
        for key, path in paths.items()
    ]  # fmt: skip


def _same(made: Row, wanted: Row) -> bool:
    """Whether it is what is asked for."""
    return bool(made["name"] == wanted["name"] and (wanted["external"] or made["options"] == wanted["options"]))


def _where(made: Row) -> str:
    """A definition for people."""
    options = made.get("options") or {}
    if made.get("external") or (not options and not str(made.get("labels"))):
        return f"the volume {made['name']}"
    return docker.described(made.get("driver", "local"), options)
