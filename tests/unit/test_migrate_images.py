"""Another image on new: said by its inventory alone, known before anything is stopped, and in its compose file."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import mnemosyne
import pytest
import yaml

from mnemo_ops.checks.preflight import Side
from mnemo_ops.core.model import Host
from mnemo_ops.errors import InventoryError
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.migrate import images, prepare
from mnemo_ops.flows.migrate.images import Means, Other
from mnemo_ops.flows.migrate.migration import Migration
from mnemo_ops.lab.app import STACK
from mnemo_ops.stack import definition
from mnemo_ops.stack.image_archive import major_of

OURS = {"source": str(STACK), "images": {"postgres": "{{ postgres_image }}", "api": "api:1"}}
THERE = {"cluster": {"major": 17, "version": "17.10"}}


class Reading(yaml.SafeLoader):
    """Compose's own tags say how a value is merged."""


Reading.add_multi_constructor("!", lambda loader, tag, node: None)


def host(name: str, postgres: str, **more: Any) -> Host:
    return Host(name, "192.0.2.1", vars={"stack": {**OURS, **more}, "postgres_image": postgres})


class Fleet:
    """Hosts that answer what is said here, and write down what they are asked to do."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, list[str]()

    def session(self, host: Host) -> Any:
        fleet = self

        class Session:
            def act(self, action: Any, **_: Any) -> Any:
                fleet.asked.append(f"{host.name} {action.kind}")
                return fleet.answers.get(action.kind, {})

            ready = act

        return Session()


def flow(tmp_path: Path, **answers: Any) -> Flow:
    return Flow(Fleet(**answers), Report("migrate", Style()), tmp_path)  # type: ignore[arg-type]


def means(fetch: Callable[..., None] = lambda *_: None) -> Means:
    return Means(fetch, partial(definition.override, {}))


def running(**images: str) -> Side:
    """Old as it is: the image of each service."""
    return Side("old", {}, {"containers": {name: {"image": image} for name, image in images.items()}})


DEPLOYED = running(postgres="pg:15", api="api:1")


def saved(path: Path, env: Mapping[str, Any], name: str = "w:gz") -> str:
    """An archive of ``docker save`` with an image of each name."""
    rows = [
        {"Config": f"blobs/{number}", "RepoTags": [ref], "Layers": []}
        for number, ref in enumerate(env)
        if ref != "none"
    ]
    files = {"manifest.json": rows}
    files.update({f"blobs/{number}": {"config": {"Env": each}} for number, each in enumerate(env.values())})
    with tarfile.open(path, name) as archive:  # type: ignore[call-overload]
        for member, content in files.items():
            data = json.dumps(content).encode()
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return str(path)


def test_hosts_that_say_the_same_need_no_other_images(tmp_path: Path) -> None:
    assert (
        images.other(flow(tmp_path), host("old", "pg:15"), host("new", "pg:15"), means(), DEPLOYED, mnemosyne.wired())
        is None
    )


def test_the_compose_file_of_new_has_its_images_and_those_of_old(tmp_path: Path) -> None:
    new = host("new", "pg:17", images={"postgres": "{{ postgres_image }}"})
    found = images.other(flow(tmp_path), host("old", "pg:15"), new, means(), DEPLOYED, mnemosyne.wired())
    assert found is not None and found.images == {"postgres": "pg:17"} and found.databases["postgres"][0] == "pg:17"
    services = yaml.load(found.override, Reading)["services"]
    assert services["postgres"]["image"] == "pg:17" and services["api"]["image"] == "api:1"


def test_what_old_has_not_deployed_yet_is_not_what_new_gets(tmp_path: Path) -> None:
    there = running(postgres="pg:15", api="api:0")
    found = images.other(flow(tmp_path), host("old", "pg:15"), host("new", "pg:17"), means(), there, mnemosyne.wired())
    assert found is not None and found.images == {"postgres": "pg:17"}
    assert yaml.load(found.override, Reading)["services"]["api"]["image"] == "api:0"


@pytest.mark.parametrize("named", [{}, {"api": "api:1"}, {"postgres": "pg:14", "api": "api:0"}])
def test_what_old_runs_is_no_other_image_whatever_its_inventory_says(named: Any, tmp_path: Path) -> None:
    old = host("old", "", images=named)
    assert images.other(flow(tmp_path), old, host("new", "pg:15"), means(), DEPLOYED, mnemosyne.wired()) is None


def test_without_the_files_of_the_stack_it_is_refused_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=r"stack\.source"):
        images.other(
            flow(tmp_path), host("old", "pg:15"), host("new", "pg:17", source=""), means(), DEPLOYED, mnemosyne.wired()
        )


def test_without_a_template_new_gets_its_images_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {db: {image: pg}, api: {build: .}}\n")
    given = {"source": str(tmp_path), "project": "shop"}
    old, new = (
        Host(name, "192.0.2.1", vars={"stack": {**given, "images": {"db": image, "api": "api:1"}}})
        for name, image in (("old", "pg:15"), ("new", "pg:17"))
    )
    there = running(db="pg:15", api="api:0")
    stack = definition.wire(flow(tmp_path).declared(old))
    assert stack["files"] == ("compose.yaml", definition.OVERRIDE_NAME)
    found = images.other(flow(tmp_path), old, new, means(), there, stack)
    assert found is not None
    assert yaml.load(found.override, Reading) == {
        "services": {"db": {"image": "pg:17", "build": None}, "api": {"image": "api:0", "build": None}}
    }
    bare = Host("old", "192.0.2.1", vars={"stack": given})
    with pytest.raises(InventoryError, match=r"old: stack\.images") as caught:
        images.other(flow(tmp_path), bare, new, means(), there, definition.wire(flow(tmp_path).declared(bare)))
    assert "db: pg:15" in caught.value.hint


@pytest.mark.parametrize(
    ("here", "in_archive", "refuses"),
    [(0, 15, True), (15, 0, True), (0, 0, False), (0, 17, False), (18, 15, False), (17, 0, False)],
)
def test_an_older_database_is_found_by_what_its_image_says(
    here: int, in_archive: int, refuses: bool, tmp_path: Path
) -> None:
    archive = saved(tmp_path / "images.tar", {"pg:x": [f"PG_MAJOR={in_archive}"] if in_archive else None})
    old = Side("old", {}, {"postgres": {"postgres": THERE}})
    new = Side("new", {}, {"tools": {"docker": here > 0}})
    asked = flow(tmp_path, try_image={"major": here})
    found = images.older(
        asked, host("new", "pg:x", images_archive=archive), Other({}, "", {"postgres": ("pg:x", ())}), old, new
    )
    assert [each.id for each in found] == (["image.older"] if refuses else [])


def test_each_database_that_would_be_older_is_named(tmp_path: Path) -> None:
    """Of two clusters both get another image; of a stack without one, none does."""
    old, new = Side("old", {}, {"postgres": {"a": THERE, "b": THERE}}), Side("new", {}, {"tools": {"docker": True}})
    asked = flow(tmp_path, try_image={"major": 15})
    both = Other({}, "", {name: (f"pg:{name}", ()) for name in ("a", "b")})
    found = images.older(asked, host("new", "pg:x"), both, old, new)
    assert ["pg:a" in each.evidence for each in found] == [True, False]
    assert images.older(asked, host("new", "pg:x"), Other({"api": "api:2"}, ""), Side("old", {}, {}), new) == []


def test_other_images_are_fetched_and_the_database_is_tried_before_the_stop(tmp_path: Path) -> None:
    fetched: list[Any] = []
    old, new, run = host("old", "pg:15"), host("new", "pg:17"), "20261129T220719Z-0002"
    one = flow(tmp_path, load_images={"absent": [], "unnamed": []})
    made = Migration(
        one, old, new, lambda host: None, lambda host: None, (), run, means=means(lambda *words: fetched.append(words))
    )
    containers = {
        "api": {"content": "api", "image": "api:1"},
        "postgres": {"content": "15", "image": "pg:15"},
    }
    context = made.context
    context.sides = (Side("old", {}, {"containers": containers, "postgres": {"postgres": THERE}}), Side("new", {}, {}))
    context.other = images.other(one, old, new, context.means, context.sides[0], mnemosyne.wired())
    prepare.copy_images(context)
    assert fetched == [(new, {"postgres": "pg:17"})]
    assert one.fleet.asked == ["new try_image", "new load_images", "new load_images"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: {db: {user: '999', environment: {PGDATA: /x}}}", {"user", "environment", "PGDATA"}),
        ("services: {db: {environment: [PGDATA=/x, A]}}", {"environment", "PGDATA", "A"}),
        ("services: {db: {build: !reset null}, api: {user: x}}", {"build"}),
        *((text, set()) for text in ("services: {api: {user: x}}", "services:", "a: [", "", "- services")),
    ],
)
def test_what_our_compose_file_says_of_a_service(text: str, said: set[str]) -> None:
    assert set(images.declared(text, "db")) == said


def test_images_of_old_are_named_after_an_archive_that_may_have_others_of_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare.transfer, "pull", lambda *_: 0)
    old, new, nothing = host("old", "pg:15"), host("new", "pg:17", images_archive="images.tar"), lambda host: None
    one = flow(tmp_path, load_images={"absent": [], "unnamed": []})
    context = Migration(one, old, new, nothing, nothing, (), "20261129T220719Z-0002", means=means()).context
    containers = {"api": {"content": "a", "image": "api:1"}, "postgres": {"content": "1", "image": "pg:15"}}
    context.sides = (Side("old", {}, {"containers": containers, "postgres": {"postgres": THERE}}), Side("new", {}, {}))
    context.other = images.other(one, old, new, context.means, context.sides[0], mnemosyne.wired())
    prepare.copy_images(context)
    asked = one.fleet.asked  # type: ignore[attr-defined]
    assert asked.index("new try_image") < asked.index("new load_images")


@pytest.mark.parametrize("how", ["w", "w:gz"])
def test_an_archive_says_which_postgres_an_image_has(how: str, tmp_path: Path) -> None:
    env = {"a:1": ["PATH=/bin"], "pg:17": ["PATH=/bin", "PG_MAJOR=17"], "odd:1": ["PG_MAJOR=new"], "bare:1": None}
    path = saved(tmp_path / "x.tar", env, how)
    assert {ref: major_of(path, ref) for ref in [*env, "away:1"]} == {
        **{"a:1": 0, "pg:17": 17, "odd:1": 0, "bare:1": 0, "away:1": 0}
    }


def test_what_is_no_archive_is_for_docker_to_refuse(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(b"no archive")
    assert major_of(str(path), "pg:17") == major_of(str(tmp_path / "away"), "pg:17") == 0
