"""What its owner says of a stack: ``mnemo.yml`` beside the compose file, and ``stack`` of the inventory over it."""

from __future__ import annotations

import functools
import os.path
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mnemo_ops.agent.base.record import dataclass, field, fields, replace
from mnemo_ops.core.model import Host
from mnemo_ops.core.secret_text import revealed
from mnemo_ops.core.suggest import suggest
from mnemo_ops.documents import yaml_lines
from mnemo_ops.errors import InventoryError, MnemoError
from mnemo_ops.stack import validation
from mnemo_ops.stack.project import documents, reading
from mnemo_ops.stack.project.git_ref import exported
from mnemo_ops.stack.project.interpolation import environment
from mnemo_ops.stack.project.places import readable
from mnemo_ops.stack.volumes import declared as storage
from mnemo_ops.stack.volumes import path_rules
from mnemo_ops.stack.volumes.types import Bind, External, Storage
from mnemo_ops.templates.render import Scope, render

FILE = "mnemo.yml"  # beside the compose file
TEMPLATE = "override.yml.j2"  # the usual name of an override
_MEANT = re.compile(r"\.?mnemo\.ya?ml", re.IGNORECASE)
LOCAL = ("source", "env_file", "tls", "images_archive")  # paths on this machine, relative to the file that names them

Mistake = Callable[..., InventoryError]


@dataclass(frozen=True)
class Settings:
    """The ``stack`` variable of a host; what is left out is in ``mnemo.yml``, or usual.

    :param project: Compose's name of the project. :param directory: where it lives on the host; ``/srv/PROJECT``.
    :param store: where its backups lie on the host; ``/var/backups/PROJECT``.
    :param source: directory on this machine with the owner's compose files and what they mount.
    :param ref: branch, tag or commit of the repository that the source lies in: its files are deployed as of then.
    :param compose_files: below the source, in Compose's ``-f`` order; else those that Compose finds by itself.
    :param override: template below the source of a last compose file, which corrects the owner's.
    :param env_file: the env file on this machine. :param env_name: what it is called on the host; ``.env``.
    :param tls: directory with the certificate and key on this machine.
    :param images: service -> image reference that replaces the owner's. :param images_archive: ``docker save`` file.
    :param recipients: age public keys for what a backup holds of secrets.
    :param grace: seconds a service gets to finish its work when it is stopped.
    :param datasets: what must survive, each with a ``name`` and a ``volume`` or a ``path`` of the stack; those of the
        inventory are added. ``kind``: files (usual), postgres, redis or config. ``service``: the one that serves it.
    :param waived: volumes that need not survive, each with the reason; ``SERVICE:/TARGET`` for a mount of another kind.
    :param volumes: volume, or path of the stack that must survive -> how it is stored (docs/storage.md).
    :param owners: service -> volumes and paths that belong to the user of its image.
    :param ports: those that clients use: a new host must have them free.
    :param checks: what proves that the stack serves. ``services``: those that must answer before clients are let in;
        ``health``: service -> PORT/PATH that answers 200; ``writable``: service -> directories that it can write;
        ``documents``: a ``table`` whose columns ``path``, ``size`` and ``sha256`` describe files below ``base``.
    """

    project: str = ""
    directory: str = ""
    store: str = ""
    source: str = ""
    ref: str = ""
    compose_files: tuple[str, ...] = ()
    override: str = ""
    env_file: str = ""
    env_name: str = ""
    tls: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    images_archive: str = ""
    recipients: tuple[str, ...] = ()
    grace: int = 60
    datasets: tuple[Mapping[str, str], ...] = ()
    waived: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, Storage] = field(default_factory=dict)
    owners: Mapping[str, Any] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    checks: Mapping[str, Any] = field(default_factory=dict)


def settings(host: Host) -> Settings:
    """:raises InventoryError: an unknown key with the nearest valid one, or a value that cannot be meant (2)."""
    variables = Scope((Path(str(host.vars.get("inventory_dir", "."))),)).plus(host.vars)
    # names messages are full of, in an encrypted file too: the mask spares them
    given = revealed(render(host.vars.get("stack") or {}, variables, f"{host.name}: stack"))
    home = Path(str(host.vars.get("inventory_dir", ".")))
    mistake = functools.partial(_mistake, f"{host.name}: stack", host.vars, ("stack",))
    values = _typed(given, home, mistake)
    if values.get("ref") and values.get("source"):
        values["source"] = str(exported(Path(values["source"]), values["ref"], home))
    path = Path(values.get("source", "")) / FILE
    _refuse_misspelt(values.get("source", ""))
    beside = _of_file(path, path.stat().st_mtime_ns) if values.get("source") and path.is_file() else {}
    every = {**beside, **_merged(beside, values)}
    if every.get("source") and "override" not in every and (path.parent / TEMPLATE).exists():
        env = ", env_name: .env.production" if every.get("env_file") and "env_name" not in every else ""
        raise mistake(
            ("source",),
            f".source: {TEMPLATE} lies there, and nobody names it as the override; before {FILE} it was the usual one",
            f"add to {FILE}: override: {TEMPLATE}{env or ', and env_name: .env.production where that is its name'}; "
            'or override: "" for none',
        )
    return _settings(every, beside.get("volumes", {}), mistake)


