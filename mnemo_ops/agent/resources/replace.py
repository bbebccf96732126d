"""replace: every match of a pattern in a text file."""

from __future__ import annotations

import re
from typing import ClassVar, Mapping, Optional, Tuple

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.files.mode import Mode
from mnemo_ops.agent.files.ownership import Owner
from mnemo_ops.agent.files.text_edit import Edit, check_groups, compiled


@dataclass(frozen=True)
class Replace(Edit):
    """Every match of a regular expression, replaced. Whether a second run finds more to do is up to the expression.

    :param path: the file; a link is followed.
    :param regexp: Python regular expression; ``^`` and ``$`` match at every line, ``.`` does not match a line's end.
    :param replace: what takes the place of a match; ``\\1`` and ``\\g<name>`` are its groups.
    :param after: only what follows the match of this expression is looked at (``.`` matches line ends, ``^`` the
        file's beginning).
    :param before: only what precedes the match of this expression is looked at.
    :param encoding: of the file.
    :param backup: keep the old content beside it, ``NAME.PID.DATE@TIME~``.
    :param validate: command that must succeed on the new file (``%s``) before it takes its place.
    :param mode: permission bits, ``"0644"`` or ``u=rw,g=r,o=``.
    :param owner: user name or number.
    :param group: group name or number.
    """

    kind: ClassVar[str] = "replace"
    ALIASES: ClassVar[Mapping[str, str]] = {"dest": "path", "destfile": "path", "name": "path"}
    EXAMPLE: ClassVar[str] = """\
- name: the server has moved
  replace: {path: /etc/app.conf, regexp: 'old\\.example(:\\d+)?', replace: 'new.example\\1'}
"""

    path: str
    regexp: str
    replace: str = ""
    after: Optional[str] = None
    before: Optional[str] = None
    encoding: str = "utf-8"
    backup: bool = False
    validate: Optional[str] = None
    mode: Mode = None
    owner: Owner = None
    group: Owner = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for pattern in (self.regexp, self.after, self.before):
            compiled(pattern)
        check_groups(self.regexp, self.replace)

    def edited(self, text: str) -> str:
        return self._replaced(text)[0]

    def told(self, before: Optional[str], after: str) -> str:
        return f"{self._replaced(before or '')[1]} replacements made"

    def _replaced(self, text: str) -> Tuple[str, int]:
        first, last = 0, len(text)
        if self.after or self.before:
            few = ".*?" if self.after and self.before else ".*"
            match = re.search(f"{self.after or ''}(?P<looked_at>{few}){self.before or ''}", text, re.DOTALL)
            if match is None:
                return text, 0
            first, last = match.span("looked_at")
        new, count = re.subn(self.regexp, self.replace, text[first:last], flags=re.MULTILINE)
        return text[:first] + new + text[last:], count
