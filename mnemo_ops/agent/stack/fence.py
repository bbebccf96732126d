"""The fence of a project: the file that says its stack has moved, or is about to, and must not start here."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, Optional

from mnemo_ops.agent.machine import Machine


def fence_path(machine: Machine, name: str) -> str:
    return f"{machine.state_dir}/fences/{name}.json"


def read_fence(machine: Machine, name: str) -> Optional[Dict[str, Any]]:
    """The fence of a project: run, state (held or final), target, containers as they were; ``None``: no fence."""
    text = machine.read_text(fence_path(machine, name))
    return None if text is None else dict(json.loads(text))


def write_fence(machine: Machine, name: str, fence: Mapping[str, Any]) -> None:
    machine.mkdir(machine.state_dir, 0o700)
    machine.mkdir(machine.state_dir + "/fences", 0o700)
    machine.write(fence_path(machine, name), json.dumps(fence).encode(), 0o600)