def _refuse_misspelt(source: str) -> None:
    """:raises InventoryError: a file in the source is meant as ``mnemo.yml`` and is not called so, or is none (2)."""
    with readable(Path(source)):
        paths = sorted(Path(source).iterdir()) if source and Path(source).is_dir() else []
    for path in paths:
        if (path.name != FILE and _MEANT.fullmatch(path.name)) or (path.name == FILE and not path.is_file()):
            what = "is no file" if path.name == FILE else "is read by nobody"
            raise InventoryError(f"{path.name} {what}", where=str(path), hint=f"its name is to be {FILE}")


def mistaken(host: Host, source: str, keys: Sequence[Any], said: str, hint: str = "") -> InventoryError:
    """A mistake in a host's settings that the compose files show: said of the inventory, or of ``mnemo.yml``.

    :param keys: from the settings to the value. :param said: behind the name of the value.
    """
    given: Any = host.vars.get("stack") or {}
    for key in keys:
        given = given.get(key) if isinstance(given, Mapping) else None
    way = "".join(f".{key}" for key in keys)
    path = Path(source) / FILE
    if given is not None or not source or not path.is_file():
        return _mistake(f"{host.name}: stack", host.vars, ("stack",), keys, f"{way}{said}", hint)
    return _mistake(str(path), yaml_lines.load(path, InventoryError), (), keys, f"{way}{said}", hint)


def schema() -> dict[str, Any]:
    """JSON Schema of the ``stack`` variable, and of ``mnemo.yml``."""
    from mnemo_ops.reference.json_forms import of_dataclass  # loads the playbooks' words

    form = of_dataclass(Settings)
    form["properties"]["volumes"] = storage.schema()
    return form


@functools.lru_cache(8)
def _of_file(path: Path, changed: int) -> Mapping[str, Any]:
    """Values of a ``mnemo.yml``, each of its type. :param changed: when it was (ns): it is read once."""
    data = yaml_lines.load(path, InventoryError) or {}
    mistake = functools.partial(_mistake, str(path), data, ())
    values = _typed(revealed(data), path.parent, mistake)
    for key in ("source", "ref"):
        if key in values:
            said = ".source: the directory of this file is the source" if key == "source" else ".ref: not in this file"
            raise mistake(
                (key,), said, "leave it out" if key == "source" else "the inventory names it, with the source"
            )
    _settings(values, values.get("volumes", {}), mistake)
    return values


def _mistake(
    what: str, data: Any, way: Sequence[Any], keys: Sequence[Any], said: str, hint: str = ""
) -> InventoryError:
    """:param way: to the settings in ``data``; ``keys``: from there to the value."""
    where = yaml_lines.place_of(data, (*way, *keys))
    if keys == ("compose_files",) and where == yaml_lines.place_of(data, way):
        where = yaml_lines.place_of(data, (*way, "compose_file"))
    return InventoryError(f"{what}{said}", where=where, hint=hint)


