"""The ``stack`` variable of the inventory: typed, rendered, relative to the inventory file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mnemo_ops.agent.stack import Stack
from mnemo_ops.errors import InventoryError
from mnemo_ops.mnemosyne import layout
from mnemo_ops.mnemosyne.deploy import check_files, secrets_of
from mnemo_ops.model import Host


def host(**stack: Any) -> Host:
    return Host("old", "192.0.2.1", vars={"inventory_dir": "/somewhere", "domain": "example.org", "stack": stack})


def test_what_is_left_out_is_the_applications_usual() -> None:
    assert layout.settings(Host("old", "192.0.2.1")) == layout.Settings()


def test_paths_of_this_machine_are_relative_to_the_inventory_file() -> None:
    chosen = layout.settings(host(source="stacks/mnemosyne", env_file="/etc/env"))
    assert (chosen.source, chosen.env_file) == ("/somewhere/stacks/mnemosyne", "/etc/env")


def test_values_are_rendered() -> None:
    assert layout.settings(host(tls="{{ domain }}/ssl")).tls == "/somewhere/example.org/ssl"


@pytest.mark.parametrize(
    ("stack", "said", "hint"),
    [
        ({"projekt": "x"}, "stack.projekt is not a setting", "project"),
        ({"grace": "long"}, "stack.grace is 'long', not of type int", ""),
        ({"images": ["api"]}, "not of type mapping", ""),
        ({"datasets": [{"name": "x"}]}, "a name and a volume or a path", ""),
        ({"recipients": "age1x"}, "not of type list", ""),
        ({"directory": "srv"}, "must be an absolute path", ""),
        ({"store": "/"}, "must be an absolute path", ""),
    ],
)
def test_a_mistake_is_named(stack: dict[str, Any], said: str, hint: str) -> None:
    with pytest.raises(InventoryError) as caught:
        layout.settings(host(**stack))
    assert said in str(caught.value)
    assert hint in caught.value.hint


def test_every_service_and_volume_of_the_owners_file_has_its_place() -> None:
    import yaml

    owner = yaml.safe_load((Path(__file__).parents[2] / "stacks/mnemosyne/docker-compose.prod.yml").read_text())
    assert set(layout.STOP_ORDER) == set(owner["services"])
    assert set(layout.VOLUMES) == set(owner["volumes"])
    kept = {dataset.volume for dataset in layout.DATASETS if dataset.volume}
    assert kept | set(layout.WAIVED) == set(owner["volumes"]), "a volume is neither a dataset nor waived"


def test_a_stack_survives_the_wire() -> None:
    import json

    stack = layout.stack_of(layout.Settings())
    assert Stack.from_json(json.loads(json.dumps(layout.wire(stack)))) == stack


@pytest.fixture
def env(tmp_path: Path) -> Path:
    path = tmp_path / "env"
    path.write_text("# comment\nPOSTGRES_DB=mnemosyne\nPOSTGRES_PASSWORD='a secret'\nLOG_LEVEL=INFO\nAPI_KEY=\"k\"\n")
    return path


def test_secrets_of_the_env_file_are_known_by_their_names(env: Path) -> None:
    assert secrets_of(layout.Settings(env_file=str(env))) == ["a secret", "k"]


def test_no_env_file_has_no_secrets() -> None:
    assert secrets_of(layout.Settings(env_file="/nowhere/env")) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": ""}, "stack.source is not set"),
        ({"env_file": ""}, "stack.env_file is not set"),
        ({"tls": "/nowhere"}, "stack.tls of old names /nowhere"),
        ({"images_archive": "/nowhere"}, "stack.images_archive of old names /nowhere"),
    ],
)
def test_a_file_that_is_not_here_is_named_before_anything_is_opened(
    change: dict[str, Any], said: str, env: Path, tmp_path: Path
) -> None:
    chosen = {"source": str(tmp_path), "env_file": str(env), **change}
    with pytest.raises(InventoryError, match=said):
        check_files(host(), layout.Settings(**chosen))


def test_a_placeholder_is_refused(env: Path, tmp_path: Path) -> None:
    env.write_text("POSTGRES_PASSWORD=CHANGE_ME_postgres_password\nREDIS_PASSWORD=good\n")
    with pytest.raises(InventoryError, match=r"placeholders: POSTGRES_PASSWORD$"):
        check_files(host(), layout.Settings(source=str(tmp_path), env_file=str(env)))


def test_an_env_file_that_lacks_a_secret_of_the_example_is_refused(env: Path, tmp_path: Path) -> None:
    (tmp_path / ".env.production.example").write_text("REDIS_PASSWORD=CHANGE_ME\nPOSTGRES_PASSWORD=CHANGE_ME\n")
    with pytest.raises(InventoryError, match=r"does not set REDIS_PASSWORD$"):
        check_files(host(), layout.Settings(source=str(tmp_path), env_file=str(env)))


def test_a_tls_directory_must_hold_all_three_files(env: Path, tmp_path: Path) -> None:
    (tmp_path / "fullchain.pem").touch()
    with pytest.raises(InventoryError, match=r"lacks privkey.pem, dhparam.pem$"):
        check_files(host(), layout.Settings(source=str(tmp_path), env_file=str(env), tls=str(tmp_path)))


def test_more_datasets_and_waivers_reach_the_stack() -> None:
    stack = layout.stack_of(layout.settings(host(datasets=[{"name": "x", "volume": "x_data"}], waived={"y": "why"})))
    assert stack.datasets[-1].volume == "x_data"
    assert stack.waived["y"] == "why"
