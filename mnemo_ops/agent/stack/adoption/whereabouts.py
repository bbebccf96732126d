"""Where the files of a running project are: where its labels say, or in a directory that somebody names instead."""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import Collection, List, Optional, Sequence, Tuple

from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.docker.compose_state import Project
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import Container, Found
from mnemo_ops.agent.stack.project.read import LABEL
from mnemo_ops.errors import CommandFailed, Refused

HASH = "com.docker.compose.config-hash"
NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")  # in Compose's order
OVERRIDES = tuple(f"{name[: name.rindex('.')]}.override.{end}" for name in NAMES[1:3] for end in ("yml", "yaml"))
ENV_FILES = (".env", "stack.env")  # Compose's, and that of Portainer
# where tools keep projects by their names
_USUAL = ("/opt/stacks/{}", "/opt/{}", "/srv/{}", "/data/coolify/*/{}", "/etc/dokploy/compose/{}/code", "/home/*/{}")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\|/mnt/[a-z]/|/run/desktop/")


@dataclass(frozen=True)
class Whereabouts:
    """:param directory: the project's, which relative paths start from. :param place: where its files lie.
    :param files: compose files in ``-f`` order, absolute. :param env_file: absolute; empty: there is none.
    :param container: whose labels say so; empty: none does. :param differing: services whose containers were not made
        of these files as they are now; ``unknown``: nothing says of what they were made.
    """

    directory: str
    place: str
    files: Tuple[str, ...]
    env_file: str
    container: str
    differing: Tuple[str, ...] = ()
    unknown: Tuple[str, ...] = ()


def whereabouts(machine: Machine, project: str, found: Found, source: str = "") -> Whereabouts:
    """:param source: the directory of the host where the files are now; empty: where the labels say.

    :raises Refused: they are not there; says where they were looked for, and what to do (3).
    """
    if source and not source.startswith("/"):
        raise Refused(f"--source {source} is not absolute", hint="name a directory of the host: --source /srv/app")
    told = [each for each in found if each.labels.get(LABEL + "config_files")]
    last = max(told, key=lambda each: (each.running, each.started)) if told else None
    working, files, env = _labelled(last) if last else ("", [], [])
    if source and not (working and machine.realpath(source) == machine.realpath(working)):
        place = source
        files = _inside(machine, project, source, working, files)
        env = [_under(source, working, path) for path in env]
    else:
        place = working
        _refuse_gone(machine, project, last, files, found)
    if len(env) > 1:
        raise Refused(
            f"{project} was started with {len(env)} env files ({', '.join(env)}), and mnemo_ops takes one",
            hint="join them into one, in this order, and start it again with that: docker compose --env-file ONE up -d",
        )
    if gone := [path for path in env if machine.stat(path, follow=True) is None]:
        raise Refused(
            f"{project} was started with the env file {gone[0]}, which is not there",
            hint="write it again: docker inspect shows the environment of a container",
        )
    name = last.name if last else ""
    choices = [(directory, each) for directory in _unique(place, working) for each in env or _envs(machine, place)]
    return _best(machine, project, found, [Whereabouts(one, place, tuple(files), two, name) for one, two in choices])


def _labelled(last: Container) -> Tuple[str, List[str], List[str]]:
    working = posixpath.normpath(last.labels.get(LABEL + "working_dir") or "/")
    texts = {key: last.labels.get(LABEL + key, "").split(",") for key in ("config_files", "environment_file")}
    found = {key: [_joined(working, each) for each in value if each] for key, value in texts.items()}
    return working, found["config_files"], found["environment_file"]


def _joined(working: str, path: str) -> str:
    return path if _WINDOWS.match(path) else posixpath.normpath(posixpath.join(working, path))


def _unique(*values: str) -> List[str]:
    return [each for each in dict.fromkeys(values) if each.startswith("/")]


def _envs(machine: Machine, place: str) -> List[str]:
    """Env files that no label names: Compose reads the first by itself; none is a choice, too."""
    found = [posixpath.join(place, name) for name in ENV_FILES]
    return [path for path in found if machine.stat(path, follow=True)] or [""]


def _under(source: str, working: str, path: str) -> str:
    """What a label names, in the directory that the files are in now."""
    inside = working and path.startswith(f"{working.rstrip('/')}/")
    return posixpath.join(source, posixpath.relpath(path, working) if inside else re.split(r"[\\/]", path)[-1])


