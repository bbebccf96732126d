"""What the kinds around access, commands and the network promise beyond the contract."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from example import files
from examples_accounts import ADA, BEN
from pace import PATIENCE
from running import run, task
from world import World

from mnemo_ops.agent.engine.resource import build
from mnemo_ops.agent.facts.gather import gather
from mnemo_ops.agent.machine import Machine


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def seen(world: World, kind: str, **args: Any) -> dict[str, Any]:
    """What ``register`` would hold."""
    event = run(task(kind, register=True, **args), world.machine())
    return dict((event.before if event.status == "failed" else event.after) or {})


# -- programs ----------------------------------------------------------------------------------------------------------


def test_a_command_leaves_ansibles_record(world: World) -> None:
    record = seen(world, "shell", cmd="echo a; echo b >&2; exit 3")
    assert (record["rc"], record["stdout"], record["stderr"]) == (3, "a", "b")
    assert record["cmd"] == "echo a; echo b >&2; exit 3"
    assert record["delta"].startswith("0:00:0") and len(record["start"]) == len("2026-01-01 00:00:00.000000")
    assert seen(world, "raw", free_form="echo a")["stdout"] == "a\n"


@pytest.mark.parametrize("program", ["nosuch", "/usr/local/bin/nosuch"])
def test_a_program_that_is_not_there_is_a_record_too(world: World, program: str) -> None:
    assert seen(world, "command", cmd=f"{program} --version")["rc"] == 2


def test_creates_is_relative_to_chdir_and_left_out_is_not_skipped(world: World) -> None:
    files(done="1")(world)
    record = seen(world, "command", cmd="nosuch", chdir="/srv", creates="done")
    assert record["rc"] == 0 and "done exists" in record["msg"] and "skipped" not in record


def test_a_tilde_is_the_home_of_the_user(world: World) -> None:
    world.write("root/made", "")
    world.write("home/old/made", "")
    for path in ("~/made", "~old/made"):
        assert run(task("shell", cmd="exit 1", creates=path), world.machine()).status == "ok"


# -- waiting and looking -----------------------------------------------------------------------------------------------


@pytest.fixture
def listening(loopback: None) -> Iterator[int]:
    """A service that greets; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)

        def greet() -> None:
            while not over.is_set():
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    connection.sendall(b"220 mail.example ready\r\n")

        over = threading.Event()
        thread = threading.Thread(target=greet)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        socket.create_connection(server.getsockname()).close()  # it sits in accept
        thread.join()


def test_an_open_port_is_not_waited_for(world: World, listening: int) -> None:
    event = run(task("wait_for", port=listening, register=True), world.machine(read_only=True), check=True)
    assert event.status == "ok" and event.after is not None and event.after["elapsed"] == 0
    found = seen(world, "wait_for", port=listening, search_regex=r"^220 (?P<name>\S+)")
    assert found["match_groups"] == ["mail.example"] and found["match_groupdict"] == {"name": "mail.example"}


def test_time_that_is_up_is_a_failure_with_the_given_words(world: World, listening: int) -> None:
    event = run(task("wait_for", port=listening, state="stopped", timeout=0, msg="still open"), world.machine())
    assert event.status == "failed" and event.why == "still open"
    event = run(task("wait_for", path="/srv/x", timeout=0), world.machine())
    assert event.status == "failed" and "/srv/x" in event.why


def test_drained_is_a_port_nobody_is_connected_to(world: World, loopback: None) -> None:
    drained = {"state": "drained", "timeout": 0, "active_connection_states": ["ESTABLISHED"]}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert run(task("wait_for", port=port, **drained), world.machine()).status == "ok"
        with socket.create_connection(("127.0.0.1", port)):
            assert run(task("wait_for", port=port, **drained), world.machine()).status == "failed"
            assert (
                run(task("wait_for", port=port, exclude_hosts=["127.0.0.1"], **drained), world.machine()).status == "ok"
            )


def test_what_appears_is_waited_for(world: World) -> None:
    made = threading.Timer(0.3, files(x="done"), [world])
    made.start()
    found = seen(world, "wait_for", path="/srv/x", search_regex="done", sleep=0, timeout=60)
    made.join()
    assert found["state"] == "started"


def test_getent_gives_ansibles_facts(world: World) -> None:
    (facts,) = seen(world, "getent", database="passwd", key="old").values()
    assert facts == {"getent_passwd": {"old": ["x", "1500", "1500", "", "/home/old", "/bin/sh"]}}
    event = run(task("getent", database="passwd", key="nobody"), world.machine())
    assert event.status == "failed" and event.error is not None and event.error["hint"] == "fail_key: false"
    world.write("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n127.0.0.1 me\n")
    (facts,) = seen(world, "getent", database="hosts").values()
    assert facts["getent_hosts"] == {"127.0.0.1": [["localhost"], ["me"]], "::1": ["localhost"]}


# -- facts -------------------------------------------------------------------------------------------------------------


def test_setup_filters_by_name_with_and_without_prefix(world: World) -> None:
    (facts,) = seen(world, "setup", filter=["ansible_mem*", "distribution"]).values()
    assert set(facts) == {"ansible_memtotal_mb", "ansible_memfree_mb", "ansible_memory_mb", "ansible_distribution"}


