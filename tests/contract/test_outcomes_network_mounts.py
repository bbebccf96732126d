"""What speaks against a file system of other hosts as the place of a volume: said soon, and nothing is touched."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mnemosyne
import pytest
from example import engine, unit, volume
from examples_storage import ROOT
from pace import within
from world import World

from mnemo_ops.agent.base.finding import Finding
from mnemo_ops.agent.stack.stack import mountpoint
from mnemo_ops.agent.stack.volume_checks.network_mounts import warnings
from mnemo_ops.agent.stack.volume_checks.volumes import findings
from mnemo_ops.errors import Refused
from mnemo_ops.stack import definition

pytestmark = pytest.mark.usefixtures("loopback")

PATH = "/mnt/mnemo/mnemosyne/uploads"
GLUSTER = {"type": "glusterfs", "servers": ["127.0.0.1", "::1"], "volume": "gv0"}
EFS = {"type": "efs", "file_system": "127.0.0.1"}
MOUNTED = f"40 22 0:66 / {PATH} rw - fuse.glusterfs 127.0.0.1:/gv0 rw\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    made = World(tmp_path / "host")
    made.write("proc/self/mountinfo", ROOT)
    made.script("stat", "pass")
    return made


@pytest.fixture
def port() -> Iterator[int]:
    """A server that answers on 127.0.0.1, and not on ::1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def stopped_docker(world: World) -> None:
    """Installed, not running; who asks it fails the test."""
    world.install_docker()
    world.script("docker", "sys.exit('asked')")
    unit("docker.service", active="inactive")(world)


def row(port: int, **spec: Any) -> dict[str, Any]:
    chosen = mnemosyne.settings(volumes={"uploads": spec})
    found = next(each for each in definition.volumes(chosen) if each["key"] == "uploads")
    return {**found, "port": port}


def found(world: World, row: dict[str, Any]) -> list[Finding]:
    """The findings of one look; it changed nothing."""
    before = world.tree()
    seen = findings(world.machine(read_only=True), "mnemosyne", [row], [])
    assert world.tree() == before
    return seen


def test_one_server_that_answers_is_enough_and_the_other_is_named(world: World, port: int) -> None:
    assert found(world, row(port, **GLUSTER)) == []
    (said,) = warnings(world.machine(), row(port, **GLUSTER))
    assert said.evidence.startswith(f"::1 does not answer on port {port}") and said.severity == "warns"
    assert "systemctl start glusterd" in said.remedy
    assert found(world, row(port, **EFS)) == [] == warnings(world.machine(), row(port, **EFS))


@pytest.mark.parametrize(("spec", "remedy"), [(GLUSTER, "systemctl start glusterd"), (EFS, "security group")])
def test_servers_that_do_not_answer_are_named_with_the_remedy(
    world: World, port: int, spec: dict[str, Any], remedy: str
) -> None:
    closed = row(1, **spec)
    (finding,) = found(world, closed)
    assert all(f"{address} does not answer on port 1" in finding.evidence for address in closed["addresses"])
    assert remedy in finding.remedy
    assert warnings(world.machine(), closed) == [], "said already"


def test_why_docker_does_not_run_is_said_and_it_is_not_asked(world: World) -> None:
    stopped_docker(world)
    world.write("etc/fstab", f"127.0.0.1:/gv0 {PATH} glusterfs _netdev 0 0\n")
    (finding,) = found(world, row(1, **GLUSTER))
    assert f"so {PATH} cannot be mounted, and Docker does not run without it" in finding.evidence


def test_what_lies_on_a_mount_that_is_away_is_neither_saved_nor_replaced(world: World) -> None:
    path = f"{PATH}/mnemosyne/uploads/data"
    options = {"type": "none", "o": "bind", "device": path}
    engine(volumes=volume("mnemosyne_uploads", Options=options))(world)
    world.script("test", "sys.exit(not os.path.isdir(sys.argv[2]))")
    with pytest.raises(Refused, match=path) as caught:
        mountpoint(world.machine(), "mnemosyne_uploads")
    assert "invoke volumes" in caught.value.hint
    (world.root / path[1:]).mkdir(parents=True)
    assert mountpoint(world.machine(), "mnemosyne_uploads") == path


def test_tls_needs_amazons_helper(world: World) -> None:
    (finding,) = found(world, row(1, type="efs", file_system="fs-0abc.efs.eu-west-1.amazonaws.com", tls=True))
    assert "mount.efs" in finding.evidence and "amazon-efs-utils" in finding.remedy


def test_what_a_mount_would_hide_is_refused(world: World, port: int) -> None:
    world.write(f"{PATH[1:]}/file", "mine")
    (finding,) = found(world, row(port, **GLUSTER))
    assert "holds file" in finding.evidence and finding.remedy
    assert world.read(f"{PATH[1:]}/file") == "mine"


@pytest.mark.parametrize(
    ("source", "well"),
    [("127.0.0.1:/gv0", True), ("::1:/gv0", True), ("127.0.0.1:/gv1", False)],
)
def test_another_volume_than_the_one_that_holds_the_data_is_refused(
    world: World, port: int, source: str, well: bool
) -> None:
    world.write("etc/fstab", f"{source} {PATH} glusterfs _netdev 0 0\n")
    seen = found(world, row(port, **GLUSTER))
    told = f"{PATH} is on {source}, which holds the data"
    assert [told in finding.evidence for finding in seen] == [True] * (not well)


@pytest.mark.parametrize(
    ("program", "why"),
    [("sys.exit('Transport endpoint is not connected')", "not connected"), ("import time; time.sleep(60)", "within")],
)
def test_a_mount_that_does_not_answer_is_named_within_seconds(world: World, port: int, program: str, why: str) -> None:
    world.write("proc/self/mountinfo", ROOT + MOUNTED)
    assert found(world, row(port, **GLUSTER)) == []
    world.script("stat", program)
    with within(10):
        (finding,) = found(world, row(port, **GLUSTER))
    assert PATH in finding.evidence and why in finding.evidence and "umount --lazy" in finding.remedy
