"""`backup.show` and `restore --check`, typed: what they end with, and that a look changes nothing."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from truthful import COMMANDS, ROW, RUN, SUM, Asked, Typed

from mnemo_ops.cli import stack
from mnemo_ops.flows.backup import condition


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    return Typed(tmp_path, monkeypatch)


def of(row: dict[str, Any]) -> Any:
    """The newest set of the host is this one."""

    def told(host: str, asked: Asked, truth: Any) -> Any:
        if asked == ("act", "list_sets"):
            return {"sets": [row]}
        return {**truth, "set": row} if asked == ("act", "show_set") else truth

    return told


TORN = {"id": RUN, "state": "unreadable", "why": "no text", "created": 1e9, "bytes": 5}
NEWER = {**TORN, "state": "newer", "format": 9}
SHORT = {**ROW, "state": "damaged", "why": "a part is missing"}


@pytest.mark.parametrize(
    ("row", "code"), [(ROW, 0), (TORN, 7), (SHORT, 7), (NEWER, 0)], ids=["complete", "unreadable", "damaged", "newer"]
)
def test_a_look_ends_well_and_a_check_as_that_of_the_list(row: dict[str, Any], code: int, typed: Typed) -> None:
    assert typed("backup.show", of(row))[0] == 0
    for name in ("backup.show", "backup.list"):
        ended, said = typed(name, of(row), check=True)
        assert ended == code and condition(row) in " ".join(said.split()), (name, said)


def document(said: str) -> Any:
    """Both streams are one here; the document comes last."""
    return json.loads(said[said.index("\n{") :])


def test_a_program_has_all_of_it_and_no_sum_of_a_row(typed: Typed) -> None:
    code, said = typed("backup.show", json=True)
    assert code == 0
    found = document(said)["set"]
    assert {**ROW, **found} == found and found["format"] == 3 and found["tool"] == "1.0"
    (postgres,) = [one for one in found["datasets"] if one["name"] == "postgres"]
    assert postgres["databases"][0]["tables"] == {"t": 7} and postgres["roles"] == ["app"]
    assert found["volumes"] == {"lightrag_data": {"driver": "local", "device": "/data/lightrag"}}
    assert SUM not in json.dumps({name: one for name, one in found.items() if name != "parts"})


def test_a_check_says_what_would_be_replaced_and_asks_no_host_to_do_anything(typed: Typed) -> None:
    code, said = typed("restore --check", json=True)
    assert code == 0
    both = document(said)["replaces"]
    assert both["graph"]["before"] == {"files": 7, "bytes": 5} and both["graph"]["after"]["files"] == 6
    assert [one["name"] for one in both["postgres"]["before"]["databases"]] == ["app", "shut"]
    asked = [json.loads(line) for line in typed.asked("one").splitlines()]
    assert {(one["op"], one.get("kind")) for one in asked if one["op"] in ("act", "ready", "converge")} == {
        ("act", "list_sets"),
        ("ready", "load_set"),
    }


def test_what_would_be_replaced_is_told_before_anybody_is_asked(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    out = io.StringIO()
    monkeypatch.setitem(COMMANDS, "restore asks", (stack.restore, {"id": "latest"}, ("one",), {}))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda text: said.append(out.getvalue()) or "no")
    code, _ = typed("restore asks", out=out)
    assert code == 2 and "databases that go: shut" in said[0]
    assert ["load_set" in line for line in typed.asked("one").splitlines() if '"op": "act"' in line] == [False]
