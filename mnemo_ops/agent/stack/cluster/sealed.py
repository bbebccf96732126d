"""What a set holds of a cluster that is secret: encrypted before it is on a disk, and opened in memory alone."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, Sequence

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Refused

FIELDS = {"salt": str, "globals": str, "files": dict, "proof": dict}


def seal(machine: Machine, secret: Mapping[str, Any], path: str, recipients: Sequence[str]) -> None:
    """:param recipients: public keys of age. :raises Refused: there is none (3)."""
    if not recipients:
        raise Refused("a backup holds passwords and configuration, and there is no key to encrypt them with")
    words = [word for key in recipients for word in ("-r", key)]
    machine.remove(path)
    machine.run(["age", "-e", *words, "-o", path], data=json.dumps(secret).encode())


def opened(machine: Machine, path: str, identity: str) -> Dict[str, Any]:
    """:param identity: the file of the key. :raises Refused: the key does not open it, or it is none of ours (3)."""
    done = machine.ask(["age", "-d", "-i", identity, path], check=False, timeout=600)
    if done.rc != 0:
        why = (each_line(done.err.strip()) or ["age failed"])[0]
        raise Refused(f"the key does not open {path}: {why}", hint="put the key back that was there when it was made")
    try:
        found = json.loads(done.out)
        if all(isinstance(found[name], kind) for name, kind in FIELDS.items()):
            return dict(found)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise Refused(f"{path} does not hold what is secret of a Postgres", hint="choose another backup")
