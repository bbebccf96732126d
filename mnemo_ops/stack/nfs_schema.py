"""The ``nfs`` variable of the inventory: what one host lends to others, and how they mount it; ``docs/storage.md``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Optional

from mnemo_ops.agent.base.record import dataclass, field, fields
from mnemo_ops.core.model import Host
from mnemo_ops.core.secret_text import revealed
from mnemo_ops.core.suggest import suggest
from mnemo_ops.errors import InventoryError
from mnemo_ops.stack.nfs_options import DIRECTORY
from mnemo_ops.stack.volumes import path_rules
from mnemo_ops.templates.render import Scope, render

WORLD = "*"
NOBODY = 2**32 - 1  # no user has this number or a larger one
EXPORT_OPTIONS = "rw,sync,no_subtree_check,root_squash,insecure"


@dataclass(frozen=True)
class Export:
    """A directory of the server.

    :param owner: number of the user that writes there: the one of the container, on every client.
    :param group: number of the group; the owner's when left out. :param mode: of the directory.
    :param path: when it is not /srv/nfs/NAME. Outside of /srv/nfs it must exist: a disk that is away is noticed.
    :param options: of exports(5), for every client. :param state: ``absent``: not exported any more; the data stay.
    """

    owner: int
    group: Optional[int] = None
    path: str = ""
    mode: str = "0755"
    options: str = EXPORT_OPTIONS
    state: Literal["present", "absent"] = "present"


@dataclass(frozen=True)
class Nfs:
    """What ``invoke nfs-setup`` sets up.

    :param server: a host of the inventory.
    :param clients: hosts of the inventory, addresses, or networks; when left out: the hosts whose volumes are here.
    :param exports: by name; volumes of the stack that are stored on the server belong to them by themselves.
    :param allow_world: accept ``*`` as a client: anybody who reaches the server.
    """

    server: str = ""
    clients: tuple[str, ...] = ()
    exports: Mapping[str, Export] = field(default_factory=dict)
    allow_world: bool = False


def settings(host: Host) -> Nfs:
    """The ``nfs`` variable of a host.

    :raises InventoryError: an unknown key with the nearest valid one, or a value that cannot be meant (2).
    """
    variables = Scope((Path(str(host.vars.get("inventory_dir", "."))),)).plus(host.vars)
    where = f"{host.name}: nfs"
    given = _mapping(revealed(render(host.vars.get("nfs") or {}, variables, where)), where)
    _known(given, Nfs, where)
    rows = _mapping(given.get("exports") or {}, f"{where}.exports")
    clients = given.get("clients") or []
    if not isinstance(clients, list):
        raise InventoryError(f"{where}.clients is {clients!r}, not a list")
    world = given.get("allow_world", False)
    if not isinstance(world, bool):
        raise InventoryError(f"{where}.allow_world is {world!r}, neither true nor false")
    exports = {str(name): export(str(name), row, f"{where}.exports.{name}") for name, row in rows.items()}
    return Nfs(str(given.get("server") or ""), tuple(str(one) for one in clients), exports, world)


def export(name: str, row: Any, where: str) -> Export:
    """An export as the inventory writes it. Errors as :func:`settings`."""
    given = _mapping(row or {}, where)
    _known(given, Export, where)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InventoryError(f"{where}: the name of an export is of letters, digits, '_', '-' and '.'")
    if given.get("owner") is None:
        raise InventoryError(
            f"{where}.owner is missing: the number of the user that writes there",
            hint="docker run --rm --entrypoint id IMAGE -u prints it",
        )
    values: dict[str, Any] = {key: str(value) for key, value in given.items() if value is not None}
    values["path"] = values.get("path", "").rstrip("/") or ("/" if values.get("path") else "")
    values.update({key: _number(values[key], f"{where}.{key}") for key in ("owner", "group") if key in values})
    found = Export(**values)
    _check(found, where)
    return found


def _number(value: str, where: str) -> int:
    if not re.fullmatch(r"\d{1,10}", value) or int(value) >= NOBODY:
        raise InventoryError(
            f"{where} is {value!r}; it must be a number: names differ from host to host",
            hint="id -u NAME prints the number",
        )
    return int(value)


def _check(found: Export, where: str) -> None:
    """What would let nobody in, or lose data."""
    words = found.options.split(",")
    _check_path(found.path, f"{where}.path")
    if not re.fullmatch(r"[0-7]{3,4}", found.mode):
        raise InventoryError(f"{where}.mode is {found.mode!r}", hint='in quotes, like "0750"')
    if found.state not in ("present", "absent"):
        raise InventoryError(f"{where}.state is {found.state!r}", hint="valid names: absent, present")
    if "async" in words:
        raise InventoryError(
            f"{where}.options: async acknowledges data before it is on disk; a power cut loses it",
            hint=f"leave it out: {EXPORT_OPTIONS}",
        )
    if "insecure" not in words:
        raise InventoryError(
            f"{where}.options lack insecure: the clients mount with noresvport, and the server would refuse them",
            hint=f"add it: {EXPORT_OPTIONS}",
        )
    if found.owner == 0 and not {"no_root_squash", "all_squash"} & set(words):
        raise InventoryError(
            f"{where}.owner is root, and root_squash is on, so nothing can write to it",
            hint="run the container as another user and give its number, or add no_root_squash to options",
        )


def _check_path(path: str, where: str) -> None:
    """It is given to its owner, so nothing of the system's may be meant."""
    if not path:
        return
    if not path.startswith("/") or re.search(r'[\s"#\\]', path) or {".", ".."} & {*path.split("/")}:
        raise InventoryError(f"{where} must be absolute, without spaces, quotes and dots, not {path!r}")
    try:
        path_rules.refuse(
            path, {DIRECTORY: "above all exports"} if path_rules.overlap(path, DIRECTORY) != "lies in" else {}
        )
    except ValueError as problem:
        what, _, _ = str(problem).partition("; ")
        raise InventoryError(f"{where}{what[4:]}", hint=f"export a directory of its own, like {DIRECTORY}/x") from None


def network(text: str, where: str, allow_world: bool) -> str:
    """A client that is no host of the inventory. :raises InventoryError: neither address nor network (2)."""
    if text == WORLD:
        if allow_world:
            return text
        raise InventoryError(
            f"{where}: * allows every machine that reaches the server", hint="give networks, or allow_world: true"
        )
    try:
        return str(ipaddress.ip_network(text)) if "/" in text else str(ipaddress.ip_address(text))
    except ValueError as error:
        raise InventoryError(
            f"{where}: '{text}' is neither a host of the inventory nor an address nor a network: {error}",
            hint="like 10.0.0.11 or 10.0.0.0/24; names are not allowed: whoever answers for one could mount it",
        ) from None


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InventoryError(f"{where} is {value!r}, not a mapping")
    return value


def _known(given: Mapping[str, Any], cls: Any, where: str) -> None:
    names = [each.name for each in fields(cls)]
    for key in given:
        if key not in names:
            raise InventoryError(f"{where}.{key} is not a setting", hint=suggest(str(key), names))
