"""Arguments of kinds: types in a playbook's words, names as Ansible has them, help for the misspelt."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Union

import pytest

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.documents.yaml_lines import loads
from mnemo_ops.errors import PlaybookError
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook import modules as kinds


@dataclass(frozen=True)
class Note(Resource):
    """A note.

    :param name: what it is called,
        over two lines.
    :param state: whether it is there.
    """

    kind: ClassVar[str] = "note"
    ALIASES: ClassVar[Mapping[str, str]] = {"title": "name"}
    FREE_FORM: ClassVar[str] = "name"
    EXAMPLE: ClassVar[str] = "- note: {name: x}\n"

    name: str
    state: Literal["present", "absent"] = "present"
    size: Optional[int] = None
    mode: Optional[Union[int, str]] = None
    shown: bool = True
    tags: Optional[List[str]] = None
    env: Optional[Dict[str, str]] = None
    anything: Any = None
    sha256: Optional[str] = field(default=None, metadata={"internal": True})

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 0:
            raise ValueError("size is below zero")


@pytest.fixture(autouse=True)
def note(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("note")
    module.Note = Note  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mnemo_ops.agent.resources.note", module)
    monkeypatch.setattr(kinds, "KINDS", kinds.KINDS | {"note"})


def build(text: str) -> Any:
    args = module_args.named("note", loads(text, "x.yml"), "x.yml:1")
    module_args.check("note", args)
    return module_args.build("note", args, "x.yml:1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("just a name", {"name": "just a name"}),
        ("{title: a}", {"name": "a"}),
        ("{name: 5}", {"name": "5"}),
        ("{name: a, size: '5'}", {"size": 5}),
        ("{name: a, mode: 0644}", {"mode": 0o644}),
        ("{name: a, mode: '0644'}", {"mode": "0644"}),
        ("{name: a, shown: 'no'}", {"shown": False}),
        ("{name: a, tags: 'b, c'}", {"tags": ["b", "c"]}),
        ("{name: a, tags: [1, b]}", {"tags": ["1", "b"]}),
        ("{name: a, env: {A: 1}}", {"env": {"A": "1"}}),
        ("{name: a, anything: [1, {b: c}]}", {"anything": [1, {"b": "c"}]}),
    ],
)
def test_values_are_converted_as_in_ansible(text: str, expected: Mapping[str, Any]) -> None:
    found = build(text)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{nmae: a}", "'nmae'", "did you mean 'name'?"),
        ("{name: a, title: b}", "'title' and 'name'", ""),
        ("{state: absent}", "'name'", "invoke docs note"),
        (
            "{name: a, state: presnt}",
            "'presnt'",
            "did you mean 'present'?",
        ),
        ("{name: a, size: big}", "'big'", ""),
        ("{name: a, size: true}", "'size' of note", ""),
        ("{name: a, size: -1}", "note: size is below zero", "invoke docs note"),
        ("{name: yes}", "'name' of note", "write it in quotes, or use | string"),
        ("{name: 1.10}", "1.1", "write it in quotes, or use | string"),
        ("{name: }", "'name' of note", ""),
        ("{name: a, env: {A: [1]}}", "(A: ", ""),
        ("{name: a, sha256: b}", "'sha256'", None),
        ("[a]", "note", None),
    ],
)
def test_mistakes(text: str, message: str, hint: Optional[str]) -> None:
    with pytest.raises(PlaybookError) as caught:
        build(text)
    assert message in caught.value.message
    assert caught.value.where == "x.yml:1"
    assert hint is None or caught.value.hint == hint


def test_templates_wait_until_they_are_rendered() -> None:
    args = module_args.named("note", loads("{name: '{{ x }}', size: '{{ y }}'}", "x.yml"), "x.yml:1")
    module_args.check("note", args)
    with pytest.raises(PlaybookError, match="'big'"):
        module_args.build("note", {"name": "a", "size": "big"}, "x.yml:1")
    assert module_args.build("note", {"name": True}, "x.yml:1").name == "True"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["file", "ansible.builtin.file", "ansible.legacy.file"])
def test_collections(name: str) -> None:
    assert kinds.kind_of(name) == "file"
    assert kinds.kind_of("community.docker.docker_volume") == "docker_volume"
    assert kinds.kind_of("other.collection.file") == ""


def test_docs() -> None:
    text = module_args.describe("ansible.builtin.note")
    assert text.startswith("note: A note.\n")
    assert "  name: a text; required; also called title\n      what it is called, over two lines.\n" in text
    assert "  state: present or absent; default 'present'\n" in text
    assert "sha256" not in text and text.endswith("  - note: {name: x}\n")
    with pytest.raises(PlaybookError) as caught:
        module_args.describe("fiel")
    assert caught.value.hint == "did you mean 'file'?"


@pytest.mark.parametrize("kind", sorted(kinds.KINDS))
def test_every_kind_has_a_page(kind: str) -> None:
    text = module_args.describe(kind)
    assert "Example:" in text
    assert not [one for one in module_args.fields_of(kind).values() if not one.doc], "an argument without a word"


SAMPLES = ["", "present", "0644", "yes", "a,b", 0, 1, 420, -1, 0.5, True, False, None, [], ["a"], ["a", "b"], [1], {}]


@pytest.mark.parametrize("kind", sorted(kinds.KINDS))
def test_what_is_taken_as_it_stands_is_what_pydantic_would_make_of_it(kind: str) -> None:
    for name, one in module_args.fields_of(kind).items():
        for value in [*SAMPLES, *module_args._words(one.hint)]:
            if module_args._fits(one.hint, value):
                made = module_args._adapter(kind, name).validate_python(value)
                assert (type(made), made) == (type(value), value), f"{kind}.{name}"
