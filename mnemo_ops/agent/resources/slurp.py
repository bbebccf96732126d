"""slurp: the content of a file of the host."""

from __future__ import annotations

import base64
from typing import ClassVar, Mapping

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import NotYet, StepFailed


@dataclass(frozen=True)
class Slurp(Resource):
    """The content of a file, for ``register``: ``result.content | b64decode``.

    :param src: the file.
    """

    kind: ClassVar[str] = "slurp"
    ALIASES: ClassVar[Mapping[str, str]] = {"path": "src"}
    EXAMPLE: ClassVar[str] = """\
- name: the key the host made for itself
  slurp: {src: /etc/ssh/ssh_host_ed25519_key.pub}
  register: host_key
"""

    src: str

    def desired(self) -> State:
        return {}

    def observe(self, machine: Machine) -> State:
        stat = machine.stat(self.src, follow=True)
        if stat is None:
            raise NotYet(f"{self.src} does not exist")
        if stat.kind == "directory":
            raise StepFailed(f"{self.src} is a directory, not a file")
        data = machine.read(self.src) or b""
        return {"content": base64.b64encode(data).decode(), "encoding": "base64", "source": self.src}
