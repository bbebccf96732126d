"""A deploy reads the project before it asks a host anything, and takes nothing along that is not the project's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from test_project_files import Source

from mnemo_ops.core.model import Host
from mnemo_ops.errors import InventoryError
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.flows import deploy, shipping
from mnemo_ops.flows.engine import Flow
from mnemo_ops.inventory import load as inventory
from mnemo_ops.lab.app import STACK
from mnemo_ops.stack.definition import settings


class NoFleet:
    """Every host that is asked is one too many."""

    def session(self, host: Host) -> Any:
        raise AssertionError(f"{host.name} was asked")


def opened(home: Path, stack: str) -> tuple[Flow, inventory.Inventory, Host]:
    """The inventory lies in the source itself, beside the compose file."""
    path = home / "inventory.yml"
    path.write_text(f"all:\n  hosts:\n    old: {{ansible_host: 192.0.2.1}}\n  vars:\n    stack:\n{stack}")
    found = inventory.load(path)
    fleet: Any = NoFleet()
    return Flow(fleet, Report("deploy", Style()), home / ".mnemo"), found, found.hosts["old"]


MINE = "      source: .\n      env_file: env\n      compose_file: compose.yaml\n      override: override.yml.j2\n"


def test_a_file_that_is_missing_ends_a_deploy_before_a_host_is_asked(tmp_path: Path) -> None:
    Source(tmp_path).write({"compose.yaml": "services:\n  a:\n    volumes: [./a.conf:/a.conf]\n", "env": "A=b\n"})
    (tmp_path / "override.yml.j2").touch()
    flow, found, host = opened(tmp_path, MINE)
    with pytest.raises(InventoryError) as caught:
        deploy.deploy(flow, found, host, {}, check=False)
    assert caught.value.where.endswith("compose.yaml:3")


def refusal(tmp_path: Path, stack: str, files: Mapping[str, str]) -> InventoryError:
    Source(tmp_path).write(files)
    flow, found, host = opened(tmp_path, stack)
    with pytest.raises(InventoryError) as caught:
        shipping.shipment_of(flow, found, host, settings(host))
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize("name", [".env", ".env.production"])
@pytest.mark.parametrize("ignore", [".dockerignore", ".mnemoignore"])
def test_an_env_file_that_was_read_travels_whatever_ignores_it(name: str, ignore: str, tmp_path: Path) -> None:
    """Compose on the host had no values: it starts all the same."""
    web = "services: {web: {build: ., volumes: ['./${CONF}:/a.conf:ro']}}\n"
    Source(tmp_path).write(
        {"compose.yaml": web, "Dockerfile": "", "a.conf": "", name: "CONF=a.conf\n", ignore: ".env*\n"}
    )
    flow, found, host = opened(tmp_path, f"      source: .\n      env_name: '{name if name != '.env' else ''}'\n")
    rows = {row["path"]: row for row in shipping.shipment_of(flow, found, host, settings(host)).files}
    assert rows[name]["secret"] and "a.conf" in rows


@pytest.mark.parametrize("name", [".env", "more/.env"])
def test_an_env_file_that_cannot_travel_is_refused(name: str, tmp_path: Path) -> None:
    Source(tmp_path).write(
        {
            "outside.env": "A=b\n",
            "src/compose.yaml": "include: [more/compose.yaml]\nservices: {web: {image: a}}\n",
            "src/more/compose.yaml": "services: {db: {image: '$A'}}\n",
        }
    )
    (tmp_path / "src" / name).symlink_to(tmp_path / "outside.env")
    said = refusal(tmp_path, "      source: src\n      project: shop\n", {})
    assert ".env" in str(said) and said.hint


@pytest.mark.parametrize("other", ["../x/b.yaml", "out.yaml", "TMP/x/b.yaml"])
@pytest.mark.parametrize("env", [".env", "live.env"])
def test_a_compose_file_outside_of_the_source_is_refused(env: str, other: str, tmp_path: Path) -> None:
    """A deploy would make its directory on the host, beside the stack's: /srv got the mode of a home."""
    Source(tmp_path).write(
        {
            "x/b.yaml": "services: {web: {image: a}}\n",
            "src/compose.yaml": "services: {web: {image: a}}\n",
            f"src/{env}": f"A=b\nCOMPOSE_FILE=compose.yaml:{other.replace('TMP', str(tmp_path))}\n",
        }
    )
    (tmp_path / "src/out.yaml").symlink_to("../x/b.yaml")
    named = "" if env == ".env" else f"      env_file: src/{env}\n"
    said = refusal(tmp_path, f"      source: src\n      project: shop\n{named}", {})
    assert said.where.endswith(f"{env}:2") and said.hint


IMAGES = "      source: .\n      project: shop\n      images:\n        wbe: nginx:1\n"
SERVICES = {"compose.yaml": "include: [more.yaml]\nservices: {web: {build: .}}\n", "Dockerfile": ""}


