"""Images that new gets instead of old's: where its inventory names another one in ``stack.images``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

import yaml

from mnemo_ops.agent.actions.cluster import TryImage
from mnemo_ops.agent.base.finding import Finding
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.checks.findings import refused
from mnemo_ops.checks.preflight import Side
from mnemo_ops.core.model import Host
from mnemo_ops.flows.engine import Flow
from mnemo_ops.stack import definition
from mnemo_ops.stack.image_archive import major_of
from mnemo_ops.stack.settings import mistaken


@dataclass(frozen=True)
class Means:
    """What brings images to a host.

    :param fetch: loads or pulls the images of these services, as the host's inventory says.
    :param override: the text of our compose file for a host, with these images.
    """

    fetch: Callable[[Host, Mapping[str, str]], None]
    override: Callable[[Host, Mapping[str, str]], str]


@dataclass(frozen=True)
class Other:
    """What differs.

    :param images: by service. :param override: of new. :param databases: postgres dataset -> the image of its service,
        and what the override says of that: its fields, and variables of its environment.
    """

    images: Mapping[str, str]
    override: str
    databases: Mapping[str, tuple[str, Sequence[str]]] = field(default_factory=dict)


class _Compose(yaml.SafeLoader):
    """Compose's own tags (``!reset``) say how a value is merged: here they count as none."""


_Compose.add_multi_constructor("!", lambda loader, tag, node: None)


def declared(override: str, service: str) -> tuple[str, ...]:
    """Fields of a service in our compose file, and names of its environment. Of no form that Compose takes: none."""
    try:
        found = (yaml.load(override, _Compose) or {})["services"][service]
        names = (str(each).partition("=")[0] for each in found.get("environment") or ())
        return (*map(str, found), *names)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return ()


def other(
    flow: Flow, old: Host, new: Host, means: Optional[Means], side: Side, stack: Mapping[str, Any]
) -> Optional[Other]:
    """What new runs instead of what old runs, if anything.

    :param side: old as it is: of what its inventory names, not all need be deployed. :param stack: that of old.
    :raises InventoryError: its files are not here, or old has none that names images (2).
    """
    was, will = flow.settings(old).images, flow.settings(new).images
    runs = {service: each["image"] for service, each in side.survey["containers"].items()}
    images = {service: image for service, image in will.items() if image not in (was.get(service), runs.get(service))}
    if not images or means is None:
        return None
    if definition.OVERRIDE_NAME not in stack["files"]:  # what old runs with is what new gets
        said = f": {new.name} names other images, and {old.name} has no {definition.OVERRIDE_NAME} that names its own"
        named = ", ".join(f"{each}: {runs.get(each, '...')}" for each in images)
        hint = f"name what it runs ({named}), and invoke deploy --limit {old.name}"
        raise mistaken(old, "", ("images",), said, hint)
    same = {each: runs.get(each, image) for each, image in was.items()}
    override = means.override(new, {**same, **images})
    served = {row["name"]: row["service"] for row in stack["datasets"] if row["kind"] == "postgres"}
    changed = {name: (images[each], declared(override, each)) for name, each in served.items() if each in images}
    return Other(images, override, changed)


def older(flow: Flow, host: Host, chosen: Other, old: Side, new: Side) -> list[Finding]:
    """Databases that new could not read, as far as the image says so before it is on new, or is there already."""
    found = []
    for name, (image, _) in chosen.databases.items():
        database = (old.survey.get("postgres") or {}).get(name)
        if not database:
            continue
        there = database["cluster"]
        major = int(flow.ready(host, TryImage(image, there))["major"]) if new.survey["tools"].get("docker") else 0
        archive = flow.settings(host).images_archive
        major = major or (major_of(archive, image) if archive else 0)
        if 0 < major < there["major"]:
            evidence = f"its image {image} has Postgres {major}, and {old.name} has {there['version']}, which is newer"
            remedy = f"name an image of Postgres {there['major']} or newer in stack.images of {new.name}"
            found.append(refused("image.older", new.name, evidence, remedy))
    return found
