"""What a place holds, by what lies in it and who serves it, never by a name: a cluster of Postgres, Redis, or files."""

from __future__ import annotations

import posixpath
import re
from typing import Iterable, List, Sequence, Tuple

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster.entrance import enter
from mnemo_ops.agent.stack.containers import Container, Found
from mnemo_ops.agent.stack.project.model import Model
from mnemo_ops.agent.stack.project.places import Place, mounted
from mnemo_ops.errors import MnemoError

DEEP, WIDE = 2, 64  # how far below a mount a cluster is looked for, and among how many names
_CLUSTER = {"PG_VERSION", "global"}
_REDIS = ("appendonlydir", "appendonly.aof", "dump.rdb")
_SERVERS = ("redis-server", "valkey-server", "keydb-server")
_BESIDE = re.compile(r"lost\+found|(pg_)?logs?")  # nobody misses these
_VARIABLE = re.compile(r"PGDATA|PG_MAJOR|(POSTGRES|POSTGRESQL|PATRONI|SPILO)_\w+")

Told = Tuple[str, str, str]


def kind_of(machine: Machine, model: Model, place: Place, found: Found) -> Told:
    """Kind, the service that serves it (none for files), and why."""
    if not place.real:
        return "files", "", place.why
    candidates = [each for each in found if mounted(each, place)]
    if clusters := _clusters(machine, place.real, DEEP):
        return _postgres(machine, model, place, clusters, candidates)
    own = [name for name in _REDIS if machine.stat(f"{place.real}/{name}")]
    served = [name for name in place.writers if _serves_redis(model, name, candidates)]
    if served or (own and len(place.writers) == 1):
        why = f"{own[0]} lies in it" if own else "its server is Redis', by its command"
        return "redis", (served or place.writers)[0], why
    return "files", "", "no service is known to serve it as a database; archived while its writers are stopped"


def _clusters(machine: Machine, top: str, deep: int) -> List[str]:
    """Directories with a cluster, behind no link."""
    try:
        names = machine.names(top)
    except OSError:
        return []
    if set(names) >= _CLUSTER:
        return [top]
    if not deep or len(names) > WIDE:
        return []
    below = [f"{top}/{name}" for name in names]
    return [
        found
        for path in below
        if getattr(machine.stat(path), "kind", "") == "directory"
        for found in _clusters(machine, path, deep - 1)
    ]


def _postgres(
    machine: Machine, model: Model, place: Place, clusters: Sequence[str], candidates: Sequence[Container]
) -> Told:
    cluster = clusters[0]
    version = (machine.read_text(f"{cluster}/PG_VERSION") or "").strip()[:8]
    where = posixpath.relpath(cluster, place.real)
    told = f"PG_VERSION {version} in it" if where == "." else f"PG_VERSION {version} in its {where}"
    if beside := _beside(machine, place.real, cluster):
        return "files", "", f"{told}, and more beside it: {', '.join(beside[:3])}; archived while its writers stop"
    running = [each for each in candidates if each.running]
    servers = any(_speaks(each.env) for each in candidates)  # one may be down at the moment
    if running and not servers and machine.stat(f"{cluster}/postmaster.pid") is None:
        return "files", "", f"{told}, but no server runs on it"
    said = ""
    for each in sorted(running, key=lambda each: not _speaks(each.env)):
        try:
            if machine.realpath(enter(machine, each).home.path) == cluster:
                return "postgres", each.service, f"{told}, where the server of {each.name} has its data"
        except MnemoError as error:
            said = said or error.message
    likely = [each.service for each in sorted(candidates, key=lambda each: not _speaks(each.env))]
    likely += sorted(place.writers, key=lambda name: not _speaks(model.services[name].variables))
    service = likely[0]
    return "postgres", service, f"{told}; " + (said or f"{service} does not run, so that its server was not asked")


def _beside(machine: Machine, top: str, cluster: str) -> List[str]:
    """What lies on the way to a cluster and is not of it."""
    found: List[str] = []
    while cluster != top:
        cluster, name = posixpath.split(cluster)
        for other in machine.names(cluster):
            kind = getattr(machine.stat(f"{cluster}/{other}"), "kind", "")
            empty = kind == "directory" and not machine.names(f"{cluster}/{other}")
            mark = kind == "file" and other.startswith(".")  # of an image's first start
            if other != name and not (empty or mark or _BESIDE.fullmatch(other)):
                found.append(other)
    return found


def _speaks(variables: Iterable[str]) -> bool:
    """Whether they are those of an image of Postgres: of several who write to a cluster, that one serves it."""
    return any(_VARIABLE.fullmatch(key) for key in variables)


def _serves_redis(model: Model, service: str, candidates: Sequence[Container]) -> bool:
    words = [*model.services[service].command]
    words += [word for each in candidates if each.service == service for word in each.command]
    return any(posixpath.basename(part) in _SERVERS for word in words for part in word.split())
