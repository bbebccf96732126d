"""The tool knows no application: what it has to know of one, its ``mnemo.yml`` says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mnemosyne
import pytest

from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.stack.stack import Dataset
from mnemo_ops.core.model import Host
from mnemo_ops.errors import InventoryError
from mnemo_ops.stack import definition
from mnemo_ops.stack.settings import settings

PRODUCT = Path(__file__).parents[2] / "mnemo_ops"
WORDS = re.compile(r"(?<![\w-])(mnemosyne|lightrag|celery|flower|uploads)", re.IGNORECASE)
COMPOSE = "services: {web: {image: nginx, container_name: shop-web}}\nvolumes: {data: }\n"


@pytest.mark.parametrize("path", sorted(PRODUCT.rglob("*.py")), ids=lambda path: str(path.relative_to(PRODUCT)))
def test_no_module_names_a_service_a_volume_or_a_path_of_one_application(path: Path) -> None:
    if "lab" not in path.relative_to(PRODUCT).parts:  # which makes a stand-in of one
        assert WORDS.findall(path.read_text()) == []


def test_the_guard_finds_what_is_planted() -> None:
    assert WORDS.findall('WRITTEN = ("lightrag_data", "api_logs")') == ["lightrag"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    return tmp_path


def host(source: Path, **stack: Any) -> Host:
    return Host("old", "192.0.2.1", vars={"stack": {"source": str(source), **stack}})


def beside(source: Path, text: str) -> Path:
    path = source / "mnemo.yml"
    path.write_text(text)
    return path


def test_a_project_needs_nothing_but_its_name(source: Path) -> None:
    stack = definition.stack_of(settings(host(source, project="shop")))
    assert (stack.directory, stack.store) == ("/srv/shop", "/var/backups/shop")
    assert (stack.files, stack.keep, stack.datasets) == (("compose.yaml",), (), ())


def test_a_host_without_a_stack_is_told_so() -> None:
    with pytest.raises(InventoryError, match="project"):
        definition.stack_of(settings(Host("old", "192.0.2.1")))


def test_the_inventory_goes_before_the_file_beside_the_compose_file(source: Path) -> None:
    beside(source, "project: shop\ngrace: 5\nwaived: {a: x, b: y}\ndatasets: [{name: data, volume: data}]\n")
    chosen = settings(host(source, grace=7, waived={"b": "z"}, datasets=[{"name": "more", "path": "more"}]))
    assert (chosen.project, chosen.grace, chosen.waived) == ("shop", 7, {"a": "x", "b": "z"})
    assert definition.datasets(chosen) == (
        Dataset("data", "files", volume="data"),
        Dataset("more", "files", path="more"),
    )


def test_volumes_keep_their_order_whatever_the_inventory_says_of_one() -> None:
    """Another order would be another override, and a change that nobody asked for."""
    moved = mnemosyne.settings(volumes={"redis_data": {"type": "bind", "path": "/data/redis"}})
    assert list(moved.volumes) == list(mnemosyne.settings().volumes)


def test_a_volume_of_the_compose_file_may_be_stored_elsewhere(source: Path) -> None:
    chosen = settings(host(source, project="shop", volumes={"data": {"type": "bind", "path": "/data/x"}}))
    assert [row["name"] for row in definition.volumes(chosen)] == ["shop_data"]
    with pytest.raises(InventoryError, match="dato"):
        settings(host(source, project="shop", volumes={"dato": {"type": "bind", "path": "/data/x"}}))


@pytest.mark.parametrize("end", ["yml", "yaml"])
def test_what_compose_finds_by_itself_is_found(source: Path, end: str) -> None:
    (source / f"compose.override.{end}").touch()
    assert settings(host(source)).compose_files == ("compose.yaml", f"compose.override.{end}")
    assert settings(host(source, compose_file="compose.yaml")).compose_files == ("compose.yaml",)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("project: shop\ngrase: 5\n", 2),
        ("project: shop\n\ngrace: long\n", 3),
        ("datasets:\n  - {name: a, volume: a, kind: mongo}\n", 1),
        ("checks: {helth: {web: 80/}}\n", 1),
        ("checks:\n  health: {web: /up}\n", 1),
        ("checks: {health: [web]}\n", 1),
        ("checks: {services: web}\n", 1),
        ("checks: {writable: {web: /data}}\n", 1),
        ("checks: {documents: {table: t}}\n", 1),
        ("checks: {documents: {table: t, path: p, base: b, colour: c}}\n", 1),
        ("grace: 5\nowners: {web: data}\n", 2),
        ("owners: {web: [5]}\n", 1),
        ("compose_files: [5]\n", 1),
        ("waived:\n  5: x\n", 1),
        ("volumes:\n  data: {type: bind}\n", 2),
        ("source: .\n", 1),
        ("ports: ['80']\n", 1),
        ("grace: 5\ncompose_files: [compose.yaml, ../x/b.yaml]\n", 2),
        ("compose_files: [/etc/b.yaml]\n", 1),
        ("compose_files: [docker-compose.mnemo.yml]\n", 1),
        ("compose_files: ['']\n", 1),
        ("compose_file: sub/../../b.yaml\n", 1),
        ("grace: 5\nenv_name: ../x\n", 2),
        ("env_name: /etc/x\n", 1),
        ("env_name: .\n", 1),
        ("override: ../o.j2\n", 1),
        ("override: /etc/o.j2\n", 1),
        ("owners: {web: [../x]}\n", 1),
        ("grace: 5\nports: [80, 70000]\n", 2),
        ("ports: [0]\n", 1),
        ("ports: [-1]\n", 1),
        ("checks: {health: {web: 70000/up}}\n", 1),
        ("checks: {health: {web: 0}}\n", 1),
        ("grace: 5\ndatasets: [{name: config, kind: config, path: conf}]\n", 2),
        ("datasets: [{name: config, kind: config, volume: conf}]\n", 1),
        ("datasets: [{name: a, kind: config, path: .}, {name: b, kind: config, path: .}]\n", 1),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(source: Path, text: str, line: int) -> None:
    path = beside(source, text)
    with pytest.raises(InventoryError) as caught:
        settings(host(source))
    assert caught.value.where == f"{path}:{line}"


def test_a_second_config_of_the_inventory_is_refused_there(source: Path) -> None:
    """A migration loaded one of them, and lost the other."""
    beside(source, "project: shop\ndatasets: [{name: config, kind: config, path: .}]\n")
    assert len(settings(host(source)).datasets) == 1
    with pytest.raises(InventoryError, match=r"^old: stack\.datasets.* config "):
        settings(host(source, datasets=[{"name": "more", "kind": "config", "path": "."}]))


def test_a_template_that_nobody_names_is_refused(source: Path) -> None:
    """Before mnemo.yml it was the usual one, with .env.production: an inventory of that time lost both in silence."""
    (source / "override.yml.j2").touch()
    with pytest.raises(InventoryError, match=r"override\.yml\.j2") as caught:
        settings(host(source, project="shop"))
    assert "override: override.yml.j2" in caught.value.hint and "env_name: .env.production" in caught.value.hint
    for text in ("override.yml.j2", ""):
        assert settings(host(source, project="shop", override=text)).override == text
    beside(source, "override: override.yml.j2\n")
    assert settings(host(source, project="shop")).override


@pytest.mark.parametrize("name", ["mnemo.yaml", "Mnemo.yml", ".mnemo.yml", "mnemo.yml/"])
def test_a_file_that_is_not_called_as_it_should_be_is_refused(name: str, source: Path) -> None:
    if name.endswith("/"):
        (source / name).mkdir()
    else:
        (source / name).write_text("project: shop\n")
    with pytest.raises(InventoryError) as caught:
        settings(host(source))
    assert caught.value.where.endswith(name.rstrip("/")) and "mnemo.yml" in caught.value.hint
    if not name.endswith("/"):
        beside(source, "project: shop\n")
        with pytest.raises(InventoryError, match=name):
            settings(host(source))


def test_mnemosyne_is_one_such_file() -> None:
    stack = definition.stack_of(mnemosyne.settings())
    assert stack.keep == ("postgres",) and len(stack.datasets) == 7
    assert definition.proven(mnemosyne.settings(), mnemosyne.wired()) == ("postgres", "redis", "api")
    asked = replace(mnemosyne.settings(), project="shop", checks={"health": {"web": "80/up"}})
    rows = {"datasets": [{"service": "db"}, {"service": ""}]}
    assert definition.proven(asked, rows) == ("db", "web"), "who has a check of its own is asked, too"
