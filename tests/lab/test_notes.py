"""A stranger's project, as its owner wrote it: no `mnemo.yml`, no override; other people's programs compare."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from conftest import left_behind
from outcomes import Host, Lab, Said, eventually
from strangers import Project

from mnemo_ops.lab import server
from mnemo_ops.lab.notes import ARCHIVE, NAMES, ensure_notes, prepare_notes
from mnemo_ops.lab.notes_client import lost, write

pytestmark = [pytest.mark.lab, pytest.mark.soak, pytest.mark.timeout(1800)]

DIRECTORY = "/srv/notes"
BODIES = ("milk", "", "Größe: 'ß' \"\\ %s\n\tlast", "🥛" * 4000)
FROM = {"postgres": "notes-postgres", "mariadb": "notes-mariadb", "cache": "notes-valkey", "setup": "notes-debian"}


@pytest.fixture(scope="module")
def lab(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    root = tmp_path_factory.mktemp("checkout")
    try:
        server.up(root, ["old", "new"], print)
        prepare_notes(root / "notes")
        stack = {
            "project": "notes",
            "source": str(root / "notes"),
            "images": {service: NAMES[name] for service, name in FROM.items()},
            "images_archive": str(ensure_notes(print)),
            "volumes": {"archive": {"type": "external", "name": ARCHIVE}},
            "waived": {"cache:/data": "a queue; what is in it is asked again"},
        }
        path = root / ".lab" / "group_vars" / "all.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({"stack": stack}))
        yield Lab(root)
    finally:
        server.down(root, print)
        assert left_behind(root) == []


def must(lab: Lab, *words: str) -> Said:
    said = lab.run(*words)
    assert said.code == 0, str(said)
    return said


def on(host: Host) -> Project:
    return Project(host.sh, DIRECTORY)


def state(host: Host) -> dict[str, list[str]]:
    """What must survive: all but the volume without a name, which the inventory waives."""
    return {name: rows for name, rows in on(host).state().items() if name != "cache"}


def url(host: Host) -> str:
    return f"http://{host.address}:8080"


def serves(host: Host) -> None:
    def well() -> bool:
        states = on(host).states()
        return states.get("web") == ["running healthy"] and states["setup"] == ["exited 0"]

    eventually(f"{host.name} serves", well, 120)


def forget(host: Host) -> None:
    """As docs/migrate.md says of an old host that is to serve once more; the external volume is its owner's."""
    labels = ("mnemo.stack=notes", "com.docker.compose.project=notes")
    rid = [f"docker volume ls -q --filter label={label} | xargs -r docker volume rm" for label in labels]
    rid += [f"rm -r {DIRECTORY}", f"docker volume rm {ARCHIVE}", f"docker volume create {ARCHIVE}"]
    host.sh("\n".join(["docker compose -p notes down", *rid]))


def test_it_goes_through_every_flow_and_is_equal(lab: Lab) -> None:
    must(lab, "bootstrap")
    for host in (lab.old, lab.new):
        host.sh(f"docker volume create {ARCHIVE}")
    must(lab, "deploy", "--limit", "old")
    serves(lab.old)
    containers = lab.old.lines("docker ps -aq --no-trunc | sort")
    again = must(lab, "deploy", "--limit", "old", "--json")
    assert again.document["hosts"]["old"]["changed"] == 0, str(again)
    assert lab.old.lines("docker ps -aq --no-trunc | sort") == containers, "a container was made again"

    kept = write(url(lab.old), BODIES)
    must(lab, "stack.show", "--limit", "old")
    before = state(lab.old)
    must(lab, "backup", "--limit", "old")
    serves(lab.old)
    assert state(lab.old) == before

    later = write(url(lab.old), ["later"])
    changed = state(lab.old)
    must(lab, "restore", "--id", "latest", "--yes", "--limit", "old")
    serves(lab.old)
    assert state(lab.old) == before and lost(url(lab.old), kept) == []
    must(lab, "restore", "--undo", "--yes", "--limit", "old")
    serves(lab.old)
    assert state(lab.old) == changed and lost(url(lab.old), {**kept, **later}) == []

    for here, there in ((lab.old, lab.new), (lab.new, lab.old)):
        if there.name == "old":
            forget(there)
        was = state(here)
        must(lab, "migrate", "--from", here.name, "--to", there.name, "--yes")
        serves(there)
        assert state(there) == was and lost(url(there), {**kept, **later}) == []
        assert here.running() == set(), "the old host serves, too"