def test_an_image_of_a_service_that_is_not_there_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, IMAGES, {**SERVICES, "more.yaml": "services: {db: {image: pg}}\n"})
    assert said.where.endswith("inventory.yml:9") and "'web'" in said.hint
    beside = {"mnemo.yml": "project: shop\nimages:\n  db: pg:1\n  dbb: pg:2\n"}
    said = refusal(tmp_path, "      source: .\n", beside)
    assert said.where.endswith("mnemo.yml:4") and "'db'" in said.hint


NAMES = [
    ("owners:\n  wbe: [data]\n", 2),
    ("checks:\n  services: [db, wbe]\n", 2),
    ("checks:\n  health:\n    db: 1/\n    wbe: 80/\n", 4),
    ("checks:\n  writable:\n    wbe: [/data]\n", 3),
    ("grace: 5\ndatasets: [{name: data, volume: data, service: wbe}]\n", 2),
    ("grace: 5\noverride: gone.j2\n", 2),
]


@pytest.mark.parametrize(("text", "line"), NAMES)
def test_names_that_the_compose_files_do_not_have_are_refused(text: str, line: int, tmp_path: Path) -> None:
    more = {"more.yaml": "services: {db: {image: pg}}\n", "mnemo.yml": text}
    said = refusal(tmp_path, "      source: .\n      project: shop\n", {**SERVICES, **more})
    assert said.where.endswith(f"mnemo.yml:{line}") and ("'web'" in said.hint or "gone" in text)


def test_a_service_of_the_override_and_one_of_a_fetched_include_may_be_named(tmp_path: Path) -> None:
    files = {"compose.yaml": "services: {web: {image: a}}\n", "o.j2": "services: {exporter: {image: b}}\n"}
    Source(tmp_path).write({**files, "mnemo.yml": "checks: {services: [web, exporter]}\noverride: o.j2\n"})
    flow, found, host = opened(tmp_path, "      source: .\n      project: shop\n")
    assert shipping.shipment_of(flow, found, host, settings(host))
    Source(tmp_path).write({"compose.yaml": "include: [oci://x]\n", "mnemo.yml": "checks: {services: [theirs]}\n"})
    assert shipping.shipment_of(flow, found, host, settings(host))


def test_a_template_that_does_not_use_the_images_is_refused(tmp_path: Path) -> None:
    images = IMAGES.replace("wbe", "web") + "      override: o.j2\n"
    said = refusal(tmp_path, images, {**SERVICES, "more.yaml": "", "o.j2": "services: {}\n"})
    assert said.where.endswith("inventory.yml:8") and "o.j2" in str(said)


def test_inventory_and_keys_that_lie_in_the_source_stay_here(tmp_path: Path) -> None:
    Source(tmp_path).write(
        {
            "compose.yaml": "services:\n  a:\n    volumes: [./gone:/gone, ./docs:/docs:ro]\n",
            "docs/a": "",
            "env": "A=b\n",
            ".mnemo/keys/app.age": "secret",
            "group_vars/all.yml": "{}",
            "host_vars/old/vault.yml": "{}",
            "override.yml.j2": "",
        }
    )
    flow, found, host = opened(tmp_path, MINE)
    shipment = shipping.shipment_of(flow, found, host, settings(host))
    assert [row["path"] for row in shipment.files] == ["docs/a"]
    assert flow.report.extra["warnings"] == list(shipment.warnings) and len(shipment.warnings) == 1


def test_what_lies_beside_an_inventory_of_its_own_directory_stays_here(tmp_path: Path) -> None:
    Source(tmp_path).write(
        {
            "compose.yaml": "services: {a: {volumes: ['./ops/a.conf:/a.conf', './ops/conf:/conf:ro']}}\n",
            "override.yml.j2": "",
            "ops/env": "A=b\n",
            "ops/other.yml": "",
            "ops/vault-password": "",
            "ops/a.conf": "",
            "ops/conf/b.conf": "",
        }
    )
    flow, found, host = opened(tmp_path / "ops", MINE.replace("source: .", "source: .."))
    shipment = shipping.shipment_of(flow, found, host, settings(host))
    assert [row["path"] for row in shipment.files] == ["ops/a.conf", "ops/conf/b.conf"]


def test_files_that_a_container_sees_as_they_were_are_known(tmp_path: Path) -> None:
    Source(tmp_path).write(
        {
            "compose.yaml": """
            services:
              web:
                secrets: [s]
                env_file: more.env
                volumes: [./a.conf:/a.conf, ./conf:/conf:ro, ./data:/data, ./nginx/ssl:/ssl:ro, ./acme.json:/acme.json]
            secrets: {s: {file: s.txt}}
            """,
            **dict.fromkeys(("a.conf", "conf/x/b", "data/c", "other", "s.txt", "env", "more.env", "acme.json"), ""),
            **{f"ssl/{name}": name for name in shipping.TLS_FILES},
        }
    )
    flow, found, host = opened(tmp_path, "      source: .\n      env_file: env\n      tls: ssl\n")
    chosen = settings(host)
    seen = shipping.seen(chosen, shipping.shipment_of(flow, found, host, chosen))
    tls = [f"nginx/ssl/{name}" for name in shipping.TLS_FILES]
    assert set(seen) == {"a.conf", "conf/x/b", "s.txt", *tls}
    assert seen[tls[0]] == tmp_path / "ssl" / shipping.TLS_FILES[0]


