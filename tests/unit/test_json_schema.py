"""JSON Schema for editors: what is right passes, the usual mistakes do not, and no keyword is left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import corpus
import jsonschema
import pytest
from test_playbook import GOOD, INVENTORY

from mnemo_ops.agent.engine.resource import resource_class
from mnemo_ops.documents import yaml_lines
from mnemo_ops.playbook import keywords
from mnemo_ops.playbook.module_args import docs_of
from mnemo_ops.playbook.modules import KINDS
from mnemo_ops.reference import json_schema
from mnemo_ops.reference.json_forms import FORMS, of_dataclass
from mnemo_ops.stack import settings
from mnemo_ops.stack.nfs_schema import Nfs

ROOT = Path(__file__).parents[2]
PLAYBOOKS = [path for path in sorted((ROOT / "playbooks").rglob("*.yml")) if path.parent.name != "defaults"]
PLAYBOOKS += [
    path
    for path in sorted((ROOT / "tests").rglob("*.yml"))
    if path.parent.name in ("playbooks", "tasks", "handlers") and path.name not in ("vars.yml", "hosts.yml")
]
PLAYBOOK = jsonschema.Draft7Validator(json_schema.playbook())
STACK = settings.schema()


def test_each_setting_of_a_stack_is_described() -> None:
    told = {key: each["description"] for key, each in settings.schema()["properties"].items()}
    assert not [key for key, text in told.items() if not text or ":param" in text]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_description_holds_another_one(kind: str) -> None:
    assert not [text for text in docs_of(resource_class(kind)).values() if ":param" in text]


HOSTS = jsonschema.Draft7Validator(json_schema.inventory({"stack": STACK, "nfs": of_dataclass(Nfs)}))


def complaints(validator: jsonschema.Draft7Validator, text: str) -> list[str]:
    data = json.loads(json.dumps(yaml_lines.loads(text, "x.yml"), default=str))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(data)]


def test_they_are_schemas() -> None:
    for schema in (PLAYBOOK.schema, HOSTS.schema):
        jsonschema.Draft7Validator.check_schema(schema)
        names = set(schema["definitions"])
        assert {one.split("/")[2] for one in _references(schema)} <= names
        assert json.loads(json.dumps(schema)) == schema
    assert not KINDS & FORMS.keys()


def _references(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return {name for item in schema for name in _references(item)}
    if not isinstance(schema, Mapping):
        return set()
    own = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
    return own | {name for item in schema.values() for name in _references(item)}


@pytest.mark.parametrize("path", PLAYBOOKS, ids=[str(path.relative_to(ROOT)) for path in PLAYBOOKS])
def test_our_own_playbooks(path: Path) -> None:
    assert complaints(PLAYBOOK, path.read_text()) == []


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_examples_of_the_kinds(kind: str) -> None:
    assert complaints(PLAYBOOK, resource_class(kind).EXAMPLE) == []  # type: ignore[attr-defined]


def test_playbooks_and_inventories_of_the_tests() -> None:
    assert complaints(PLAYBOOK, GOOD) == []
    assert complaints(HOSTS, INVENTORY) == []
    assert complaints(HOSTS, corpus.HOSTS) == []
    for name, text in corpus.PLAYBOOKS.items():
        assert complaints(PLAYBOOK, text) == [], name
    assert complaints(HOSTS, (ROOT / "inventories/example.yml").read_text()) == []


FINE = [
    "- {hosts: all, tasks: [{command: ls, args: {chdir: /srv}}, {file: {}, args: {path: /x}}]}",
    "- {import_playbook: other.yml, when: x}\n- ansible.builtin.import_playbook: other.yml",
    "- {hosts: [a, b], become: yes, serial: [1, 50%], roles: [web, {role: db, port: 5}]}",
    "- {hosts: all, gather_facts: 'yes', module_defaults: {ansible.builtin.apt: {update_cache: true}}}",
    "- {hosts: all, tasks: [{apt: {name: 'a,b', state: '{{ x }}', install_recommends: 'no'}}, {set_fact: {any: 1}}]}",
    "- {hosts: all, handlers: [{name: x, systemd: name=nginx state=reloaded, listen: web}]}",
    "- block: [{meta: flush_handlers}]\n  rescue: [{fail: {msg: x}}]\n  when: [a, b is defined, true]",
    "- ansible.builtin.include_role: {name: web, apply: {tags: a}}\n  loop: '{{ x }}'\n  loop_control: {loop_var: y}",
    "- ansible.builtin.copy: {content: {a: 1}, dest: /x, mode: 0644}\n  when:",
    "- community.docker.docker_volume: {name: data, labels: {a: '{{ b }}'}}\n  delegate_to: localhost",
    "- {hosts: all, tasks: [{action: copy src=a dest=/b, when: x}, {local_action: {module: file, path: /x}}]}",
]


@pytest.mark.parametrize("text", FINE)
def test_what_is_right(text: str) -> None:
    assert complaints(PLAYBOOK, text) == []


MISTAKES = [
    "hosts: all",
    "- {tasks: []}",
    "- {hosts: all, taks: []}",
    "- {hosts: all, become: 5}",
    "- {hosts: all, tasks: {file: {path: /x}}}",
    "- {hosts: all, serial: some}",
    "- {hosts: all, strategy: debug}",
    "- {hosts: all, tasks: [{name: x}]}",
    "- {hosts: all, tasks: [{fiel: {path: /x}}]}",
    "- {hosts: all, tasks: [{file: {path: /x, stat: absent}}]}",
    "- {hosts: all, tasks: [{file: {path: /x, state: gone}}]}",
    "- {hosts: all, tasks: [{ansible.builtin.file: {path: /x, state: gone}}]}",
    "- {hosts: all, tasks: [{file: {state: absent}}]}",
    "- {hosts: all, tasks: [{ansible.builtin.file: {state: absent}}]}",
    "- {hosts: all, tasks: [{file: }]}",
    "- {hosts: all, tasks: [{copy: a b}]}",
    "- {hosts: all, tasks: [{command: ls, async: 5}]}",
    "- {hosts: all, tasks: [{command: ls, when: '{{ x }}'}]}",
    "- {hosts: all, tasks: [{command: ls, register: a-b}]}",
    "- {hosts: all, tasks: [{command: ls, loop: 5}]}",
    "- {hosts: all, tasks: [{command: ls, loop_control: {lop_var: x}}]}",
    "- {hosts: all, tasks: [{command: ls, delegate_to: other}]}",
    "- {hosts: all, tasks: [{command: ls, vars: {a-b: 1}}]}",
    "- {hosts: all, handlers: [{command: ls}]}",
    "- {hosts: all, tasks: [{action: {path: /x}}]}",
    "- {hosts: all, roles: [5.5, []]}",
    "- {import_playbook: x.yml, hosts: all}",
    "- block: []\n  resuce: []",
    "- import_tasks: x.yml\n  register: y",
    "- include_role: {nmae: x}",
]


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes(text: str) -> None:
    assert complaints(PLAYBOOK, text) != []


@pytest.mark.parametrize(
    "text",
    [
        "all: []",
        "all: {host: {}}",
        "all: {hosts: [a]}",
        "all: {hosts: {a: {ansible_port: ssh}}}",
        "all: {hosts: {a: {ansible_port: 99999}}}",
        "all: {hosts: {a: {ansible_connection: winrm}}}",
        "all: {hosts: {a: {ansible_become_method: su}}}",
        "all: {hosts: {a: {ansible_host: [1]}}}",
        "all: {vars: {stack: {projekt: x}}}",
        "all: {vars: {stack: {grace: soon}}}",
        "all: {vars: {nfs: {clients: [a], export: {}}}}",
        "all: {vars: {nfs: {exports: {a: {path: /x}}}}}",
        "all: {vars: {nfs: {exports: {a: {owner: www-data}}}}}",
        "all: {vars: {nfs: {exports: {a: {owner: 5, state: gone}}}}}",
        "all: {children: {web: {hosts: 5}}}",
    ],
)
def test_mistakes_in_inventories(text: str) -> None:
    assert complaints(HOSTS, text) != []


def test_every_keyword_is_described_and_none_besides() -> None:
    found = PLAYBOOK.schema["definitions"]
    used = {*json_schema.KEYS, *json_schema.HANDLER, *json_schema.ACTION, *json_schema.BLOCK, *json_schema.ROLE}
    assert used == set(keywords.KEYWORDS)
    assert {one.form for one in keywords.KEYWORDS.values()} <= found.keys()
