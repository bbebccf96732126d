"""Shells complete the program's words: bash and zsh, as they are typed into, on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("mnemo-ops")
# nothing of the user's is read
SHELLS = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}
README = Path(__file__).parents[2] / "README.md"

PROMPT = "ready> "


class Typed:
    """A shell on a terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal

    def says(self, typed: str, mark: str) -> str:
        """The rest of the line that begins with ``mark``, once this was typed and the shell is ready again."""
        os.write(self._terminal, typed.encode())
        said, end = "", time.monotonic() + 60
        while PROMPT not in said.partition(f"\n{mark} ")[2]:
            left = end - time.monotonic()
            assert left > 0 and select.select([self._terminal], [], [], left)[0], said
            said += os.read(self._terminal, 65536).decode().replace("\r", "\n")
        return said.partition(f"\n{mark} ")[2].partition("\n")[0].strip()

    def completed(self, words: str) -> str:
        """What stands on the command line after TAB, told by ``echo`` in its front (Ctrl-A goes there)."""
        return self.says(f"{words}\t\x01echo GOT: \r", "GOT:")


@contextmanager
def shell(name: str, home: Path) -> Iterator[Typed]:
    assert shutil.which(name), f"{name} is not installed; make check installs it"
    ours, theirs = pty.openpty()
    env = {
        "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "TERM": "dumb",
        "PS1": PROMPT,
        "LC_ALL": "C",
    }
    env |= {key: value for key, value in os.environ.items() if key.startswith("PYTHON")}
    process = subprocess.Popen(
        SHELLS[name], stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=home, start_new_session=True
    )
    os.close(theirs)
    try:
        typed = Typed(ours)
        (line,) = re.findall(rf"^(.*--print-completion-script {name}.*?) *#", README.read_text(), re.MULTILINE)
        typed.says(f"{line}; echo READY: now\r", "READY:")
        yield typed
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize("name", SHELLS)
def test_tab_completes_tasks_their_options_and_files(name: str, tmp_path: Path) -> None:
    """With the line of the README."""
    (tmp_path / "site.yml").touch()
    with shell(name, tmp_path) as typed:
        for words, whole in (
            ("mnemo-ops mig", "mnemo-ops migrate"),
            ("mnemo-ops migrate --f", "mnemo-ops migrate --from"),
            ("mnemo-ops backup.pr", "mnemo-ops backup.prune"),
            ("mnemo-ops --vers", "mnemo-ops --version"),
            ("mnemo-ops play sit", "mnemo-ops play site.yml"),
            ("mnemo-ops play site.yml --dif", "mnemo-ops play site.yml --diff"),
            ("mnemo-ops nosuchtask", "mnemo-ops nosuchtask"),
        ):
            assert typed.completed(words) == whole


@pytest.mark.parametrize("words", ["play 'it", 'play "a b', "nope --f", "migrate --from", ""])
def test_nothing_is_said_beside_the_candidates(words: str) -> None:
    """A word that is still open is no error: its text would stand in the middle of the command line."""
    argv = [PROGRAM, "--complete", "--", *f"mnemo-ops {words}".split()]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stderr == "" and "ERROR" not in done.stdout
