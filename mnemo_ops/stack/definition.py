"""The application, stated once: what must survive, who writes, what proves it well. See ``stacks/mnemosyne``.

Everything here can be overridden by the ``stack`` variable of the inventory; nothing else in the project names a
service, a volume or a path of the application.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mnemo_ops.agent.base.record import asdict, dataclass, field, fields, replace
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.core.model import Host
from mnemo_ops.core.paths import shown
from mnemo_ops.core.secret_text import revealed
from mnemo_ops.core.suggest import suggest
from mnemo_ops.documents import yaml_lines
from mnemo_ops.errors import InventoryError
from mnemo_ops.reference.json_forms import Schema, of_dataclass
from mnemo_ops.stack import validation
from mnemo_ops.stack.addresses import peer_name
from mnemo_ops.stack.volumes import declared as storage
from mnemo_ops.stack.volumes import path_rules
from mnemo_ops.stack.volumes.types import Bind, External, Local, Storage
from mnemo_ops.templates.render import Scope, render, render_file

DATASETS = (
    Dataset("postgres", "postgres", volume="postgres_data", service="postgres"),
    Dataset("lightrag", "files", volume="lightrag_data"),
    Dataset("uploads", "files", path="uploads"),
    Dataset("redis", "redis", volume="redis_data", service="redis"),
    Dataset("grafana", "files", volume="grafana_data"),
    Dataset("prometheus", "files", volume="prometheus_data"),
    Dataset("config", "config", path="."),
)
WAIVED = {
    "postgres_backups": "dumps of the application's own backup container; backups replace them",
    "nginx_cache": "a cache; use fills it again",
    "api_logs": "logs of this host; another host does not need them",
    "celery_logs": "logs of this host; another host does not need them",
}
VOLUMES = (
    "postgres_data",
    "postgres_backups",
    "redis_data",
    "lightrag_data",
    "nginx_cache",
    "api_logs",
    "celery_logs",
    "prometheus_data",
    "grafana_data",
)
WRITTEN = ("lightrag_data", "api_logs", "celery_logs", "uploads")  # by the application: they belong to its user
PORTS = (80, 443)
# services that must answer for the proof; nginx, which lets clients in, starts only after it
PROVEN = ("postgres", "redis", "api")
WRITABLE = {"api": ["/app/uploads", "/app/data/lightrag"]}
HEALTH = {"api": "8000/health"}
DOCUMENTS = {"table": "documents", "path": "file_path", "size": "size", "sha256": "sha256", "base": "uploads"}

ENV_NAME = ".env.production"
OVERRIDE_NAME = "docker-compose.mnemo.yml"
LOCAL = ("source", "env_file", "tls", "images_archive")  # paths on this machine, relative to the inventory file


@dataclass(frozen=True)
class Settings:
    """The ``stack`` variable of a host; what is left out is the application's usual.

    :param directory: where the stack lives on the host. :param store: where its sets lie on the host.
    :param source: directory on this machine with the owner's compose file and what it mounts.
    :param env_file: the env file on this machine. :param tls: directory with the certificate and key on this machine.
    :param images: service -> image reference that replaces the owner's. :param images_archive: ``docker save`` file.
    :param recipients: age public keys for what a set holds of secrets.
    :param grace: seconds a service gets to finish its work when it is stopped.
    :param datasets: more that must survive, each with a ``name`` and a ``volume`` or a ``path`` of the stack.
    :param waived: volumes that need not survive, each with the reason; ``SERVICE:/TARGET`` for a mount of another kind.
    :param volumes: volume, or path of the stack that must survive -> how it is stored (docs/storage.md).
    """

    project: str = "mnemosyne"
    directory: str = "/srv/mnemosyne"
    store: str = "/var/backups/mnemosyne"
    source: str = ""
    compose_file: str = "docker-compose.prod.yml"
    override: str = "override.yml.j2"
    env_file: str = ""
    tls: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    images_archive: str = ""
    recipients: tuple[str, ...] = ()
    grace: int = 60
    datasets: tuple[Mapping[str, str], ...] = ()
    waived: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, Storage] = field(default_factory=dict)


def settings(host: Host) -> Settings:
    """:raises InventoryError: an unknown key with the nearest valid one, or a value that cannot be meant (2)."""
    variables = Scope((Path(str(host.vars.get("inventory_dir", "."))),)).plus(host.vars)
    # names messages are full of, in an encrypted file too: the mask spares them
    given = revealed(render(host.vars.get("stack") or {}, variables, f"{host.name}: stack"))
    if not isinstance(given, Mapping):
        raise _mistake(host, (), f" is {given!r}, not a mapping")
    values = _typed(host, given)
    try:
        validation.refuse_values(values)
        values.update({key: tuple(values.get(key, ())) for key in ("recipients", "datasets")})
        values.update({key: dict(values.get(key, {})) for key in ("images", "waived")})
        chosen = Settings(**{**values, "volumes": {}})
        validation.refuse_directories(chosen.directory, chosen.store)
        validation.refuse_datasets(datasets(chosen))
    except ValueError as problem:
        what, _, remedy = str(problem).partition("; ")
        raise _mistake(host, (re.split(r"\W", what)[0],), f".{what}", remedy) from None
    return replace(chosen, volumes=_storage(host, chosen, values.get("volumes", {})))


def _typed(host: Host, given: Mapping[Any, Any]) -> dict[str, Any]:
    """The values of known keys, each of its type; paths of this machine from where the inventory is."""
    known = {each.name: each for each in fields(Settings)}
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            raise _mistake(host, (key,), f".{key} is not a setting", suggest(str(key), known))
        wanted = {"recipients": list, "datasets": list}.get(key, type(getattr(Settings(), key)))
        wanted = Mapping if wanted is dict else wanted
        if not isinstance(value, wanted):
            raise _mistake(host, (key,), f".{key} is {value!r}, not of type {wanted.__name__.lower()}")
        values[key] = value
    home = Path(str(host.vars.get("inventory_dir", ".")))
    for key in set(LOCAL) & values.keys():
        try:
            values[key] = str(home / Path(values[key]).expanduser())
        except RuntimeError as problem:
            raise _mistake(host, (key,), f".{key} is {values[key]!r}: {problem}") from None
    return values


def _mistake(host: Host, keys: Sequence[Any], what: str, hint: str = "") -> InventoryError:
    """:param keys: the way to it in the ``stack`` variable."""
    where = yaml_lines.place_of(host.vars, ("stack", *keys))
    return InventoryError(f"{host.name}: stack{what}", where=where, hint=hint)


def _storage(host: Host, chosen: Settings, given: Mapping[Any, Any]) -> dict[str, Storage]:
    """How the volumes are stored that the inventory says something of."""
    rows = datasets(chosen)
    known = {*VOLUMES, *chosen.waived, *(row.volume or row.path for row in rows)} - {"."}
    databases = {row.volume: row.kind for row in rows if row.kind in ("postgres", "redis")}
    found: dict[str, Storage] = {}
    for key, spec in given.items():
        way = ("volumes", key)
        if key not in known:
            raise _mistake(host, way, f".volumes.{key}: the stack has no such volume", suggest(str(key), known))
        try:
            found[key] = storage.parse(key, spec, databases)
            _refuse_place(chosen, key, found)
        except ValueError as problem:
            what, _, remedy = str(problem).partition("; ")
            raise _mistake(host, way, f".volumes.{key}: {what}", remedy) from None
    return found


def _refuse_place(chosen: Settings, key: str, found: Mapping[str, Storage]) -> None:
    """:raises ValueError: what is stored there is not alone there."""
    mine, project = found[key], chosen.project
    at = mine.place(project, key)
    if isinstance(mine, Bind):
        own = {chosen.directory: "the stack's directory", chosen.store: "the directory of its backups"}
        if at == f"{chosen.directory}/{key}" and any(row.path == key for row in DATASETS):
            own = {}  # where it lies without being a volume
        path_rules.refuse(at, own)
    names = {f"{project}_{name}": name for name in (*VOLUMES, *found) if name != key}
    if isinstance(mine, External) and mine.name in names:
        raise ValueError(f"{at} is the volume of {names[at]}; each volume needs a place of its own")
    for name, other in found.items():
        there = other.place(project, name)
        how = path_rules.overlap(at, there) if name != key and at and there else ""
        if how:
            what = f"is the place of {name} already" if how == "is" else f"{how} {there}, the place of {name}"
            raise ValueError(f"{at} {what}; each volume needs a place of its own")


def volumes(chosen: Settings, hosts: Mapping[str, Host] = MappingProxyType({})) -> list[dict[str, Any]]:
    """A row for every volume of the stack, as our playbooks read it.

    :param hosts: of the inventory: a server among them is named by the address other hosts reach it by.
    """
    keys = dict.fromkeys((*VOLUMES, *chosen.volumes))
    addresses = {name: peer_name(host) for name, host in hosts.items()}
    stored = {key: chosen.volumes.get(key, Local()).reached(addresses) for key in keys}
    return [storage.row(chosen.project, key, found, key in WRITTEN) for key, found in stored.items()]


def schema() -> Schema:
    """JSON Schema of the ``stack`` variable."""
    form = of_dataclass(Settings)
    form["properties"]["volumes"] = storage.schema()
    return form


def words(host: Host, hosts: Mapping[str, Host]) -> dict[str, Any]:
    """The variables our playbooks are written with. :param hosts: of the inventory."""
    chosen = settings(host)
    return {
        "stack": asdict(chosen),
        "stack_volumes": volumes(chosen, hosts),
        "env_name": ENV_NAME,
        "override_name": OVERRIDE_NAME,
    }


def override(
    hosts: Mapping[str, Host], host: Host, images: Mapping[str, str], extra: Mapping[str, Any] = MappingProxyType({})
) -> str:
    """Our compose file for a host, as a deploy would write it. :param images: service -> image.

    :param extra: variables of the command line, which go before those of the inventory.
    :raises InventoryError: ``stack.source`` does not have it (2). :raises TemplateError: it cannot be rendered (2).
    """
    chosen, known = settings(host), words(host, hosts)
    path = Path(chosen.source) / chosen.override
    if not chosen.source or not path.is_file():
        raise _mistake(host, ("source",), f".source: {shown(path)} does not exist, and other images need it")
    said = {**host.vars, **known, **extra, "stack": {**known["stack"], "images": images}}
    variables = Scope((path.parent,)).plus(said)
    return render_file(path, variables)


def datasets(chosen: Settings) -> tuple[Dataset, ...]:
    """What must survive; a path that is stored elsewhere is a volume of that name."""
    rows = (*DATASETS, *(Dataset(kind="files", **row) for row in chosen.datasets))
    return tuple(replace(row, volume=row.path) if row.path in chosen.volumes else row for row in rows)


def stack_of(chosen: Settings) -> Stack:
    """What the agent needs to know of the stack."""
    return Stack(
        project=chosen.project,
        directory=chosen.directory,
        files=(chosen.compose_file, OVERRIDE_NAME),
        env_file=ENV_NAME,
        store=chosen.store,
        datasets=datasets(chosen),
        keep=("postgres",),
        waived={**WAIVED, **chosen.waived},
        grace=chosen.grace,
        names={row["key"]: row["name"] for row in volumes(chosen) if row["type"] == "external"},
    )


def wire(stack: Stack) -> dict[str, Any]:
    """A stack as an action's argument."""
    return asdict(stack)
