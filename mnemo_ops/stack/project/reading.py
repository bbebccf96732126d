"""The files and directories that a Compose project names, each with the file and line that names it."""

from __future__ import annotations

import os.path
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.core.paths import shown
from mnemo_ops.documents.yaml_lines import Placed
from mnemo_ops.errors import InventoryError
from mnemo_ops.stack.project import services
from mnemo_ops.stack.project.documents import Override, bare, load, merged, rows, table, unwrapped
from mnemo_ops.stack.project.interpolation import environment
from mnemo_ops.stack.project.places import Frame, Named, plain, readable
from mnemo_ops.stack.project.presence import below, leads_out

BASES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
FILES = ("volumes", "env_file", "label_file", "security_opt")  # keys of a service that name files alone
_REMOTE = ("://", "git@", "oci:", ".git#")


@dataclass(frozen=True)
class Project:
    """What a project names.

    :param files: its compose files. :param named: everything else, in the order of the files.
    :param builds: services whose image is built on the host -> their build context and Dockerfile; the Dockerfile is
        ``None`` where the compose file holds it.
    :param services: all that it describes. :param whole: nothing of it has to be fetched: it describes no others.
    """

    files: tuple[Path, ...]
    named: tuple[Named, ...]
    builds: Mapping[str, tuple[Path, Optional[Path]]]
    services: tuple[str, ...] = ()
    whole: bool = True


def compose_files(
    source: Path, named: Sequence[str], variables: Mapping[str, str], env_files: Sequence[Path] = ()
) -> tuple[Path, ...]:
    """The compose files of a project: those that are named, those of ``COMPOSE_FILE``, or those that Compose looks for.

    :param env_files: where the variables are from. :raises InventoryError: there is none, or not below the source (2).
    """
    given = list(named)
    if not given and variables.get("COMPOSE_FILE"):
        given = variables["COMPOSE_FILE"].split(variables.get("COMPOSE_PATH_SEPARATOR") or ":")
    if not given:
        first = [name for name in BASES if (source / name).exists()][:1]
        given = first + [name for name in OVERRIDES if first and (source / name).exists()][:1]
    if not given:
        raise InventoryError(f"{source} has no compose file", hint=f"stack.compose_file names it, like {BASES[0]}")
    paths = tuple(Path(os.path.normpath(source / name)) for name in given)
    beside = below(source, paths[0]) or ""
    if not named and "/" in beside:
        raise InventoryError(
            f"Compose reads the paths of {beside} from its directory, and a host from the stack's",
            where=_line(env_files, "COMPOSE_FILE"),
            hint=f"name a compose.yaml with `include: [{beside}]`; or name these files in compose_files: "
            "then their paths start at the source",
        )
    for path in paths:
        if below(source, path) is None or leads_out(source, path):
            raise InventoryError(
                f"the compose file {shown(path)} lies outside of {shown(source)}",
                where="" if named else _line(env_files, "COMPOSE_FILE"),
                hint="move it into the source: deploy writes only below the stack's directory",
            )
    return paths


def _line(env_files: Sequence[Path], name: str) -> str:
    """Where a variable is set: the last place counts."""
    found = ""
    for path in env_files:
        for number, line in enumerate(path.read_text(errors="surrogateescape").splitlines(), 1):
            found = f"{path}:{number}" if re.match(rf"\s*(?:export\s+)?{name}\s*[=:]", line) else found
    return found


def read(
    source: Path,
    directory: str,
    files: Sequence[str] = (),
    env_files: Sequence[Path] = (),
    profiles: Collection[str] = (),
    images: Collection[str] = (),
    own: str = ".env",
    project: str = "",
) -> Project:
    """Read a project.

    :param source: its directory on this machine. :param directory: where it will be on the host, absolute.
    :param files: compose files relative to ``source``, in ``-f`` order; none: those that Compose looks for.
    :param env_files: of ``--env-file``, which come to the host by other means; none: the project's own.
    :param own: that one's name. :param project: Compose's name of it (``-p``); empty: not known.
    :param images: services that get an image from elsewhere: nothing is built for them.
    :raises InventoryError: a file cannot be read, or a variable in a path is not set; with file and line (2).
    """
    with readable(source):
        return _read(plain(source), directory, files, env_files, profiles, images, own, project)


def _read(
    source: Path,
    directory: str,
    files: Sequence[str],
    env_files: Sequence[Path],
    profiles: Collection[str],
    images: Collection[str],
    own: str,
    project: str,
) -> Project:
    mine = [path for path in (source / own,) if not env_files and path.is_file()]
    variables = {**environment(env_files or mine), **({"COMPOSE_PROJECT_NAME": project} if project else {})}
    paths = compose_files(source, files, variables, env_files or mine)
    reader = _Reader()
    model = reader.project(paths, Frame(source, variables, source, directory), "")
    wanted = {*profiles, *map(str.strip, (variables.get("COMPOSE_PROFILES") or "").split(","))}
    named, builds = _of(model, wanted, images)
    every = [*reader.named, *named]
    lines = {each.path for each in every if each.needed}  # named again, with a line
    every += [Named(path, "env_file", str(path), own) for path in mine if path not in lines]
    return Project(paths, tuple(every), builds, tuple(model["services"]), reader.whole)


