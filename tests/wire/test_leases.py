"""Leases and the fence under them: what must undo itself, what must not, and what a kill in between leaves."""

from __future__ import annotations

import fcntl
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mnemo_ops.agent.actions.leases import EndLease
from mnemo_ops.agent.actions.services import Fence, SetRestart, SettleFence, StartContainers, Unfence
from mnemo_ops.agent.engine import action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.stack.fence import read_fence, write_fence
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.errors import Broken, NotStarted
from mnemo_ops.stack.definition import wire

# A small engine: containers are rows of a JSON file beside it.
DOCKER = f"""#!{sys.executable}
import json, pathlib, sys
file = pathlib.Path(__file__).with_name("containers.json")
rows = json.loads(file.read_text())
word, names = sys.argv[1], sys.argv[2:]
if word == "ps":
    print("\\n".join(rows))
elif word == "inspect":
    chosen = [rows[name] for name in names if name in rows]
    print(json.dumps([{{
        "Id": row["name"], "Name": "/" + row["name"], "Image": "i",
        "Config": {{"Labels": {{f"com.docker.compose.{{key}}": value for key, value in (
            ("project", "app"), ("service", row["name"])
        )}}, "Env": [], "Image": "i"}},
        "State": {{"Status": row["state"], "ExitCode": 0}},
        "HostConfig": {{"RestartPolicy": {{"Name": row["restart"]}}}},
    }} for row in chosen]))
if word in ("start", "update") and names[-1] not in rows:
    sys.exit(f"Error response from daemon: No such container: {{names[-1]}}")
for name in set(names) & set(rows):
    if word in ("start", "stop"):
        rows[name]["state"] = {{"start": "running", "stop": "exited"}}[word]
    if word == "update" and rows[name].pop("ending", False):
        file.write_text(json.dumps(rows))
        sys.exit("cannot update container: container not running")
    if word == "update":
        rows[name]["restart"] = names[names.index("--restart") + 1]
file.write_text(json.dumps(rows))
"""
NAMES = ("api", "postgres")
STACK = wire(
    Stack(
        project="app", directory="/srv/app", files=("c.yml",), env_file=".env", store="/var/backups/app",
        datasets=(Dataset("postgres", "postgres", volume="pg", service="postgres"),),
        keep=("postgres",), waived={},
    )
)  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return small(tmp_path)


