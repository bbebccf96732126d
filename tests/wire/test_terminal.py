"""What hosts say does nothing to the terminal of who typed the command: their names, messages, files and logs."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from screen import on_a_terminal
from test_pasted import FUZZED, lie, told
from truthful import COMMANDS, Asked, Typed

ATTACK = "\x1b]0;t\x07\x1b[2J\x1b]52;c;cm0=\x07\rok\x9b2J\u202ez"
RAW = ("\x1b]", "\x1b[2J", "\x07", "\rok", "\x9b", "\u202e")
TRIES = 20  # of a command; all of them with MNEMO_FUZZ
SILENT = ("backup --check", "volumes --undo")  # numbers; what the inventory says
PROGRAM = Path(sys.executable).with_name("mnemo-ops")
PLAYBOOK = r"""
- hosts: all
  tasks:
    - {name: says, command: "printf '\\033]0;t\\007\\033[2J\\rok\\302\\2332J'", register: r}
    - {name: repeats, debug: {msg: "{{ r.stdout }}"}}
    - {name: fails, shell: "printf '\\033[2J\\rok' >&2; exit 3", ignore_errors: true}
    - {name: "a file", copy: {dest: "HOME/\e[2J\rname", content: "\e]0;t\a\e[2J"}}
    - {name: finds, find: {paths: HOME}, register: f}
    - {name: shows, debug: {var: f}}
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def is_shown(said: str, what: object) -> None:
    assert [raw for raw in RAW if raw in said] == [], (what, said)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_field_of_a_host_moves_the_cursor(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed, shown = Typed(tmp_path, monkeypatch), 0
    every = [(victim, way, liar) for liar, victim, way in told(typed, name) if victim[0] != "hello"]
    every = list({each[:2]: each for each in every}.values())  # whichever host says it
    for number, (victim, way, liar) in enumerate(every if FUZZED else every[:: len(every) // TRIES + 1]):
        _, said = typed(name, lie(liar, victim, way, f"a{ATTACK}"), out=Terminal() if number % 2 else None)
        is_shown(said, (victim, way))
        shown += "\\x1b[2J" in said
    assert shown or name in SILENT, "nothing that a host says was printed"


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_error_and_no_note_of_a_host_does(
    name: str, terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs of a container come in an error; files are named in notes."""
    typed, (first, *_) = Typed(tmp_path, monkeypatch), COMMANDS[name][2]
    error = {"class": "NotStarted", "message": f"api: {ATTACK}", "where": ATTACK, "hint": f"docker logs {ATTACK}"}
    every = dict.fromkeys(asked for host, asked, _ in told(typed, name) if host == first and asked[0] != "hello")
    for victim in every:
        after = {"done": 1, "total": 2, "note": f"checksum of {ATTACK}"}
        note = {"id": victim[1], "status": "progress", "after": after}
        beat = {"beat": 5.0, "task": victim[1], "note": ATTACK}

        def fails(host: str, asked: Asked, truth: Any, victim: Asked = victim, told: Any = (note, beat)) -> Any:
            return (lambda seq: [*told, {"error": error, "seq": seq}]) if (host, asked) == (first, victim) else truth

        code, said = typed(name, fails, out=Terminal() if terminal else None)
        is_shown(said, victim)
        told_of = "\\x1b[2J" in said or victim == ("act", "release")  # what it leaves, the host's timer ends
        assert code != 1 and (code == 0 or told_of), (victim, said)


def test_a_play_on_a_terminal(tmp_path: Path) -> None:
    """The program itself on a terminal, with a real agent: whatever is none of ours fails there."""
    (tmp_path / "files").mkdir()
    (tmp_path / "site.yml").write_text(PLAYBOOK.replace("HOME", str(tmp_path / "files")))
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"here": host}}}))
    words = ["play", str(tmp_path / "site.yml"), "-i", str(tmp_path / "hosts.yml"), "-v", "--diff"]
    screen = on_a_terminal([str(PROGRAM), *words], MNEMO_STATE_DIR=str(tmp_path / "state"))
    shown = "".join("\n".join(screen.shown()).split())
    assert shown.count("\\x1b[2J") > 1 and shown.count("\\u001b[2J") > 1 and "files/\\u001b[2J\\rname" in shown
