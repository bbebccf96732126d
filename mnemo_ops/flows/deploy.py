"""Deploy: files, images, volumes, containers, and a deep check; and what a bare host needs before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mnemo_ops.agent.actions.cluster import CompareCluster
from mnemo_ops.agent.actions.images import ImageUser
from mnemo_ops.agent.actions.services import ComposeUp, DropLease, FinishDeploy
from mnemo_ops.agent.actions.smoke import Smoke
from mnemo_ops.agent.actions.stale_files import RestartStale
from mnemo_ops.agent.actions.volumes import LookAtVolumes
from mnemo_ops.checks.findings import judge, of_host
from mnemo_ops.core.model import Host
from mnemo_ops.core.options import Options
from mnemo_ops.core.suggest import suggest
from mnemo_ops.errors import STRANGERS, ChannelLost, Interrupted, InventoryError, MnemoError, UsageError
from mnemo_ops.execution.playbook_run import Plays, shipped
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.journal import new_id
from mnemo_ops.flows.shipping import TLS_FILES, seen, shipment_of
from mnemo_ops.inventory.load import Inventory
from mnemo_ops.stack import definition, env_file
from mnemo_ops.stack.definition import words
from mnemo_ops.stack.settings import Settings, compose_names, settings

PLACEHOLDER = "CHANGE_ME"


def provision(flow: Flow, inventory: Inventory, host: Host, extra_vars: Mapping[str, Any], check: bool = False) -> None:
    """The bootstrap playbook on one host."""
    plays = Plays(flow.fleet, flow.report, inventory, host.name, extra_vars, Options(check=check))
    plays.run(shipped("bootstrap.yml"), lambda each: words(each, inventory.hosts))


def place_volumes(flow: Flow, inventory: Inventory, host: Host, extra_vars: Mapping[str, Any]) -> None:
    """The stack's volumes on one host, as its inventory stores them."""
    plays = Plays(flow.fleet, flow.report, inventory, host.name, extra_vars, Options())
    plays.run(shipped("volumes.yml"), lambda each: words(each, inventory.hosts))


def fetch_images(
    flow: Flow, inventory: Inventory, extra_vars: Mapping[str, Any], host: Host, images: Mapping[str, str]
) -> None:
    """The images of these services on one host: from its archive, or from their registries."""
    options = Options(tags=frozenset({"images"}))
    plays = Plays(flow.fleet, flow.report, inventory, host.name, extra_vars, options)
    own = words(host, inventory.hosts)
    plays.run(shipped("stack.yml"), lambda each: {**own, "stack": {**own["stack"], "images": images}})


def make_volumes(flow: Flow, plays: Plays, hosts: Sequence[Host], only: str = "") -> None:
    """Create and check the stack's volumes. :param only: key of the one that is meant; empty for all.

    :raises UsageError: the stack has no such volume (2).
    :raises Refused: a disk or volume is not what was declared, or is not there; nothing was touched (3).
    """
    peers = plays.inventory.hosts
    for host in hosts:
        known = [row["key"] for row in definition.volumes(settings(host))]
        if only and only not in known:
            raise UsageError(f"the stack has no volume '{only}'", hint=suggest(only, known))

    def mine(host: Host) -> list[dict[str, Any]]:
        return [row for row in definition.volumes(settings(host), peers) if only in ("", row["key"])]

    flow.fleet.each(hosts, lambda host: look_at_volumes(flow, host, mine(host)))
    plays.run(shipped("volumes.yml"), lambda host: {**words(host, peers), "stack_volumes": mine(host)})


def look_at_volumes(flow: Flow, host: Host, rows: Sequence[Mapping[str, Any]], moving: bool = False) -> None:
    """:param moving: they are where data go, not where they are.

    :raises Refused: names everything that speaks against these volumes, and the remedies (3).
    """
    chosen = settings(host)
    kept = [row.volume for row in definition.datasets(chosen) if row.volume]
    found = flow.ready(
        host, LookAtVolumes(chosen.project, rows, kept, {} if moving else definition.wire(flow.declared(host)))
    )
    for warning in judge(of_host(host.name, found["findings"]), flow.report.extra):
        flow.report.say(f"  WARNING  {warning}")
        flow.report.extra.setdefault("warnings", []).append(warning)


def deploy(flow: Flow, inventory: Inventory, host: Host, extra_vars: Mapping[str, Any], check: bool) -> None:
    """Bring a host's stack to what the inventory declares, and prove that it works.

    :raises InventoryError: the inventory does not say where the stack's files are, or one that a compose file names is
        not there (2).
    :raises Refused: the stack moved to another host (3). :raises StepFailed: it did not start (6).
    """
    chosen = settings(host)
    check_files(host, chosen)
    shipment = shipment_of(flow, inventory, host, chosen)
    stack = definition.wire(flow.declared(host))
    look_at_volumes(flow, host, definition.volumes(chosen, inventory.hosts))
    flow.ready(host, ComposeUp(stack))
    flow.ready(host, FinishDeploy(stack, new_id()))
    env = dict(env_file.read(chosen.env_file)) if chosen.env_file else {}
    user = env.get("POSTGRES_USER", "postgres")
    flow.ready(host, CompareCluster(stack, user, env.get("POSTGRES_DB", user), env.get("POSTGRES_PASSWORD", "")))
    plays = Plays(flow.fleet, flow.report, inventory, host.name, extra_vars, Options(check=check))
    flow.report.step(f"copy files and images of the stack to {host.name}")
    plays.run(shipped("stack.yml"), lambda each: {**words(each, inventory.hosts), **shipment.words()})
    owners = _owners(flow, host, chosen, check)
    flow.report.step(f"create volumes and start containers on {host.name}")
    with _finished_by_the_host(flow, host, check):
        plays.run(shipped("start.yml"), lambda each: {**words(each, inventory.hosts), "stack_owners": owners})
        _restart_stale(flow, host, stack, seen(chosen, shipment), check)
    if not check:
        flow.report.step("deep check: SQL, files, queue, health")
        proof = flow.act(
            host, Smoke(flow.stack(host), chosen.checks.get("health", {}), chosen.checks.get("writable", {}))
        )
        flow.report.say(f"  {host.name} serves: " + ", ".join(f"{key} {value}" for key, value in proof.items()))
        flow.report.extra["checks"] = proof


