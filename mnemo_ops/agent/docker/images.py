"""Images by what is in them.

An id is the engine's: with another image store (``containerd-snapshotter``), or another release that writes less into
its metadata, the same image has another one. Layers and what containers inherit are the image's own
(https://github.com/opencontainers/image-spec/blob/main/config.md).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict, List

from mnemo_ops.agent.docker import cli
from mnemo_ops.agent.machine import Machine

_INHERITED = (
    *("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal"),
    *("Healthcheck", "OnBuild", "Shell"),
)


def contents(machine: Machine) -> Dict[str, str]:
    """Id of each image that the engine has -> SHA-256 (hex) of its content.

    :raises Broken: the daemon does not answer (6).
    """

    def read() -> Dict[str, str]:
        ids: List[str] = sorted({*cli.ask(machine, "image", "ls", "-q", "--no-trunc").split()})
        return {row["Id"]: _digest(row) for row in cli.inspect(machine, "image", ids)}

    found: Dict[str, str] = machine.once("docker/images", read)
    return found


def _digest(row: cli.Row) -> str:
    config = row.get("Config") or {}
    said = {key: config[key] for key in _INHERITED if config.get(key) and (key, config[key]) != ("WorkingDir", "/")}
    whole: Any = [(row.get("RootFS") or {}).get("Layers"), said, row.get("Architecture"), row.get("Os")]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
