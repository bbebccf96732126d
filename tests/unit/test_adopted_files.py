"""What adopt writes on this machine: below one directory whatever a host tells, over nothing, and as it is read."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnemo_ops.agent.base.record import asdict
from mnemo_ops.cli.adopt import _place, _spoken, _without_inventory
from mnemo_ops.cli.options import Run
from mnemo_ops.errors import HostKeyUnknown, Refused, UsageError, VerificationFailed
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.flows.adopt import adopt, project_of
from mnemo_ops.flows.engine import Flow
from mnemo_ops.inventory.load import load
from mnemo_ops.stack import adopted_files as files
from mnemo_ops.stack.adopted_files import Made
from mnemo_ops.stack.settings import settings

COMPOSE = b"services: {web: {image: i, volumes: ['./data:/data', './web.conf:/w:ro']}}\n"
NASTY = 'a: b # c\n- {"x": \x1b[31m'


def row(path: str, data: bytes = b"", kind: str = "file", mode: int = 0o644, target: str = "") -> dict[str, Any]:
    return {"path": path, "kind": kind, "mode": mode, "bytes": len(data), "target": target}


class Told:
    """A host that tells of one project, and sends its files."""

    def __init__(self, held: Mapping[str, bytes], **more: Any) -> None:
        self.held = {f"/opt/shop/{path}": data for path, data in held.items()}
        self.asked: list[str] = []
        self.projects = {"shop": {"containers": 2, "running": 1, "directory": "/opt/shop"}}
        compose = {"path": "/opt/shop/compose.yaml", "name": "compose.yaml", "bytes": len(COMPOSE)}
        self.report: dict[str, Any] = {
            **{"directory": "/opt/shop", "place": "/opt/shop", "files": [compose], "env_file": None, "rows": []},
            "tree": [row(path, data) for path, data in held.items()],
            **{"mounts": [], "forgotten": [], "differing": [], "unknown": [], "notes": []},
            **more,
        }

    def session(self, host: Any) -> Any:
        told = self

        class Session:
            def ready(self, action: Any) -> Any:
                told.asked.append(action.kind)
                if action.kind == "list_projects":
                    return {"projects": told.projects, "others": ["lone"], "swarm": []}
                if action.kind == "look_at_project":
                    return {**told.report, "notes": [*told.report["notes"]]}
                pieces = [told.held[each["path"]][each["at"] :][: each["bytes"]] for each in action.pieces]
                return {"pieces": [base64.b64encode(each).decode() for each in pieces]}

        return Session()


def run(limit: str = "", inventory: str = "") -> Run:
    return Run(Report("adopt", Style()), inventory, limit)


def adopted(told: Told, limit: str = "ops@192.0.2.10", out: str = "", check: bool = False) -> Report:
    """As somebody types it, in the working directory."""
    chosen, fleet = run(limit), told
    place = _place(chosen)
    adopt(Flow(fleet, chosen.report, place.home / ".mnemo"), place, "", "", out, check)  # type: ignore[arg-type]
    return chosen.report


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MNEMO_INVENTORY", raising=False)
    return tmp_path


def everything(top: Path) -> dict[str, Any]:
    """Every path below a directory: content and mode, or where it leads."""
    found: dict[str, Any] = {}
    for path in sorted(top.rglob("*")):
        name, mode = str(path.relative_to(top)), path.lstat().st_mode & 0o777
        found[name] = mode if path.is_dir() else (path.read_bytes(), mode)
        if path.is_symlink():
            found[name] = str(path.readlink())
    return found


def test_what_is_written_is_what_the_other_commands_read(here: Path) -> None:
    env = {"path": "/opt/shop/.env", "name": ".env", "bytes": 4}
    tree = [
        *(row(".env", b"A=1\n"), row("compose.yaml", COMPOSE), row("conf", kind="directory", mode=0o750)),
        *(row("conf/run.sh", b"#!", mode=0o755), row("web.conf", b"x", mode=0o600)),
        row("now", kind="link", target="conf/run.sh"),
    ]
    told = Told({".env": b"A=1\n", "compose.yaml": COMPOSE, "conf/run.sh": b"#!", "web.conf": b"x"})
    told.report.update(env_file=env, tree=tree)
    adopted(told, check=True)
    assert list(here.iterdir()) == []
    report = adopted(told)
    found = everything(here / "stacks/shop")
    assert (here / "stacks/shop").stat().st_mode & 0o777 == 0o700
    assert "project: shop" in found.pop("mnemo.yml")[0].decode()
    assert found == {
        **{".env": (b"A=1\n", 0o600), "compose.yaml": (COMPOSE, 0o644), "conf": 0o750},
        **{"conf/run.sh": (b"#!", 0o755), "web.conf": (b"x", 0o600), "now": "conf/run.sh"},
    }
    host = load(here / "inventory.yml").hosts["192.0.2.10"]
    chosen = settings(host)
    assert (host.user, chosen.project, chosen.directory) == ("ops", "shop", "/opt/shop")
    assert (chosen.compose_files, chosen.env_name) == (("compose.yaml",), ".env")
    assert Path(chosen.env_file) == here / "stacks/shop/.env" and not chosen.datasets and not chosen.waived
    assert report.host("192.0.2.10").changed == 1
    before = everything(here)
    assert adopted(told).host("192.0.2.10").ok == 1 and everything(here) == before
    assert adopted(told, "192.0.2.10").host("192.0.2.10").ok == 1


def test_a_second_host_needs_one_line(here: Path) -> None:
    adopted(Told({"compose.yaml": COMPOSE}))
    path = here / "inventory.yml"
    text = path.read_text().replace("    # new: {ansible_host: ADDRESS, ", "    new: {ansible_host: 192.0.2.11, ")
    path.write_text(text)
    assert settings(load(path).hosts["new"]) == settings(load(path).hosts["192.0.2.10"])


def test_an_inventory_that_is_there_stays_as_it_is(here: Path) -> None:
    text = "all: {hosts: {web: {ansible_host: 192.0.2.10, ansible_user: ops}, other: {}}}\n"
    (here / "inventory.yml").write_text(text)
    told = Told({"compose.yaml": COMPOSE})
    for limit in ("web", "ops@192.0.2.10"):
        adopted(told, limit)
    assert (here / "inventory.yml").read_text() == text
    hosts = load(here / "inventory.yml").hosts
    assert settings(hosts["web"]).directory == "/opt/shop" and "stack" not in hosts["other"].vars
    with pytest.raises(UsageError) as caught:
        adopted(told, "root@192.0.2.99")
    assert "192.0.2.99: {ansible_user: root}" in str(caught.value.hint)
    told.report["directory"] = "/srv/shop"
    with pytest.raises(UsageError, match="another stack"):
        adopted(told, "web")


def test_files_of_somebody_else_are_never_written_over(here: Path) -> None:
    target = here / "stacks/shop"
    target.mkdir(parents=True)
    (target / "compose.yaml").write_text("mine")
    before = everything(here)
    with pytest.raises(UsageError, match=r"compose\.yaml"):
        adopted(Told({"a": b"a", "compose.yaml": COMPOSE}))
    assert everything(here) == before
    (target / "compose.yaml").write_bytes(COMPOSE)
    (target / "mnemo.yml").write_text("project: mine\n")
    adopted(Told({"a": b"a", "compose.yaml": COMPOSE}))
    assert (target / "mnemo.yml").read_text() == "project: mine\n" and (target / "a").exists()
    adopted(Told({"a": b"a", "compose.yaml": COMPOSE}), "192.0.2.10")


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [
        *(("a", "b", False), ("a/b", "../c", False), ("a/b", "c/d", False), ("a", "./b", False)),
        *(("a", "/etc/passwd", True), ("a", "..", True), ("a/b", "../../c", True), ("a", "", True)),
        *(("a", "b/../../c", True), ("a/b/c", "../x/../../../y", True), ("a", "b\0", True), ("a", ".", False)),
    ],
)
def test_links_that_may_lead_out(path: str, target: str, out: bool) -> None:
    assert files.leads_out(path, target) == out


def test_nothing_is_written_through_a_link(here: Path) -> None:
    """Of a host, and one that lies here already."""
    outside = here / "outside"
    outside.mkdir()
    tree = [row("compose.yaml", COMPOSE), row("d", kind="link", target="."), row("d/x", b"1"), row("e/y", b"2")]
    told = Told({"compose.yaml": COMPOSE, "d/x": b"1", "e/y": b"2"}, tree=tree)
    adopted(told)
    assert {"compose.yaml", "d", "mnemo.yml"} == set(everything(here / "stacks/shop"))
    (here / "stacks/shop/z").symlink_to(outside)
    told.report["tree"] = [row("compose.yaml", COMPOSE), row("z", kind="directory"), row("z/x", b"1")]
    told.held["/opt/shop/z/x"] = b"1"
    with pytest.raises(UsageError, match="z"):
        adopted(told)
    assert list(outside.iterdir()) == []


def test_modes_are_those_of_people(here: Path) -> None:
    files.make(here / "x", [Made("s", "file", 0o6755, b""), Made("n", "file", 0, b""), Made("d", "directory", 0o2000)])
    modes = {path.name: path.stat().st_mode & 0o7777 for path in (here / "x").iterdir()}
    assert modes == {"s": 0o755, "n": 0o400, "d": 0o700}


def test_too_much_is_refused_by_its_largest(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST", 100)
    told = Told({"compose.yaml": COMPOSE, "media/a.iso": b"x" * 90})
    told.report["tree"].append(row("media", kind="directory"))
    with pytest.raises(Refused, match=r"media/a\.iso") as caught:
        adopted(told)
    assert "stacks/shop/.mnemoignore" in str(caught.value.hint) and "read_files" not in told.asked
    (here / "stacks/shop").mkdir(parents=True)
    (here / "stacks/shop/.mnemoignore").write_text("media\ncompose.yaml\n")
    adopted(told)
    assert set(everything(here / "stacks/shop")) == {".mnemoignore", "compose.yaml", "mnemo.yml"}


def test_more_than_an_agent_tells_is_refused(here: Path) -> None:
    told = Told({"compose.yaml": COMPOSE})
    told.report["tree"] += [row(f"d{n}", kind="directory") for n in range(50_000)]
    with pytest.raises(Refused, match="50001 files"):
        adopted(told)
    assert list(here.iterdir()) == []


def test_large_files_come_in_pieces(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnemo_ops.flows.adopt.PIECE", 50)
    data = bytes(range(256))
    told = Told({"compose.yaml": COMPOSE, "big": data, "empty": b"", **{f"s{n}": b"s" for n in range(99)}})
    adopted(told)
    assert (here / "stacks/shop/big").read_bytes() == data and (here / "stacks/shop/empty").read_bytes() == b""
    assert 8 <= told.asked.count("read_files") <= 12


def test_other_pieces_than_were_asked_for(here: Path) -> None:
    told = Told({"compose.yaml": COMPOSE})
    told.held["/opt/shop/compose.yaml"] = b"short"
    with pytest.raises(VerificationFailed):
        adopted(told)
    assert list(here.iterdir()) == []


def test_files_that_lie_elsewhere_come_along(here: Path) -> None:
    env = {"path": "/data/compose/5/conf/prod.env", "name": "conf/prod.env", "bytes": 4}
    told = Told({"compose.yaml": COMPOSE})
    told.held["/data/compose/5/conf/prod.env"] = b"A=1\n"
    told.report["env_file"] = env
    adopted(told)
    chosen = settings(load(here / "inventory.yml").hosts["192.0.2.10"])
    assert chosen.env_name == "conf/prod.env" and Path(chosen.env_file).read_text() == "A=1\n"
    told.report["env_file"] = {**env, "name": "compose.yaml"}
    with pytest.raises(Refused, match="two files"):
        adopted(told, out="other")


def test_what_a_host_says_is_nothing_but_comments(here: Path) -> None:
    named = {key: NASTY for key in ("service", "target", "source", "becomes")}
    told = Told({"compose.yaml": COMPOSE}, mounts=[named], notes=[NASTY], forgotten=[f"web:/x{NASTY} (gone)"])
    told.report["rows"] = [{"topic": "around it", "what": NASTY, "value": NASTY, "reason": NASTY, "dataset": None}]
    adopted(told)
    text = (here / "stacks/shop/mnemo.yml").read_text()
    assert yaml.safe_load(text) == {"project": "shop", "compose_files": ["compose.yaml"]}
    assert "\x1b" not in text and "# waived:" in text


def test_volumes_that_the_project_does_not_name(here: Path) -> None:
    told = Told({"compose.yaml": COMPOSE + b"volumes: {kept: {name: outer}, data: {}}\n"})
    told.report["files"][0]["bytes"] = len(told.held["/opt/shop/compose.yaml"])
    for key, name in (("kept", "outer"), ("data", "")):
        dataset = {"name": key, "kind": "files", "volume": key, "path": "", "service": "", "docker": name}
        told.report["rows"].append({"topic": "dataset", "what": key, "value": "", "reason": "", "dataset": dataset})
    assert "docker volume create" in str(adopted(told).extra["warnings"])
    volumes = settings(load(here / "inventory.yml").hosts["192.0.2.10"]).volumes
    assert {key: asdict(each) for key, each in volumes.items()} == {"kept": {"name": "outer"}}


@pytest.mark.parametrize("name", ["{{ lookup('pipe', 'id') }}", "a{% x", "{# x"])
def test_nothing_that_a_host_says_becomes_a_template(name: str, here: Path) -> None:
    """An inventory is rendered, and lookups run programs of this machine."""
    for told in (Told({name: COMPOSE}), Told({"compose.yaml": COMPOSE}, directory=f"/opt/{name}")):
        told.report["files"] = [{"path": f"/opt/shop/{each['path']}", "name": each["path"], "bytes": len(COMPOSE)}
                                for each in told.report["tree"]]  # fmt: skip
        with pytest.raises(Refused, match="template"):
            adopted(told)
    adopted(Told({"compose.yaml": COMPOSE, "mnemo.yml": b"override: x.j2\n", "x.j2": b"{{ x }}"}))
    assert settings(load(here / "inventory.yml").hosts["192.0.2.10"]).override == ""


@pytest.mark.parametrize("out", [".", "..", "group_vars/all", "host_vars", "/", ".mnemo/x", "x/.."])
def test_files_of_a_host_are_no_variables_of_this_machine(out: str, here: Path) -> None:
    (here / "x").mkdir()
    with pytest.raises(UsageError, match="--out"):
        adopted(Told({"compose.yaml": COMPOSE}), out=out)
    assert [path.name for path in here.iterdir()] == ["x"]


def test_odd_names_are_read_as_they_are(here: Path) -> None:
    name = "on: {a} #'.yaml"
    told = Told({name: COMPOSE}, directory='/opt/a "b" é')
    told.report["files"] = [{"path": f"/opt/shop/{name}", "name": name, "bytes": len(COMPOSE)}]
    adopted(told)
    chosen = settings(load(here / "inventory.yml").hosts["192.0.2.10"])
    assert (chosen.compose_files, chosen.directory) == ((name,), '/opt/a "b" é')


def test_a_project_that_no_inventory_could_keep(here: Path) -> None:
    for place in ("/root", "/opt", "/var/lib"):
        with pytest.raises(Refused, match="directory") as caught:
            adopted(Told({"compose.yaml": COMPOSE}, directory=place))
        assert "of its own" in str(caught.value.hint)
    assert list(here.iterdir()) == []


def test_which_project_is_meant(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = Told({})
    chosen = run("192.0.2.10")
    flow, host = Flow(told, chosen.report, here), _place(chosen).host  # type: ignore[arg-type]
    assert project_of(flow, host, "") == project_of(flow, host, "shop") == "shop"
    with pytest.raises(UsageError, match="no project nope") as caught:
        project_of(flow, host, "nope")
    assert "--project shop" in str(caught.value.hint)
    told.projects["more"] = told.projects["shop"]
    with pytest.raises(UsageError, match="2 projects") as caught:
        project_of(flow, host, "")
    assert "--project more" in str(caught.value.hint) and "1 of 2 containers run" in capsys.readouterr().out
    told.projects.clear()
    with pytest.raises(Refused) as none:
        project_of(flow, host, "")
    assert "lone" in str(none.value.hint)


@pytest.mark.parametrize(
    ("text", "name", "address", "user", "port"),
    [
        ("192.0.2.10", "192.0.2.10", "192.0.2.10", None, None),
        ("ops@web.example:2222", "web.example", "web.example", "ops", 2222),
        ("root@[2001:db8::1]:22", "2001-db8--1", "2001:db8::1", "root", 22),
        ("alias", "alias", "alias", None, None),
    ],
)
def test_hosts_as_ssh_names_them(text: str, name: str, address: str, user: Any, port: Any, here: Path) -> None:
    host, variables = _spoken(text, run())
    assert (host.name, host.address, host.user, host.port) == (name, address, user, port)
    (here / "i.yml").write_text(yaml.safe_dump({"all": {"hosts": {name: variables}}}))
    again = load(here / "i.yml").hosts[name]
    assert (again.address, again.user, again.port) == (address, user, port)


def test_hints_for_who_has_no_inventory_yet() -> None:
    host, _ = _spoken("ops@web:2222", run())
    said = _without_inventory(Refused("x", hint="invoke adopt --limit web --project a"), host, "ops@web:2222")
    assert said == "invoke adopt --limit ops@web:2222 --project a"
    assert _without_inventory(HostKeyUnknown("x"), host, "").endswith(": ssh -p 2222 ops@web")


@pytest.mark.parametrize("text", ["", "-oProxyCommand=x", "a b", "web*", "a,b", "ops@", "web:0", "web:99999", "u@-x"])
def test_what_names_no_host(text: str) -> None:
    with pytest.raises(UsageError):
        _place(run(text))
