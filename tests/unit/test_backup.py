"""Which set a word stands for: the one that is meant, or none; and what a set is called."""

from __future__ import annotations

import calendar
from typing import Any

import pytest

from mnemo_ops.core.model import Host
from mnemo_ops.errors import Refused, UsageError
from mnemo_ops.flows import backup

NEWER = {"state": "newer", "format": 2, "why": "format 2"}
TORN = {"state": "unreadable", "why": "manifest.json cannot be read"}
SHORT = {"state": "damaged", "why": "postgres.dump is missing", "checked": "sizes"}
HALF = {"state": "incomplete"}
IDS = ("20260103T120000Z-00c3", "20260102T120000Z-00b2", "20260101T120000Z-00a1")


def row(id: str, **more: Any) -> dict[str, Any]:
    day = calendar.timegm((2026, 1, int(id[6:8]), 12, 0, 0))
    return {"id": id, "state": "complete", "checked": "sizes", "why": "", "created": float(day), "bytes": 5, **more}


class Said:
    """The part of a flow that is asked."""

    def __init__(self) -> None:
        self.report, self.lines = self, list[str]()

    def say(self, text: str) -> None:
        self.lines.append(text)


def chosen(wanted: str, monkeypatch: pytest.MonkeyPatch, *newest: dict[str, Any]) -> tuple[str, list[str]]:
    """``newest``: what differs in the first rows."""
    rows = [row(id, **(newest[at] if at < len(newest) else {})) for at, id in enumerate(IDS)]
    monkeypatch.setattr(backup, "list_sets", lambda flow, host: rows)
    said: Any = Said()
    return backup.choose(said, Host("old", "192.0.2.1"), wanted), said.lines


@pytest.mark.parametrize(
    ("wanted", "id"),
    [
        ("latest", IDS[0]),
        (IDS[1], IDS[1]),
        ("20260101", IDS[2]),
        ("2026-01-02", IDS[1]),
        ("2026-01-02T12:00:00Z", IDS[1]),
        ("2026-01-02 11:59", IDS[2]),
        ("2026-01-02T13:00+02:00", IDS[2]),
    ],
)
def test_a_word_stands_for_the_set_that_is_meant(wanted: str, id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(wanted, monkeypatch) == (id, [])


@pytest.mark.parametrize("bad", [NEWER, TORN, SHORT], ids=lambda bad: str(bad["state"]))
@pytest.mark.parametrize("wanted", ["latest", IDS[0], "20260103", "2026-01-03", "2026-02-01"])
def test_no_other_set_takes_the_place_of_one_that_cannot_be_used(
    bad: dict[str, Any], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused) as caught:
        chosen(wanted, monkeypatch, bad)
    assert IDS[0] in caught.value.message and backup.condition(row(IDS[0], **bad)) in caught.value.message
    assert IDS[1] in caught.value.message and IDS[2] in caught.value.message
    assert f"invoke restore --id {IDS[1]} --limit old" in caught.value.hint
    assert chosen(IDS[1], monkeypatch, bad) == (IDS[1], [])


@pytest.mark.parametrize("bad", [NEWER, TORN, SHORT], ids=lambda bad: str(bad["state"]))
@pytest.mark.parametrize("wanted", ["latest", IDS[0], "20260103", "2026-01-03"])
def test_one_that_cannot_be_used_can_be_looked_at(
    bad: dict[str, Any], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(IDS[0], **bad), row(IDS[1])]
    monkeypatch.setattr(backup, "list_sets", lambda flow, host: rows)
    said: Any = Said()
    assert backup.pick(said, Host("old", "192.0.2.1"), wanted, "invoke backup.show") == IDS[0]
    with pytest.raises(Refused) as caught:
        backup.pick(said, Host("old", "192.0.2.1"), "2025", "invoke backup.show")
    assert caught.value.hint.startswith(f"invoke backup.show {IDS[1]} --limit old")


def test_nothing_to_choose_from(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused) as caught:
        chosen("latest", monkeypatch, TORN, NEWER, SHORT)
    assert "none" in caught.value.message and "restore" not in caught.value.hint
    for wanted in ("latest", "2026-01-05"):
        with pytest.raises(Refused, match="no backup"):
            chosen(wanted, monkeypatch, HALF, HALF, HALF)
    with pytest.raises(Refused, match=IDS[0]):
        chosen(IDS[0], monkeypatch, HALF)
    with pytest.raises(Refused, match=r"2026.* 3 "):
        chosen("2026", monkeypatch, TORN)
    with pytest.raises(Refused, match="2025-12-31"):
        chosen("2025-12-31", monkeypatch)
    with pytest.raises(UsageError):
        chosen("2026-13-31", monkeypatch)


def test_what_was_never_finished_is_not_the_newest_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    id, lines = chosen("latest", monkeypatch, HALF)
    assert id == IDS[1] and len(lines) == 1 and IDS[0] in lines[0]
    assert chosen(IDS[1], monkeypatch, HALF) == (IDS[1], [])


def test_a_set_is_called_what_was_looked_at() -> None:
    assert "not verified" in backup.condition(row(IDS[0]))
    assert "not verified" not in backup.condition(row(IDS[0], checked="checksums"))
    assert "(format 2)" in backup.condition(row(IDS[0], **NEWER))
    for each in (row(IDS[0], parts=[1], consistency="hot", verified=None), row(IDS[0], **TORN), row(IDS[0], **HALF)):
        assert backup.condition(each) in backup.shown(each) and IDS[0] in backup.shown(each)
