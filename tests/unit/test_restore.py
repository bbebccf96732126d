"""What `restore` and `restore --undo` tell when they are done: the last lines, and the document."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from test_migrate import OLD, Fleet

from mnemo_ops.errors import ChannelLost, HostKeyChanged
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.flows import restore as flows
from mnemo_ops.flows.engine import Flow

ID, RUN = "20260101T120000Z-00a1", "20260102T120000Z-00b2"
ROW = {"id": ID, "state": "complete", "checked": "sizes", "why": "", "created": 0.0, "bytes": 5}
READY = {
    "manifest_sha256": "0" * 64,
    "previous": None,
    "untouched": [],
    "sealed": {},
    "replaces": {},
    "live": "after",
    "id": ID,
    "stamp": RUN,
}
OUTAGE = {"write_outage_seconds": 7.25, "phases": {"stop": 2.0, "swap": 1.75, "start": 3.5}}
PHASES = [{"name": "stop", "seconds": 2.0}, {"name": "swap", "seconds": 1.75}, {"name": "start", "seconds": 3.5}]
LINE = "write outage 7.2 s (stop 2.0 s, swap 1.8 s, start 3.5 s)"


def told(tmp_path: Path, undo: bool, monkeypatch: pytest.MonkeyPatch, **more: Any) -> tuple[str, dict[str, Any]]:
    """What the operator reads, and what a program reads."""
    monkeypatch.setattr(flows.signing, "verify", lambda *_: None)
    result = {
        "datasets": {},
        "accepted_losses": [],
        "kept": "somewhere",
        "strays": [],
        "kept_passwords": [],
        "unknown_settings": [],
        **OUTAGE,
        **more,
    }
    shown = []
    for style in (Style(), Style(json=True)):
        answers: dict[str, Any] = {"list_sets": lambda: {"sets": [ROW]}}
        answers.update(dict.fromkeys(("load_set", "undo_restore"), lambda: {**READY, **result}))
        out = io.StringIO()
        flow = Flow(Fleet(**answers), Report("restore", style, out, io.StringIO()), tmp_path)  # type: ignore[arg-type]
        if undo:
            flows.undo(flow, OLD, lambda what: None)
        else:
            flows.restore(flow, OLD, ID, lambda what: None)
        assert flow.report.finish() == 0
        shown.append(out.getvalue())
    return shown[0], json.loads(shown[1])


@pytest.mark.parametrize("undo", [False, True])
def test_how_long_nobody_could_write_is_told_at_the_end(
    tmp_path: Path, undo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, document = told(tmp_path, undo, monkeypatch)
    assert text.splitlines()[-2:] == [LINE, "old : ok=0 changed=1 failed=0"]
    assert (document["write_outage_seconds"], document["phases"]) == (7.25, PHASES)
    assert document["strays"] == []


@pytest.mark.parametrize("undo", [False, True])
def test_what_stood_in_the_way_is_told_with_the_command_that_removes_it(
    tmp_path: Path, undo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    strays = ["/data/.mnemo-stray-1-x-graph", "mnemo_stray_1"]
    text, document = told(tmp_path, undo, monkeypatch, strays=strays)
    last = text.splitlines()[-2]
    assert all(name in last for name in strays) and "invoke backup.prune --aside --limit old" in last
    assert document["strays"] == strays


def test_what_the_set_does_not_hold_is_told_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, document = told(tmp_path, False, monkeypatch, untouched=["uploads", "graph"])
    assert "uploads, graph" in text.partition("restore into scratch")[0]
    assert document["untouched"] == ["uploads", "graph"]


def test_who_lost_the_host_is_told_what_shows_the_end_of_it(tmp_path: Path) -> None:
    """The job goes on without its controller."""
    flow = Flow(Fleet(), Report("restore", Style(), io.StringIO(), io.StringIO()), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ChannelLost) as caught, flow.forgetting(OLD, RUN, f"restore-{RUN}", str):
        raise ChannelLost("the connection to old broke", hint="run the same command again")
    assert caught.value.hint.startswith("invoke lock.status --limit old")
    with pytest.raises(HostKeyChanged) as stranger, flow.forgetting(OLD, RUN, f"restore-{RUN}", str):
        raise HostKeyChanged("another key", hint="compare it first")
    assert stranger.value.hint == "compare it first"
