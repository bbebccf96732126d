"""A running project that nobody described yet: which there are, what one is, and its files. Nothing is written.

This travels only with its own requests.
"""

from __future__ import annotations

import base64
import posixpath
from typing import Any, ClassVar, Dict, List, Mapping, Sequence

from mnemo_ops.agent.actions.backup import TOOLS
from mnemo_ops.agent.base.progress import Report
from mnemo_ops.agent.base.record import asdict, dataclass, replace
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.docker.compose_state import is_installed
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import bind_sources, containers
from mnemo_ops.agent.stack.adoption import beside, mounts
from mnemo_ops.agent.stack.adoption.whereabouts import Whereabouts, whereabouts
from mnemo_ops.agent.stack.containers import ONEOFF, PROJECT, Found
from mnemo_ops.agent.stack.project.derive import derive
from mnemo_ops.agent.stack.project.read import LABEL, Source, read
from mnemo_ops.agent.stack.project.rows import datasets_of, names_of
from mnemo_ops.agent.stack.stack import Stack, forgotten
from mnemo_ops.errors import Broken, Refused

SWARM = "com.docker.stack.namespace"
VERSION = "com.docker.compose.version"
PIECE = 8 << 20  # bytes of one answer


@dataclass(frozen=True)
class ListProjects(Action):
    """``projects``: name -> ``containers``, ``running`` and ``directory``; ``others``: containers of none; ``swarm``:
    stacks of Docker Swarm."""

    kind: ClassVar[str] = "list_projects"

    def ready(self, machine: Machine) -> Report:
        containers.refuse_bare(machine)
        found: Dict[str, Dict[str, Any]] = {}
        swarm, others = set(), []
        for row in _every(machine):
            labels = row["Config"].get("Labels") or {}
            if SWARM in labels:
                swarm.add(str(labels[SWARM]))
            elif PROJECT not in labels:
                others.append(row["Name"].lstrip("/"))
            elif labels.get(ONEOFF) != "True":
                directory = str(labels.get(LABEL + "working_dir") or "")
                one = found.setdefault(labels[PROJECT], {"containers": 0, "running": 0, "directory": directory})
                one["containers"] += 1
                one["running"] += row["State"]["Status"] in ("running", "restarting", "paused")
        return {"projects": found, "others": sorted(others), "swarm": sorted(swarm)}


@dataclass(frozen=True)
class LookAtProject(Action):
    """What a running project is, for a controller that knows nothing of it.

    :param source: the directory of the host with its files now; empty: where its labels say.
    :raises Refused: its files are gone, or a container holds what is not at its path any more (3).
    :raises CommandFailed: Compose cannot read it (6).
    """

    project: str
    source: str = ""
    kind: ClassVar[str] = "look_at_project"

    def ready(self, machine: Machine) -> Report:
        containers.refuse_bare(machine)
        if not is_installed(machine):
            raise Refused("Docker has no Compose on this host", hint="`invoke bootstrap` installs it")
        found = containers.containers(machine, self.project)
        if not found:
            raise Refused(f"no container of a project {self.project} is on this host", hint="docker compose ls -a")
        bind_sources.refuse_gone(machine, found)
        source = posixpath.normpath(self.source) if self.source else ""
        where = whereabouts(machine, self.project, found, source)
        _refuse_home(machine, where)
        env = (where.env_file,) if where.env_file else ()
        read_from = Source(where.directory, where.files, env, where.container)
        model = read(machine, self.project, read_from)
        rows = [asdict(row) for row in derive(machine, model, found, read_from)]
        stack = Stack(self.project, where.directory, where.files, where.env_file, "", (), (), {})
        stack = replace(stack, datasets=datasets_of(rows), names=names_of(rows))
        left_out: List[str] = []
        state = beside.state_of(machine, model, found, where.place)
        state += beside.others_places(_every(machine), self.project)
        tree = beside.beside(machine, where.place, state, left_out)
        return {
            **{"directory": where.directory, "place": where.place, "tree": tree, "rows": rows},
            "files": [_named(machine, where, path) for path in where.files],
            "env_file": _named(machine, where, where.env_file) if where.env_file else None,
            "mounts": mounts.mounts(stack, found),
            **{"forgotten": forgotten(stack, found), "differing": where.differing, "unknown": where.unknown},
            "notes": [*_notes(machine, where, found), *_left(left_out), *_lacking(machine)],
        }


