"""Adopt: a running project's files copied here, and what mnemo_ops has to know of it. Its host is only read."""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from mnemo_ops.agent.actions.adopt import PIECE, ListProjects, LookAtProject, ReadFiles
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.core.model import Host
from mnemo_ops.core.paths import shown
from mnemo_ops.core.visible import in_a_line
from mnemo_ops.errors import InventoryError, Refused, UsageError, VerificationFailed, reason
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.shipping import BESIDE
from mnemo_ops.inventory.load import Inventory, load
from mnemo_ops.stack import adopted_files as files
from mnemo_ops.stack import adoption, validation
from mnemo_ops.stack.adopted_files import Made
from mnemo_ops.stack.adoption import Adopted
from mnemo_ops.stack.project import reading
from mnemo_ops.stack.project.shipment import pack
from mnemo_ops.stack.settings import FILE, settings

TEMPLATE = ("{{", "{%", "{#")
MANY = 1000  # files in one answer
SECRETS = "holds its secrets: keep it out of version control"


@dataclass(frozen=True)
class Place:
    """Where an adopted project is written down.

    :param inventory: the file or directory; ``known``: it is there, and has the host. :param host: of it.
    :param reached: variables that say how the host is reached, for an inventory that is made now.
    """

    inventory: Path
    known: Optional[Inventory]
    host: Host
    reached: Mapping[str, Any]

    @property
    def home(self) -> Path:
        return self.inventory if self.inventory.is_dir() else self.inventory.parent


def project_of(flow: Flow, host: Host, wanted: str) -> str:
    """The project that is meant: the one that is named, or the only one.

    :raises UsageError: there are several (2). :raises Refused: there is none (3).
    """
    told = flow.ready(host, ListProjects())
    names = sorted(told["projects"])
    if wanted in names or (not wanted and len(names) == 1):
        return str(wanted or names[0])
    if not names:
        raise Refused(f"no container on {host.name} belongs to a project of Compose", hint=_instead(told))
    for name in names:
        row = told["projects"][name]
        running = f"{row['running']} of {row['containers']} containers run"
        flow.report.say(in_a_line(f"  {name}: {running}, {row['directory']}"))
    said = f"{host.name} has no project {wanted}" if wanted else f"{host.name} has {len(names)} projects; name one"
    commands = [f"invoke adopt --limit {shlex.quote(host.name)} --project {shlex.quote(name)}" for name in names[:3]]
    raise UsageError(said, hint="; or ".join(commands))


def _instead(told: Mapping[str, Any]) -> str:
    if told["swarm"]:
        return f"stacks of Docker Swarm ({', '.join(told['swarm'][:3])}) are no projects of Compose: not supported yet"
    if told["others"]:
        some = ", ".join(told["others"][:5])
        return f"describe what `docker run` started ({some}) in a compose file, and start it: docker compose up -d"
    return "start it: docker compose up -d"


def adopt(flow: Flow, place: Place, wanted: str, source: str, out: str, check: bool) -> Adopted:
    """Copy a project's files, and write down what it is.

    :param wanted: its name; empty: the only one of the host. :param source: the directory of the host with its files.
    :param out: the directory here; empty: ``stacks/PROJECT``. :param check: write nothing, and say what would be.
    :raises Refused: the host has no such project, or it cannot be adopted as it is; with the remedy (3).
    :raises UsageError: something else is here already (2).
    """
    host = place.host
    project = project_of(flow, host, wanted)
    flow.report.step(f"read the project {project} on {host.name}")
    found = Adopted(project, host.name, flow.ready(host, LookAtProject(project, source)))
    _refuse_names(found)
    target = _target(place, out, project)
    made = list(_made(flow, host, found, target))
    left = files.missing(target, made)
    if not os.path.lexists(target / FILE):
        left.append(Made(FILE, "file", 0o644, adoption.mnemo_yml(found).encode()))
    written = _written_down(place, found, os.path.relpath(target, place.home))
    paths = [*(target / each.path for each in left if each.kind != "directory"), *written]
    if not check:
        flow.report.step(f"copy its files to {shown(target)}")
        files.make(target, left)
        for path, text in written.items():
            _write(path, text)
    _tell(flow, found, target, paths, check)
    if not check:
        _foretell(flow, place, found)
    flow.report.host(host.name).add("changed" if paths else "ok")
    return found


