"""Docker as its command line answers: JSON in, exit codes out, never its prose.

No ``docker`` program means there is no Docker; a program whose daemon does not answer is an error.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Sequence

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.machine import Completed, Machine
from mnemo_ops.errors import Broken

Row = Dict[str, Any]


def is_installed(machine: Machine) -> bool:
    return machine.which("docker") is not None


def ask(machine: Machine, *words: str) -> str:
    """What a reading command prints. :raises Broken: the daemon does not answer (6)."""
    done = machine.ask(["docker", *words], check=False)
    if done.rc != 0:
        said = each_line(done.err.strip() or "no output")[-1][:500]
        raise Broken(f"the Docker daemon does not answer: {said}", hint="journalctl -u docker -n 50")
    return done.out


def rows(machine: Machine, *words: str) -> List[Row]:
    """One object per line of a listing."""
    return [json.loads(line) for line in each_line(ask(machine, *words, "--format", "{{json .}}")) if line.strip()]


def inspect(machine: Machine, kind: str, names: Sequence[str]) -> List[Row]:
    """``docker <kind> inspect`` of things that a listing has just named."""
    found: List[Row] = json.loads(ask(machine, kind, "inspect", *names)) if names else []
    return found


def all_of(machine: Machine, kind: str) -> Dict[str, Row]:
    """Every volume or network by name, inspected: two processes for a whole batch."""

    def read() -> Dict[str, Row]:
        names = ask(machine, kind, "ls", "-q").split()
        return {row["Name"]: row for row in inspect(machine, kind, names)}

    found: Dict[str, Row] = machine.once("docker/" + kind, read)
    return found


def content(row: Row) -> str:
    """The directory with a volume's data: of a bind its device, for Docker's own stays empty until it is used."""
    options = row["Options"] or {}
    return str(options["device"] if "bind" in options.get("o", "").split(",") else row["Mountpoint"])


def described(driver: str, options: Dict[str, str]) -> str:
    """What a volume was made with, for people."""
    if driver != "local":
        return f"a volume of the driver {driver}"
    if "device" not in options:
        return "a local volume"
    words = options.get("o", "").split(",")
    kind = "bind" if "bind" in words else options.get("type", "")
    address = next((word[5:] for word in words if word.startswith("addr=")), "")
    return f"{kind} {address}{options['device']}"


def different(found: Dict[str, Any], asked: Dict[str, Any]) -> str:
    """Where settings differ, for people: ``o is a, asked for b``."""
    keys = [key for key in {**found, **asked} if found.get(key) != asked.get(key)]
    shown = [[side[key] if side.get(key) is not None else "nothing" for side in (found, asked)] for key in keys]
    return ", ".join(f"{key} is {one}, asked for {other}" for key, (one, other) in zip(keys, shown))


def image_ids(machine: Machine) -> Dict[str, str]:
    """Image id by ``name:tag`` and ``name@digest``, as :func:`reference` writes them, and by id."""

    def read() -> Dict[str, str]:
        found: Dict[str, str] = {}
        for row in rows(machine, "image", "ls", "--digests", "--no-trunc"):
            found.update({f"{row['Repository']}:{row['Tag']}": row["ID"], row["ID"]: row["ID"]})
            found[f"{row['Repository']}@{row['Digest']}"] = row["ID"]
        return found

    ids: Dict[str, str] = machine.once("docker/image", read)
    return ids


def reference(name: str, tag: str = "latest") -> str:
    """The way Docker lists an image: its default registry and library left out, the tag added."""
    for prefix in ("docker.io/", "library/"):
        name = name[len(prefix) :] if name.startswith(prefix) else name
    if "@" in name:  # the digest says it all
        name, _, digest = name.partition("@")
        return f"{name.rpartition('/')[0]}/{name.rpartition('/')[2].partition(':')[0]}@{digest}".lstrip("/")
    return name if name.startswith("sha256:") or ":" in name.rpartition("/")[2] else f"{name}:{tag}"


def containers(machine: Machine, *filters: str) -> List[Row]:
    """Containers, stopped ones included, inspected; ``filters`` as ``docker ps`` takes them."""
    words = [word for one in filters for word in ("--filter", one)]
    return inspect(machine, "container", ask(machine, "ps", "-aq", "--no-trunc", *words).split())


def root_dir(machine: Machine) -> str:
    """Where this engine keeps everything; never assumed. :raises Broken: it does not say (6)."""
    found = ask(machine, "info", "--format", "{{.DockerRootDir}}").strip()
    if not found:  # older clients end with 0 when the daemon is gone
        raise Broken("the Docker daemon does not answer", hint="journalctl -u docker -n 50")
    return found


def run(machine: Machine, *words: str, timeout: float = 3600.0) -> Completed:
    """A command that changes something. :raises CommandFailed: it failed (6)."""
    return machine.run(["docker", *words], timeout=timeout)


def pairs(flag: str, values: Optional[Dict[str, Any]]) -> List[str]:
    """``--label a=b`` for each entry."""
    return [word for key, value in (values or {}).items() for word in (flag, f"{key}={text(value)}")]


def text(value: Any) -> str:
    """A YAML value as Docker keeps it: options and labels are strings."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def texts(values: Optional[Dict[str, Any]]) -> Dict[str, str]:
    return {str(key): text(value) for key, value in (values or {}).items()}