@pytest.mark.parametrize("check", [True, False])
def test_a_deploy_restarts_what_runs_with_files_from_before(check: bool, tmp_path: Path) -> None:
    asked: list[Any] = []

    class Session:
        def act(self, action: Any, **_: Any) -> Any:
            asked.append(("act", action))
            return {"restarted": {"web": ["a.conf"]}}

        def ready(self, action: Any) -> Any:
            asked.append(("ready", action))
            return {"stale": {"web": ["a.conf"]}}

    (tmp_path / "a.conf").write_text("a")
    flow, _, host = opened(tmp_path, "      source: .\n")
    flow.fleet.session = lambda *_: Session()  # type: ignore[method-assign, assignment, return-value]
    deploy._restart_stale(flow, host, {}, {"a.conf": tmp_path / "a.conf"}, check)
    ((op, action),) = asked
    assert op == ("ready" if check else "act") and len(action.wanted["a.conf"]) == (64 if check else 0)
    assert flow.report.host("old").changed == 1 and flow.report.extra["restarted"] == {"web": ["a.conf"]}


KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
OTHER = "all:\n  hosts: {new: {ansible_host: 192.0.2.2}}\n"


def test_what_is_the_controllers_stays_with_it(tmp_path: Path) -> None:
    web = "services: {web: {build: ., volumes: ['./certs:/certs:ro', './tls.key:/tls.key:ro', '.:/app']}}\n"
    Source(tmp_path).write(
        {
            "compose.yaml": web,
            **dict.fromkeys(("Dockerfile", "certs/readme", "app/lib.py", "hosts.txt"), "nothing"),
            **dict.fromkeys(("certs/a.key", "tls.key", "kept/b.key", "keys/id_ed25519", "app/c.pem"), KEY),
            **dict.fromkeys(("keys/x.age", "kept/y.age"), "# created: today\nAGE-SECRET-KEY-1ABC\n"),
            "app/pem.py": f'HEAD = "{KEY[:35]}"\n',
            "keys/login": "any form",
            "secret/pass": "of the vault",
            "staging.yml": OTHER,
            "more.ini": "[web]\nnew ansible_host=192.0.2.2\n",
            **dict.fromkeys((".vault_pass", "terraform.tfstate", "terraform.tfstate.backup", "ansible.cfg"), ""),
            **dict.fromkeys((".terraform/x", ".lab/key", ".mnemo/y", "app/.lab/z"), ""),
            ".mnemoignore": "!kept/*\n",
        }
    )
    flow, found, host = opened(tmp_path, "      source: .\n      project: shop\n")
    path = tmp_path / "inventory.yml"
    path.write_text(path.read_text().replace("192.0.2.1}", "192.0.2.1, ansible_ssh_private_key_file: keys/login}"))
    found = inventory.load(path)
    flow.private = (tmp_path / "secret/pass",)
    shipment = shipping.shipment_of(flow, found, host, settings(host))
    assert {row["path"] for row in shipment.files} == {
        *("Dockerfile", "app/lib.py", "app/pem.py", "hosts.txt", "certs/readme", "app/.lab/z", ".mnemoignore"),
        *("certs/a.key", "tls.key", "kept/b.key", "kept/y.age"),
    }
    told = "\n".join(shipment.warnings)
    assert [name for name in ("keys/id_ed25519", "keys/x.age", "app/c.pem", "tls.key", "b.key") if name in told] == [
        *("keys/id_ed25519", "keys/x.age", "app/c.pem"),
    ]


def test_the_reference_stack_is_complete(tmp_path: Path) -> None:
    (tmp_path / "ssl").mkdir()
    (tmp_path / "env").write_text("A=b\n")
    images = ", ".join(f"{name}: app" for name in ("api", "celery-worker", "celery-beat", "celery-flower", "backup"))
    stack = f"      source: {STACK}\n      env_file: env\n      tls: ssl\n      images: {{{images}}}\n"
    moved = stack + "      volumes: {uploads: {type: bind, path: /data/uploads}}\n"
    flow, found, host = opened(tmp_path, stack)
    shipment = shipping.shipment_of(flow, found, host, settings(host))
    assert {"nginx/nginx.conf", "monitoring/prometheus.yml"} <= {row["path"] for row in shipment.files}
    assert {"nginx/ssl", "uploads"} <= {row["path"] for row in shipment.directories}
    grafana = [
        "./monitoring/grafana/dashboards",
        "./monitoring/grafana/datasources",
    ]
    assert [each.split()[1] for each in shipment.warnings] == grafana and not shipment.builds
    flow, found, host = opened(tmp_path, moved)
    shipment = shipping.shipment_of(flow, found, host, settings(host))
    assert "uploads" not in {row["path"] for row in shipment.directories}
