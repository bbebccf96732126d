"""What a deploy takes along: the project's files, read and found complete before a host is touched."""

from __future__ import annotations

from pathlib import Path

from mnemo_ops.agent.base.record import replace
from mnemo_ops.core.model import Host
from mnemo_ops.execution.report import near
from mnemo_ops.flows.engine import Flow
from mnemo_ops.inventory.load import Inventory
from mnemo_ops.stack import definition
from mnemo_ops.stack.project.places import plain
from mnemo_ops.stack.project.private import is_inventory
from mnemo_ops.stack.project.shipment import Shipment, pack
from mnemo_ops.stack.settings import FILE, Settings

TLS_FILES = ("fullchain.pem", "privkey.pem", "dhparam.pem")
TLS_DIRECTORY = "nginx/ssl"
BESIDE = ("group_vars", "host_vars", ".mnemo", ".lab")  # of an inventory: variables, journals, keys, trials


def shipment_of(flow: Flow, inventory: Inventory, host: Host, chosen: Settings) -> Shipment:
    """What of ``stack.source`` travels to a host; warnings are told.

    :raises InventoryError: a file that the project names is not in the source; with the compose file and line (2).
    """
    source, project = Path(chosen.source), definition.project(chosen)
    definition.refuse_others(host, chosen, project)
    tls = [f"{TLS_DIRECTORY}/{name}" for name in TLS_FILES] if chosen.tls else []
    env = [chosen.env_name] if chosen.env_file or not (source / chosen.env_name).is_file() else []
    placed = [*filter(None, env), definition.OVERRIDE_NAME, *chosen.compose_files, *tls]
    kept = [row.path for row in definition.datasets(chosen) if row.path not in ("", ".")]
    data = [*kept, *chosen.volumes, *(key for key in chosen.waived if ":" not in key)]
    found = pack(source, project, placed, _apart(inventory, flow, chosen), data, kept)
    for warning in found.warnings:
        flow.report.say(f"  WARNING  {near(warning)}")
        flow.report.extra.setdefault("warnings", []).append(warning)
    return replace(found, directories=tuple(row for row in found.directories if row["path"] not in chosen.volumes))


def seen(chosen: Settings, shipment: Shipment) -> dict[str, Path]:
    """Files that containers have as they were when they started: path on the host -> the file on this machine."""
    source = Path(chosen.source)
    elsewhere = {f"{TLS_DIRECTORY}/{name}": Path(chosen.tls) / name for name in TLS_FILES if chosen.tls}
    if chosen.env_file:
        elsewhere[chosen.env_name] = Path(chosen.env_file)
    paths = {path: elsewhere.get(path, source / path) for path in shipment.seen}
    return {path: here for path, here in paths.items() if here.is_file()}


def _apart(inventory: Inventory, flow: Flow, chosen: Settings) -> set[Path]:
    path, source = plain(inventory.path), plain(Path(chosen.source))
    near = [path, flow.home, *(folder / name for folder in (path, path.parent) for name in BESIDE)]
    near += [source / name for name in BESIDE if name.startswith(".")]
    near += [*flow.private, *(Path(each.key_file) for each in inventory.hosts.values() if each.key_file)]
    own = [Path(each) for each in (chosen.env_file, chosen.tls, chosen.images_archive) if each]
    beside = [each for each in path.parent.iterdir() if each.is_file()]
    near += beside if path.parent != source else filter(is_inventory, beside)
    return {plain(each) for each in (*near, *own, source / (chosen.override or FILE))} - {source}
