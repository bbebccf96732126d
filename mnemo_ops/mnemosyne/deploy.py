"""Deploy: files, images, volumes, containers, and a deep check; and what a bare host needs before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mnemo_ops.agent.actions.images import ImageUser
from mnemo_ops.agent.actions.services import ComposeUp
from mnemo_ops.agent.actions.smoke import Smoke
from mnemo_ops.errors import InventoryError
from mnemo_ops.inventory import Inventory
from mnemo_ops.mnemosyne import layout
from mnemo_ops.mnemosyne.flow import Flow
from mnemo_ops.mnemosyne.layout import ENV_NAME, OVERRIDE_NAME, VOLUMES, Settings, settings
from mnemo_ops.model import Host
from mnemo_ops.plays import Plays, shipped
from mnemo_ops.runner import Options


def words(host: Host) -> dict[str, Any]:
    """The variables our playbooks are written with."""
    return {
        "stack": asdict(settings(host)),
        "stack_volumes": list(VOLUMES),
        "env_name": ENV_NAME,
        "override_name": OVERRIDE_NAME,
    }


def provision(flow: Flow, inventory: Inventory, host: Host, extra_vars: Mapping[str, Any], check: bool = False) -> None:
    """The bootstrap playbook on one host."""
    plays = Plays(flow.fleet, flow.report, inventory, host.name, extra_vars, Options(check=check))
    plays.run(shipped("bootstrap.yml"), words)


def deploy(flow: Flow, inventory: Inventory, host: Host, extra_vars: Mapping[str, Any], check: bool) -> None:
    """Bring a host's stack to what the inventory declares, and prove that it works.

    :raises InventoryError: the inventory does not say where the stack's files are (2).
    :raises Refused: the stack moved to another host (3). :raises StepFailed: it did not start (6).
    """
    chosen = settings(host)
    for key in ("source", "env_file"):
        if not getattr(chosen, key):
            raise InventoryError(f"stack.{key} is not set for {host.name}", hint="README.md shows a whole inventory")
    flow.report.mask.learn(secrets_of(chosen))
    stack = flow.stack(host)
    flow.ready(host, ComposeUp(stack))
    plays = Plays(flow.fleet, flow.report, inventory, host.name, extra_vars, Options(check=check))
    flow.report.step(f"files and images of the stack on {host.name}")
    plays.run(shipped("stack.yml"), words)
    image = ImageUser(chosen.images.get("api", "mnemosyne-api"), f"{chosen.directory}/uploads")
    owner = flow.ready(host, image) if check else flow.act(host, image)
    flow.report.step(f"volumes and containers on {host.name}")
    plays.run(shipped("start.yml"), lambda each: {**words(each), "stack_owner": owner})
    if not check:
        flow.report.step("deep check: SQL, files, queue, health")
        proof = flow.act(host, Smoke(stack, layout.HEALTH, layout.WRITABLE))
        flow.report.say(f"  {host.name} serves: " + ", ".join(f"{key} {value}" for key, value in proof.items()))
        flow.report.extra["checks"] = proof


def secrets_of(chosen: Settings) -> list[str]:
    """Values of the env file on this machine: none of them is ever printed."""
    with open(chosen.env_file) as file:  # noqa: PTH123
        pairs = [line.strip().partition("=") for line in file if "=" in line and not line.startswith("#")]
    return [value for key, _, value in pairs if any(word in key for word in ("PASSWORD", "SECRET", "KEY", "TOKEN"))]
