"""Findings of any check look alike: a place, what was seen, a remedy; in text and in the document."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

import mnemo_ops
from mnemo_ops.agent.base.finding import WARNS, Finding
from mnemo_ops.agent.base.record import asdict
from mnemo_ops.checks.findings import judge, of_host, refused
from mnemo_ops.errors import Refused
from mnemo_ops.execution.report import Report, Style

FULL = refused("volume.occupied", "new: graph", "/data holds file", "move it away first")
BARE = refused("host.architecture", "new", "it is arm64")
SLOW = Finding("host.clock", WARNS, "new", "its clock is 3 s ahead", "timedatectl set-ntp true")


def test_one_is_the_error_and_its_remedy_the_next_command() -> None:
    extra: dict[str, Any] = {}
    with pytest.raises(Refused) as caught:
        judge([SLOW, FULL], extra, "nothing was touched")
    assert (caught.value.where, caught.value.hint) == (FULL.where, FULL.remedy)
    assert caught.value.message == f"{FULL.evidence}; nothing was touched"
    assert extra["findings"] == [asdict(SLOW), asdict(FULL)]


def test_several_are_each_a_line_with_the_remedy_below() -> None:
    with pytest.raises(Refused) as caught:
        judge([FULL, SLOW, BARE], {})
    lines = caught.value.message.splitlines()
    assert lines[1:] == ["  - new: graph: /data holds file", "    -> move it away first", "  - new: it is arm64"]
    assert lines[0].startswith("2 reasons")


def test_what_warns_stops_nobody_and_is_in_the_document_once() -> None:
    extra: dict[str, Any] = {}
    for _ in range(2):
        assert judge([SLOW], extra) == ["new: its clock is 3 s ahead; timedatectl set-ntp true"]
    assert extra == {"findings": [asdict(SLOW)]} and judge([], {}) == []


def test_a_host_does_not_know_its_name() -> None:
    rows = [asdict(refused("volume.occupied", "graph", "x")), asdict(refused("host.space", "", "y"))]
    assert [each.where for each in of_host("new", rows)] == ["new: graph", "new"]


def test_a_command_in_the_document_is_the_one_that_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error's hint was, the same words in the list were not."""
    monkeypatch.setattr("sys.argv", ["mnemo-ops"])
    report = Report("deploy", Style(json=True), io.StringIO(), io.StringIO())
    with pytest.raises(Refused) as caught:
        judge([refused("host.tools", "old", "it lacks age", "invoke bootstrap --limit old")], report.extra)
    report.finish(caught.value)
    document = report.document()
    assert document["findings"][0]["remedy"] == document["error"]["hint"] == "mnemo-ops bootstrap --limit old"


def test_ids_are_of_one_form() -> None:
    """Programs match them: who adds one chooses a room and a word."""
    text = "".join(path.read_text() for path in Path(mnemo_ops.__file__).parent.rglob("*.py"))
    found = re.findall(r'(?:refused|_refused|Finding)\(\s*(?:\*\()?"([^"]+)"', text)
    assert len(set(found)) > 20 and all(re.fullmatch(r"[a-z]+\.[a-z]+(-[a-z]+)*", each) for each in found)
