"""What may be said of a stack: what cannot be meant, or would lose data, is refused before anything is opened."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mnemo_ops.agent.base import data_places
from mnemo_ops.agent.stack import recipients
from mnemo_ops.agent.stack.stack import Dataset
from mnemo_ops.core.suggest import suggest
from mnemo_ops.stack.volumes import path_rules

PROJECT = r"[a-z0-9][a-z0-9_-]*"  # docker compose takes no other
KINDS = ("files", "postgres", "redis", "config")  # of datasets
CHECKS = ("services", "health", "writable", "documents")
DOCUMENTS = ("table", "path", "base", "size", "sha256")  # of them the last two may be missing
OVERRIDE_NAME = "docker-compose.mnemo.yml"  # our compose file on a host
_INSIDE = {"compose_files": "compose.prod.yaml", "override": "override.yml.j2", "env_name": ".env", "owners": "data"}
NAME = r"[A-Za-z0-9][\w.-]*"  # a dataset names files of a set


def refuse_values(given: Mapping[str, Any]) -> None:
    """:raises ValueError: a value of the wrong shape, begun with its key; what is right after a semicolon."""
    project = given.get("project", "usual")
    if not re.fullmatch(PROJECT, project):
        raise ValueError(f"project: {project!r} is not the name of a project; small letters, digits, - and _")
    if given.get("grace", 0) < 0 or isinstance(given.get("grace"), bool):
        raise ValueError(f"grace: {given['grace']!r} is not a number of seconds; the default is 60")
    for key in ("images", "waived"):
        _refuse_others(key, [text for pair in given.get(key, {}).items() for text in pair])
    for key in given.get("waived", {}):
        if ":" in key and not re.fullmatch(rf"{NAME}:/.*", key):
            raise ValueError(
                f"waived: {key!r} is neither a volume nor a mount; write a mount as SERVICE:/TARGET, like mailer:/data"
            )
    _refuse_others("recipients", given.get("recipients", ()))
    for text in given.get("recipients", ()):
        if wrong := recipients.problem(text):
            raise ValueError(f"recipients: {text[:60]!r} {wrong}; {recipients.REMEDY}")
    for row in given.get("datasets", ()):
        if not isinstance(row, Mapping) or set(row) - {"kind", "service"} not in ({"name", "volume"}, {"name", "path"}):
            raise ValueError(f"datasets: a dataset has a name and a volume or a path, not {row!r}")
        _refuse_others("datasets", row.values())
        if (kind := row.get("kind", "files")) not in KINDS:
            raise ValueError(f"datasets: there is no kind {kind!r}; {suggest(str(kind), KINDS)}")
    _refuse_others("compose_files", given.get("compose_files", ()))
    _refuse_lists("owners", given.get("owners", {}))
    _refuse_outside(given)
    _refuse_checks(given.get("checks", {}))
    if any(
        isinstance(port, bool) or not isinstance(port, int) or not _is_port(port) for port in given.get("ports", ())
    ):
        raise ValueError(f"ports: {given['ports']!r} are not numbers of ports; like [80, 443]")


def _is_port(number: int) -> bool:
    return 0 < number < 1 << 16


def datasets(given: Sequence[Mapping[str, str]]) -> tuple[Dataset, ...]:
    """What must survive, as it was declared."""
    return tuple(Dataset(**{"kind": "files", **row}) for row in given)


def _refuse_others(key: str, values: Any) -> None:
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"{key}: {value!r} is not a text; write it in quotes")


def _refuse_outside(given: Mapping[str, Any]) -> None:
    """Of what is written or read below the source here, and below the stack's directory on the host."""
    single = [(key, given[key]) for key in ("override", "env_name") if given.get(key)]
    owned = [("owners", path) for paths in given.get("owners", {}).values() for path in paths]
    for key, path in (*(("compose_files", name) for name in given.get("compose_files", ())), *single, *owned):
        whole = posixpath.normpath(path or ".")
        if whole.startswith(("/", "..")) or (whole == "." and key != "owners"):
            where = "the stack's directory" if key in ("env_name", "owners") else "the source"
            raise ValueError(f"{key}: {path!r} is no path below {where}; like {_INSIDE[key]}")
        if key in ("compose_files", "env_name") and whole == OVERRIDE_NAME:
            raise ValueError(f"{key}: {OVERRIDE_NAME} is what mnemo_ops writes; give the file another name")


