"""The ``stack`` variable of the inventory: typed, rendered, relative to the inventory file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mnemosyne
import pytest

from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.core.model import Host
from mnemo_ops.errors import InventoryError
from mnemo_ops.flows.deploy import check_files
from mnemo_ops.inventory import load as inventory
from mnemo_ops.stack import definition
from mnemo_ops.stack import settings as stack_settings
from mnemo_ops.stack.settings import Settings


def host(**stack: Any) -> Host:
    return Host(
        "old",
        "192.0.2.1",
        vars={"inventory_dir": "/somewhere", "domain": "example.org", "stack": {"source": mnemosyne.SOURCE, **stack}},
    )


def test_what_is_left_out_is_the_applications_usual() -> None:
    assert stack_settings.settings(Host("old", "192.0.2.1")) == Settings()


def test_paths_of_this_machine_are_relative_to_the_inventory_file() -> None:
    chosen = stack_settings.settings(host(source="stacks/mnemosyne", env_file="/etc/env"))
    assert (chosen.source, chosen.env_file) == ("/somewhere/stacks/mnemosyne", "/etc/env")


def test_an_empty_path_of_this_machine_is_none(tmp_path: Path) -> None:
    """It was the inventory's own directory."""
    keys = dict.fromkeys(stack_settings.LOCAL, "")
    chosen = stack_settings.settings(Host("old", "192.0.2.1", vars={"inventory_dir": "/somewhere", "stack": keys}))
    assert [getattr(chosen, key) for key in stack_settings.LOCAL] == [""] * 4


@pytest.mark.parametrize("key", ["env_file", "images_archive", "tls", "source"])
def test_what_is_to_be_a_file_is_one(key: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    chosen = Settings(**{"source": str(tmp_path), key: str(tmp_path / ("file" if key in ("tls", "source") else ""))})
    with pytest.raises(InventoryError, match=rf"stack\.{key} "):
        check_files(host(), chosen)


def test_values_are_rendered() -> None:
    assert stack_settings.settings(host(tls="{{ domain }}/ssl")).tls == "/somewhere/example.org/ssl"


@pytest.mark.parametrize(
    ("stack", "said", "hint"),
    [
        ({"projekt": "x"}, "stack.projekt", "project"),
        ({"grace": "long"}, "stack.grace is 'long'", ""),
        ({"images": ["api"]}, "stack.images", ""),
        ({"datasets": [{"name": "x"}]}, "stack.datasets", ""),
        ({"recipients": "age1x"}, "stack.recipients", ""),
        ({"directory": "srv"}, "'srv'", ""),
        ({"store": "/"}, "'/'", ""),
        ({"directory": "/srv/../etc"}, "'/srv/../etc'", ""),
        ({"directory": "/var/lib"}, "'/var/lib'", ""),
        ({"store": "/srv/mnemosyne/sets"}, " /srv/mnemosyne,", "apart"),
        ({"directory": "/var/backups/mnemosyne/x"}, "/var/backups/mnemosyne/x", "apart"),
        ({"project": "../x"}, "stack.project: '../x'", "small letters"),
        ({"project": ""}, "stack.project: ''", ""),
        ({"grace": -1}, "stack.grace: -1", "60"),
        ({"images": {"api": 5}}, "stack.images: 5", ""),
        ({"recipients": [1]}, "stack.recipients: 1", ""),
        ({"datasets": [{"name": ["x"], "path": "x"}]}, "['x']", ""),
        ({"datasets": ["x"]}, "stack.datasets", ""),
        ({"datasets": [{"name": "../x", "path": "x"}]}, "'../x'", ""),
        ({"datasets": [{"name": "x", "path": "../../etc"}]}, "'../../etc'", ""),
        ({"datasets": [{"name": "x", "path": ""}]}, "''", ""),
        ({"datasets": [{"name": "x", "path": "."}]}, "'.'", ""),
        ({1: 2}, "stack.1", ""),
        ({"volumes": {1: {}}}, "stack.volumes.1", ""),
        ({"source": "~nobody-here/x"}, "stack.source is '~nobody-here/x'", ""),
    ],
)
def test_a_mistake_is_named(stack: dict[str, Any], said: str, hint: str) -> None:
    with pytest.raises(InventoryError) as caught:
        stack_settings.settings(Host("old", "192.0.2.1", vars={"stack": {"source": mnemosyne.SOURCE} | stack}))
    assert said in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"name": "uploads", "path": "other"}], "uploads"),
        ([{"name": "a", "path": "b"}, {"name": "a", "path": "c"}], r"named a\b"),
        ([{"name": "a", "volume": "lightrag_data"}], "lightrag_data"),
        ([{"name": "a", "path": "uploads"}], "uploads"),
        ([{"name": "a", "path": "uploads/old"}], "uploads/old"),
        ([{"name": "a", "path": "b/c"}, {"name": "d", "path": "b"}], "b/c"),
    ],
)
def test_two_datasets_in_one_would_overwrite_each_other_in_a_set(rows: list[dict[str, str]], said: str) -> None:
    with pytest.raises(InventoryError, match=said):
        stack_settings.settings(host(datasets=rows))
    assert stack_settings.settings(host(datasets=[{"name": "a", "path": "b/c"}, {"name": "b", "path": "b/d"}]))