@dataclass(frozen=True)
class ReadFiles(Action):
    """``pieces``: the bytes of files, in base64.

    :param pieces: ``path`` (absolute), ``at`` and ``bytes`` of each. :raises Broken: one is shorter by now (6).
    """

    pieces: Sequence[Mapping[str, Any]]
    kind: ClassVar[str] = "read_files"

    def ready(self, machine: Machine) -> Report:
        return {"pieces": [base64.b64encode(self._read(machine, each)).decode() for each in self.pieces]}

    def _read(self, machine: Machine, piece: Mapping[str, Any]) -> bytes:
        with machine.open(str(piece["path"]), strict=False) as file:
            file.seek(int(piece["at"]))
            data = file.read(min(int(piece["bytes"]), PIECE))
        if len(data) != piece["bytes"]:
            raise Broken(f"{piece['path']} changed while it was copied", hint="the same command begins anew")
        return data


def _every(machine: Machine) -> List[docker.Row]:
    """Every container of the host."""
    ids = docker.ask(machine, "ps", "-aq", "--no-trunc").split()
    found: List[docker.Row] = machine.once("docker/every", lambda: containers.inspected(machine, ids))
    return found


def _named(machine: Machine, where: Whereabouts, path: str) -> Dict[str, Any]:
    """A file, and what it is called below the project's directory."""
    tops = (where.place, where.directory)
    below = [posixpath.relpath(path, top) for top in tops if path.startswith(f"{top.rstrip('/')}/")]
    found = machine.stat(path, follow=True)
    return {"path": path, "name": (below or [posixpath.basename(path)])[0], "bytes": found.size if found else 0}


def _refuse_home(machine: Machine, where: Whereabouts) -> None:
    """:raises Refused: the directory is somebody's home: a backup would hold all of it (3)."""
    homes = {row[5].rstrip("/"): row[0] for row in machine.accounts("passwd").values() if int(row[2]) in _people()}
    if where.directory in homes:
        raise Refused(
            f"the project lies in the home of {homes[where.directory]}, {where.directory}: a backup holds all of it",
            hint="move its files into a directory of their own, and start it there: docker compose -p NAME up -d",
        )


def _people() -> Sequence[int]:
    return (0, *range(1000, 65534))


def _notes(machine: Machine, where: Whereabouts, found: Found) -> List[str]:
    """What could not be known, or is other than it seems."""
    said = []
    if where.directory != where.place:
        said.append(
            f"relative paths of the containers start from {where.directory}, and the files lie in {where.place}: "
            "`invoke deploy` puts them there; until then no backup can read the project"
        )
    for path in (*where.files, *filter(None, [where.env_file])):
        if not path.startswith((f"{where.directory}/", f"{where.place}/")):
            said.append(f"{path} lies outside of {where.directory}: it was copied, and `invoke deploy` puts it there")
    directories = sorted({each.labels.get(LABEL + "working_dir", "") for each in found} - {""})
    if len(directories) > 1:
        last = f"what was started last, {where.container}, says which counts"
        said.append(f"its containers were started from several directories ({', '.join(directories)}): {last}")
    made = {each.labels.get(VERSION, "") for each in found if each.service in where.differing} - {""}
    if where.differing:
        by = f" (made by Compose {', '.join(sorted(made))})" if made else ""
        said.append(
            f"the files are not those that these services were started from{by}: {', '.join(where.differing)}; "
            "deploy makes their containers anew"
        )
    if where.unknown:
        said.append(f"nothing says which files these services were started from: {', '.join(where.unknown)}")
    for each in bind_sources.others(machine, found):
        said.append(f"{each.source} was replaced since {each.container} was started, which takes it at its next start")
    return said


def _lacking(machine: Machine) -> List[str]:
    absent = [name for name in TOOLS if machine.which(name) is None]
    if not absent:
        return []
    return [
        f"backups need {' and '.join(absent)} on the host: apt-get install {' '.join(absent)}, as root there; or "
        "`invoke bootstrap`, which also sets up Docker (first --check: it shows what would change)"
    ]


def _left(paths: Sequence[str]) -> List[str]:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return [f"not copied, as it is no file: {', '.join(paths[:3])}{more}"] if paths else []
