"""ini_file: options of one section of an INI file."""

from __future__ import annotations

import re
from typing import ClassVar, List, Literal, Mapping, Optional, Tuple

from mnemo_ops.agent.base.lines import refuse_lines
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.files.mode import Mode
from mnemo_ops.agent.files.ownership import Owner
from mnemo_ops.agent.files.text_edit import Edit, ended, lines_of

_HEADER = re.compile(r"\[(.*)\]")


@dataclass(frozen=True)
class IniFile(Edit):
    """An option with its value, or a whole section; everything else in the file stays as it is.

    :param path: the file.
    :param section: name of the section; none: the options before the first one.
    :param option: name of the option; none: the section itself.
    :param value: its value.
    :param values: several values, each on a line of its own.
    :param state: ``present`` or ``absent``.
    :param exclusive: no other lines of that option remain; ``false``: other values of it are left alone.
    :param no_extra_spaces: ``option=value`` instead of ``option = value``.
    :param ignore_spaces: a line that differs only in spaces around ``=`` is right.
    :param allow_no_value: an option may stand without ``=`` and value.
    :param modify_inactive_option: a commented line of that option is the one to replace.
    :param follow: write through a link instead of replacing it.
    :param create: make the file (and its directory) when it is missing.
    :param backup: keep the old content beside it, ``NAME.PID.DATE@TIME~``.
    :param mode: permission bits, ``"0644"`` or ``u=rw,g=r,o=``; a new file gets 0644.
    :param owner: user name or number.
    :param group: group name or number.
    """

    kind: ClassVar[str] = "ini_file"
    ALIASES: ClassVar[Mapping[str, str]] = {"dest": "path"}
    EXAMPLE: ClassVar[str] = """\
- name: the journal does not fill the disk
  ini_file: {path: /etc/systemd/journald.conf, section: Journal, option: SystemMaxUse, value: 1G, no_extra_spaces: true}
"""

    path: str
    section: Optional[str] = None
    option: Optional[str] = None
    value: Optional[str] = None
    values: Optional[List[str]] = None
    state: Literal["absent", "present"] = "present"
    exclusive: bool = True
    no_extra_spaces: bool = False
    ignore_spaces: bool = False
    allow_no_value: bool = False
    modify_inactive_option: bool = True
    follow: bool = False
    create: bool = True
    backup: bool = False
    mode: Mode = None
    owner: Owner = None
    group: Owner = None

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_lines(section=self.section, option=self.option)
        if self.value is not None and self.values is not None:
            raise ValueError("give either value or values")
        if self.state == "present" and not self.allow_no_value and self.value is None and not self.values:
            raise ValueError("state present needs value or values, or allow_no_value")

    @property
    def removes(self) -> bool:
        return self.state == "absent"

    def told(self, before: Optional[str], after: str) -> str:
        old, new = lines_of(before or ""), lines_of(after)
        if not self.removes and self._section(old) is None:
            return "section and option added" if self.option else "only section added"
        if not self.option:
            return "section removed"
        return "option added" if len(new) > len(old) else "option changed"

    def edited(self, text: str) -> str:
        if self.removes and not text:
            return text
        lines = ended(lines_of(text)) or ["\n"]
        found = self._section(lines)
        if found is None:
            new = [] if self.removes else [f"[{self.section}]\n", *(self._new(self._wanted()) if self.option else [])]
            return "".join([*lines, *new])
        first, last = found
        if self.option:
            body = self._without(lines[first:last]) if self.removes else self._with(lines[first:last])
            return "".join([*lines[:first], *body, *lines[last:]])
        if self.removes and self.section:
            del lines[first - 1 : last]
        return "".join(lines)

    def _wanted(self) -> List[str]:
        """The values, each once."""
        given = [self.value] if self.value is not None else self.values or []
        return list(dict.fromkeys(given))

    def _section(self, lines: List[str]) -> Optional[Tuple[int, int]]:
        """First and last line (exclusive) of the section's body; ``None`` without that section."""
        headers = [(number, match[1].strip()) for number, line in enumerate(lines) if (match := _HEADER.match(line))]
        edges = [number for number, _ in headers] + [len(lines)]
        if not self.section:
            return 0, edges[0]
        for (number, name), end in zip(headers, edges[1:]):
            if name == self.section:
                return number + 1, end
        return None

    def _new(self, values: List[str]) -> List[str]:
        sign = "=" if self.no_extra_spaces else " = "
        if not values and self.option:
            return [f"{self.option}\n"]
        return [f"{self.option}{sign}{value}\n" for value in values]

    def _value(self, line: str, inactive: bool) -> Optional[str]:
        """The value a line gives the option; ``None`` when it is about something else."""
        prefix = r"[ \t#;]*" if inactive else r"[ \t]*"
        match = re.match(rf"{prefix}{re.escape(self.option or '')}[ \t]*(?:=|$)[ \t]*(.*)$", line)
        return match[1] if match else None

    def _without(self, body: List[str]) -> List[str]:
        def stays(line: str) -> bool:
            value = self._value(line, False)
            if value is None:
                return True
            return not self.exclusive and value not in self._wanted()

        return [line for line in body if stays(line)]

    def _with(self, body: List[str]) -> List[str]:
        wanted, rows = self._wanted(), list(body)
        left = []  # lines of the option with another value
        for number, line in enumerate(body):
            value = self._value(line, self.modify_inactive_option)
            if value in wanted:
                rows[number] = self._line(line, value)
                wanted.remove(value)
            elif value is not None:
                left.append(number)
        if not self._wanted():
            return self._bare(rows, left)
        comments_go = bool(wanted)
        for number in left if self.exclusive else ():
            if wanted:
                rows[number] = self._line(rows[number], wanted.pop(0))
            elif comments_go or self._value(rows[number], False) is not None:
                rows[number] = ""
        return self._added([row for row in rows if row], self._new(wanted) if wanted else [])

    def _bare(self, rows: List[str], found: List[int]) -> List[str]:
        """The section with the option alone, without a value."""
        if any(row.strip() == self.option for row in rows):
            return rows
        if not found:
            return self._added(rows, self._new([]))
        rows[found[0]] = f"{self.option}\n"
        return rows

    def _added(self, rows: List[str], new: List[str]) -> List[str]:
        """New lines below the last one that says something."""
        end = max((n + 1 for n, line in enumerate(rows) if line.strip() and line.strip()[0] not in "#;"), default=0)
        return [*rows[:end], *new, *rows[end:]]

    def _line(self, old: str, value: str) -> str:
        if self.ignore_spaces and self._value(old, False) == value:
            return old
        return self._new([value])[0]
