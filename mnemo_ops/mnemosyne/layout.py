"""The application, stated once: what must survive, who writes, what proves it well. See ``stacks/mnemosyne``.

Everything here can be overridden by the ``stack`` variable of the inventory; nothing else in the project names a
service, a volume or a path of the application.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mnemo_ops.agent.record import asdict, dataclass, field, fields, replace
from mnemo_ops.agent.stack import Dataset, Stack
from mnemo_ops.errors import InventoryError
from mnemo_ops.json_forms import Schema, of_dataclass
from mnemo_ops.mnemosyne import places, storage
from mnemo_ops.mnemosyne.addresses import peer_name
from mnemo_ops.mnemosyne.volume_types import Bind, Local, Storage
from mnemo_ops.model import Host
from mnemo_ops.spelling import suggest
from mnemo_ops.template import Scope, render

# what writes is stopped first, what stores last; the front goes first of all, so that nobody is answered half way
STOP_ORDER = (
    "nginx",
    "celery-beat",
    "celery-worker",
    "celery-flower",
    "api",
    "backup",
    "grafana",
    "prometheus",
    "redis",
    "postgres",
)
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
    "postgres_backups": "dumps of the application's own backup container; sets replace them",
    "nginx_cache": "a cache, filled again by use",
    "api_logs": "logs of this host; they say nothing on another one",
    "celery_logs": "logs of this host; they say nothing on another one",
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
    :param waived: volumes that need not survive, each with the reason.
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
    """:raises InventoryError: an unknown key with the nearest valid one, or a value of the wrong type (2)."""
    variables = Scope((Path(str(host.vars.get("inventory_dir", "."))),)).plus(host.vars)
    given = render(host.vars.get("stack") or {}, variables, f"{host.name}: stack")
    known = {each.name: each for each in fields(Settings)}
    usual = Settings()
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            raise InventoryError(f"{host.name}: stack.{key} is not a setting", hint=suggest(key, known))
        wanted = {"recipients": list, "datasets": list}.get(key, type(getattr(usual, key)))
        wanted = Mapping if wanted is dict else wanted
        if not isinstance(value, wanted):
            raise InventoryError(f"{host.name}: stack.{key} is {value!r}, not of type {wanted.__name__.lower()}")
        values[key] = value
    for key in set(LOCAL) & values.keys():
        values[key] = str(Path(str(host.vars.get("inventory_dir", "."))) / Path(values[key]).expanduser())
    values.update({key: tuple(values.get(key, ())) for key in ("recipients", "datasets")})
    values.update({key: dict(values.get(key, {})) for key in ("images", "waived")})
    for row in values["datasets"]:
        if not isinstance(row, Mapping) or set(row) not in ({"name", "volume"}, {"name", "path"}):
            raise InventoryError(f"{host.name}: stack.datasets: each is a name and a volume or a path, not {row!r}")
    chosen = Settings(**{**values, "volumes": {}})
    chosen = replace(chosen, volumes=_storage(host, chosen, values.get("volumes", {})))
    for key in ("directory", "store"):
        if not getattr(chosen, key).startswith("/") or len(Path(getattr(chosen, key)).parts) < 3:
            raise InventoryError(f"{host.name}: stack.{key} must be an absolute path of its own, like /srv/mnemosyne")
    return chosen


def _storage(host: Host, chosen: Settings, given: Mapping[str, Any]) -> dict[str, Storage]:
    """How the volumes are stored that the inventory says something of."""
    rows = datasets(chosen)
    known = {*VOLUMES, *chosen.waived, *(row.volume or row.path for row in rows)} - {"."}
    databases = {row.volume: row.kind for row in rows if row.kind in ("postgres", "redis")}
    found: dict[str, Storage] = {}
    for key, spec in given.items():
        where = f"{host.name}: stack.volumes.{key}"
        if key not in known:
            raise InventoryError(f"{where}: the stack has no such volume", hint=suggest(key, known))
        try:
            found[key] = storage.parse(key, spec, databases)
            _refuse_place(chosen, key, found)
        except ValueError as problem:
            what, _, remedy = str(problem).partition("; ")
            raise InventoryError(f"{where}: {what}", hint=remedy) from None
    return found


def _refuse_place(chosen: Settings, key: str, found: Mapping[str, Storage]) -> None:
    """:raises ValueError: what is stored there is not alone there."""
    mine = found[key]
    if isinstance(mine, Bind):
        own = {chosen.directory: "the stack's directory", chosen.store: "where its sets are kept"}
        if mine.place == f"{chosen.directory}/{key}" and any(row.path == key for row in DATASETS):
            own = {}  # where it lies without being a volume
        places.refuse(mine.place, own)
    for name, other in found.items():
        how = places.overlap(mine.place, other.place) if name != key and mine.place and other.place else ""
        if how:
            what = f"is the place of {name} already" if how == "is" else f"{how} {other.place}, the place of {name}"
            raise ValueError(f"{mine.place} {what}; each volume needs a place of its own")


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
        stop_order=STOP_ORDER,
        keep=("postgres",),
        waived={**WAIVED, **chosen.waived},
        grace=chosen.grace,
        names={row["key"]: row["name"] for row in volumes(chosen) if row["type"] == "external"},
    )


def wire(stack: Stack) -> dict[str, Any]:
    """A stack as an action's argument."""
    return asdict(stack)
