"""assemble: one file out of the fragments in a directory."""

from __future__ import annotations

import codecs
import posixpath
import re
from typing import IO, Any, ClassVar, Dict, Iterable, Iterator, List, Mapping, Optional, Pattern

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.state import State
from mnemo_ops.agent.files.file_write import as_state, text_of
from mnemo_ops.agent.files.text_edit import compiled
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resources.copy import Placed
from mnemo_ops.errors import NotYet


@dataclass(frozen=True)
class Assemble(Placed):
    """A file that is put together from all files of a directory, in the order of their names.

    :param src: the directory: of the host, or with ``remote_src: false`` of the controller.
    :param dest: path of the file on the host.
    :param remote_src: ``src`` is a directory of the host.
    :param delimiter: text between two fragments, on a line of its own.
    :param regexp: only names this expression is found in.
    :param ignore_hidden: no names that begin with a dot.
    :param decrypt: fragments of the controller that ansible-vault encrypted arrive in clear.
    :param mode: permission bits, ``"0644"`` or ``u=rw,g=r,o=``; a new file gets 0644.
    :param owner: user name or number.
    :param group: group name or number.
    :param backup: keep the old content beside it, ``NAME.PID.DATE@TIME~``.
    :param force: ``false``: only when nothing is there yet.
    :param follow: write through a link at ``dest`` instead of replacing it.
    :param validate: command that must succeed on the new file (``%s``) before it takes its place.
    """

    kind: ClassVar[str] = "assemble"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: one configuration out of many
  assemble: {src: /etc/app/conf.d, dest: /etc/app/app.conf, regexp: '\\.conf$'}
"""

    src: str = field(default="", metadata={"fragments": "content"})
    remote_src: bool = True
    delimiter: Optional[str] = None
    regexp: Optional[str] = None
    ignore_hidden: bool = False
    decrypt: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.src:
            raise ValueError("src is missing")
        compiled(self.regexp)

    def _name(self) -> str:
        return ""

    def _declared(self) -> Dict[str, Any]:
        return {"content": ""}  # of no fragments: what it should be, only the host can tell

    def target(self, observed: State) -> State:
        desired = self.desired()
        if desired is not None and "content" in desired:
            del desired["content"]
            if observed is not None:
                desired["content"] = observed["wanted"]
        return desired

    def _found(self, machine: Machine, path: str) -> Dict[str, Any]:
        return text_of(machine, path)

    def _observe(self, machine: Machine) -> State:
        wanted = as_state(self._assembled(machine))["content"]
        found = super()._observe(machine)
        return found if found is None else {"content": "", "wanted": wanted, **found}

    def _fill(self, machine: Machine, file: IO[bytes]) -> None:
        file.write(self._assembled(machine))

    def _assembled(self, machine: Machine) -> bytes:
        source = machine.expanded(self.src)
        found = machine.stat(source, follow=True)
        if found is None or found.kind != "directory":
            raise NotYet(f"the directory {source} does not exist")
        names = chosen(machine.names(source), self.regexp, self.ignore_hidden)
        paths = [posixpath.join(source, name) for name in names]
        return joined((machine.read(path) or b"" for path in paths if _is_file(machine, path)), self.delimiter)


def _is_file(machine: Machine, path: str) -> bool:
    found = machine.stat(path, follow=True)
    return found is not None and found.kind == "file"


def chosen(names: Iterable[str], regexp: Optional[str], ignore_hidden: bool) -> List[str]:
    """The names that count, in order."""
    pattern: Pattern[str] = re.compile(regexp or "")
    return [name for name in sorted(names) if pattern.search(name) and not (ignore_hidden and name.startswith("."))]


def joined(fragments: Iterable[bytes], delimiter: Optional[str]) -> bytes:
    """One text: a fragment without a newline at its end gets one, and so does the delimiter."""
    between = codecs.escape_decode(delimiter.encode())[0] if delimiter else b""
    between += b"" if not between or between.endswith(b"\n") else b"\n"

    def parts() -> Iterator[bytes]:
        last = None
        for fragment in fragments:
            if last is not None:
                yield b"" if not last or last.endswith(b"\n") else b"\n"
                yield between
            yield fragment
            last = fragment

    return b"".join(parts())