@pytest.mark.parametrize("stack", ["mnemosyne", ["mnemosyne"], 5])
def test_what_is_no_mapping_is_named(stack: Any) -> None:
    with pytest.raises(InventoryError, match=r"^old: stack "):
        stack_settings.settings(Host("old", "192.0.2.1", vars={"stack": stack}))


def test_a_mistake_is_named_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "inventory.yml"
    text = "all:\n  hosts: {old: {ansible_host: 192.0.2.1}}\n  vars:\n    stack:\n"
    text += f"      source: {mnemosyne.SOURCE}\n      volumes:\n        uploads:\n"
    for mistake, line in (("          type: bind\n          pfad: /x\n", 7), ("          {}\n      projekt: x\n", 9)):
        file.write_text(text + mistake)
        with pytest.raises(InventoryError) as caught:
            stack_settings.settings(inventory.load(file).hosts["old"])
        assert caught.value.where == f"{file}:{line}"


def test_every_service_and_volume_of_the_owners_file_has_its_place() -> None:
    import yaml

    owner = yaml.safe_load((Path(__file__).parents[2] / "stacks/mnemosyne/docker-compose.prod.yml").read_text())
    chosen = mnemosyne.settings()
    assert set(chosen.volumes) == set(owner["volumes"])
    kept = {dataset.volume for dataset in definition.datasets(chosen) if dataset.volume}
    assert kept | set(chosen.waived) == set(owner["volumes"]), "a volume is neither a dataset nor waived"


def test_a_stack_survives_the_wire() -> None:
    import json

    stack = definition.stack_of(mnemosyne.settings())
    assert Stack.from_json(json.loads(json.dumps(definition.wire(stack)))) == stack


@pytest.fixture
def env(tmp_path: Path) -> Path:
    path = tmp_path / "env"
    path.write_text("# comment\nPOSTGRES_DB=mnemosyne\nPOSTGRES_PASSWORD='a secret'\nLOG_LEVEL=INFO\nAPI_KEY=\"k\"\n")
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": ""}, r"stack\.source"),
        ({"env_file": "/nowhere"}, r"stack\.env_file of old .*/nowhere"),
        ({"tls": "/nowhere"}, r"stack\.tls of old .*/nowhere"),
        ({"images_archive": "/nowhere"}, r"stack\.images_archive of old .*/nowhere"),
    ],
)
def test_a_file_that_is_not_here_is_named_before_anything_is_opened(
    change: dict[str, Any], said: str, env: Path, tmp_path: Path
) -> None:
    chosen = {"source": str(tmp_path), "env_file": str(env), **change}
    with pytest.raises(InventoryError, match=said):
        check_files(host(), Settings(**chosen))


def test_a_placeholder_is_refused(env: Path, tmp_path: Path) -> None:
    env.write_text("POSTGRES_PASSWORD=CHANGE_ME_postgres_password\nREDIS_PASSWORD=good\n")
    with pytest.raises(InventoryError, match=r"POSTGRES_PASSWORD"):
        check_files(host(), Settings(source=str(tmp_path), env_file=str(env)))


def test_an_env_file_that_lacks_a_secret_of_the_example_is_refused(env: Path, tmp_path: Path) -> None:
    (tmp_path / ".env.production.example").write_text("REDIS_PASSWORD=CHANGE_ME\nPOSTGRES_PASSWORD=CHANGE_ME\n")
    with pytest.raises(InventoryError, match=r"REDIS_PASSWORD"):
        check_files(host(), Settings(source=str(tmp_path), env_file=str(env), env_name=".env.production"))


def test_a_project_without_an_env_file_is_whole(tmp_path: Path) -> None:
    check_files(host(), Settings(source=str(tmp_path)))


def test_a_tls_directory_must_hold_all_three_files(env: Path, tmp_path: Path) -> None:
    (tmp_path / "fullchain.pem").touch()
    with pytest.raises(InventoryError, match=r"privkey\.pem, dhparam\.pem"):
        check_files(host(), Settings(source=str(tmp_path), env_file=str(env), tls=str(tmp_path)))


def test_more_datasets_and_waivers_reach_the_stack() -> None:
    stack = definition.stack_of(
        stack_settings.settings(host(datasets=[{"name": "x", "volume": "x_data"}], waived={"y": "why"}))
    )
    assert stack.datasets[-1].volume == "x_data"
    assert stack.waived["y"] == "why"
