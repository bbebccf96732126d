"""The override beside the owner's compose file: what it mounts is what the owner's mounts, where it must say more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mnemosyne
import yaml

from mnemo_ops.core.model import Host
from mnemo_ops.lab.app import STACK
from mnemo_ops.stack import definition
from mnemo_ops.templates.render import Scope, render_file

NFS = {"type": "nfs", "server": "192.0.2.7"}


class Reading(yaml.SafeLoader):
    """Compose's own tags say how a value is merged; here the value counts."""


Reading.add_multi_constructor("!", lambda loader, tag, node: None)


def services(volumes: dict[str, Any]) -> dict[str, Any]:
    host = mnemosyne.host(volumes=volumes)
    text = render_file(STACK / "override.yml.j2", Scope().plus(definition.words(host, {})))
    found: dict[str, Any] = yaml.load(text, Reading)["services"]
    return found


def mounts(found: dict[str, Any]) -> dict[tuple[str, str], list[str]]:
    """By service and target: volume and options."""
    rows = [(name, *text.split(":")) for name, one in found.items() for text in one.get("volumes", ())]
    return {(name, target): [source, *options[0].split(",")] for name, source, target, *options in rows}


def test_variables_of_the_command_line_go_before_those_of_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "override.yml.j2").write_text("{{ level }} {{ stack.images.api }}")
    host = Host(
        "new", "192.0.2.1", vars={"stack": {"source": str(tmp_path), "override": "override.yml.j2"}, "level": "info"}
    )
    assert definition.override({}, host, {"api": "api:1"}, {"level": "debug"}) == "debug api:1"


def test_where_the_server_sets_the_owner_nothing_is_copied_from_the_image() -> None:
    everything = dict.fromkeys([*mnemosyne.settings().volumes, "uploads"], NFS)
    everything["postgres_data"] = {**NFS, "i_accept_the_risk": True}
    spread = {key: {**spec, "path": f"/srv/nfs/{key}"} for key, spec in everything.items()}
    owners = yaml.safe_load((STACK / "docker-compose.prod.yml").read_text())["services"]
    expected = {}
    for name, one in owners.items():
        for source, target, *options in (text.split(":") for text in one.get("volumes", ())):
            key = source.replace("./uploads", "uploads")
            if key in spread:
                expected[name, target] = [key, *(options or ["rw"]), "nocopy"]
    assert len(expected) == 17
    assert mounts(services(spread)) == expected


def test_what_the_owners_file_mounts_lies_beside_it_but_for_what_its_owner_never_made() -> None:
    owners = yaml.safe_load((STACK / "docker-compose.prod.yml").read_text())["services"]
    texts = [text for one in owners.values() for text in one.get("volumes", ())]
    sources = {text.split(":")[0] for text in texts if text.startswith("./")}
    lacking = {"./monitoring/grafana/dashboards", "./monitoring/grafana/datasources", "./nginx/ssl", "./uploads"}
    assert {source for source in sources if not (STACK / source).exists()} == lacking
    assert {"./scripts/init.sql", "./scripts/backup-complete.sh"} < sources


def test_uploads_are_a_volume_where_the_owners_file_has_a_directory() -> None:
    found = mounts(services({"uploads": {"type": "bind", "path": "/data/uploads"}}))
    assert found == {
        ("nginx", "/app/uploads"): ["uploads", "ro"],
        ("api", "/app/uploads"): ["uploads", "rw"],
        ("celery-worker", "/app/uploads"): ["uploads", "rw"],
        ("backup", "/app/uploads"): ["uploads", "ro"],
    }


def test_without_volumes_elsewhere_no_mount_is_stated() -> None:
    assert mounts(services({})) == {}
