"""What a ``raw`` command finds on its stdin: nothing, and never the password of sudo."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mnemo_ops.core.model import Host
from mnemo_ops.core.secret import Secret
from mnemo_ops.errors import SudoRefused
from mnemo_ops.transport import local_pipe
from mnemo_ops.transport.raw_shell import raw

# sudo as far as we use it. Beside it: `free` is NOPASSWD, `known` a password given a moment ago, `pam` one that asks in
# words of its own
SUDO = """#!/bin/sh
asks=yes; never=; again=; prompt='password: '
while :; do
  case $1 in
    -V) exit 0 ;;
    -n) never=1 ;;
    -k) again=1 ;;
    -S | -H) ;;
    -p) prompt=$2; shift ;;
    --) shift; break ;;
    *) break ;;
  esac
  shift
done
[ -e "${0%/*}/free" ] && asks=
[ -e "${0%/*}/known" ] && [ ! "$again" ] && asks=
[ "$asks" ] || exec "$@"
[ "$never" ] && { echo 'sudo: a password is required' >&2; exit 1; }
[ -e "${0%/*}/pam" ] && prompt='Token: '
for time in 1 2 3; do
  printf %s "$prompt" >&2
  read -r given || break
  [ "$given" = s3cret ] && exec "$@"
done
exit 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sudo lies; we are ann, who is not root."""
    sudo = tmp_path / "sudo"
    sudo.write_text(SUDO)
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(local_pipe, "user", lambda: "ann")
    return tmp_path


@pytest.mark.parametrize("state", ["asks", "free", "known", "pam"])
@pytest.mark.parametrize("password", ["s3cret", None])
def test_a_command_finds_nothing_on_its_stdin(folder: Path, state: str, password: str | None) -> None:
    (folder / state).touch()
    host = Host("here", "here", local=True, become_password=Secret(password) if password else None)
    if password is None and state in ("asks", "pam"):
        with pytest.raises(SudoRefused):
            raw(host, True, f"cat > {folder}/found")
        return
    said = raw(host, True, f"cat > {folder}/found; echo done; echo 'it is' said >&2; exit 7")
    assert (said.rc, said.out, said.err.removeprefix("Token: ")) == (7, "done\n", "it is said\n")
    assert (folder / "found").read_bytes() == b""


def test_nor_can_it_ask_for_it(folder: Path) -> None:
    """Whoever prints what sudo would print gets nothing."""
    host = Host("here", "here", local=True, become_password=Secret("s3cret"))
    line = f"printf '[mnemo asks]' >&2; cat > {folder}/found; cat /proc/$PPID/fd/0 < /dev/null > {folder}/all || true"
    (folder / "free").touch()
    assert raw(host, True, line).rc == 0
    assert b"s3cret" not in (folder / "found").read_bytes()


def test_a_wrong_password_is_told(folder: Path) -> None:
    host = Host("here", "here", local=True, become_password=Secret("guess"))
    with pytest.raises(SudoRefused):
        raw(host, True, f"touch {folder}/found")
    assert not (folder / "found").exists()