def small(tmp_path: Path) -> Machine:
    """A host with two running containers and a systemd that agrees to everything."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("docker", DOCKER), ("systemctl", "#!/bin/sh\n"), ("systemd-run", "#!/bin/sh\n")):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    rows = {name: {"name": name, "state": "running", "restart": "always"} for name in NAMES}
    (tools / "containers.json").write_text(json.dumps(rows))
    for directory in ("etc/systemd/system", "var/lib"):
        (tmp_path / "root" / directory).mkdir(parents=True)
    made = Machine(str(tmp_path / "root"), search_path=f"{tools}:/usr/bin:/bin", state_dir="/var/lib/mnemo_ops")
    made.program = lambda: b"a program"
    return made


def containers(machine: Machine) -> dict[str, tuple[str, str]]:
    rows = json.loads((Path(machine.search_path.split(":")[0]) / "containers.json").read_text())
    return {name: (row["state"], row["restart"]) for name, row in rows.items()}


def do(machine: Machine, deed: action.Action) -> Any:
    running = deed.run(machine)
    while True:
        try:
            next(running)
        except StopIteration as end:
            return end.value


def forsake(machine: Machine) -> None:
    """Nobody renews any more, and time passes."""
    machine.leases.clear()
    for name, found in lease.names(machine).items():
        late = {**found, "until": 0.0}
        machine.write(f"{machine.state_dir}/leases/{name}.json", json.dumps(late).encode())


SERVING = {"api": ("running", "always"), "postgres": ("running", "always")}
FENCED = {"api": ("exited", "no"), "postgres": ("running", "no")}


def test_a_forsaken_fence_ends_and_takes_the_timer_and_the_program_with_it(machine: Machine) -> None:
    do(machine, Fence(STACK, "20261129T220719Z-0001", "ab" * 16))
    assert containers(machine) == FENCED
    assert machine.names("/etc/systemd/system") == ["mnemo-lease.service", "mnemo-lease.timer"]
    assert lease.expire(machine) == []  # it is held
    forsake(machine)
    assert lease.expire(machine) == ["fence-20261129T220719Z-0001"]
    assert containers(machine) == SERVING
    assert read_fence(machine, "app") is None
    assert machine.names("/etc/systemd/system") == []
    assert machine.names(machine.state_dir) == ["fences", "leases", "leases.lock"]


def test_the_timer_stays_while_the_traces_of_a_job_do(machine: Machine) -> None:
    lease.hold(machine, "a", "20261129T220719Z-0001", [])
    machine.mkdir(machine.state_dir + "/jobs")
    machine.mkdir(machine.state_dir + "/jobs/20261129T220719Z-0001-set")
    forsake(machine)
    assert lease.expire(machine) == ["a"]
    assert machine.names("/etc/systemd/system") == ["mnemo-lease.service", "mnemo-lease.timer"]
    lease.expire(machine, lambda machine, undone: machine.remove(machine.state_dir + "/jobs"))
    assert machine.names("/etc/systemd/system") == []


def test_the_timer_unmakes_itself_without_a_reload(machine: Machine) -> None:
    """systemd then forgot that its service may take long: one that took over 90 s was listed as failed for ever."""
    tools, said = Path(machine.search_path.split(":")[0]), machine.root + "/said"
    (tools / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    do(machine, Fence(STACK, "20261129T220719Z-0001", "ab" * 16))
    Path(said).write_text("")
    forsake(machine)
    lease.expire(machine)
    assert machine.names("/etc/systemd/system") == []
    assert "daemon-reload" not in Path(said).read_text().split()
    lease.hold(machine, "a", "20261129T220719Z-0001", [])
    assert lease.undo(machine, "a")
    Path(said).write_text("")
    lease.tidy(machine)
    assert "daemon-reload" in Path(said).read_text().split(), "another may: the service is stopped before"


def test_a_container_that_is_just_ending_does_not_stop_the_fence_from_being_undone(machine: Machine) -> None:
    do(machine, Fence(STACK, "20261129T220719Z-0001", "ab" * 16))
    file = Path(machine.search_path.split(":")[0]) / "containers.json"
    rows = json.loads(file.read_text())
    rows["api"]["ending"] = True
    file.write_text(json.dumps(rows))
    assert lease.undo(machine, "fence-20261129T220719Z-0001")
    assert containers(machine) == SERVING


def test_a_container_that_somebody_removed_does_not_hold_up_the_others(machine: Machine) -> None:
    """Neither what is left of a fence nor what a backup stopped would ever be started, and nothing else could begin."""
    do(machine, Fence(STACK, "20261129T220719Z-0001", "ab" * 16))
    file = Path(machine.search_path.split(":")[0]) / "containers.json"
    rows = json.loads(file.read_text())
    del rows["postgres"]
    file.write_text(json.dumps(rows))
    assert lease.undo(machine, "fence-20261129T220719Z-0001")
    assert read_fence(machine, "app") is None
    machine.run(["docker", "stop", "api"])
    assert do(machine, StartContainers(["postgres", "api"])) == {"started": ["api"], "ill": {}}
    assert containers(machine) == {"api": ("running", "always")}


def test_a_final_fence_outlives_everything(machine: Machine) -> None:
    do(machine, Fence(STACK, "20261129T220719Z-0001", "ab" * 16))
    machine.run(["docker", "stop", "postgres"])  # as the final set leaves it
    do(machine, SettleFence(STACK, "20261129T220719Z-0001"))
    assert do(machine, SettleFence(STACK, "20261129T220719Z-0001")) == {
        "state": "final"
    }  # an answer that got lost is asked for again
    assert lease.names(machine) == {}
    assert do(machine, Unfence("app", "20261129T220719Z-0001")) == {"unfenced": False}
    assert containers(machine) == {**FENCED, "postgres": ("exited", "no")}


def test_a_kill_between_the_final_fence_and_the_end_of_its_lease_does_not_unfence(machine: Machine) -> None:
    do(machine, Fence(STACK, "20261129T220719Z-0001", "ab" * 16))
    write_fence(machine, "app", {**(read_fence(machine, "app") or {}), "state": "final"})
    forsake(machine)
    assert lease.expire(machine) == ["fence-20261129T220719Z-0001"]
    assert containers(machine) == FENCED
    fence = read_fence(machine, "app")
    assert fence is not None and fence["state"] == "final"


def test_a_fence_that_expired_cannot_become_final(machine: Machine) -> None:
    do(machine, Fence(STACK, "20261129T220719Z-0001", "ab" * 16))
    forsake(machine)
    lease.expire(machine)
    with pytest.raises(Broken, match="20261129T220719Z-0001"):
        do(machine, SettleFence(STACK, "20261129T220719Z-0001"))
    assert containers(machine) == SERVING


@pytest.mark.parametrize("state", ["held", "undoing"])
def test_a_fence_under_which_something_was_started_cannot_become_final(machine: Machine, state: str) -> None:
    do(machine, Fence(STACK, "20261129T220719Z-0001", "ab" * 16))
    machine.run(["docker", "start", "api"])
    write_fence(machine, "app", {**(read_fence(machine, "app") or {}), "state": state})
    with pytest.raises(Broken, match="api"):
        do(machine, SettleFence(STACK, "20261129T220719Z-0001"))
    assert "fence-20261129T220719Z-0001" in lease.names(machine)  # what is held is still undone


def test_one_undo_that_fails_does_not_hold_up_the_others_and_is_tried_again(machine: Machine) -> None:
    machine.mkdir("/srv/stubborn")
    for name, path in (("a", "/srv/stubborn"), ("b", "/srv/easy")):
        lease.hold(machine, name, "20261129T220719Z-0001", [{"kind": "remove_file", "args": {"path": path}}])
    machine.write("/srv/easy", b"")
    forsake(machine)
    assert lease.expire(machine) == ["b"]
    assert machine.stat("/srv/easy") is None
    assert machine.names("/etc/systemd/system") != []  # the timer stays for the other
    machine.remove("/srv/stubborn")
    assert lease.expire(machine) == ["a"]


def test_a_lease_that_is_to_outlive_others_is_renewed_as_such(machine: Machine) -> None:
    lease.hold(machine, "a", "20261129T220719Z-0001", [])
    lease.hold(machine, "key", "20261129T220719Z-0001", [], 2 * lease.SECONDS)
    lease.renew_held(machine)
    left = {name: lease.seconds_left(machine, one) for name, one in lease.names(machine).items()}
    assert 0 < left["a"] <= lease.SECONDS < left["key"] <= 2 * lease.SECONDS


def test_a_renewal_never_waits_for_an_undo_that_takes_long(machine: Machine) -> None:
    lease.hold(machine, "a", "20261129T220719Z-0001", [])
    before = lease.names(machine)["a"]["until"]
    with machine.open_lock(machine.state_dir + "/leases.lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lease.renew_held(machine)  # returns
        assert lease.names(machine)["a"]["until"] == before
    lease.renew_held(machine)
    assert lease.names(machine)["a"]["until"] > before


def test_an_undo_leaves_the_other_leases_of_its_process_renewed(machine: Machine) -> None:
    lease.hold(machine, "short", "20261129T220719Z-0001", [])
    lease.hold(machine, "other", "20261129T220719Z-0001", [])
    before = lease.names(machine)["other"]["until"]
    assert lease.undo(machine, "short")
    assert lease.names(machine)["other"]["until"] > before
    assert not lease.undo(machine, "short")


def stubborn(machine: Machine, *names: str) -> None:
    """Docker does not start these: their port is taken."""
    tool = Path(machine.search_path.split(":")[0]) / "docker"
    refusing = f'if word == "start" and set(names) & {set(names)!r}:\n    sys.exit("port is already allocated")\n'
    tool.write_text(tool.read_text().replace('if word == "ps":\n', refusing + 'if word == "ps":\n', 1))


def test_what_is_undone_is_not_undone_again_by_the_next_try(machine: Machine) -> None:
    """An undo whose last deed fails was tried again from its first one: it undid the restore before, too."""
    machine.mkdir("/srv")
    machine.write("/srv/once", b"")
    first = {"kind": "remove_file", "args": {"path": "/srv/once"}}
    lease.hold(machine, "a", "20261129T220719Z-0001", [first, {"kind": "start_containers", "args": {"names": ["api"]}}])
    machine.run(["docker", "stop", "api"])
    stubborn(machine, "api")
    forsake(machine)
    assert lease.expire(machine) == []
    assert [deed["kind"] for deed in lease.names(machine)["a"]["undo"]] == ["start_containers"]
    assert "port is already allocated" in lease.names(machine)["a"]["failing"]["why"]
    machine.write("/srv/once", b"of somebody else")
    forsake(machine)
    lease.expire(machine)
    assert machine.read("/srv/once") == b"of somebody else"


def test_an_undo_that_failed_is_tried_by_the_host_at_once(machine: Machine) -> None:
    """Whoever failed renewed it once more: the host looked on for 45 s before it tried."""
    lease.hold(machine, "a", "20261129T220719Z-0001", [{"kind": "start_containers", "args": {"names": ["api"]}}])
    machine.run(["docker", "stop", "api"])
    tool = Path(machine.search_path.split(":")[0]) / "docker"
    whole = tool.read_text()
    stubborn(machine, "api")
    with pytest.raises(NotStarted):
        lease.undo(machine, "a")
    lease.renew_held(machine)
    tool.write_text(whole)  # the port is free again
    assert lease.expire(machine) == ["a"]
    assert containers(machine) == SERVING


def test_what_never_starts_does_not_keep_the_host_for_ever(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    lease.hold(
        machine, "a", "20261129T220719Z-0001", [{"kind": "start_containers", "args": {"names": ["api", "postgres"]}}]
    )
    for name in NAMES:
        machine.run(["docker", "stop", name])
    stubborn(machine, "api")
    forsake(machine)
    assert lease.expire(machine) == []
    assert containers(machine)["postgres"][0] == "running", "the others start"
    monkeypatch.setattr(lease, "TRYING", -1.0)
    assert lease.expire(machine) == ["a"]
    assert lease.names(machine) == {}


def test_a_container_that_is_ill_is_started_and_no_failure(machine: Machine) -> None:
    """It was ill before, or will be: what undoes an interruption has an end in any case."""
    machine.run(["docker", "stop", "api"])
    done = do(machine, StartContainers(["api"], healthy=[]))
    assert done == {"started": ["api"], "ill": {}}


def test_a_lease_that_cannot_be_undone_is_ended_by_hand_and_says_what_it_leaves(machine: Machine) -> None:
    lease.hold(machine, "a", "20261129T220719Z-0001", [{"kind": "start_containers", "args": {"names": ["api"]}}])
    machine.run(["docker", "stop", "api"])
    assert lease.forget(machine, "a") == ["not running: docker start api"]
    assert lease.names(machine) == {} and lease.forget(machine, "a") == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"run": "20261129T220719Z-0001", "undo": [{"kind": "of_a_newer_version", "args": {}}]}']
)
def test_a_lease_that_nobody_can_read_holds_up_no_other_and_is_ended_by_hand(machine: Machine, text: str) -> None:
    """Every lease of the host stayed, every command ended as if by a bug."""
    lease.hold(machine, "good", "r2", [])
    machine.write(f"{machine.state_dir}/leases/bad.json", text.encode())
    forsake_good = {**lease.names(machine)["good"], "until": 0.0}
    machine.leases.clear()
    machine.write(f"{machine.state_dir}/leases/good.json", json.dumps(forsake_good).encode())
    assert lease.expire(machine) == ["good"]
    assert set(lease.names(machine)) == {"bad"}
    done = do(machine, EndLease("bad"))
    assert not done["undone"] and done["leaves"]
    assert lease.names(machine) == {}


def test_a_clock_that_is_set_ends_no_lease_and_keeps_none(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    lease.hold(machine, "a", "20261129T220719Z-0001", [])
    machine.leases.clear()
    monkeypatch.setattr(Machine, "now", lambda self: time.time() + 7200)
    assert lease.expire(machine) == []
    monkeypatch.setattr(Machine, "now", lambda self: time.time() - 7200)
    later = time.monotonic() + lease.SECONDS + 1
    monkeypatch.setattr(Machine, "monotonic", lambda self: later)
    assert lease.expire(machine) == ["a"]


def test_a_lease_of_before_a_reboot_has_ended(machine: Machine) -> None:
    lease.hold(machine, "a", "20261129T220719Z-0001", [])
    machine.leases.clear()
    other = {**lease.names(machine)["a"], "boot": "another boot"}
    machine.write(f"{machine.state_dir}/leases/a.json", json.dumps(other).encode())
    assert lease.expire(machine) == ["a"]


def test_policies_that_stay_off_are_named_with_the_command_that_works(machine: Machine) -> None:
    """A deploy sets none: compose does not see that a policy was changed."""
    assert SetRestart({"api": "always", "job": "no", "postgres": "always"}).leaves(machine) == (
        "restart policies are off: docker update --restart always api postgres"
    )
    do(machine, Fence(STACK, "20261129T220719Z-0001", "ab" * 16))
    assert "docker update --restart always api postgres" in lease.forget(machine, "fence-20261129T220719Z-0001")[0]