def _merged(beside: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The inventory's values over those of the file: mappings by key, datasets one after another."""
    found = dict(over)
    for key, value in over.items():
        if isinstance(value, Mapping) and key in beside:
            # the inventory's last: of two that clash it is the one that is wrong
            found[key] = {**{name: each for name, each in beside[key].items() if name not in value}, **value}
    if "datasets" in over and "datasets" in beside:
        found["datasets"] = [*beside["datasets"], *over["datasets"]]
    return found


def _typed(given: Any, home: Path, mistake: Mistake) -> dict[str, Any]:
    """The values of known keys, each of its type; paths of this machine from where their file is."""
    if not isinstance(given, Mapping):
        raise mistake((), f" is {given!r}, not a mapping")
    known = {each.name: each for each in fields(Settings)}
    usual = Settings()
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key == "compose_file" and isinstance(value, str):
            key, value = "compose_files", [value]
        if key not in known:
            raise mistake((key,), f".{key} is not a setting", suggest(str(key), known))
        usual_type = type(getattr(usual, key))
        wanted = Mapping if usual_type is dict else list if usual_type is tuple else usual_type
        if not isinstance(value, wanted):
            raise mistake((key,), f".{key} is {value!r}, not of type {wanted.__name__.lower()}")
        values[key] = value
    for key in [key for key in LOCAL if values.get(key)]:  # an empty one is none
        try:
            values[key] = str(home / Path(values[key]).expanduser())
        except RuntimeError as problem:
            raise mistake((key,), f".{key} is {values[key]!r}: {problem}") from None
    return values


def _settings(values: Mapping[str, Any], volumes: Collection[str], mistake: Mistake) -> Settings:
    """:param volumes: keys of those that ``mnemo.yml`` declares."""
    chosen: dict[str, Any] = {**values, "volumes": {}}
    try:
        validation.refuse_values(values)
        for key in ("compose_files", "recipients", "datasets", "ports"):
            chosen[key] = tuple(values.get(key, ()))
        if values.get("env_file"):
            chosen = {"env_name": ".env", **chosen}
        if not chosen["compose_files"] and values.get("source"):
            own = Path(values["source"]) / (values.get("env_name") or ".env")
            chosen["compose_files"] = _found(Path(values["source"]), Path(values.get("env_file") or own))
        if project := values.get("project", ""):
            chosen = {"directory": f"/srv/{project}", "store": f"/var/backups/{project}", **chosen}
            validation.refuse_directories(chosen["directory"], chosen["store"])
        validation.refuse_datasets(validation.datasets(chosen["datasets"]))
        made = Settings(**chosen)
    except ValueError as problem:
        what, _, remedy = str(problem).partition("; ")
        raise mistake((re.split(r"\W", what)[0],), f".{what}", remedy) from None
    found = _storage(made, values.get("volumes", {}), {*volumes, *compose_names(made, "volumes")}, mistake)
    # in the order of mnemo.yml, whatever the inventory says of some: what is rendered of them stays as it is
    return replace(made, volumes={key: found[key] for key in dict.fromkeys((*volumes, *found))})


def compose_names(chosen: Settings, section: str) -> dict[str, Any]:
    """A section (``services``, ``volumes``) of the compose files on this machine; nothing of one that cannot be read:
    whoever deploys it says why."""
    found: dict[str, Any] = {}
    for name in chosen.compose_files:
        with suppress(MnemoError, OSError):
            rows = documents.load(Path(chosen.source, name)).get(section)
            found.update(rows if isinstance(rows, dict) else {})
    return found


def _found(source: Path, env_file: Path) -> tuple[str, ...]:
    """What Compose takes in a directory when no file is named; nothing where there is none: a deploy says so."""
    with suppress(MnemoError, OSError):
        variables = environment(filter(Path.is_file, [env_file]))
        files = reading.compose_files(source, (), variables, [env_file])
        return tuple(os.path.relpath(path, source) for path in files)
    return ()


def _storage(
    chosen: Settings, given: Mapping[Any, Any], declared: Collection[str], mistake: Mistake
) -> dict[str, Storage]:
    """How volumes are stored. :param declared: keys of volumes that are there beside those of datasets."""
    rows = validation.datasets(chosen.datasets)
    known = {*declared, *chosen.waived, *(row.volume or row.path for row in rows)} - {"."}
    databases = {row.volume: row.kind for row in rows if row.kind in ("postgres", "redis")}
    found: dict[str, Storage] = {}
    for key, spec in given.items():
        way = ("volumes", key)
        if key not in known:
            raise mistake(way, f".volumes.{key}: the stack has no such volume", suggest(str(key), known))
        try:
            found[key] = storage.parse(key, spec, databases)
            _refuse_place(chosen, key, found, known)
        except ValueError as problem:
            what, _, remedy = str(problem).partition("; ")
            raise mistake(way, f".volumes.{key}: {what}", remedy) from None
    return found


def _refuse_place(chosen: Settings, key: str, found: Mapping[str, Storage], known: Collection[str]) -> None:
    """:raises ValueError: what is stored there is not alone there."""
    mine, project = found[key], chosen.project
    at = mine.place(project, key)
    if isinstance(mine, Bind):
        own = {chosen.directory: "the stack's directory", chosen.store: "the directory of its backups"}
        if at == f"{chosen.directory}/{key}" and any(row["path"] == key for row in chosen.datasets if "path" in row):
            own = {}  # where it lies without being a volume
        path_rules.refuse(at, own)
    names = {f"{project}_{name}": name for name in (*known, *found) if name != key}
    if isinstance(mine, External) and mine.name in names:
        raise ValueError(f"{at} is the volume of {names[at]}; each volume needs a place of its own")
    for name, other in found.items():
        there = other.place(project, name)
        how = path_rules.overlap(at, there) if name != key and at and there else ""
        if how:
            what = f"is the place of {name} already" if how == "is" else f"{how} {there}, the place of {name}"
            raise ValueError(f"{at} {what}; each volume needs a place of its own")
