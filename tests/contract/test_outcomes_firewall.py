"""What iptables and ufw promise beyond the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from examples_firewall import SSH, firewall
from running import run, task
from world import World

from mnemo_ops.agent.engine.resource import build


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def rules_of(world: World) -> list[str]:
    return [line[14:] for line in world.read("etc/ufw/user.rules").splitlines() if line.startswith("### tuple")]


def test_rules_are_in_before_the_firewall_is_on(world: World) -> None:
    """Who logs in through the firewall must not be locked out in between."""
    firewall()(world)
    machine = world.machine()
    run(task("ufw", state="enabled", default="deny", **SSH), machine)
    assert rules_of(world) == ["allow proto tcp from any to any port 22 comment ssh"]
    assert "ENABLED=yes" in world.read("etc/ufw/ufw.conf")


def test_another_action_takes_the_place_of_the_rule(world: World) -> None:
    firewall()(world)
    for action in ("allow", "limit"):
        assert run(task("ufw", **{**SSH, "rule": action}), world.machine()).status == "changed"
    assert rules_of(world) == ["limit proto tcp from any to any port 22 comment ssh"]


@pytest.mark.parametrize(
    ("kind", "args", "why"),
    [
        ("ufw", {}, "at least one"),
        ("ufw", {"rule": "allow", "interface": "eth0"}, "needs a direction"),
        ("ufw", {"rule": "allow", "name": "SSH", "to_port": "22"}, "exclude each other"),
        ("iptables", {"jump": "DROP"}, "chain is missing"),
        ("iptables", {"chain": "INPUT", "rule_num": "2"}, "action insert"),
        ("iptables", {"chain": "INPUT", "jump": "A", "goto": "B"}, "exclude each other"),
    ],
)
def test_arguments_that_do_not_go_together(kind: str, args: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        build(kind, args)


def test_a_missing_chain_is_made_only_when_asked(world: World) -> None:
    event = run(task("iptables", chain="MINE", jump="DROP"), world.machine())
    assert event.status == "failed" and "No chain" in event.why
    assert run(task("iptables", chain="MINE", jump="DROP", chain_management=True), world.machine()).status == "changed"
    assert world.state("iptables")["filter"]["MINE"]["rules"] == [["-j", "DROP"]]