def _inside(machine: Machine, project: str, source: str, working: str, files: Sequence[str]) -> List[str]:
    """:raises Refused: no compose file is in that directory (3)."""
    there = machine.stat(source, follow=True)
    if there is None or there.kind != "directory":
        raise Refused(f"--source {source} is no directory of this host", hint="name one, absolute: --source /srv/app")
    moved = [_under(source, working, path) for path in files]
    if moved and all(machine.stat(path, follow=True) for path in moved):
        return moved
    names = machine.names(source)
    usual = [name for name in NAMES if name in names][:1]
    usual += [name for name in OVERRIDES if usual and name in names][:1]
    if not usual:
        wanted = ", ".join(posixpath.basename(path) for path in files) or NAMES[0]
        raise Refused(
            f"{source} has no compose file of {project}: neither {wanted} nor one of Compose's own names",
            hint=f"it holds {', '.join(names[:8]) or 'nothing'}; name the directory of the compose file with --source",
        )
    return [posixpath.join(source, name) for name in usual]


def _refuse_gone(machine: Machine, project: str, last: Optional[Container], files: Sequence[str], found: Found) -> None:
    if last is None:
        said = f"no container of {project} says of which files it was made (Compose's label config_files)"
        raise Refused(said, hint=_hint(machine, project, [], found))
    gone = [path for path in files if _WINDOWS.match(path) or machine.stat(path, follow=True) is None]
    if not gone:
        return
    if any(_WINDOWS.match(path) for path in gone):
        why = "a path of another machine: somebody ran Compose there, through Docker's remote context"
    elif any(posixpath.basename(path) == "-" for path in gone):
        why = "standard input, which nobody kept"
    else:
        why = "which is not there"
    said = f"the container {last.name} was started from {', '.join(gone)}, {why}"
    raise Refused(said, hint=_hint(machine, project, gone, found))


def _hint(machine: Machine, project: str, gone: Sequence[str], found: Found) -> str:
    seen = _seen(machine, project, gone, found)
    if seen:
        return "; or ".join(f"invoke adopt --project {project} --source {shlex.quote(path)}" for path in seen)
    return (
        "put its files back, or copy them to any directory of the host and name that: "
        f"invoke adopt --project {project} --source DIR"
    )


def _seen(machine: Machine, project: str, gone: Sequence[str], found: Found) -> List[str]:
    """Directories that may be the one: a tool in a container names its own paths; others were moved nearby."""
    places = [posixpath.dirname(path) for path in gone]
    mounts = _mounts(machine)
    places += [
        posixpath.dirname(posixpath.join(source, posixpath.relpath(path, target)))
        for path in gone
        for source, target in mounts
        if path.startswith(f"{target.rstrip('/')}/")
    ]
    name = re.sub(r"([*?\[])", r"[\1]", project)
    # beside what is gone, too: a directory that was renamed
    beside = [f"{posixpath.dirname(place)}/*" for place in places[: len(gone)] if place.count("/") > 1]
    places += [path for pattern in _USUAL for path in machine.glob(pattern.format(name))]
    wanted = {posixpath.basename(path) for path in gone} or set(NAMES)
    services = {each.service for each in found}
    places += [path for pattern in beside for path in machine.glob(pattern) if _names(machine, path, wanted, services)]
    there = [place for place in places if any(machine.stat(f"{place}/{name}", follow=True) for name in wanted)]
    return list(dict.fromkeys(there))[:3]


def _names(machine: Machine, path: str, wanted: Collection[str], services: Collection[str]) -> bool:
    """Whether a compose file in a directory names every service of the project: words, as nobody can read it yet."""
    texts = [machine.read_text(f"{path}/{name}") or "" for name in wanted if machine.stat(f"{path}/{name}")]
    forms = [re.compile(rf"(?m)(?:^|[\s{{,])[\"']?{re.escape(each)}[\"']?\s*:") for each in services]
    return any(all(form.search(text) for form in forms) for text in texts)


def _mounts(machine: Machine) -> List[Tuple[str, str]]:
    rows = docker.containers(machine, "status=running")
    mounts = [mount for row in rows for mount in row.get("Mounts") or []]
    return [(str(each.get("Source")), str(each.get("Destination"))) for each in mounts if each.get("Source")]


def _best(machine: Machine, project: str, found: Found, choices: Sequence[Whereabouts]) -> Whereabouts:
    """The reading of the files by which most containers are what they were made as; of equals the first."""
    judged = [each for choice in choices if (each := _judged(machine, project, found, choice)) is not None]
    return min(judged, key=lambda each: len(each.differing)) if judged else choices[0]


def _judged(machine: Machine, project: str, found: Found, choice: Whereabouts) -> Optional[Whereabouts]:
    options = ["--project-directory", choice.directory, "--project-name", project, "--profile", "*"]
    files = [*(["--env-file", choice.env_file] if choice.env_file else [])]
    files += [word for path in choice.files for word in ("--file", path)]
    try:
        hashes = Project(machine, options, files).hashes()
    except CommandFailed:  # whoever reads it says why, without its secrets
        return None
    rows = [(each.service, each.labels.get(HASH, "")) for each in found if each.service in hashes]
    differing = {service for service, hash in rows if hash and hash != hashes[service]}
    unknown = {service for service, hash in rows if not hash}
    return replace(choice, differing=tuple(sorted(differing)), unknown=tuple(sorted(unknown)))