def _refuse_lists(key: str, given: Any) -> None:
    """It maps services to lists of texts."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{key}: {given!r} is no mapping; like {{web: [/data]}}")
    for service, values in given.items():
        if not isinstance(values, list):
            raise ValueError(f"{key}: {service} has {values!r}, not a list; like {{web: [/data]}}")
        _refuse_others(key, [service, *values])


def _refuse_checks(given: Mapping[Any, Any]) -> None:
    for key, value in given.items():
        if key not in CHECKS:
            raise ValueError(f"checks: there is no check {key!r}; {suggest(str(key), CHECKS)}")
        wanted = list if key == "services" else Mapping
        if not isinstance(value, wanted):
            raise ValueError(
                f"checks: {key} is {value!r}, not a {wanted.__name__.lower()}; docs/stack.md has an example"
            )
    _refuse_lists("checks", given.get("writable", {}))
    _refuse_others("checks", given.get("services", ()))
    for service, where in given.get("health", {}).items():
        found = re.fullmatch(r"(\d{1,9})(/\S*)?", str(where))
        if not isinstance(service, str) or found is None or not _is_port(int(found[1])):
            raise ValueError(f"checks: health of {service} is {where!r}, not PORT/PATH; like {{web: 8000/health}}")
    spec = given.get("documents", {})
    if spec and (set(spec) - set(DOCUMENTS) or not {"table", "path", "base"} <= set(spec)):
        raise ValueError(f"checks: documents has {', '.join(map(str, spec))}; it takes {', '.join(DOCUMENTS)}")
    _refuse_others("checks", spec.values())


def refuse_directories(directory: str, store: str) -> None:
    """:raises ValueError: one of the two is not a directory of its own: a migration removes what it left half-done."""
    for key, path in (("directory", directory), ("store", store)):
        parts = path.split("/")
        many = [
            place
            for place in (*path_rules.SYSTEM, *data_places.SHARED)
            if path_rules.overlap(path, place) in ("is", "holds")
        ]
        if not path.startswith("/") or ".." in parts or len([part for part in parts if part]) < 2 or many:
            raise ValueError(f"{key} must be an absolute path of its own, like /srv/app, not {path!r}")
    how = path_rules.overlap(store, directory)
    if how:
        raise ValueError(
            f"store: {store} {how} {directory}, the stack's directory: each backup would contain the others; "
            "keep them apart, like /var/backups/app"
        )


def refuse_datasets(rows: Sequence[Dataset]) -> None:
    """:param rows: every dataset, the usual ones first.

    :raises ValueError: two would be one in a set, or each be put in place of the other by a restore.
    """
    seen: list[Dataset] = []
    for row in rows:
        if not re.fullmatch(NAME, row.name):
            raise ValueError(f"datasets: {row.name!r} is not a name; letters, digits, '_', '-' and '.'")
        if row.kind == "config" and (row.volume or row.path != "."):
            raise ValueError(
                f"datasets: {row.name} is of the kind config, which is the stack's directory itself: path: .; "
                "leave out the kind for anything else"
            )
        if row.kind != "config" and (row.path or not row.volume):
            _refuse_path(row)
        for other in seen:
            if row.kind == other.kind == "config":
                raise ValueError(f"datasets: {row.name} is a second config beside {other.name}; leave it out")
            if row.name == other.name:
                raise ValueError(
                    f"datasets: two datasets are named {row.name}: one would overwrite the other in each backup"
                )
            if how := _overlap(row, other):
                raise ValueError(f"datasets: {row.volume or row.path} {how}, the dataset {other.name}; leave it out")
        seen.append(row)


def _refuse_path(row: Dataset) -> None:
    if row.path != posixpath.normpath(row.path) or row.path.startswith(("/", "..")) or row.path == ".":
        raise ValueError(f"datasets: {row.path!r} is not a path below the stack's directory; like documents/originals")


def _overlap(row: Dataset, other: Dataset) -> str:
    """How a dataset stands to another one; empty: they are apart."""
    if row.volume and row.volume == other.volume:
        return f"is {other.volume}"
    if not row.path or not other.path or "config" in (row.kind, other.kind):
        return ""
    how = path_rules.overlap(row.path, other.path)
    return f"{how} {other.path}" if how else ""
