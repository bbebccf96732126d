"""A program as a task: when it is left out, how it is run, and the record it leaves."""

from __future__ import annotations

import errno
import posixpath
import time
from typing import Any, Dict, List, Optional, Union

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import NotYet

LONGEST = 86400.0  # seconds a program of a playbook may take


@dataclass(frozen=True)
class Execution(Resource):
    """The arguments that ``command``, ``shell`` and ``script`` share."""

    chdir: Optional[str] = None
    creates: Optional[str] = None
    removes: Optional[str] = None

    def desired(self) -> State:
        return {"rc": 0}

    def observe(self, machine: Machine) -> State:
        """``rc`` is 0 when ``creates`` or ``removes`` says that it is done. :raises NotYet: no ``chdir`` yet (6)."""
        if self.creates and machine.glob(self._inside(machine, self.creates)):
            return _left_out(f"{self.creates} exists")
        if self.removes and not machine.glob(self._inside(machine, self.removes)):
            return _left_out(f"{self.removes} does not exist")
        if self.chdir and machine.stat(machine.expanded(self.chdir), follow=True) is None:
            raise NotYet(f"the directory {self.chdir} does not exist")
        return {"rc": None}

    def _inside(self, machine: Machine, path: str) -> str:
        return posixpath.join(machine.expanded(self.chdir or "/"), machine.expanded(path))


def _left_out(why: str) -> Dict[str, Any]:
    return {"rc": 0, "stdout": f"skipped, since {why}", "stderr": "", "msg": f"not run, since {why}"}


def execute(
    machine: Machine,
    words: List[str],
    shown: Union[str, List[str]],
    *,
    chdir: Optional[str] = None,
    stdin: Optional[str] = None,
    strip: bool = True,
) -> Dict[str, Any]:
    """Run a program to its end.

    :param shown: what ``cmd`` of the record says. :param strip: no newlines at the end of what it printed.
    :returns: Ansible's record: ``cmd rc stdout stderr start end delta``; a program that is not there ended with 2.
    """
    began = machine.now()
    program = posixpath.join(machine.expanded(chdir or ""), words[0]) if "/" in words[0] else words[0]
    if machine.which(program) is None and ("/" not in program or machine.stat(program, follow=True) is None):
        why = f"{words[0]} is not installed on this host"
        return {"rc": errno.ENOENT, "cmd": shown, "stdout": "", "stderr": why, **_times(began, began)}
    done = machine.run(
        words,
        data=None if stdin is None else stdin.encode(),
        cwd=machine.path(machine.expanded(chdir)) if chdir else None,
        check=False,
        timeout=LONGEST,
    )
    out, err = (text.rstrip("\r\n") if strip else text for text in (done.out, done.err))
    return {"rc": done.rc, "cmd": shown, "stdout": out, "stderr": err, **_times(began, machine.now())}


def with_newline(text: Optional[str], wanted: bool) -> Optional[str]:
    return text + "\n" if text is not None and wanted and not text.endswith("\n") else text


def _times(began: float, ended: float) -> Dict[str, str]:
    """As Ansible writes them: local time, and ``0:00:01.500000``."""
    minutes, seconds = divmod(ended - began, 60)
    delta = f"{int(minutes) // 60}:{int(minutes) % 60:02d}:{seconds:09.6f}"
    return {"start": _stamp(began), "end": _stamp(ended), "delta": delta}


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}"
