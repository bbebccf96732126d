"""template: a text rendered by the controller, in its place."""

from __future__ import annotations

import codecs
import posixpath
from typing import IO, Any, ClassVar, Dict, Literal, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.files.file_write import as_state, text_of
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resources.copy import Placed
from mnemo_ops.errors import StepFailed


@dataclass(frozen=True)
class Template(Placed):
    """A file with the text a Jinja2 template renders to.

    :param dest: path on the host; a directory (or a path ending in ``/``, made when missing) keeps the name of ``src``.
    :param src: template of the controller.
    :param mode: permission bits, ``"0644"``, ``u=rw,g=r,o=`` or ``preserve``: those of ``src``; a new file gets 0644.
    :param owner: user name or number.
    :param group: group name or number.
    :param backup: keep the old content beside it, ``NAME.PID.DATE@TIME~``.
    :param force: ``false``: only when nothing is there yet.
    :param follow: write through a link at ``dest`` instead of replacing it.
    :param output_encoding: how the text is written.
    :param trim_blocks: the newline after a block (``{% ... %}``) belongs to it.
    :param lstrip_blocks: the blanks before a block belong to it.
    :param newline_sequence: what ends the lines.
    :param block_start_string: what stands for ``{%`` in this template.
    :param block_end_string: for ``%}``.
    :param variable_start_string: for ``{{``.
    :param variable_end_string: for ``}}``.
    :param comment_start_string: for ``{#``.
    :param comment_end_string: for ``#}``.
    :param validate: command that must succeed on the new file (``%s``) before it takes its place.
    """

    kind: ClassVar[str] = "template"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: the stack's settings, readable by root only
  template: {src: env.j2, dest: /srv/app/.env.production, mode: "0600", backup: true}
"""

    src: str = field(default="", metadata={"template": "content"})
    output_encoding: str = "utf-8"
    trim_blocks: bool = True
    lstrip_blocks: bool = False
    newline_sequence: Literal["\n", "\r", "\r\n", "\\n", "\\r", "\\r\\n"] = "\n"
    block_start_string: str = "{%"
    block_end_string: str = "%}"
    variable_start_string: str = "{{"
    variable_end_string: str = "}}"
    comment_start_string: str = "{#"
    comment_end_string: str = "#}"
    content: Optional[str] = field(default=None, metadata={"internal": True})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.src:
            raise ValueError("src is missing")
        try:
            codecs.lookup(self.output_encoding)
        except LookupError as problem:
            raise ValueError(str(problem)) from None

    def _data(self) -> bytes:
        return (self.content or "").encode(self.output_encoding)

    def _name(self) -> str:
        return posixpath.basename(self.src)

    def _declared(self) -> Dict[str, Any]:
        return as_state(self._data())

    def _found(self, machine: Machine, path: str) -> Dict[str, Any]:
        return text_of(machine, path)

    def _fill(self, machine: Machine, file: IO[bytes]) -> None:
        if self.content is None:
            raise StepFailed(f"{self.src} was not rendered by the controller")
        file.write(self._data())
