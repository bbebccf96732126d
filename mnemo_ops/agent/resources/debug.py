"""debug: a message, or the value of a variable."""

from __future__ import annotations

from typing import Any, ClassVar, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.engine.resource import Resource


@dataclass(frozen=True)
class Debug(Resource):
    """Print something; nothing is changed anywhere.

    :param msg: what to print; a list or a mapping is printed whole.
    :param var: name of a variable (or an expression) whose value is printed, without ``{{ }}``.
    :param verbosity: print only with ``--verbose`` when this is above 0.
    """

    kind: ClassVar[str] = "debug"
    on_controller: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: where the stack lies
  debug: {msg: "{{ stack_directory }} on {{ inventory_hostname }}"}
- name: what the kernel said
  debug: {var: kernel.stdout}
"""

    msg: Any = "Hello world!"
    var: Optional[str] = field(default=None, metadata={"expression": True})
    verbosity: int = 0
