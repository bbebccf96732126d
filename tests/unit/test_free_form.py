"""Arguments in one line."""

from __future__ import annotations

import pytest

from mnemo_ops.errors import PlaybookError
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook.free_form import pairs, split
from mnemo_ops.playbook.modules import KINDS


@pytest.mark.parametrize(
    ("text", "command", "found"),
    [
        ("make all", "make all", {}),
        ("make all creates=/srv/x chdir=/srv", "make all", {"creates": "/srv/x", "chdir": "/srv"}),
        ("chdir='/srv/a b' make   all", "make   all", {"chdir": "/srv/a b"}),
        ("make prefix=/usr", "make prefix=/usr", {}),
        ('sh -c "x creates=/y"', 'sh -c "x creates=/y"', {}),
        ("make creates={{ dir }}/{{ 'a b' }}", "make", {"creates": "{{ dir }}/{{ 'a b' }}"}),
        ("it's\nfine creates=/x", "it's\nfine", {"creates": "/x"}),
        ("a \\\n  b\nc", "a \\\n  b\nc", {}),
    ],
)
def test_a_command_and_the_arguments_in_it(text: str, command: str, found: dict[str, str]) -> None:
    assert split(text, ("creates", "chdir")) == (command, found)


def test_a_line_of_arguments_only() -> None:
    assert pairs("path=/srv state=directory") == {"path": "/srv", "state": "directory"}
    assert pairs("msg='two words' x={{ a | default('b c') }}") == {"msg": "two words", "x": "{{ a | default('b c') }}"}
    assert pairs("one word=2") is None
    assert pairs("") is None


def test_a_kind_without_free_form_takes_a_line_of_arguments() -> None:
    args = module_args.named("file", "dest=/srv/x state=directory mode=0750", "x.yml:3")
    assert dict(args) == {"path": "/srv/x", "state": "directory", "mode": "0750"}
    assert args.where("mode") == "x.yml:3"
    module_args.check("file", args)
    with pytest.raises(PlaybookError, match="should be a mapping"):
        module_args.named("file", "/srv/x", "x.yml:3")


def test_what_may_stand_in_the_line_of_a_command_are_its_arguments() -> None:
    for kind in KINDS:
        cls = module_args.resource_class(kind)
        assert set(getattr(cls, "INLINE", ())) <= set(module_args.fields_of(kind))
