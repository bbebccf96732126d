"""What the key of a migration fetches: the files written down for its run, each by its name, and whether its fence is
final; nothing else of a host.

The key's forced command is :func:`serve`. It reads one name and writes that file: no path, no option, no second one.
"""

from __future__ import annotations

import json
import shlex
import sys
from typing import IO, Any, Dict, Sequence

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import lease
from mnemo_ops.errors import MnemoError, Refused, reason

LONGEST = 256  # bytes of a name and its newline
FINAL, OTHER = b"final\n", b"not final\n"


def _path(machine: Machine, run: str) -> str:
    return f"{machine.state_dir}/handouts/{run}.json"


def _names(machine: Machine, run: str) -> Dict[str, Any]:
    """Name -> directory."""
    return dict(json.loads(machine.read_text(_path(machine, run)) or "{}"))


def allow(machine: Machine, run: str, directory: str, names: Sequence[str]) -> None:
    """Write files down, while the run's key is granted. :raises Broken: it is revoked (6)."""
    with lease.guarded(machine, f"key-{run}"):
        machine.mkdir(machine.state_dir + "/handouts", 0o700)
        found = {**_names(machine, run), **{name: directory for name in names}}
        machine.write(_path(machine, run), json.dumps(found).encode(), 0o600)


def forget(machine: Machine, run: str) -> None:
    machine.remove(_path(machine, run))


def command(machine: Machine, run: str, root: bool) -> str:
    """The forced command of authorized_keys, which the login shell reads. :param root: it logs in as root."""
    return shlex.join([*([] if root else ["sudo", "-n"]), *machine.starting("run_handout", run)])


def fence(run: str) -> str:
    """The name that is answered with :data:`FINAL` once the stack may serve on the other host, and there only."""
    return f"{run}.fence"


def _is_final(machine: Machine, run: str) -> bool:
    where = machine.state_dir + "/fences"
    fences = [json.loads(machine.read_text(f"{where}/{name}") or "{}") for name in machine.names(where)]
    return any((one.get("run"), one.get("state")) == (run, "final") for one in fences)


def serve(machine: Machine, run: str, asked: IO[bytes], into: IO[bytes]) -> None:
    """Write the file that is asked for on one line. :raises Refused: it is none of the run's (3)."""
    line = asked.readline(LONGEST)
    name = line[:-1].decode("utf-8", "replace")
    if line == f"{fence(run)}\n".encode():
        into.write(FINAL if _is_final(machine, run) else OTHER)
        into.flush()
        return
    directory = _names(machine, run).get(name) if line.endswith(b"\n") else None
    there = machine.stat(directory) if directory is not None else None
    if there is None or there.kind != "directory":
        raise Refused(f"{name[:60]!r} is not a file that run {run} offers")
    with machine.open(f"{directory}/{name}", follow=False) as file:
        machine.pour(file, into)
    into.flush()


def main(machine: Machine, run: str) -> None:
    """The process that sshd starts: 0 when all of the file was written, else 1 with the reason."""
    try:
        serve(machine, run, sys.stdin.buffer, sys.stdout.buffer)
    except (MnemoError, OSError, ValueError) as error:
        print(f"mnemo_ops: {reason(error)}", file=sys.stderr)
        raise SystemExit(1) from None
