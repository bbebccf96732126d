"""A stack as its owner's settings make it: its volumes, its compose files, and what an agent has to know of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mnemo_ops.agent.base.record import asdict, replace
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.core.model import Host
from mnemo_ops.core.paths import shown
from mnemo_ops.core.suggest import suggest
from mnemo_ops.documents.yaml_lines import Unsafe
from mnemo_ops.errors import InventoryError
from mnemo_ops.stack import validation
from mnemo_ops.stack.addresses import peer_name
from mnemo_ops.stack.project import reading
from mnemo_ops.stack.project.reading import Project
from mnemo_ops.stack.settings import FILE, Settings, mistaken, settings
from mnemo_ops.stack.validation import OVERRIDE_NAME as OVERRIDE_NAME
from mnemo_ops.stack.volumes import declared as storage
from mnemo_ops.templates.render import Scope, render_file

_USES_IMAGES = re.compile(r"\bimages\b|\{%-?\s*(?:include|import|from|extends)\b")  # itself, or one that it includes


def volumes(chosen: Settings, hosts: Mapping[str, Host] = MappingProxyType({})) -> list[dict[str, Any]]:
    """A row for every volume of the stack, as our playbooks read it.

    :param hosts: of the inventory: a server among them is named by the address other hosts reach it by.
    """
    addresses = {name: peer_name(host) for name, host in hosts.items()}
    owned = {key for keys in chosen.owners.values() for key in keys}
    stored = {key: found.reached(addresses) for key, found in chosen.volumes.items()}
    return [storage.row(chosen.project, key, found, key in owned) for key, found in stored.items()]


def words(host: Host, hosts: Mapping[str, Host]) -> dict[str, Any]:
    """The variables our playbooks are written with. :param hosts: of the inventory."""
    chosen = settings(host)
    return {
        "stack": asdict(chosen),
        "stack_volumes": volumes(chosen, hosts),
        "env_name": chosen.env_name,
        "override_name": OVERRIDE_NAME,
        "stack_compose": files(chosen),
        "stack_override": "" if chosen.override else Unsafe(override_of(chosen.images)),
    }


def override(
    hosts: Mapping[str, Host], host: Host, images: Mapping[str, str], extra: Mapping[str, Any] = MappingProxyType({})
) -> str:
    """Our compose file for a host, as a deploy would write it. :param images: service -> image.

    :param extra: variables of the command line, which go before those of the inventory.
    :raises InventoryError: ``stack.source`` does not have what it is made of, or not a service that is to get another
        image (2). :raises TemplateError: it cannot be rendered (2).
    """
    chosen, known = settings(host), words(host, hosts)
    path = Path(chosen.source) / chosen.override
    if not chosen.source or (chosen.override and not path.is_file()):
        said = f": {shown(path)} is no template of a compose file, and other images need one"
        raise mistaken(host, "", ("source",), said, f"name it in {FILE}: override: override.yml.j2")
    if not chosen.override:
        refuse_others(host, chosen, project(chosen))
        return override_of(images)
    variables = {**host.vars, **known, **extra, "stack": {**known["stack"], "images": images}}
    return render_file(path, Scope((path.parent,)).plus(variables))


def override_of(images: Mapping[str, str]) -> str:
    """Our compose file of a stack that has no template of one; empty where nothing is to be said."""
    rows = "".join(
        f"  {json.dumps(service)}:\n    image: {json.dumps(image)}\n    build: !reset null\n"
        for service, image in images.items()
    )
    return f"# Written by mnemo_ops: change stack.images, not this file.\nservices:\n{rows}" if rows else ""


def project(chosen: Settings) -> Project:
    """The compose project in ``stack.source``. :raises InventoryError: it cannot be read (2)."""
    env_files = [Path(chosen.env_file)] if chosen.env_file else []
    source, own = Path(chosen.source), chosen.env_name or ".env"
    return reading.read(
        source, chosen.directory, chosen.compose_files, env_files, images=chosen.images, own=own, project=chosen.project
    )


def refuse_others(host: Host, chosen: Settings, found: Project) -> None:
    """:raises InventoryError: settings speak of services that the compose files do not have; with file and line (2)."""
    template = Path(chosen.source) / chosen.override
    if chosen.override and not template.is_file():
        raise mistaken(host, chosen.source, ("override",), f": {shown(template)} is no file")
    ours = template.read_text(errors="replace") if chosen.override else ""  # which may add services
    for keys, service in _named(chosen) if found.whole else ():
        if service not in found.services and not re.search(rf"(?<![\w.-]){re.escape(service)}(?![\w.-])", ours):
            said = f": the compose files have no service {service}"
            raise mistaken(host, chosen.source, keys, said, suggest(service, found.services))
    if chosen.images and chosen.override and not _USES_IMAGES.search(ours):
        said = f": {chosen.override} does not use stack.images, so no service would run these"
        hint = f"write `image: {{{{ stack.images.{next(iter(chosen.images))} }}}}` there, or leave out the override"
        raise mistaken(host, chosen.source, ("images",), said, hint)


def _named(chosen: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Services that settings speak of, each with the keys that lead there."""
    checks = chosen.checks
    yield from ((("images", service), service) for service in chosen.images)
    yield from ((("owners", service), service) for service in chosen.owners)
    yield from ((("checks", "services"), service) for service in checks.get("services", ()))
    for key in ("health", "writable"):
        yield from ((("checks", key, service), service) for service in checks.get(key, ()))
    yield from ((("datasets",), row["service"]) for row in chosen.datasets if row.get("service"))


def datasets(chosen: Settings) -> tuple[Dataset, ...]:
    """What must survive; a path that is stored elsewhere is a volume of that name."""
    rows = validation.datasets(chosen.datasets)
    return tuple(replace(row, volume=row.path) if row.path in chosen.volumes else row for row in rows)


def files(chosen: Settings) -> tuple[str, ...]:
    """Compose files below the stack's directory on the host, in ``-f`` order."""
    return (*chosen.compose_files, *([OVERRIDE_NAME] if chosen.override or chosen.images else []))


def stack_of(chosen: Settings) -> Stack:
    """What the agent needs to know of a stack. :raises InventoryError: there is none (2)."""
    if not chosen.project:
        said = f"stack.project is not set for this host, nor in {FILE} of a stack.source"
        raise InventoryError(said, hint="README.md shows a complete inventory")
    rows = datasets(chosen)
    return Stack(
        project=chosen.project,
        directory=chosen.directory,
        files=files(chosen),
        env_file=chosen.env_name,
        store=chosen.store,
        datasets=rows,
        keep=tuple(row.service for row in rows if row.kind == "postgres" and row.service),
        waived=chosen.waived,
        grace=chosen.grace,
        names={row["key"]: row["name"] for row in volumes(chosen) if row["type"] == "external"},
    )


def proven(chosen: Settings, stack: Mapping[str, Any]) -> tuple[str, ...]:
    """Services that must answer before clients are let in: as declared, or those that keep data and are asked.

    :param stack: what the agent is told of it.
    """
    stores = [row["service"] for row in stack["datasets"] if row["service"]]
    return tuple(chosen.checks.get("services", dict.fromkeys([*stores, *chosen.checks.get("health", {})])))


def wire(stack: Stack) -> dict[str, Any]:
    """A stack as an action's argument."""
    return asdict(stack)