def _restart_stale(flow: Flow, host: Host, stack: Mapping[str, Any], files: Mapping[str, Path], check: bool) -> None:
    """What runs with files from before this deploy starts again; Compose sees no difference in them.

    :param files: path below the stack's directory -> the file on this machine.
    """
    if not files:
        return
    sums = {path: hashlib.sha256(here.read_bytes()).hexdigest() if check else "" for path, here in files.items()}
    action = RestartStale(stack, sums)
    stale = flow.ready(host, action)["stale"] if check else flow.act(host, action)["restarted"]
    for service, paths in stale.items():
        does = "would restart" if check else "restarted"
        flow.report.say(f"  changed  {host.name:12} {does} {service}: {', '.join(paths)} changed")
        flow.report.host(host.name).add("changed")
    flow.report.extra["restarted"] = stale


def _owners(flow: Flow, host: Host, chosen: Settings, check: bool) -> dict[str, Any]:
    """By volume or path the user (``uid``, ``gid``) of the image that writes it."""
    found: dict[str, Any] = {}
    services = compose_names(chosen, "services")
    for service, keys in chosen.owners.items():
        image = (
            chosen.images.get(service) or (services.get(service) or {}).get("image") or f"{chosen.project}-{service}"
        )
        paths = [key for key in keys if key not in chosen.volumes]
        asked = ImageUser(image, f"{chosen.directory}/{(paths or ['.'])[0]}")
        found.update(dict.fromkeys(keys, flow.ready(host, asked) if check else flow.act(host, asked)))
    return found


@contextmanager
def _finished_by_the_host(flow: Flow, host: Host, check: bool) -> Iterator[None]:
    """Should this process or its connection go away, the host starts what was to be started."""
    if check:
        yield
        return
    run = new_id()
    try:
        flow.act(host, FinishDeploy(definition.wire(flow.declared(host)), run))
        yield
    except (ChannelLost, *STRANGERS) as error:
        error.message += f"; {host.name} starts the stack by itself within two minutes"
        raise
    except KeyboardInterrupt:
        told = f"interrupted; {host.name} starts the stack by itself within two minutes"
        raise Interrupted(told, hint="run the same command again to finish it now") from None
    except MnemoError:  # what failed is not to be tried again and again
        with suppress(MnemoError):
            flow.act(host, DropLease(f"deploy-{run}"))
        raise
    flow.act(host, DropLease(f"deploy-{run}"))


def check_files(host: Host, chosen: Settings) -> None:
    """What the inventory names on this machine is there, and no secret is still its placeholder.

    :raises InventoryError: names the setting and the path (2).
    """
    for key in ("source", "env_file", "tls", "images_archive"):
        value = getattr(chosen, key)
        if not value and key == "source":
            raise InventoryError(f"stack.{key} is not set for {host.name}", hint="README.md shows a complete inventory")
        if value and not Path(value).exists():
            raise InventoryError(f"stack.{key} of {host.name} names {value}, which does not exist")
        form, there = ("directory", Path.is_dir) if key in ("source", "tls") else ("file", Path.is_file)
        if value and not there(Path(value)):
            raise InventoryError(f"stack.{key} of {host.name} names {value}, which is no {form}")
    absent = [name for name in TLS_FILES if chosen.tls and not (Path(chosen.tls) / name).is_file()]
    if absent:
        raise InventoryError(f"stack.tls of {host.name}: {chosen.tls} lacks {', '.join(absent)}")
    if not chosen.env_file:
        return
    example = Path(chosen.source) / f"{chosen.env_name}.example"
    given = {key for key, value in env_file.read(chosen.env_file) if value}
    wanted = (
        [key for key, value in env_file.read(str(example)) if value.startswith(PLACEHOLDER)] if example.exists() else []
    )
    unset = [key for key in wanted if key not in given]
    if unset:
        raise InventoryError(
            f"{chosen.env_file} does not set {', '.join(unset)}", hint=f"{example} shows every variable"
        )
    waiting = [key for key, value in env_file.read(chosen.env_file) if value.startswith(PLACEHOLDER)]
    if waiting:
        raise InventoryError(
            f"{chosen.env_file} still holds placeholders: {', '.join(waiting)}",
            hint="`openssl rand -hex 24` generates a secret",
        )
