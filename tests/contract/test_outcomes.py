"""What single kinds promise beyond the contract: what is refused, what is kept, what is said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example import (
    APP,
    IMAGE,
    REPOSITORY,
    SERVICES,
    changed_stack,
    engine,
    files,
    links,
    network,
    old_engine_settings,
    package,
    stack,
    status,
    unit,
    volume,
)
from running import run, run_all, task
from world import OS_RELEASE, World

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.engine.converge import Task
from mnemo_ops.agent.machine import Machine


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def refused(world: World, wanted: Task) -> Event:
    """A refusal comes with a next step, in the check as well, and touches nothing."""
    before = world.tree()
    check = run(wanted, world.machine(read_only=True), check=True)
    event = run(wanted, world.machine())
    assert world.tree() == before
    for each in (check, event):
        assert each.status == "failed" and each.error is not None, each
        assert each.error["class"] == "Refused" and each.error["hint"], each.error
    return event


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_link_is_replaced_and_what_it_points_to_is_left_alone(world: World) -> None:
    links(link="target")(world)
    assert run(task("copy", content="new", dest="/srv/link"), world.machine()).status == "changed"
    assert world.read("srv/target") == "text"
    assert world.read("srv/link") == "new" and not (world.root / "srv/link").is_symlink()


def test_a_file_that_fails_its_validation_never_takes_its_place(world: World) -> None:
    files(x="old")(world)
    world.script("looker", "print('line 1: no', file=sys.stderr); sys.exit(1)")
    event = run(task("copy", content="bad", dest="/srv/x", validate="looker %s"), world.machine())
    assert event.status == "failed" and "line 1: no" in event.why
    assert world.read("srv/x") == "old"
    assert [path.name for path in (world.root / "srv").iterdir()] == ["x"]


def test_a_backup_holds_the_old_content(world: World) -> None:
    files(x="old")(world)
    assert run(task("copy", content="new", dest="/srv/x", backup=True), world.machine()).status == "changed"
    (kept,) = (path for path in (world.root / "srv").iterdir() if path.name != "x")
    assert kept.name.startswith("x.") and kept.name.endswith("~")
    assert kept.read_text() == "old" and world.read("srv/x") == "new"


def test_a_file_is_asked_for_only_when_it_is_needed(world: World) -> None:
    wanted = task("copy", src="cert.pem", dest="/srv/cert.pem", sha256=world.offer(b"one"))
    assert run(wanted, world.machine()).status == "changed"
    world.offered.clear()
    assert run(wanted, world.machine()).status == "ok"
    (world.root / "srv/cert.pem").chmod(0o600)
    assert run(task("copy", **{**wanted.args, "mode": "0640"}), world.machine()).status == "changed"


def test_small_texts_are_shown_and_secrets_of_any_size_can_be_compared(world: World) -> None:
    files(x="old\n")(world)
    event = run(task("copy", content="new\n", dest="/srv/x"), world.machine())
    assert (event.before, event.after) == ({"content": "old\n"}, {"content": "new\n"})
    event = run(task("copy", content="y" * 70000, dest="/srv/x"), world.machine())
    assert event.after is not None and event.after["content"].startswith("sha256:")


def test_a_missing_directory_is_named(world: World) -> None:
    event = run(task("copy", content="x", dest="/srv/none/x"), world.machine())
    assert event.status == "failed" and "/srv/none" in event.why
    assert event.error is not None and "state: directory" in event.error["hint"]


@pytest.mark.parametrize(
    ("state", "args"),
    [("directory", {}), ("link", {"src": "target"}), ("link", {"src": "target", "force": True})],
)
def test_what_is_there_is_not_replaced_by_something_else(world: World, state: str, args: dict[str, Any]) -> None:
    files(d__inside="precious", target="text", file="text")(world)
    path = "/srv/file" if state == "directory" or not args.get("force") else "/srv/d"
    refused(world, task("file", path=path, state=state, **args))


def test_who_does_not_exist_yet_is_unknown_in_a_check_and_a_failure_otherwise(world: World) -> None:
    files(x="text")(world)
    tasks = [task("user", name="later"), task("file", path="/srv/x", owner="later")]
    assert [event.status for event in run_all(tasks, world.machine(read_only=True), check=True)] == [
        "changed",
        "unknown",
    ]
    event = run(tasks[1], world.machine())
    assert event.status == "failed" and "user later does not exist" in event.why
    assert [event.status for event in run_all(tasks, world.machine())] == ["changed", "changed"]


# -- the host ----------------------------------------------------------------------------------------------------------


def test_a_password_shows_nowhere_but_in_shadow(world: World) -> None:
    real = world.root / "usr/real/chpasswd"
    real.parent.mkdir()
    (world.root / "usr/bin/chpasswd").rename(real)
    world.script("chpasswd", "assert 'topsecret' not in ' '.join(sys.argv)", f"os.execv({str(real)!r}, sys.argv)")
    event = run(task("user", register=True, name="old", password="$6$topsecret"), world.machine())
    assert event.status == "changed"
    assert "topsecret" not in json.dumps(event.to_json())
    assert "old:$6$topsecret:" in world.read("etc/shadow")


def test_groups_are_added_or_replaced(world: World) -> None:
    run(task("user", name="old", groups=["sudo"], append=True), world.machine())
    assert "adm:x:4:old" in world.read("etc/group") and "sudo:x:27:old" in world.read("etc/group")
    run(task("user", name="old", groups="sudo"), world.machine())
    assert "adm:x:4:\n" in world.read("etc/group") and "sudo:x:27:old" in world.read("etc/group")


class Noting(Machine):
    """Remembers what it said it was doing. :attr:`waits` is called when it waits."""

    waits: Callable[[], object] = staticmethod(lambda: None)

    @property
    def note(self) -> str:
        return self.notes[-1]

    @note.setter
    def note(self, text: str) -> None:
        self.notes = [*getattr(self, "notes", []), text]
        if text.startswith("waiting"):
            self.waits()


HOLDER = (
    "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX)\n"
    "print('held', flush=True); sys.stdin.read()"
)


@pytest.mark.parametrize(("patience", "outcome"), [(60, "changed"), (1, "failed")])
@pytest.mark.parametrize("lock", ["var/lib/dpkg/lock-frontend", "var/lib/apt/lists/lock"])
def test_another_package_manager_is_waited_for_and_never_killed(
    world: World, lock: str, patience: int, outcome: str
) -> None:
    package()(world)
    world.write(lock, "")
    argv = [sys.executable, "-c", HOLDER, str(world.root / lock)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        machine = world.machine(Noting)
        if outcome == "changed":
            machine.waits = holder.stdin.close
        event = run(task("apt", name="zstd", lock_timeout=patience), machine)
        assert event.status == outcome, event
        assert any(f"process {holder.pid}" in note and note.startswith("waiting") for note in machine.notes)
        if outcome == "failed":
            assert event.error is not None and event.error["class"] == "Broken"
            assert holder.poll() is None
            holder.kill()


def test_an_interrupted_dpkg_is_finished_first(world: World) -> None:
    package()(world)
    world.write("var/lib/dpkg/updates/0001", "")
    assert run(task("apt", name="zstd"), world.machine()).status == "changed"


def test_a_right_host_starts_no_package_manager(world: World) -> None:
    package("zstd=1.5.7")(world)
    world.break_programs(["apt-get", "apt-cache", "apt-mark", "dpkg"])
    for args in ({"name": "zstd"}, {"name": "zstd=1.5*"}, {"name": "curl", "state": "absent"}):
        assert run(task("apt", **args), world.machine()).status == "ok"


def test_a_provided_package_is_there_and_an_unknown_one_fails_by_name(world: World) -> None:
    package()(world)
    world.write("var/lib/dpkg/status", status("exim=4") + "Provides: mail-transport-agent (= 4), mailx\n")
    assert run(task("apt", name=["mail-transport-agent", "mailx"]), world.machine()).status == "ok"
    event = run(task("apt", name="nonesuch"), world.machine())
    assert event.status == "failed" and "nonesuch" in event.why


def test_a_new_source_makes_the_index_old(world: World) -> None:
    wanted = task("apt", update_cache=True, cache_valid_time=3600)
    assert [run(wanted, world.machine()).status for _ in range(2)] == ["changed", "ok"]
    world.write("etc/apt/sources.list.d/new.sources", "Types: deb\n")
    assert run(wanted, world.machine()).status == "changed"


def test_a_unit_that_is_not_there_is_named(world: World) -> None:
    event = run(task("systemd", name="none", state="started"), world.machine())
    assert event.status == "failed" and "no unit none" in event.why


def test_a_static_unit_needs_no_enabling(world: World) -> None:
    unit("static-x.service", active="active")(world)
    assert run(task("systemd", name="static-x", state="started", enabled=True), world.machine()).status == "ok"


def test_reading_unit_files_again_comes_before_the_start(world: World) -> None:
    unit("web.service", "new text", active="inactive", read="old text")(world)
    assert run(task("systemd", name="web", state="started", daemon_reload=True), world.machine()).status == "changed"
    assert world.state("units")["web.service"]["read"] == "new text"


def test_a_command_says_why_it_failed(world: World) -> None:
    world.script("bad", "print('so far'); print('no disk', file=sys.stderr); sys.exit(3)")
    event = run(task("command", cmd="bad"), world.machine())
    assert event.status == "failed" and "3" in event.why and "no disk" in event.why
    event = run(task("command", cmd="nonesuch"), world.machine())
    assert event.status == "failed" and "nonesuch is not installed" in event.why


def test_a_command_has_no_shell_and_leaves_a_record(world: World) -> None:
    world.script("say", "print(sys.argv[1:], sys.stdin.read(), os.getcwd())")
    args = {"cmd": "say 'a  b' '*' '$(id)' $LANG $NONE", "stdin": "text", "chdir": "/srv"}
    event = run(task("command", register=True, **args), world.machine())
    assert event.after is not None and event.after["rc"] == 0
    here = str(world.root / "srv")
    assert event.after["stdout"] == f"['a  b', '*', '$(id)', 'C.UTF-8', '$NONE'] text\n {here}"
    assert event.after["stderr"] == "" and event.after["cmd"][0] == "say"


# -- Docker ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            {"driver_options": {"type": "nfs", "o": "addr=10.0.0.9"}},
            "type is nothing, asked for nfs, o is nothing, asked",
        ),
        ({"driver": "rexray/ebs"}, "driver is local, asked for rexray/ebs"),
        ({"labels": {"mnemo.role": "db"}}, "cannot be changed: mnemo.role is redis, asked for db"),
        ({"state": "absent"}, "removing it loses its data"),
    ],
    ids=str,
)
def test_a_volume_is_never_recreated_or_removed_by_accident(world: World, args: dict[str, Any], said: str) -> None:
    engine(volumes=volume("data", Labels={"mnemo.role": "redis"}))(world)
    world.write("var/lib/docker/volumes/data/_data/precious", "rows")
    event = refused(world, task("docker_volume", volume_name="data", **args))
    assert "the volume data" in event.why and said in event.why


def test_a_subnet_that_is_taken_names_who_has_it(world: World) -> None:
    engine(networks=network("other", "172.20.0.0/16"))(world)
    event = refused(world, task("docker_network", name="app", ipam_config=[{"subnet": "172.20.5.0/24"}]))
    assert "172.20.5.0/24" in event.why and "other" in event.why


@pytest.mark.parametrize("args", [{"ipam_config": [{"subnet": "10.9.0.0/24"}]}, {"state": "absent"}], ids=str)
def test_a_network_in_use_stays(world: World, args: dict[str, Any]) -> None:
    stack(up=True)(world)
    event = refused(world, task("docker_network", name="app_default", **args))
    assert "app-db-1" in event.why


def test_an_archive_without_the_image_is_a_failure_and_leaves_no_file(world: World) -> None:
    engine()(world)
    digest = world.offer(json.dumps({"other:1": IMAGE}).encode())
    event = run(task("docker_image", name="api:2", source="load", archive="x.tar", sha256=digest), world.machine())
    assert event.status == "failed" and "api:2" in event.why
    assert not list((world.root / "var/lib/docker").iterdir())


def test_a_daemon_that_does_not_answer_is_an_error(world: World) -> None:
    old_engine_settings(world)
    world.script("docker", "print('Cannot connect to the Docker daemon', file=sys.stderr); sys.exit(1)")
    for kind, args in (
        ("docker_engine", {}),
        ("docker_volume", {"volume_name": "x"}),
        ("docker_network", {"name": "x"}),
        ("docker_image", {"name": "x", "source": "local"}),
        ("docker_compose_v2", APP),
    ):
        event = run(task(kind, **args), world.machine(read_only=True), check=True)
        assert event.status == "failed" and event.error is not None, kind
        assert event.error["class"] == "Broken" and "does not answer" in event.why and event.error["hint"], kind


# -- the engine --------------------------------------------------------------------------------------------------------


def test_a_snap_is_refused(world: World) -> None:
    world.write("snap/docker/current", "")
    assert "snap" in refused(world, task("docker_engine")).why


def test_an_archive_without_compose_is_refused_with_the_way_out(world: World) -> None:
    world.write("etc/os-release", OS_RELEASE["bookworm"])
    event = refused(world, task("docker_engine"))
    assert "compose" in event.why and event.error is not None and "source: docker" in event.error["hint"]
    assert run(task("docker_engine", **REPOSITORY), world.machine()).status == "changed"
    assert "Suites: bookworm\n" in world.read("etc/apt/sources.list.d/docker.sources")


def test_the_source_of_an_engine_is_not_changed(world: World) -> None:
    old_engine_settings(world)
    assert "docker.io" in refused(world, task("docker_engine", **REPOSITORY)).why


@pytest.mark.parametrize(("versions", "words"), [({"engine": "19.03.1"}, "19.03"), ({"compose": "2.3.0"}, "2.3.0")])
def test_too_old_is_refused(world: World, versions: dict[str, str], words: str) -> None:
    old_engine_settings(world)
    world.model("versions", versions)
    assert words in refused(world, task("docker_engine")).why


def test_settings_of_the_admin_stay_and_the_engine_has_read_the_new_ones(world: World) -> None:
    old_engine_settings(world)
    wanted = {"log-driver": "local", "log-opts": {"max-size": "20m"}, "debug": None}
    assert run(task("docker_engine", daemon=wanted), world.machine()).status == "changed"
    written = world.read("etc/docker/daemon.json")
    expected = {"data-root": "/data/docker", "log-driver": "local", "log-opts": {"max-size": "20m"}}
    assert json.loads(written) == expected
    docker = world.state("units")["docker.service"]
    assert docker["settings"] == written and docker["deeds"] == ["restart"]


def test_a_setting_that_can_be_reloaded_does_not_restart_the_engine(world: World) -> None:
    old_engine_settings(world)
    assert run(task("docker_engine", daemon={"live-restore": True}), world.machine()).status == "changed"
    docker = world.state("units")["docker.service"]
    assert docker["deeds"] == ["reload"] and docker["settings"] == world.read("etc/docker/daemon.json")


def test_settings_are_there_before_a_fresh_engine_starts(world: World) -> None:
    assert run(task("docker_engine", daemon={"log-driver": "local"}), world.machine()).status == "changed"
    docker = world.state("units")["docker.service"]
    assert docker["deeds"] == [] and json.loads(docker["settings"]) == {"log-driver": "local"}


def test_a_setting_the_engine_does_not_know_costs_nothing(world: World) -> None:
    old_engine_settings(world)
    before = world.read("etc/docker/daemon.json"), world.read("var/lib/model/units.json")
    event = run(task("docker_engine", daemon={"no-such-setting": 1}), world.machine())
    assert event.status == "failed" and "no-such-setting" in event.why
    assert (world.read("etc/docker/daemon.json"), world.read("var/lib/model/units.json")) == before


def test_settings_that_are_not_json_are_left_to_the_admin(world: World) -> None:
    old_engine_settings(world)
    world.write("etc/docker/daemon.json", "{not json")
    assert "daemon.json" in refused(world, task("docker_engine", daemon={"debug": True})).why


def test_a_pinned_engine_is_held(world: World) -> None:
    assert run(task("docker_engine", **REPOSITORY, version="5:27.5*"), world.machine()).status == "changed"
    blocks = {block.split("\n")[0]: block for block in world.read("var/lib/dpkg/status").split("\n\n")}
    assert "Version: 5:27.5.1-1" in blocks["Package: docker-ce"]
    assert all("Status: hold" in block for block in blocks.values())
    assert run(task("docker_engine", **REPOSITORY, version="5:28*"), world.machine()).status == "changed"


# -- the stack ---------------------------------------------------------------------------------------------------------


def test_a_check_names_the_services_that_would_change(world: World) -> None:
    changed_stack(world)
    event = run(task("docker_compose_v2", **APP), world.machine(read_only=True), check=True)
    assert event.before == {"stack": {"api": "outdated"}} and event.after == {"stack": "up"}


def test_a_failed_stack_says_which_service_and_why_without_secrets(world: World) -> None:
    acts = {"exits": 3, "log": "starting\nno route to db, token a-very-secret-value\n"}
    stack({**SERVICES, "api": {**SERVICES["api"], "x-model": acts}})(world)
    event = run(task("docker_compose_v2", **APP), world.machine())
    assert event.status == "failed"
    assert "api is stopped" in event.why and "exit code 3" in event.why and "no route to db" in event.why
    assert "a-very-secret-value" not in json.dumps(event.to_json()) and "[secret]" in event.why


READABLE = "cannot open /srv/app/scripts of mnemosyne-database\n"


@pytest.mark.parametrize(
    ("said", "shown"), [(READABLE, READABLE.strip()), (f"{READABLE}hunter22-and-more{'x' * 1490}\n", "[secret]xxx")]
)
def test_what_a_failed_stack_says_is_readable_and_no_secret_is_cut_in_half(said: str, shown: str, world: World) -> None:
    environment = {"POSTGRES_DB": "mnemosyne", "LOG_LEVEL": "scripts", "API_PASSWORD": "hunter22-and-more"}
    api = {**SERVICES["api"], "environment": environment, "x-model": {"exits": 3, "log": said}}
    stack({**SERVICES, "api": api})(world)
    event = run(task("docker_compose_v2", **APP), world.machine())
    assert event.status == "failed" and shown in event.why and "and-more" not in event.why


def test_waiting_for_health_fails_on_the_unhealthy(world: World) -> None:
    acts = {"health": "unhealthy", "checked": "NOAUTH"}
    stack({**SERVICES, "db": {**SERVICES["db"], "x-model": acts}})(world)
    assert run(task("docker_compose_v2", **APP), world.machine()).status == "changed"
    event = run(task("docker_compose_v2", **APP, wait=True), world.machine())
    assert event.status == "failed" and "db is unhealthy" in event.why and "NOAUTH" in event.why


def test_a_service_others_wait_for_may_end(world: World) -> None:
    once = {"image": "api:1", "x-model": {"exits": 0}}
    needs = {**SERVICES["api"], "depends_on": {"init": {"condition": "service_completed_successfully"}}}
    stack({"init": once, "api": needs})(world)
    assert run(task("docker_compose_v2", **APP, wait=True), world.machine()).status == "changed"
    assert run(task("docker_compose_v2", **APP, wait=True), world.machine()).status == "ok"


def test_taking_a_stack_down_keeps_its_volumes(world: World) -> None:
    stack(up=True)(world)
    world.write("var/lib/docker/volumes/app_data/_data/precious", "rows")
    (world.root / "srv/app/compose.yaml").unlink()  # by its labels alone, too
    assert run(task("docker_compose_v2", **APP, state="absent"), world.machine()).status == "changed"
    state = world.state("docker")
    assert state["containers"] == {} and state["networks"] == {} and list(state["volumes"]) == ["app_data"]
    assert world.read("var/lib/docker/volumes/app_data/_data/precious") == "rows"


def test_a_project_that_is_not_there_yet_is_unknown_in_a_check(world: World) -> None:
    engine()(world)
    tasks = [
        task("file", path="/srv/app", state="directory"),
        task("copy", content="{}", dest="/srv/app/compose.yaml"),
        task("docker_compose_v2", **APP),
    ]
    statuses = [event.status for event in run_all(tasks, world.machine(read_only=True), check=True)]
    assert statuses == ["changed", "changed", "unknown"]


def test_a_service_that_is_not_described_is_an_error(world: World) -> None:
    stack()(world)
    event = run(task("docker_compose_v2", **APP, services=["nonesuch"]), world.machine())
    assert event.status == "failed" and "nonesuch" in event.why and "api" in event.why