class _Reader:
    """One reading of a project. :attr:`named`: files that hold parts of it; :attr:`whole`: all of them are here."""

    def __init__(self) -> None:
        self.named: list[Named] = []
        self.whole = True
        self._open: list[Any] = []  # what is being read: whoever is met again goes in a circle

    def project(self, paths: Sequence[Path], frame: Frame, where: str) -> dict[str, Any]:
        model: dict[str, Any] = {}
        for path in paths:
            self._enter(path, where)
            document = load(path, where)
            for each in rows(bare(document.get("include"))):
                model = merged(model, self._included(each, frame))
            model = merged(model, self._own(document, path, frame))
            self._open.pop()
        return model

    def _enter(self, what: Any, where: str) -> None:
        if what in self._open:
            raise InventoryError("this leads in a circle back to where it began", where=where)
        self._open.append(what)

    def _part(self, what: str, value: Any, frame: Frame) -> Optional[Path]:
        """A file of the project; ``None`` when it cannot be read here, which is said when all is known."""
        named = frame.named(what, value)
        if named is None:
            raise InventoryError(f"{value} lies outside of the project", where=getattr(value, "where", ""))
        self.named.append(named)
        return named.path if named.path.is_file() and frame.source in named.path.parents else None

    def _included(self, value: Any, frame: Frame) -> dict[str, Any]:
        row = value if isinstance(value, dict) else {"path": value}
        texts = rows(row.get("path"))
        if any(mark in frame.text(each) for each in texts for mark in _REMOTE):
            self.whole = False
            return {}
        paths = [self._part("include", each, frame) for each in texts]
        here = [path for path in paths if path is not None]
        if len(here) < len(texts) or not here:
            self.whole = False
            return {}
        base = here[0].parent
        if row.get("project_directory") is not None:
            base = Path(os.path.normpath(frame.base / frame.text(row["project_directory"])))
        env_files = [self._part("env_file", each, frame) for each in rows(row.get("env_file")) if each != "/dev/null"]
        if row.get("env_file") is None and (base / ".env").is_file():
            env_files = [base / ".env"]
            self.named.append(Named(base / ".env", "env_file", texts[0].where, ".env"))
        variables = {**environment(path for path in env_files if path is not None), **frame.variables}
        return self.project(here, replace(frame, base=base, variables=variables), texts[0].where)

    def _own(self, document: dict[str, Any], path: Path, frame: Frame) -> dict[str, Any]:
        found: dict[str, Any] = {"services": {}}
        for name, raw in table(unwrapped(document.get("services"))).items():
            if isinstance(raw, Override):
                inner = self._service(table(raw.value), document, path, frame)
                found["services"][str(name)] = raw if raw.value is None else Override(inner)
            else:
                found["services"][str(name)] = self._service(table(raw), document, path, frame)
        for key in ("configs", "secrets", "volumes"):
            found[key] = services.top(key, document.get(key), frame)
        return found

    def _service(self, raw: dict[str, Any], document: dict[str, Any], path: Path, frame: Frame) -> dict[str, Any]:
        base = self._extended(raw.get("extends"), document, path, frame)
        return merged(base, services.service(raw, frame), whole=False)

    def _extended(self, value: Any, document: dict[str, Any], path: Path, frame: Frame) -> dict[str, Any]:
        """The service that this one begins with; what it names starts from its own file's directory."""
        value = bare(value)
        row = value if isinstance(value, dict) else {"service": value}
        name = row.get("service")
        if not isinstance(name, Placed):
            return {}
        if row.get("file") is not None:
            other = self._part("extends", row["file"], frame)
            if other is None:
                return {}
            document, path, frame = load(other, row["file"].where), other, replace(frame, base=other.parent)
        known = table(unwrapped(document.get("services")))
        if row.get("file") is not None and name not in known:
            raise InventoryError(f"{path.name} has no service '{name}'", where=name.where)
        self._enter((path, str(name)), name.where)
        found = self._service(table(unwrapped(known.get(name))), document, path, frame)
        self._open.pop()
        return found


def _of(
    model: Mapping[str, Any], profiles: Collection[str], images: Collection[str]
) -> tuple[list[Named], dict[str, tuple[Path, Optional[Path]]]]:
    """What a whole project names; what only services outside of the profiles need is needed by nobody."""
    found: list[Named] = []
    builds = {}
    used: dict[str, set[str]] = {"configs": set(), "secrets": set()}
    for name, each in model.get("services", {}).items():
        mine = each.get("profiles") or {}
        active = not mine or "*" in profiles or any(one in profiles for one in mine)
        parts = [
            part for key in ("volumes", "env_file", "label_file", "security_opt") for part in each.get(key, {}).values()
        ]
        build = each.get("build")
        if build is not None and name not in images:
            made, context, dockerfile = _build(build, bool(each.get("image", {}).get("named")))
            parts += made
            if active and context is not None and all(part.needed for part in made):
                builds[name] = (context, dockerfile)
        found += [part if active else replace(part, needed=False, made=False) for part in parts if part]
        for key in used:
            used[key] |= {*each.get(key, {}), *((build or {}).get(key, {}))} if active else set()
    for key in ("configs", "secrets", "volumes"):
        for name, each in model.get(key, {}).items():
            needed = key == "volumes" or name in used[key]
            found += [replace(part, needed=needed and part.needed) for part in each.values() if part]
    return found, builds


def _build(build: Mapping[str, Any], pulled: bool) -> tuple[list[Named], Optional[Path], Optional[Path]]:
    """What a build needs, its context and its Dockerfile. :param pulled: it has an image's name: it may be pulled."""
    context = build.get("context", build["base"])
    more = [each for key, each in build.items() if key.startswith("context ") and each]
    if context is None:  # fetched, or the host's own
        return more, None, None
    if build.get("inline"):
        return [context, *more], context.path, None
    text = build.get("dockerfile") or Placed("Dockerfile", context.where)
    path = Path(os.path.normpath(context.path / text))
    dockerfile = Named(path, "Dockerfile", text.where, str(text))
    needed = path.is_file() or not pulled
    return [replace(each, needed=needed) for each in (context, dockerfile, *more)], context.path, path
