"""What another host says is parsed before it is used, at both ends: what is not of its form changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mnemosyne
import pytest
from test_migrate import NEW, OLD, Fleet, migration, side
from test_recipients import ED25519

from mnemo_ops.agent.actions.catalogue import ListSets
from mnemo_ops.agent.actions.leases import LookAtLocks
from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.transfer import Fetch
from mnemo_ops.agent.base import validators
from mnemo_ops.agent.base.record import fields
from mnemo_ops.agent.engine import action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import NotAMessage, Refused
from mnemo_ops.flows.migrate import leftovers, look, transfer
from mnemo_ops.stack import definition
from mnemo_ops.transport import answers, heard

RUN = "20261129T220719Z-f5d5"
SUM = "0" * 64

RIGHT: Mapping[str, tuple[Any, ...]] = {
    "RunId": (RUN,),
    "LeaseName": (f"fence-{RUN}", f"proof-{RUN}-0"),
    "PartName": ("config.tar.age", "images-1.tar.zst", "my files", "Grüße"),
    "Addresses": (["192.0.2.1", "2001:db8::1", "fe80::1%eth0"],),
    "HostName": ("old", "old.example.org", "192.0.2.1", "::1"),
    "UserName": ("root", "ann.bee", "svc_app$", "ann@example.org", "EXAMPLE\\ann"),
    "Port": (22, 65535),
    "PublicKey": (ED25519,),
    "PublicKeys": ([], [ED25519]),
    "MachineId": ("", "a" * 32),
    "Files": ([], [{"name": "a", "size": 0, "sha256": SUM}]),
}
FOREIGN = (None, True, 7.5, [], {}, "", "x\ny", "x\0", "-oProxyCommand=id", "$(id)", "../x", "a/b", "x" * 300)
WRONG: Mapping[str, tuple[Any, ...]] = {
    "RunId": (*FOREIGN, "2", RUN + "\n", RUN + "/..", "٢٠٢٦١١٢٩T220719Z-f5d5"),
    "LeaseName": (*FOREIGN, "fence-", "fence-2", f"../fence-{RUN}", f"fence-{RUN}-x"),
    "PartName": ("..", ".", ".hidden", "-x", "a/b", "a\nb", "", 7, None, "ä" * 200),
    "Addresses": (
        *([], "192.0.2.1", ["192.0.2.1", "*"], None),
        *(
            [one]
            for one in (*FOREIGN, "192.0.2.1,*", "192.0.2.0/24", "*", "!192.0.2.1", "::1%a\nb", '::1%a"', 2130706433)
        ),
    ),
    "HostName": (*FOREIGN, "old example", "old:22", "old%x", "old.", "[::1]"),
    "UserName": (*FOREIGN, "a b", "a:b", "a;b", "a\\"),
    "Port": (0, -1, 65536, "22", True, None),
    "PublicKey": (
        *FOREIGN,
        ED25519 + "\nssh-rsa x",
        "restrict " + ED25519,
        "ssh-rsa " + ED25519.split()[1],
        "ssh-ed25519 x",
    ),
    "PublicKeys": (ED25519, [ED25519, ""], None),
    "MachineId": (*(one for one in FOREIGN if one != ""), "uninitialized", "A" * 32),
    "Files": (
        None,
        {"name": "a"},
        [{"name": "a", "size": -1, "sha256": SUM}],
        [{"name": "a", "size": 1, "sha256": SUM.upper().replace("0", "G")}],
        [{"name": "../../../../etc/cron.d/x", "size": 1, "sha256": SUM}],
    ),
}


@pytest.mark.parametrize("form", sorted(validators.FORMS))
def test_every_form_takes_what_it_is_for_and_nothing_else(form: str) -> None:
    for value in RIGHT[form]:
        validators.FORMS[form](value)
    for value in WRONG[form]:
        with pytest.raises(Refused) as caught:
            validators.FORMS[form](value)
        assert "\n" not in caught.value.message and len(caught.value.message) < 150 and caught.value.hint


@pytest.mark.parametrize("kind", sorted(action.KINDS))
def test_ids_names_and_addresses_of_every_action_have_a_form(kind: str) -> None:
    free = {
        ("end_lease", "lease"),
        ("undo_restore", "run_id"),
        ("compare_cluster", "user"),
    }  # looked up; empty; of Postgres
    for one in fields(action.action_class(kind)):
        if one.name in ("run_id", "lease", "user", "public_key", "address", "addresses", "host_keys", "files"):
            assert one.type in validators.FORMS or (kind, one.name) in free, f"{kind}.{one.name} is {one.type}"
        assert one.type in validators.FORMS or not hasattr(validators, str(one.type)), f"{one.type} has no parser"


# -- on the host -----------------------------------------------------------------------------------------------------


def host(tmp_path: Path) -> Machine:
    for directory in ("home/ann/.ssh", "var/lib/mnemo_ops/leases", "etc"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text(f"ann:x:{os_uid()}:{os_uid()}::/home/ann:/bin/sh\n")
    (tmp_path / "usr/lib/openssh").mkdir(parents=True)
    (tmp_path / "usr/lib/openssh/sftp-server").touch()
    (tmp_path / "bin").mkdir()
    for name in ("systemctl", "systemd-run"):
        (tmp_path / "bin" / name).symlink_to("/bin/true")
    machine = Machine(str(tmp_path), search_path=str(tmp_path / "bin"), state_dir="/var/lib/mnemo_ops")
    machine.program = lambda: b"a program"
    return machine


def os_uid() -> int:
    import os

    return os.getuid()


GRANT = {"run_id": RUN, "user": "ann", "public_key": ED25519, "addresses": ["192.0.2.2"]}
FETCH = {
    **{"run_id": RUN, "user": "ann", "address": "old", "port": 22, "host_keys": [ED25519]},
    **{"target": "/sets", "files": [{"name": "a", "size": 1, "sha256": SUM}]},
}


@pytest.mark.parametrize(
    "lie",
    [
        {"addresses": [f'192.0.2.2"\n{ED25519} mine\n#']},
        {"addresses": ["192.0.2.2", "*"]},
        {"addresses": []},
        {"public_key": f"{ED25519}\n{ED25519}"},
        {"run_id": "../../../etc/cron.d/x"},
        {"user": "../etc"},
    ],
)
def test_a_lie_about_a_key_opens_no_door(lie: dict[str, Any], tmp_path: Path) -> None:
    machine = host(tmp_path)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(Refused):
        list(action.build("grant_key", {**GRANT, **lie}).run(machine))
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "lie",
    [
        {"files": [{"name": "../../etc/cron.d/x", "size": 1, "sha256": SUM}]},
        {"files": [{"name": "a", "size": 1, "sha256": ""}]},
        {"user": "-oProxyCommand=id"},
        {"address": "-oProxyCommand=id"},
        {"host_keys": [f"* {ED25519}"]},
        {"host_keys": [f"{ED25519}\n* {ED25519}"]},
        {"port": "22 -o x"},
    ],
)
def test_a_lie_about_a_file_reaches_no_program(lie: dict[str, Any], tmp_path: Path) -> None:
    machine = host(tmp_path)
    with pytest.raises(Refused):
        list(action.build("fetch", {**FETCH, **lie}).run(machine))
    assert not (tmp_path / "sets").exists() and not (tmp_path / "var/lib/mnemo_ops/keys").exists()


def test_a_lease_of_no_run_stands_for_no_jobs(tmp_path: Path) -> None:
    machine = host(tmp_path)
    (tmp_path / f"var/lib/mnemo_ops/jobs/{RUN}-set").mkdir(parents=True)
    for run in ("2", "", RUN[:8], 7):
        machine.write("/var/lib/mnemo_ops/leases/fence-.json", json.dumps({"run": run, "undo": []}).encode())
        (row,) = LookAtLocks().ready(machine)["leases"].values()
        assert row["jobs"] == [] and row["run"] == ""
    with pytest.raises(Refused):
        action.build("forget", {"run_id": ""})


MANIFEST = {
    **{"format": 2, "id": RUN, "created": 1.0, "project": "mnemosyne", "consistency": "quiesced"},
    "parts": [{"name": "config.tar.age", "bytes": 1, "sha256": SUM}],
    "datasets": {"config": {"kind": "config", "bytes": 1, "sha256": SUM}},
    "volumes": {"graph": {"driver": "local", "options": {}, "labels": {"a": "b"}}},
}


@pytest.mark.parametrize(
    "lie",
    [
        {"parts": [{"name": "../../../../etc/cron.d/x", "bytes": 1, "sha256": SUM}]},
        {"parts": [{"name": "a", "bytes": "1", "sha256": SUM}]},
        {"parts": [{"name": "a", "bytes": 1, "sha256": None}]},
        {"parts": {"name": "a"}},
        {"parts": None},
        {"datasets": {"../x": {"kind": "files"}}},
        {"datasets": {"x": {"kind": "other"}}},
        {"datasets": {"x": {"kind": "files", "bytes": "many"}}},
        {"datasets": []},
        {"volumes": {"graph": {"driver": "local", "options": {"o": ["bind"]}, "labels": {}}}},
        {"volumes": {"graph": None}},
        {"id": "../x"},
        {"project": ["mnemosyne"]},
    ],
)
def test_a_manifest_that_lies_is_no_set(lie: dict[str, Any], tmp_path: Path) -> None:
    machine = host(tmp_path)
    stack = definition.stack_of(mnemosyne.settings())
    (tmp_path / f"{stack.store}/{RUN}".lstrip("/")).mkdir(parents=True)
    machine.write(f"{stack.store}/{RUN}/manifest.json", json.dumps({**MANIFEST, **lie}).encode())
    with pytest.raises(Refused) as caught:
        LoadSet(definition.wire(stack), RUN, True, RUN).ready(machine)
    assert RUN in str(caught.value) and caught.value.hint
    if "project" not in lie:
        deed = ListSets(stack.store).run(machine)
        with pytest.raises(StopIteration) as end:
            while True:
                next(deed)
        (row,) = end.value.value["sets"]
        assert row["state"] == "unreadable" and row["why"]


# -- on the controller -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("make_key", {"public_key": f"{ED25519}\n{ED25519}"}),
        ("make_key", {}),
        ("host_keys", {"keys": [f"@cert-authority * {ED25519}"]}),
        ("host_keys", {"keys": []}),
        ("set_files", {"files": [{"name": "/etc/cron.d/x", "size": 1, "sha256": SUM}]}),
        ("save_images", {"bytes": "1", "sha256": SUM}),
        ("make_set", {"manifest_sha256": "$(id)"}),
    ],
)
def test_an_answer_that_is_none_goes_no_further(asked: str, answer: dict[str, Any]) -> None:
    with pytest.raises(NotAMessage):
        heard.Asked("act", 1, (asked,), report=answers.of("act", asked)).heard({"report": answer, "done": 1})


@pytest.mark.parametrize("lease", ["fence-", "key-2", "target-../x"])
def test_a_lease_of_no_run_ends_nobodys_jobs(lease: str, tmp_path: Path) -> None:
    fleet = Fleet()
    context = migration(tmp_path, fleet).context
    with pytest.raises(Refused) as caught:
        leftovers.clean_up(context, side("old", leases={lease: ""}), side("new"))
    assert fleet.asked == [] and "old" in str(caught.value) and "lock.release --limit old" in caught.value.hint


SURVEY = {"machine_id": "a" * 32, "fence": None, "target": None, "leases": {}, "troubles": []}


@pytest.mark.parametrize(
    "lie",
    [
        {"fence": {"run": "../../../etc/cron.d/x", "state": "final", "target": ""}},
        {"target": {"run": "", "state": "copying"}},
        {"fence": "yes"},
        {"machine_id": "a\nb"},
    ],
)
def test_a_survey_that_lies_begins_nothing(lie: dict[str, Any], tmp_path: Path) -> None:
    context = migration(tmp_path, Surveyed({"survey": {**SURVEY, **lie}})).context
    with pytest.raises(Refused, match=r"^old: "):
        look.both(context)


class Surveyed(Fleet):
    """As :class:`Fleet`, with facts."""

    def __init__(self, answers: dict[str, Any], facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(**{kind: lambda found=found: found for kind, found in answers.items()})
        self.facts = facts or {}

    def session(self, host: Any, become: bool = True) -> Any:
        made = super().session(host)
        made.facts = self.facts
        return made

    def each(self, hosts: Any, do: Any) -> Any:
        return {host.name: do(host) for host in hosts}


@pytest.mark.parametrize("name", ["-oProxyCommand=id", "a b", "", None, 7])
def test_a_login_that_is_an_option_is_none(name: Any, tmp_path: Path) -> None:
    context = migration(tmp_path, Surveyed({}, {"user_id": name})).context
    with pytest.raises(Refused, match=r"^old: "):
        transfer.login(context, OLD)


@pytest.mark.parametrize("address", ["192.0.2.2\nssh-ed25519 x", '192.0.2.2",command="id', "*", ["192.0.2.2"]])
def test_a_fact_that_is_no_address_is_none(address: Any, tmp_path: Path) -> None:
    context = migration(tmp_path, Surveyed({}, {"default_ipv4": {"address": address}})).context
    with pytest.raises(Refused, match=r"^new: "):
        transfer.told_addresses(context, NEW)


def test_a_fetch_is_told_with_the_port_of_the_inventory(tmp_path: Path) -> None:
    fetch = transfer.fetch(migration(tmp_path, Surveyed({}, {"user_id": "ann"})).context, (), "")
    assert isinstance(fetch, Fetch) and fetch.user == "ann"
