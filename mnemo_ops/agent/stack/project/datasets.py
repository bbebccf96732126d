"""What must survive of a project, what of it may be waived, and who writes to it."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from typing import List, Sequence

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import Found
from mnemo_ops.agent.stack.project.kinds import kind_of
from mnemo_ops.agent.stack.project.model import Model
from mnemo_ops.agent.stack.project.places import Place
from mnemo_ops.agent.stack.project.rows import DATASET, Row

CONFIG = "config"
_CACHE = re.compile(r"(?i)(?:^|[-_./])(\.?caches?|tmp|temp|logs?)(?=[-_./]|$)")
_CONFIG = {"name": CONFIG, "kind": CONFIG, "volume": "", "path": ".", "service": "", "docker": ""}


def rows(machine: Machine, model: Model, every: Sequence[Place], found: Found) -> List[Row]:
    """:param every: of :func:`~.places.places`."""
    made = [_rows(machine, model, place, _name(place), found) for place in every]
    why = "the compose files, settings and keys of the project; encrypted, without the datasets in it"
    return [Row(DATASET, CONFIG, CONFIG, why, "", _CONFIG), *(row for one in made for row in one)]


def stores(rows: Sequence[Row]) -> List[str]:
    """Services that keep the data of others: databases, which stop last."""
    return sorted({each.dataset["service"] for each in rows if each.dataset and each.dataset["service"]})


def _rows(machine: Machine, model: Model, place: Place, name: str, found: Found) -> List[Row]:
    kind, service, why = kind_of(machine, model, place, found)
    if place.inner:
        why += f"; {', '.join(place.inner)} in it"
    told = {"name": name, "kind": kind, "volume": place.volume, "path": place.path, "service": service}
    told["docker"] = "" if place.ours else place.docker
    where = {"volume": place.volume} if place.volume else {"path": place.path}
    other = json.dumps({"name": name, "kind": "KIND", **where})
    value = f"{kind}, served by {service}" if service else kind
    made = [Row(DATASET, name, value, why, f"stack.datasets, where each is named then: [{other}, ...]", told)]
    if word := _cache(place):
        waive = f"stack.waived: {json.dumps({place.origin: 'REASON'})}"
        made.append(Row("may be waived", name, "a dataset until you waive it", f"{word} says cache or logs", waive))
    return [*made, _writers(model, place, name, kind, service)]


def _cache(place: Place) -> str:
    """The path or key that looks like what use makes again."""
    targets = [each.target for each in place.uses]
    return next((each for each in (place.origin, *targets) if _CACHE.search(each)), "")


def _writers(model: Model, place: Place, name: str, kind: str, service: str) -> Row:
    """Every service that may change it: they stop while it is saved."""
    why = ["writable mounts: " + ", ".join(place.writers)]
    clients = sorted(each.name for each in model.services.values() if service and service in each.depends)
    if clients := [each for each in clients if each not in place.writers]:
        why.append(f"clients of {service} by depends_on: {', '.join(clients)}")
    every = ", ".join(sorted({*place.writers, *clients}))
    return Row("writers", name, every, "; ".join(why), "read_only on a mount, or depends_on, in the compose file")


def _name(place: Place) -> str:
    """One that files may have, and no other place, whatever else there is today or comes later."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", place.origin).strip("-") or "data"
    if place.volume and plain == place.origin and plain != CONFIG and len(plain) < 100:
        return plain
    origin = place.origin if place.volume else posixpath.join(".", place.origin)
    return f"{plain[:80]}-{hashlib.sha256(origin.encode()).hexdigest()[:6]}"
