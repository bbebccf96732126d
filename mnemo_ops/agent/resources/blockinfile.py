"""blockinfile: a block of lines between two marker lines."""

from __future__ import annotations

import re
from typing import ClassVar, List, Literal, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.files.mode import Mode
from mnemo_ops.agent.files.ownership import Owner
from mnemo_ops.agent.files.text_edit import Edit, compiled, ended, lines_of


@dataclass(frozen=True)
class BlockInFile(Edit):
    """Lines between two markers: put there, replaced, or removed with their markers.

    :param path: the file; a link is followed.
    :param block: the lines; empty is the same as ``state: absent``.
    :param state: ``present`` or ``absent``.
    :param marker: the marker line; ``{mark}`` becomes ``marker_begin`` or ``marker_end``.
    :param marker_begin: for ``{mark}`` above the block.
    :param marker_end: for ``{mark}`` below the block.
    :param insertafter: where a new block goes: after the last line this expression is found in (``(?m)``: in the whole
        text), or ``EOF``.
    :param insertbefore: before the last line this expression is found in, or ``BOF``.
    :param append_newline: an empty line below the block, unless it ends the file.
    :param prepend_newline: an empty line above the block, unless it begins the file.
    :param create: make the file (and its directory) when it is missing.
    :param backup: keep the old content beside it, ``NAME.PID.DATE@TIME~``.
    :param validate: command that must succeed on the new file (``%s``) before it takes its place.
    :param mode: permission bits, ``"0644"`` or ``u=rw,g=r,o=``; a new file gets 0644.
    :param owner: user name or number.
    :param group: group name or number.
    """

    kind: ClassVar[str] = "blockinfile"
    ALIASES: ClassVar[Mapping[str, str]] = {"dest": "path", "destfile": "path", "name": "path", "content": "block"}
    EXAMPLE: ClassVar[str] = """\
- name: the hosts of the stack
  blockinfile:
    path: /etc/hosts
    marker: "# {mark} the stack"
    block: |
      10.0.0.5 db
      10.0.0.6 api
"""

    path: str
    block: str = ""
    state: Literal["absent", "present"] = "present"
    marker: str = "# {mark} ANSIBLE MANAGED BLOCK"
    marker_begin: str = "BEGIN"
    marker_end: str = "END"
    insertafter: Optional[str] = None
    insertbefore: Optional[str] = None
    append_newline: bool = False
    prepend_newline: bool = False
    create: bool = False
    backup: bool = False
    validate: Optional[str] = None
    mode: Mode = None
    owner: Owner = None
    group: Owner = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.insertafter is not None and self.insertbefore is not None:
            raise ValueError("give either insertafter or insertbefore")
        compiled(self.insertafter)
        compiled(self.insertbefore)

    @property
    def removes(self) -> bool:
        return self.state == "absent" or not self.block

    def told(self, before: Optional[str], after: str) -> str:
        return "Block removed" if self.removes else "File created" if before is None else "Block inserted"

    def edited(self, text: str) -> str:
        lines = lines_of(text)
        begin, end = (self.marker.replace("{mark}", word) + "\n" for word in (self.marker_begin, self.marker_end))
        marks = [[n for n, line in enumerate(ended(lines)) if line == mark] for mark in (begin, end)]
        if all(marks):
            first, last = sorted(found[-1] for found in marks)
            lines[first : last + 1] = []
        elif self.removes:
            return text
        else:
            first = self._place(text, lines)
        if self.removes:
            return "".join(lines)
        above, below = ended(lines[:first]), lines[first:]
        if self.prepend_newline and above and above[-1] != "\n":
            above.append("\n")
        if self.append_newline and below and below[0] != "\n":
            below.insert(0, "\n")
        return "".join([*above, begin, *ended(lines_of(self.block)), end, *below])

    def _place(self, text: str, lines: List[str]) -> int:
        """Number of the line a new block goes before."""
        if self.insertbefore == "BOF":
            return 0
        pattern = compiled(self.insertafter or self.insertbefore)
        if pattern is None:
            return len(lines)
        if pattern.flags & re.MULTILINE:
            match = pattern.search(text)
            found = [text.count("\n", 0, match.end() if self.insertafter else match.start())] if match else []
        else:
            found = [number for number, line in enumerate(lines) if pattern.search(line)]
        return found[-1] + (1 if self.insertafter else 0) if found else len(lines)
