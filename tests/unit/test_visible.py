"""What a host, a file or a name says does nothing to the terminal of who reads it, and begins no line of ours."""

from __future__ import annotations

import ast
import io
import json
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnemo_ops
from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.core.model import Task
from mnemo_ops.core.visible import visible
from mnemo_ops.errors import StepFailed
from mnemo_ops.execution.report import Report, Style

ROOT = Path(mnemo_ops.__file__).parent
ATTACKS = (
    "\x1b]0;title\x07", "\x1b[2J", "\x1b]52;c;cm0gLXJm\x07", "\rok", "\b\b\b", "\x9b2J", "\x85", "\u202egnp",
    "\u2066x\u2069", "\u2028next", "\u2029", "\0", "\x7f", "\x0c", "\u200b", "\ufeff", "\U000e0041",
)  # fmt: skip


PRINTS = ("traceback.print_exc", "traceback.print_exception", "sys.stdout.write", "sys.stderr.write", "warnings.warn")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def odd(text: str) -> list[str]:
    """Characters that do more than stand there."""
    return [char for char in text if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")]


def said(text: str, stream: type[io.StringIO] = io.StringIO, **style: bool) -> str:
    """Everything a run prints of a host that says this wherever it can."""
    out, err = stream(), stream()
    report = Report("play", Style(verbose=True, diff=True, **style), out, err)
    task = Task("1", f"name {text}", Resource(), "site.yml:1")
    for status in ("ok", "changed", "failed", "unknown"):
        report.task(
            "web1", task, Event("1", status, {"a": text, "b": "1\n2"}, {"a": 1, "b": f"1\n{text}", text: text}, text)
        )
    report.progress("web1", Event("1", "progress", after={"note": text, "done": 1}), f"title {text}")
    report.step(text)
    report.say(text)
    report.show(text)
    report.trace(text)
    report.summary.append(text)
    report.finish(StepFailed(text, where=text, hint=text))
    return out.getvalue() + err.getvalue()


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_a_host_says_moves_the_cursor(attack: str) -> None:
    shown = said(f"a{attack}z")
    assert odd(shown) == []
    assert shown.count(visible(f"a{attack}z")) >= 10


@pytest.mark.parametrize("attack", ATTACKS)
def test_beside_bars_neither(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    ours = said("a--z", Terminal)
    shown = said(f"a{attack}z", Terminal)
    assert set(odd(shown)) <= set(odd(ours))
    assert not any(f"a{attack}" in text for text in (shown, shown.replace("\x1b[2K", "")))


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_document_is_json_and_holds_what_was_said(attack: str) -> None:
    out = io.StringIO()
    report = Report("play", Style(json=True), out, io.StringIO())
    report.task("web1", Task("1", "x", Resource(), "site.yml:1"), Event("1", "failed", why=attack))
    report.finish()
    assert odd(out.getvalue()) == []
    assert json.loads(out.getvalue())["tasks"][0]["why"] == attack


@given(st.text())
def test_ordinary_text_stays_and_the_rest_is_written(text: str) -> None:
    assert odd(visible(text)) == []
    if not odd(text):
        assert visible(text) == text


def test_every_odd_character_is_known() -> None:
    """Of this Python's Unicode; a few of the category Cf only join letters of scripts that need them."""
    every = [chr(code) for code in range(sys.maxunicode + 1)]
    left = [f"{ord(char):x}" for char in every if odd(char) and visible(char) == char]
    assert left == []


def test_nobody_elses_text_begins_a_line_of_ours() -> None:
    forged = "x\n  ok       web2         forged  (site.yml:1)\nERROR forged\nx"
    out = io.StringIO()
    report = Report("play", Style(verbose=True), out, out)
    report.task("web1", Task("1", f"name {forged}", Resource(), "site.yml:1"), Event("1", "failed", why=forged))
    report.progress("web1", Event("1", "progress", after={"note": forged}), forged)
    report.step(forged)
    report.say(forged)
    report.finish(StepFailed(forged, where=forged, hint=forged))
    lines = out.getvalue().splitlines()
    assert (
        not [line for line in lines if line.startswith(("  ok", "ERROR MN0600 forged", "ERROR forged"))]
        and "ERROR MN0600 x" in lines
    )


def test_a_file_of_the_operators_own_is_exact_for_a_program() -> None:
    out: list[Any] = [io.StringIO(), Terminal()]
    for stream in out:
        Report("secrets.view", Style(), stream, stream).show("a\r\nb\x1b", exact=True)
    assert [stream.getvalue() for stream in out] == ["a\r\nb\x1b\n", "a\\r\nb\\x1b\n"]


def test_one_place_prints() -> None:
    """Every other way to a terminal would pass by what makes a text visible."""
    found = []
    for path in ROOT.rglob("*.py"):
        name = str(path.relative_to(ROOT))
        if name.split("/")[0] in ("agent", "lab") or name == "execution/report.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if (called == "print" and node.args) or called in PRINTS:
                found.append(f"{name}:{node.lineno} {called}")
    assert found == []