def _refuse_names(found: Adopted) -> None:
    """:raises Refused: no inventory could name it so; what stands in one may be a template, which runs here (3)."""
    named = [found.directory, *found.compose_files, found.env_file]
    if odd := [text for text in named if any(mark in text for mark in TEMPLATE)]:
        raise Refused(f"{odd[0]!r} would be a template in an inventory", hint="give it a name without braces")
    try:
        validation.refuse_values({"project": found.project})
        validation.refuse_directories(found.directory, f"/var/backups/{found.project}")
    except ValueError as problem:
        remedy = "move its files into a directory of its own, and start it from there: docker compose -p NAME up -d"
        raise Refused(f"the project {found.project} cannot be kept as it is: {problem}", hint=remedy) from None


def _target(place: Place, out: str, project: str) -> Path:
    """:raises UsageError: what a host sends would lie among what is read here (2)."""
    target = Path(out or f"stacks/{project}")
    for own in (place.home.resolve(), Path.cwd()):
        if target.resolve() in (own, *own.parents) or target.resolve().is_relative_to(own / ".mnemo"):
            hint = "name a directory of its own: variables and playbooks beside the inventory are read"
            raise UsageError(f"--out {out}: files of a host do not go beside the inventory", hint=hint)
    for name in BESIDE:
        if target.resolve().is_relative_to(place.home.resolve() / name):
            raise UsageError(f"--out {out}: files of a host are no variables", hint="name a directory of its own")
    return target


# -- its files -------------------------------------------------------------------------------------------------------


def _made(flow: Flow, host: Host, found: Adopted, target: Path) -> Iterator[Made]:
    """:raises Refused: there is too much, or two files of one name (3)."""
    told, named = found.told, [*found.told["files"], *filter(None, [found.told["env_file"]])]
    rows = files.chosen(target, _with_those_apart(found, named), [row["name"] for row in named])
    if any(row["path"] == FILE for row in rows):
        told["notes"].append(f"the {FILE} of the host was not copied: it may name templates, which run here")
        rows = [row for row in rows if row["path"] != FILE]
    for row in rows:
        if row["kind"] == "directory":
            yield Made(row["path"], "directory", row["mode"])
        elif row["kind"] == "link" and files.leads_out(row["path"], row["target"]):
            told["notes"].append(f"the link {row['path']} leads to {row['target']}, out of the project: not copied")
        elif row["kind"] == "link":
            yield Made(row["path"], "link", 0, os.fsencode(row["target"]))
    wanted = {row["path"]: row for row in rows if row["kind"] == "file"}
    for path, data in _contents(flow, host, wanted, told["place"]):
        yield Made(path, "file", 0o600 if path == found.env_file else wanted[path]["mode"], data)


