"""lineinfile: one line of a text file."""

from __future__ import annotations

import re
from typing import ClassVar, List, Literal, Mapping, Optional, Pattern

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.files.mode import Mode
from mnemo_ops.agent.files.ownership import Owner
from mnemo_ops.agent.files.text_edit import Edit, check_groups, compiled, ended, lines_of


@dataclass(frozen=True)
class LineInFile(Edit):
    """A line that is in a file, or is not; for what else the file holds, nothing changes.

    :param path: the file; a link is followed.
    :param line: the line, without its end.
    :param regexp: Python regular expression: the last line it is found in is the one to replace; with ``absent`` all.
    :param search_string: the same with a literal text.
    :param state: ``present`` or ``absent``.
    :param backrefs: ``line`` may refer to groups of ``regexp`` (``\\1``); without a match nothing changes.
    :param insertafter: where a new line goes: after the last line this expression is found in, ``BOF`` or ``EOF``.
    :param insertbefore: before the last line this expression is found in, or ``BOF``.
    :param firstmatch: the first match counts instead of the last one.
    :param create: make the file (and its directory) when it is missing.
    :param backup: keep the old content beside it, ``NAME.PID.DATE@TIME~``.
    :param validate: command that must succeed on the new file (``%s``) before it takes its place.
    :param mode: permission bits, ``"0644"`` or ``u=rw,g=r,o=``; a new file gets 0644.
    :param owner: user name or number.
    :param group: group name or number.
    """

    kind: ClassVar[str] = "lineinfile"
    ALIASES: ClassVar[Mapping[str, str]] = {
        "dest": "path",
        "destfile": "path",
        "name": "path",
        "value": "line",
        "regex": "regexp",
    }
    EXAMPLE: ClassVar[str] = """\
- name: nobody logs in as root
  lineinfile:
    path: /etc/ssh/sshd_config
    regexp: ^#?PermitRootLogin
    line: PermitRootLogin no
    validate: /usr/sbin/sshd -t -f %s
- name: an old host is forgotten
  lineinfile: {path: /etc/hosts, regexp: '\\bold\\.example$', state: absent}
"""

    path: str
    line: Optional[str] = None
    regexp: Optional[str] = None
    search_string: Optional[str] = None
    state: Literal["absent", "present"] = "present"
    backrefs: bool = False
    insertafter: Optional[str] = None
    insertbefore: Optional[str] = None
    firstmatch: bool = False
    create: bool = False
    backup: bool = False
    validate: Optional[str] = None
    mode: Mode = None
    owner: Owner = None
    group: Owner = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.state == "present" and self.line is None:
            raise ValueError("line is missing")
        if self.state == "absent" and (self.line, self.regexp, self.search_string) == (None, None, None):
            raise ValueError("state absent needs line, regexp or search_string")
        if self.search_string is not None and (self.regexp is not None or self.backrefs):
            raise ValueError("search_string does not go with regexp or backrefs")
        if self.backrefs and self.regexp is None and self.state == "present":
            raise ValueError("backrefs needs regexp")
        if self.insertafter is not None and self.insertbefore is not None:
            raise ValueError("give either insertafter or insertbefore")
        for pattern in (self.regexp, self.insertafter, self.insertbefore):
            compiled(pattern)
        if self.backrefs and self.regexp is not None and self.line is not None and self.state == "present":
            check_groups(self.regexp, self.line)

    @property
    def removes(self) -> bool:
        return self.state == "absent"

    def edited(self, text: str) -> str:
        lines = lines_of(text)
        return "".join(self._without(lines) if self.state == "absent" else self._with(lines))

    def told(self, before: Optional[str], after: str) -> str:
        found = sum(1 for line in lines_of(before or "") if self._is_it(line))
        return f"{found} line(s) removed" if self.removes else "line replaced" if found else "line added"

    def _is_it(self, line: str) -> bool:
        """Whether this is the line meant; by its whole text where nothing else says how to find it."""
        if self.regexp is not None:
            return re.search(self.regexp, line) is not None
        if self.search_string is not None:
            return self.search_string in line
        return line.rstrip("\r\n") == self.line

    def _without(self, lines: List[str]) -> List[str]:
        return [line for line in lines if not self._is_it(line)]

    def _with(self, lines: List[str]) -> List[str]:
        assert self.line is not None
        by_pattern = self.regexp is not None or self.search_string is not None
        found = [number for number, line in enumerate(lines) if by_pattern and self._is_it(line)]
        if found:
            number = found[0 if self.firstmatch else -1]
            lines[number] = self._replacement(lines[number])
            return lines
        same = [number for number, line in enumerate(lines) if line.rstrip("\r\n") == self.line]
        if same:
            lines[same[-1]] = self.line + "\n"
        elif not self.backrefs:
            number = self._place(lines)
            lines = ended(lines) if number == len(lines) else lines
            lines.insert(number, self.line + "\n")
        return lines

    def _replacement(self, old: str) -> str:
        assert self.line is not None
        match = re.search(self.regexp, old) if self.backrefs and self.regexp is not None else None
        new = match.expand(self.line) if match else self.line
        return new if new.endswith("\n") else new + "\n"

    def _place(self, lines: List[str]) -> int:
        """Number of the line a new one goes before."""
        if "BOF" in (self.insertafter, self.insertbefore):
            return 0
        pattern: Optional[Pattern[str]] = compiled(self.insertafter or self.insertbefore)
        found = [number for number, line in enumerate(lines) if pattern and pattern.search(line)]
        if not found:
            return len(lines)
        return found[0 if self.firstmatch else -1] + (1 if self.insertafter else 0)
