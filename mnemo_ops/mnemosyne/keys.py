"""The age key that opens what sets hold of secrets. Its secret half is a file of the operator, never of a host."""

from __future__ import annotations

import os
from pathlib import Path

from mnemo_ops.agent.actions.journal import MakeIdentity
from mnemo_ops.errors import Refused
from mnemo_ops.mnemosyne.flow import Flow
from mnemo_ops.model import Host


def _file(flow: Flow, project: str) -> Path:
    return flow.home / "keys" / f"{project}.age"


def recipients(flow: Flow, host: Host) -> tuple[str, ...]:
    """Public keys sets are encrypted to: those of the inventory, else one made now and kept beside the inventory."""
    chosen = flow.settings(host)
    if chosen.recipients:
        return chosen.recipients
    path = _file(flow, chosen.project)
    if not path.exists():
        made = flow.act(host, MakeIdentity())
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_suffix(".partial")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(f"# public key: {made['recipient']}\n{made['identity']}")
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        flow.report.say(f"  a new key: {path}. KEEP A COPY elsewhere: without it the secrets in a set cannot be read")
    text = path.read_text()
    return tuple(line.split()[-1] for line in text.splitlines() if line.startswith("# public key:"))


def identity(flow: Flow, host: Host) -> str:
    """The secret half for this host's stack. :raises Refused: it is not here (3)."""
    path = _file(flow, flow.settings(host).project)
    if not path.exists():
        raise Refused(f"{path} is missing: it opens the secrets in the set", hint=f"put your copy back to {path}")
    return path.read_text()