def _with_those_apart(found: Adopted, named: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Every row of the host, and one for each compose file and env file that lies elsewhere (``from``)."""
    told = found.told
    place, known = told["place"].rstrip("/"), {row["path"] for row in told["tree"]}
    away = {row["name"] for row in named if row["path"] != f"{place}/{row['name']}"}
    apart = {row["name"]: row for row in named if row["name"] in away or row["name"] not in known}
    if clash := [name for name in away if name in known]:
        raise Refused(
            f"{found.project} has two files that would be {clash[0]} here: in {place}, and {apart[clash[0]]['path']}",
            hint=f"move the compose files into {place} under names of their own, and start it with these",
        )
    more = [
        {"path": name, "kind": "file", "mode": 0o644, "bytes": row["bytes"], "target": "", "from": row["path"]}
        for name, row in apart.items()
    ]
    return [*told["tree"], *more]


def _contents(
    flow: Flow, host: Host, wanted: Mapping[str, Mapping[str, Any]], place: str
) -> Iterator[tuple[str, bytes]]:
    """The bytes of files: many small ones in one answer, a large one in several."""
    pieces: list[dict[str, Any]] = []
    held = 0
    got: dict[str, bytearray] = {path: bytearray() for path in wanted}
    for path, row in wanted.items():
        where = row.get("from") or f"{place.rstrip('/')}/{path}"
        for at in range(0, row["bytes"], PIECE):
            count = min(PIECE, row["bytes"] - at)
            if held + count > PIECE or len(pieces) == MANY:
                _fetch(flow, host, pieces, got)
                pieces, held = [], 0
            pieces.append({"name": path, "path": where, "at": at, "bytes": count})
            held += count
    _fetch(flow, host, pieces, got)
    for path, data in got.items():
        yield path, bytes(data)


def _fetch(flow: Flow, host: Host, pieces: Sequence[Mapping[str, Any]], got: Mapping[str, bytearray]) -> None:
    """:raises VerificationFailed: the host sends something else than was asked for (7)."""
    if not pieces:
        return
    asked = [{key: each[key] for key in ("path", "at", "bytes")} for each in pieces]
    answer = [base64.b64decode(each) for each in flow.ready(host, ReadFiles(asked))["pieces"]]
    if [len(each) for each in answer] != [each["bytes"] for each in pieces]:
        raise VerificationFailed(f"{host.name} sent other pieces of files than were asked for")
    for piece, data in zip(pieces, answer, strict=True):
        got[piece["name"]] += data


# -- what is written down --------------------------------------------------------------------------------------------


def _written_down(place: Place, found: Adopted, source: str) -> dict[Path, str]:
    """Files that are to be made. :raises UsageError: the inventory says something else of the host (2)."""
    if place.known is None:
        return {place.inventory: adoption.inventory(found, source, place.reached)}
    wanted = adoption.stack_variable(found, source)
    if place.host.vars.get("stack") is None:
        path = place.home / "host_vars" / place.host.name / "stack.yml"
        return {path: adoption.host_variables(found, source)}
    said = settings(place.host)
    has = {"project": said.project, "directory": said.directory, "source": os.path.relpath(said.source, place.home)}
    if wrong := adoption.differing(has, wanted):
        needed = ", ".join(f"{key}: {wanted[key]}" for key in wrong)
        raise UsageError(
            f"the inventory gives {place.host.name} another stack: {', '.join(f'{key} {has[key]}' for key in wrong)}",
            hint=f"write into its stack: {needed}; or name another inventory with -i",
        )
    return {}


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.new_file(path, text.encode(), 0o644)
    except OSError as problem:
        raise UsageError(f"{shown(path)} cannot be written: {reason(problem)}") from None


def _tell(flow: Flow, found: Adopted, target: Path, paths: Sequence[Path], check: bool) -> None:
    report, written = flow.report, [shown(path) for path in paths]
    verb = "would be written" if check else "written"
    report.say(f"{found.project} on {found.host}: {len(written)} files {verb}" if written else "nothing to write")
    for name in written[:20]:
        report.say(f"  {in_a_line(name)}")
    if len(written) > 20:
        report.say(f"  and {len(written) - 20} more")
    for row in found.told["mounts"]:
        report.say(in_a_line(f"  {row['service']}:{row['target']} ({row['source']}): {row['becomes']}"))
    warnings = [*found.told["notes"]]
    if found.env_file:
        warnings.append(f"{shown(target / found.env_file)} {SECRETS}")
    if found.outer:
        names = ", ".join(found.outer.values())
        warnings.append(f"a host to migrate to must have these volumes before (docker volume create NAME): {names}")
    for key, what in found.to_waive.items():
        warnings.append(f"{key} ({what}): no backup can hold it; {shown(target / FILE)} has the lines to waive it")
    for warning in warnings:
        report.say(in_a_line(f"  WARNING  {warning}"))
    report.extra.setdefault("warnings", []).extend(warnings)
    report.extra["adopted"] = {
        **{"project": found.project, "directory": found.directory, "source": shown(target), "written": written},
        **{key: found.told[key] for key in ("mounts", "differing", "unknown")},
        "to_waive": found.to_waive,
    }


def _foretell(flow: Flow, place: Place, found: Adopted) -> None:
    """What a deploy of it would refuse; and the next commands."""
    chosen = settings(load(place.inventory).hosts[place.host.name])
    env_files = [Path(chosen.env_file)] if chosen.env_file else []
    data = [row["dataset"]["path"] for row in found.rows("dataset") if row["dataset"]["path"]]
    try:
        project = reading.read(Path(chosen.source), chosen.directory, chosen.compose_files, env_files)
        pack(Path(chosen.source), project, [*chosen.compose_files, *filter(None, [chosen.env_name])], (), data)
    except InventoryError as error:
        warning = f"deploy will refuse this: {error.message} ({error.where}); {error.hint}"
        flow.report.say(f"  WARNING  {warning}")
        flow.report.extra["warnings"].append(warning)
    name = shlex.quote(found.host)
    first = "stack.show" if found.told["directory"] == found.told["place"] else "deploy"
    flow.report.say(f"next: invoke {first} --limit {name}; invoke backup --limit {name}")
