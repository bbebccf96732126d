"""What one host says is pasted nowhere: not into what another is asked, nor into a path here. Typed commands."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from truthful import COMMANDS, Asked, Typed, instead, texts

FUZZED = bool(os.environ.get("MNEMO_FUZZ"))
MARK = "PWN3D"
SHELL = f"age1{'q' * 58}$(touch${{IFS}}{MARK})"
LINES = (
    SHELL,
    f'192.0.2.9"\nssh-ed25519 AAAA{MARK}',  # a second line of authorized_keys
    f"../../../../etc/cron.d/{MARK}",
    f"-oProxyCommand={MARK}",
)
TOGETHER = ("migrate", "migrate --abort", "nfs-setup")  # commands in which hosts hear of each other


def data(asked: Asked, way: tuple[Any, ...]) -> bool:
    """What new compares with what it restored: quoted there, and nothing but text."""
    return asked == ("act", "make_set") and way[:1] == ("datasets",)


def told(typed: Typed, name: str) -> list[tuple[str, Asked, tuple[Any, ...]]]:
    """Who says which texts while a command is done."""
    found: dict[tuple[str, Asked, tuple[Any, ...]], None] = {}

    def noted(host: str, asked: Asked, truth: Any) -> Any:
        found.update(dict.fromkeys((host, asked, way) for way in texts(truth)))
        return truth

    typed(name, noted)
    return list(found)


def lie(liar: str, victim: Asked, way: tuple[Any, ...], line: str) -> Callable[[str, Asked, Any], Any]:
    """One host says something else in one place; the truth may lack it the second time."""

    def instead_of(host: str, asked: Asked, truth: Any) -> Any:
        return instead(truth, way, line) if (host, asked) == (liar, victim) and way in texts(truth) else truth

    return instead_of


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    (tmp_path / "home").mkdir()
    return Typed(tmp_path / "home", monkeypatch)


@pytest.mark.parametrize("name", TOGETHER)
def test_no_field_of_one_host_reaches_another(name: str, typed: Typed, tmp_path: Path) -> None:
    every = [each for each in told(typed, name) if not data(*each[1:])]
    if not FUZZED:  # names of fields are tried with what deeds report; those of leases are the host's own
        every = [each for each in every if each[2][-1] != "" or "leases" in each[2]]
    pasted, bugs = list[Any](), list[Any]()
    tries = [(each, LINES[number % len(LINES)]) for number, each in enumerate(every)]
    for (liar, victim, way), line in product(every, LINES) if FUZZED else tries:
        code, said = typed(name, lie(liar, victim, way, line))
        if code not in (0, 3, 4, 6, 7, 8) or "a bug" in said:
            bugs.append((liar, victim, way, line, said))
        others = [host for host in COMMANDS[name][2] if host != liar and MARK in typed.asked(host)]
        pasted += [(liar, victim, way, line, where) for where in (*others, *tmp_path.rglob(f"*{MARK}*"))]
    assert (pasted, bugs) == ([], [])
    assert len(every) > 10


@pytest.mark.parametrize("name", ["backup", "migrate"])
def test_a_recipient_an_identity_and_an_address_with_shell_in_it_go_no_further(name: str, typed: Typed) -> None:
    """In whatever it reports, whether it was asked for that or not."""
    odd = {"recipient": SHELL, "recipients": [SHELL], "address": SHELL, "identity": f"AGE-SECRET-KEY-1{MARK}\n"}
    liar = COMMANDS[name][2][-1]

    def more(host: str, asked: Asked, truth: Any) -> Any:
        return {**truth, **odd} if host == liar else truth

    code, said = typed(name, more)
    assert code == 0, said
    assert [host for host in COMMANDS[name][2] if MARK in typed.asked(host)] == []
    assert [path for path in typed.home.rglob("*") if path.is_file() and MARK in path.read_text()] == []