def test_facts_of_the_interfaces_agree_with_the_kernel() -> None:
    facts = gather(Machine())
    assert facts["lo"]["ipv4"] == {
        "address": "127.0.0.1", "broadcast": "", "netmask": "255.0.0.0", "network": "127.0.0.0", "prefix": "8",
    }  # fmt: skip
    assert set(facts["interfaces"]) == {path.name for path in Path("/sys/class/net").iterdir()}
    assert "127.0.0.1" not in facts["all_ipv4_addresses"]
    root = next((row for row in facts["mounts"] if row["mount"] == "/"), None)
    assert root is None or root["size_total"] > root["size_available"] > 0


def test_facts_of_an_interface_that_ends_and_of_what_is_none(world: World) -> None:
    world.write("sys/class/net/eth0/flags", "0x1003\n")
    world.write("sys/class/net/eth0/mtu", "1500\n")
    world.write("sys/class/net/bonding_masters", "bond0\n")  # the bonding module's, beside the interfaces
    (world.root / "sys/class/net/veth0/mtu").mkdir(parents=True)  # cannot be read: the kernel says EINVAL
    facts = gather(world.machine())
    assert facts["interfaces"] == ["eth0", "veth0"]
    assert (facts["eth0"]["mtu"], facts["veth0"]["mtu"]) == (1500, 0)


def test_facts_of_mounts_with_a_space(world: World) -> None:
    world.write("proc/self/mounts", "/dev/sdb1 /media/my\\040disk ext4 rw 0 0\n")
    (found,) = gather(world.machine())["mounts"]
    assert (found["device"], found["mount"], found["fstype"]) == ("/dev/sdb1", "/media/my disk", "ext4")


def test_facts_read_the_files_of_the_host(world: World) -> None:
    world.write("etc/debian_version", "13.1\n")
    world.write("proc/sys/kernel/hostname", "app\n")
    world.write("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 app.example.org app\n")
    world.write("proc/cmdline", "root=/dev/vda quiet\n")
    world.write("run/systemd/container", "lxc\n")
    facts = gather(world.machine())
    assert (facts["distribution_version"], facts["distribution_major_version"]) == ("13.1", "13")
    assert (facts["hostname"], facts["fqdn"], facts["domain"]) == ("app", "app.example.org", "example.org")
    assert facts["cmdline"] == {"root": "/dev/vda", "quiet": True}
    assert facts["virtualization_type"] == "lxc" and "container" in facts["virtualization_tech_guest"]
    assert facts["selinux"] == {"status": "disabled"} and facts["service_mgr"] == "service"
    world.write("proc/1/comm", "runit\n")
    assert gather(world.machine())["service_mgr"] == "runit"


def test_gathering_facts_stays_cheap() -> None:
    gather(Machine())
    spent = []
    for _ in range(5):
        began = time.process_time()
        gather(Machine())
        spent.append(time.process_time() - began)
    assert min(spent) < 0.01


# -- keys --------------------------------------------------------------------------------------------------------------


def test_comments_and_other_keys_stay_and_the_file_is_the_users(world: World) -> None:
    world.write("home/old/.ssh/authorized_keys", f"# who\n{BEN} ben\n", 0o644)
    assert run(task("authorized_key", user="old", key=ADA + " ada"), world.machine()).status == "changed"
    assert world.read("home/old/.ssh/authorized_keys") == f"# who\n{BEN} ben\n{ADA} ada\n"
    found = (world.root / "home/old/.ssh/authorized_keys").stat()
    assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o600, 1500, 1500)
    assert (world.root / "home/old/.ssh").stat().st_mode & 0o777 == 0o700


def test_a_line_that_is_no_key_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(ValueError, match="key"):
        build("authorized_key", {"user": "old", "key": f"{ADA}\nnonsense"})
    with pytest.raises(ValueError, match=r"a\.example"):
        build("known_hosts", {"name": "a.example", "key": "b.example " + ADA})


def test_a_hashed_name_is_what_ssh_looks_for(world: World) -> None:
    args = {"name": "a.example", "key": "a.example " + ADA, "path": "/srv/known", "hash_host": True}
    assert run(task("known_hosts", **args), world.machine()).status == "changed"
    assert "a.example" not in world.read("srv/known")
    keygen = ["ssh-keygen", "-F", "a.example", "-f", str(world.root / "srv/known")]
    assert ADA in subprocess.run(keygen, check=True, capture_output=True, text=True).stdout


def test_a_user_has_a_key_and_register_holds_it(world: World) -> None:
    world.write("home/old/x", "")
    found = seen(world, "user", name="old", generate_ssh_key=True, ssh_key_comment="me")
    assert found["ssh_key_file"] == "/home/old/.ssh/id_rsa" and found["ssh_public_key"] == "ssh-rsa AAAA me"
    assert (found["uid"], found["home"], found["shell"]) == (1500, "/home/old", "/bin/sh")
    for name, mode in (("", 0o700), ("/id_rsa", 0o600), ("/id_rsa.pub", 0o644)):
        stat = (world.root / f"home/old/.ssh{name}").stat()
        assert (stat.st_mode & 0o777, stat.st_uid) == (mode, 1500)


def test_a_home_moves_with_what_is_in_it(world: World) -> None:
    world.write("home/old/x", "kept")
    assert run(task("user", name="old", home="/srv/old", move_home=True), world.machine()).status == "changed"
    assert world.read("srv/old/x") == "kept" and not (world.root / "home/old").exists()
