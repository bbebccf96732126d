"""A terminal for tests: what a program shows on it, from frame to frame."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len

HEIGHT = 24


class Screen:
    """What a terminal shows: the few control sequences that are used, anything else fails the test."""

    def __init__(self, width: int = 80) -> None:
        self.width = width
        self.cursor = True
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0
        self.seen: list[list[str]] = []
        self.wrapped = False

    def feed(self, text: str) -> None:
        for token in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|[\s\S]", text):
            self._token(token)

    def _token(self, token: str) -> None:
        if token in "\r\n":
            self.seen.append(self.shown())
            self.column = 0
            if token == "\n":
                self._down()
        elif token.startswith("\x1b["):
            self._control(token)
        else:
            assert token.isprintable(), f"{token!r} reached the terminal"
            for cell in (token, "")[: cell_len(token)]:  # none for what is put upon the character before
                self._put(cell)

    def _put(self, cell: str) -> None:
        if self.column == self.width:
            self.wrapped = True
            self.column = 0
            self._down()
        line = self.rows[self.row]
        line.extend(" " * (self.column + 1 - len(line)))
        line[self.column] = cell
        self.column += 1

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])

    def _control(self, token: str) -> None:
        number, last = token[2:-1], token[-1]
        if last == "K":
            assert number == "2"
            self.rows[self.row] = []
        elif last == "A":
            assert int(number or 1) < HEIGHT, "what left the screen above cannot be written over"
            self.row = max(0, self.row - int(number or 1))
        else:
            assert last in "hlm", token
            self.cursor = last == "h" if number == "?25" else self.cursor

    def shown(self) -> list[str]:
        return ["".join(line).rstrip() for line in self.rows]


def on_a_terminal(
    argv: Sequence[str], timeout: float = 60, width: int = 80, cwd: Path | None = None, **more: str
) -> Screen:
    """Run a program on a terminal of its own, to its good end; what was to be seen."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, width, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES")}
    env |= {"TERM": "xterm", "PYTHONIOENCODING": "utf-8", **more}
    process = subprocess.Popen(list(argv), stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=cwd)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 65536)
        except OSError:  # the last one closed the terminal
            break
    os.close(ours)
    assert process.wait(timeout) == 0, said
    screen = Screen(width)
    screen.feed(said.decode())
    return screen
