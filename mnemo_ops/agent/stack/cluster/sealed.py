"""What a set holds of a cluster that is secret: encrypted before it is on a disk, and opened in memory alone."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, Sequence, Tuple

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Refused

LONGEST = 1 << 14  # bytes of a header
FIELDS = {"salt": str, "globals": str, "files": dict, "proof": dict}


def seal(machine: Machine, secret: Mapping[str, Any], path: str, recipients: Sequence[str]) -> None:
    """:param recipients: public keys of age. :raises Refused: there is none (3)."""
    if not recipients:
        raise Refused("a backup holds passwords and configuration, and there is no key to encrypt them with")
    words = [word for key in recipients for word in ("-r", key)]
    machine.remove(path)
    machine.run(["age", "-e", *words, "-o", path], data=json.dumps(secret).encode())


def header(machine: Machine, path: str) -> str:
    """What says who may open it. :raises Refused: it is no file of age's (3)."""
    return _split(machine, path)[0].decode("ascii", "replace")


def opened(machine: Machine, path: str, identity: str, header: str = "") -> Dict[str, Any]:
    """:param identity: the file of the key. :param header: in the place of the file's own: for another key.

    :raises Refused: the key does not open it, or it is none of ours (3).
    """
    own, payload = _split(machine, path)
    data = (header.encode() or own) + payload
    done = machine.ask(["age", "-d", "-i", identity], data=data, check=False, timeout=600)
    if done.rc != 0:
        why = (each_line(done.err.strip()) or ["age failed"])[0]
        raise Refused(
            f"the key does not open {path}: {why}", hint="restore the key that was there when the backup was made"
        )
    try:
        found = json.loads(done.out)
        if all(isinstance(found[name], kind) for name, kind in FIELDS.items()):
            return dict(found)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise Refused(f"{path} does not contain the secrets of a Postgres", hint="choose another backup")


def _split(machine: Machine, path: str) -> Tuple[bytes, bytes]:
    found = machine.stat(path)
    if found is None or found.kind != "file":
        raise Refused(f"{path} is missing", hint="choose another backup")
    with machine.open(path) as file:
        data = file.read()
    mark = data.find(b"\n--- ", 0, LONGEST)
    end = data.find(b"\n", mark + 1, LONGEST)
    if mark < 0 or end < 0:
        raise Refused(f"{path} is not encrypted by age", hint="choose another backup")
    return data[: end + 1], data[end + 1 :]
