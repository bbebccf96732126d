"""Edits: what text they leave, case by case; every row was seen to come out the same from Ansible's own module."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from mnemo_ops.agent.engine.resource import build
from mnemo_ops.agent.files.text_edit import Edit

# kind, text before (None: no file), arguments, text after, what the edit says it did
CASES: tuple[tuple[str, Optional[str], dict[str, Any], Optional[str], str], ...] = (
    ("lineinfile", "a\nb\n", {"line": "c"}, "a\nb\nc\n", "line added"),
    ("lineinfile", "a\nb", {"line": "c"}, "a\nb\nc\n", "line added"),
    ("lineinfile", "", {"line": "c"}, "c\n", "line added"),
    ("lineinfile", "a\n\n", {"line": "c"}, "a\n\nc\n", "line added"),
    ("lineinfile", "a\nc", {"line": "c"}, "a\nc\n", "line replaced"),
    ("lineinfile", None, {"line": "c", "create": True}, "c\n", "line added"),
    ("lineinfile", "a\r\nb\r\n", {"line": "b"}, "a\r\nb\n", "line replaced"),
    ("lineinfile", "k=1\nx\nk=2\n", {"line": "k=3", "regexp": "^k="}, "k=1\nx\nk=3\n", "line replaced"),
    (
        "lineinfile",
        "k=1\nx\nk=2\n",
        {"line": "k=3", "regexp": "^k=", "firstmatch": True},
        "k=3\nx\nk=2\n",
        "line replaced",
    ),
    ("lineinfile", "k=1\nx\n", {"line": "k=3", "regexp": "^z"}, "k=1\nx\nk=3\n", "line added"),
    ("lineinfile", "k=3\nx\n", {"line": "k=3", "regexp": "^z"}, "k=3\nx\n", ""),
    ("lineinfile", "#k=1\nx\n", {"line": "k=3", "regexp": "^#?k="}, "k=3\nx\n", "line replaced"),
    ("lineinfile", "a.b\naxb\n", {"line": "c", "search_string": "a.b"}, "c\naxb\n", "line replaced"),
    ("lineinfile", "x\n", {"line": "c", "search_string": "a.b"}, "x\nc\n", "line added"),
    (
        "lineinfile",
        "k = 1\n",
        {"line": "\\1 = 2", "regexp": "^(\\w+) = \\d$", "backrefs": True},
        "k = 2\n",
        "line replaced",
    ),
    (
        "lineinfile",
        "k = 1\n",
        {"line": "\\g<key>=2", "regexp": "^(?P<key>\\w+) = \\d$", "backrefs": True},
        "k=2\n",
        "line replaced",
    ),
    ("lineinfile", "x\n", {"line": "\\1", "regexp": "^(k)", "backrefs": True}, "x\n", ""),
    ("lineinfile", "a\nb\na\nb\n", {"line": "c", "insertafter": "^a"}, "a\nb\na\nc\nb\n", "line added"),
    (
        "lineinfile",
        "a\nb\na\nb\n",
        {"line": "c", "insertafter": "^a", "firstmatch": True},
        "a\nc\nb\na\nb\n",
        "line added",
    ),
    ("lineinfile", "a\nb\na\nb\n", {"line": "c", "insertbefore": "^b"}, "a\nb\na\nc\nb\n", "line added"),
    (
        "lineinfile",
        "a\nb\na\nb\n",
        {"line": "c", "insertbefore": "^b", "firstmatch": True},
        "a\nc\nb\na\nb\n",
        "line added",
    ),
    ("lineinfile", "a\nb\n", {"line": "c", "insertafter": "z"}, "a\nb\nc\n", "line added"),
    ("lineinfile", "a\nb\n", {"line": "c", "insertbefore": "z"}, "a\nb\nc\n", "line added"),
    ("lineinfile", "a\n", {"line": "c", "insertbefore": "BOF"}, "c\na\n", "line added"),
    ("lineinfile", "a\n", {"line": "c", "insertafter": "EOF"}, "a\nc\n", "line added"),
    ("lineinfile", "a\n", {"line": "c", "insertafter": "BOF"}, "c\na\n", "line added"),
    ("lineinfile", "a\nk=1\n", {"line": "k=2", "regexp": "^k=", "insertafter": "^a"}, "a\nk=2\n", "line replaced"),
    ("lineinfile", "a\nb\n", {"line": "k=2", "regexp": "^k=", "insertafter": "^a"}, "a\nk=2\nb\n", "line added"),
    ("lineinfile", "a\nc\nb\n", {"line": "c", "insertafter": "b"}, "a\nc\nb\n", ""),
    ("lineinfile", "a\nb\na\n", {"state": "absent", "line": "a"}, "b\n", "2 line(s) removed"),
    ("lineinfile", "ab\nb\nba\n", {"state": "absent", "regexp": "a$"}, "ab\nb\n", "1 line(s) removed"),
    ("lineinfile", "a.b\naxb\n", {"state": "absent", "search_string": "a.b"}, "axb\n", "1 line(s) removed"),
    ("lineinfile", "a\nb", {"state": "absent", "line": "b"}, "a\n", "1 line(s) removed"),
    ("lineinfile", "a\n", {"state": "absent", "line": "z"}, "a\n", ""),
    ("lineinfile", None, {"state": "absent", "line": "z"}, None, ""),
    ("lineinfile", "é\n", {"line": "ü", "regexp": "é"}, "ü\n", "line replaced"),
    ("lineinfile", "a\x0cb\n", {"line": "c", "regexp": "^b"}, "a\x0cb\nc\n", "line added"),
    (
        "blockinfile",
        "a\n",
        {"block": "x\ny\n"},
        "a\n# BEGIN ANSIBLE MANAGED BLOCK\nx\ny\n# END ANSIBLE MANAGED BLOCK\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "a",
        {"block": "x"},
        "a\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "",
        {"block": "x\n"},
        "# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        None,
        {"block": "x", "create": True},
        "# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\n",
        "File created",
    ),
    (
        "blockinfile",
        "a\n# BEGIN ANSIBLE MANAGED BLOCK\nold\n# END ANSIBLE MANAGED BLOCK\nb\n",
        {"block": "x\n"},
        "a\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\nb\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "a\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\nb\n",
        {"block": "x"},
        "a\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\nb\n",
        "",
    ),
    (
        "blockinfile",
        "a\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\nb\n",
        {"state": "absent"},
        "a\nb\n",
        "Block removed",
    ),
    (
        "blockinfile",
        "a\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\nb\n",
        {"block": ""},
        "a\nb\n",
        "Block removed",
    ),
    (
        "blockinfile",
        "a\nb\na\nc\n",
        {"block": "x", "insertafter": "^a"},
        "a\nb\na\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\nc\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "a\nb\na\nc\n",
        {"block": "x", "insertbefore": "^a"},
        "a\nb\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\na\nc\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "a\n",
        {"block": "x", "insertbefore": "BOF"},
        "# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\na\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "a\n",
        {"block": "x", "insertafter": "z"},
        "a\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "a\nb\nc\n",
        {"block": "x", "insertafter": "(?m)a\nb"},
        "a\nb\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\nc\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "a\nb\nc\n",
        {"block": "x", "insertbefore": "(?m)b\nc"},
        "a\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\nb\nc\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "<a>\n",
        {"block": "x", "marker": "<!-- {mark} m -->"},
        "<a>\n<!-- BEGIN m -->\nx\n<!-- END m -->\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "a\n# START m\n1\n# STOP m\n",
        {"block": "x", "marker": "# {mark} m", "marker_begin": "START", "marker_end": "STOP"},
        "a\n# START m\nx\n# STOP m\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "a\nb\n",
        {"block": "x", "insertafter": "^a", "prepend_newline": True, "append_newline": True},
        "a\n\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\n\nb\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "a\n\n\nb\n",
        {"block": "x", "insertafter": "^a", "prepend_newline": True, "append_newline": True},
        "a\n\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\n\n\nb\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "a\n",
        {"block": "x", "append_newline": True, "prepend_newline": True},
        "a\n\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "a\n# BEGIN ANSIBLE MANAGED BLOCK\n1\n# END ANSIBLE MANAGED BLOCK\n"
        "b\n# BEGIN ANSIBLE MANAGED BLOCK\n2\n# END ANSIBLE MANAGED BLOCK\n",
        {"block": "x"},
        "a\n# BEGIN ANSIBLE MANAGED BLOCK\n1\n# END ANSIBLE MANAGED BLOCK\n"
        "b\n# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "# END ANSIBLE MANAGED BLOCK\n1\n# BEGIN ANSIBLE MANAGED BLOCK\na\n",
        {"block": "x"},
        "# BEGIN ANSIBLE MANAGED BLOCK\nx\n# END ANSIBLE MANAGED BLOCK\na\n",
        "Block inserted",
    ),
    (
        "blockinfile",
        "a\n",
        {"block": "\nx\n\n"},
        "a\n# BEGIN ANSIBLE MANAGED BLOCK\n\nx\n\n# END ANSIBLE MANAGED BLOCK\n",
        "Block inserted",
    ),
    ("replace", "a b\nb a\n", {"regexp": "^a", "replace": "X"}, "X b\nb a\n", "1 replacements made"),
    ("replace", "a b\nb a\n", {"regexp": "a$", "replace": "X"}, "a b\nb X\n", "1 replacements made"),
    ("replace", "a b\nb a\n", {"regexp": "a"}, " b\nb \n", "2 replacements made"),
    ("replace", "k=1\nk=2\n", {"regexp": "k=(\\d)", "replace": "\\1=k"}, "1=k\n2=k\n", "2 replacements made"),
    ("replace", "k=1\n", {"regexp": "(?P<n>k)", "replace": "\\g<n>\\g<0>"}, "kk=1\n", "1 replacements made"),
    (
        "replace",
        "[x]\nk=1\n[y]\nk=1\n[z]\nk=1\n",
        {"regexp": "k=1", "replace": "k=2", "after": "\\[y\\]"},
        "[x]\nk=1\n[y]\nk=2\n[z]\nk=2\n",
        "2 replacements made",
    ),
    (
        "replace",
        "[x]\nk=1\n[y]\nk=1\n[z]\nk=1\n",
        {"regexp": "k=1", "replace": "k=2", "before": "\\[y\\]"},
        "[x]\nk=2\n[y]\nk=1\n[z]\nk=1\n",
        "1 replacements made",
    ),
    (
        "replace",
        "[x]\nk=1\n[y]\nk=1\n[z]\nk=1\n",
        {"regexp": "k=1", "replace": "k=2", "after": "\\[x\\]", "before": "\\[z\\]"},
        "[x]\nk=2\n[y]\nk=2\n[z]\nk=1\n",
        "2 replacements made",
    ),
    ("replace", "k=1\n", {"regexp": "k=1", "replace": "k=2", "after": "none"}, "k=1\n", ""),
    ("replace", "a\n\n\nb", {"regexp": "\n\n+", "replace": "\n"}, "a\nb", "1 replacements made"),
    ("replace", "a\n", {"regexp": "$", "replace": "!"}, "a!\n!", "2 replacements made"),
    ("replace", "a\n", {"regexp": "z", "replace": "!"}, "a\n", ""),
    ("replace", "", {"regexp": "^", "replace": "!"}, "!", "1 replacements made"),
    ("ini_file", "[a]\nk = 1\n", {"section": "a", "option": "k", "value": "2"}, "[a]\nk = 2\n", "option changed"),
    (
        "ini_file",
        "[a]\nk=1\n",
        {"section": "a", "option": "k", "value": "1", "no_extra_spaces": True},
        "[a]\nk=1\n",
        "",
    ),
    ("ini_file", "[a]\nk=1\n", {"section": "a", "option": "k", "value": "1", "ignore_spaces": True}, "[a]\nk=1\n", ""),
    ("ini_file", "[a]\nk=1\n", {"section": "a", "option": "k", "value": "1"}, "[a]\nk = 1\n", "option changed"),
    (
        "ini_file",
        "[a]\n#k=1\n;j=1\n",
        {"section": "a", "option": "k", "value": "2"},
        "[a]\nk = 2\n;j=1\n",
        "option changed",
    ),
    (
        "ini_file",
        "[a]\n#k=1\n",
        {"section": "a", "option": "k", "value": "2", "modify_inactive_option": False},
        "[a]\nk = 2\n#k=1\n",
        "option added",
    ),
    (
        "ini_file",
        "[a]\nk=1\n\n[b]\nj=1\n",
        {"section": "a", "option": "n", "value": "2"},
        "[a]\nk=1\nn = 2\n\n[b]\nj=1\n",
        "option added",
    ),
    (
        "ini_file",
        "[a]\n# why\n\n[b]\n",
        {"section": "a", "option": "n", "value": "2"},
        "[a]\nn = 2\n# why\n\n[b]\n",
        "option added",
    ),
    (
        "ini_file",
        "[a]\nk=1\n",
        {"section": "b", "option": "n", "value": "2"},
        "[a]\nk=1\n[b]\nn = 2\n",
        "section and option added",
    ),
    ("ini_file", "", {"section": "b", "option": "n", "value": "2"}, "\n[b]\nn = 2\n", "section and option added"),
    ("ini_file", None, {"section": "b", "option": "n", "value": "2"}, "\n[b]\nn = 2\n", "section and option added"),
    ("ini_file", "[a]", {"section": "b", "option": "n", "value": "2"}, "[a]\n[b]\nn = 2\n", "section and option added"),
    ("ini_file", "x=1\n[a]\nx=1\n", {"option": "x", "value": "2"}, "x = 2\n[a]\nx=1\n", "option changed"),
    ("ini_file", "[a]\nx=1\n", {"option": "y", "value": "2"}, "y = 2\n[a]\nx=1\n", "option added"),
    (
        "ini_file",
        "[a]\nk=1\nk=2\nk=3\n",
        {"section": "a", "option": "k", "value": "2"},
        "[a]\nk = 2\n",
        "option changed",
    ),
    (
        "ini_file",
        "[a]\nk=1\nk=2\n",
        {"section": "a", "option": "k", "values": ["2", "9"]},
        "[a]\nk = 9\nk = 2\n",
        "option changed",
    ),
    (
        "ini_file",
        "[a]\nk=1\n",
        {"section": "a", "option": "k", "values": ["2", "3"], "exclusive": False},
        "[a]\nk=1\nk = 2\nk = 3\n",
        "option added",
    ),
    ("ini_file", "[a]\nk=1\nk=2\n", {"section": "a", "option": "k", "state": "absent"}, "[a]\n", "option changed"),
    (
        "ini_file",
        "[a]\nk=1\nk=2\n",
        {"section": "a", "option": "k", "value": "2", "state": "absent", "exclusive": False},
        "[a]\nk=1\n",
        "option changed",
    ),
    ("ini_file", "[a]\nk=1\n[b]\nj=1\n", {"section": "a", "state": "absent"}, "[b]\nj=1\n", "section removed"),
    ("ini_file", "[a]\nk=1\n", {"section": "z", "state": "absent"}, "[a]\nk=1\n", ""),
    ("ini_file", "[a]\nk=1\n", {"section": "a", "option": "j", "state": "absent"}, "[a]\nk=1\n", ""),
    ("ini_file", "[a]\nj\n", {"section": "a", "option": "k", "allow_no_value": True}, "[a]\nj\nk\n", "option added"),
    ("ini_file", "[a]\nk\n", {"section": "a", "option": "k", "allow_no_value": True}, "[a]\nk\n", ""),
    ("ini_file", "[ a ]\nk=1\n", {"section": "a", "option": "k", "value": "2"}, "[ a ]\nk = 2\n", "option changed"),
    ("ini_file", "[a]\nkk=1\n", {"section": "a", "option": "k", "value": "2"}, "[a]\nkk=1\nk = 2\n", "option added"),
    (
        "ini_file",
        "[a]\nk.*=1\nk=3\n",
        {"section": "a", "option": "k.*", "value": "2"},
        "[a]\nk.* = 2\nk=3\n",
        "option changed",
    ),
)

# where Ansible's own outcome is broken or never at rest
BETTER: tuple[tuple[str, Optional[str], dict[str, Any], Optional[str], str], ...] = (
    # glued to the last line
    ("lineinfile", "a", {"line": "c", "insertafter": "^a"}, "a\nc\n", "line added"),
    # a second block at every run
    (
        "blockinfile",
        "# BEGIN ANSIBLE MANAGED BLOCK\n1\n# END ANSIBLE MANAGED BLOCK",
        {"block": "1"},
        "# BEGIN ANSIBLE MANAGED BLOCK\n1\n# END ANSIBLE MANAGED BLOCK\n",
        "Block inserted",
    ),
    # changed without a block to remove
    ("blockinfile", "a", {"state": "absent"}, "a", ""),
    ("blockinfile", None, {"state": "absent"}, None, ""),
    # an empty line at every run
    ("blockinfile", "a\n", {"block": "", "prepend_newline": True}, "a\n", ""),
)


def edit(kind: str, args: dict[str, Any]) -> Edit:
    found = build(kind, {"path": "/x", **args})
    assert isinstance(found, Edit)
    return found


@pytest.mark.parametrize(("kind", "before", "args", "after", "says"), [*CASES, *BETTER])
def test_an_edit_leaves(
    kind: str, before: Optional[str], args: dict[str, Any], after: Optional[str], says: str
) -> None:
    one = edit(kind, args)
    found = one.target(None if before is None else {"content": before})
    assert (found or {}).get("content") == after
    if says:
        assert one.told(before, after or "") == says
    else:
        assert before == after


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        ("lineinfile", {}),
        ("lineinfile", {"line": "a", "backrefs": True}),
        ("lineinfile", {"line": "\\2", "regexp": "(a)", "backrefs": True}),
        ("lineinfile", {"line": "a", "regexp": "("}),
        ("lineinfile", {"line": "a", "insertafter": "["}),
        ("lineinfile", {"line": "a", "insertafter": "a", "insertbefore": "b"}),
        ("lineinfile", {"line": "a", "regexp": "a", "search_string": "b"}),
        ("lineinfile", {"state": "absent"}),
        ("lineinfile", {"line": "a", "validate": "true"}),
        ("lineinfile", {"line": "a", "mode": "rw-r--r--"}),
        ("blockinfile", {"block": "a", "insertafter": "a", "insertbefore": "b"}),
        ("blockinfile", {"block": "a", "insertafter": "("}),
        ("replace", {"regexp": "("}),
        ("replace", {"regexp": "a", "replace": "\\1"}),
        ("replace", {"regexp": "a", "encoding": "utf-9"}),
        ("ini_file", {"section": "a", "option": "b"}),
        ("ini_file", {"section": "a", "option": "b", "value": "1", "values": ["1"]}),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_before_a_connection(kind: str, args: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        edit(kind, args)
