"""Stack: where a compose project lives on a host and what of it must survive. Plain data, told by the flow."""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any, Dict, FrozenSet, List, Mapping, Sequence, Tuple

from mnemo_ops.agent.base.record import dataclass, field, fields
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import Container
from mnemo_ops.agent.stack.hosts_own import is_hosts_own
from mnemo_ops.errors import Broken, Refused


@dataclass(frozen=True)
class Dataset:
    """One thing that must survive.

    :param kind: postgres (dumped), files (archived), redis (archived after a clean stop), config (archived, encrypted).
    :param volume: compose key of its named volume; empty for a path.
    :param path: relative to the stack's directory, or absolute; ``.`` for the directory itself. With a volume: where
        it would be without one.
    :param service: the service that serves it (postgres, redis).
    """

    name: str
    kind: str
    volume: str = ""
    path: str = ""
    service: str = ""


@dataclass(frozen=True)
class Stack:
    """A compose project on a host.

    :param directory: absolute, holds the compose files. :param files: compose files below it, in ``-f`` order.
    :param env_file: below it; empty: Compose finds ``.env`` itself.
    :param keep: the services that must run while a set is made (the database).
    :param waived: volume key, path, or ``SERVICE:/TARGET`` of a mount -> why it need not survive.
    :param grace: seconds a service gets to finish its work when it is stopped.
    :param store: directory of the sets on the host.
    :param names: compose key -> Docker's name of a volume that is not ours to name.
    """

    project: str
    directory: str
    files: Tuple[str, ...]
    env_file: str
    store: str
    datasets: Tuple[Dataset, ...]
    keep: Tuple[str, ...]
    waived: Mapping[str, str]
    grace: int = 30
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Stack:
        """What another version wrote into a lease may hold more than is known here."""
        rows = tuple(Dataset(**row) for row in data["datasets"])
        known = {each.name: data[each.name] for each in fields(cls) if each.name in data}
        lists = {key: tuple(data[key]) for key in ("files", "keep")}
        return cls(**{**known, **lists, "datasets": rows})

    @property
    def stores(self) -> FrozenSet[str]:
        """Services that keep the data of others: they stop last."""
        return frozenset(self.keep) | {dataset.service for dataset in self.datasets if dataset.service}

    def volume(self, key: str) -> str:
        """Docker's name of a volume: pinned to the project, whatever the directory is called."""
        return self.names.get(key, f"{self.project}_{key}")

    def of_kind(self, kind: str) -> Tuple[Dataset, ...]:
        return tuple(each for each in self.datasets if each.kind == kind)

    def path(self, name: str) -> str:
        """A path of the stack, as the host has it."""
        return posixpath.normpath(posixpath.join(self.directory, name))

    @property
    def own_files(self) -> Tuple[str, ...]:
        """Its compose files and its env file, as the host has them."""
        return tuple(map(self.path, (*self.files, *([self.env_file] if self.env_file else []))))

    def compose(self, *arguments: str) -> List[str]:
        """The argument vector of a ``docker compose`` call for this stack."""
        files = [part for name in self.files for part in ("-f", self.path(name))]
        base = ["docker", "compose", "--project-directory", self.directory, "-p", self.project]
        env = ["--env-file", self.path(self.env_file)] if self.env_file else []
        return [*base, *env, *files, *arguments]

    def excluded(self) -> Tuple[str, ...]:
        """Paths below the directory that are datasets of their own, or waived: the config dataset leaves them out."""
        below = [each.path for each in self.datasets if each.path not in ("", ".") and not each.path.startswith("/")]
        return tuple(sorted({*below, *(path for path in self.waived if _is_path(path))}))


def mountpoint(machine: Machine, volume: str) -> str:
    """Where a volume's content lies. :raises Refused: there is no such volume, or it is not on this host (3)."""
    row = docker.all_of(machine, "volume").get(volume)
    if row is None:
        raise Refused(f"the volume {volume} does not exist", hint="invoke volumes creates it")
    if (row["Options"] or {}).get("type", "").startswith("nfs"):  # its mount point is empty while nobody uses it
        raise Refused(
            f"the volume {volume} is on an NFS server and this host mounts it only while a container uses it",
            hint="back it up on its server; backups and migrations do not include volumes on NFS yet",
        )
    mounts.refuse_gone(machine, row)
    path = docker.content(row)
    if path != row["Mountpoint"]:
        _refuse_away(machine, volume, path)
    return path


def _refuse_away(machine: Machine, volume: str, path: str) -> None:
    """What is mounted there may be missing, or its server be gone: asked by a process that can be killed."""
    try:
        there = machine.ask(["test", "-d", machine.path(path)], check=False, timeout=10.0).rc == 0
    except Broken:
        there = False
    if not there:
        raise Refused(
            f"{path}, where the volume {volume} lies, does not exist or does not answer",
            hint="`invoke volumes` says why and mounts what it can",
        )


def root(machine: Machine, stack: Stack, dataset: Dataset) -> str:
    """Directory that holds a dataset, behind every link. :raises Refused: its volume does not exist (3)."""
    if dataset.volume:
        return machine.realpath(mountpoint(machine, stack.volume(dataset.volume)))
    return machine.realpath(stack.path(dataset.path))


def forgotten(stack: Stack, found: Sequence[Container]) -> List[str]:
    """Mounts of the project's containers that are neither a dataset nor waived: as ``stack.waived`` takes it, and what
    it is: ``mailer:/data (a volume without a name)``."""
    volumes = {stack.volume(dataset.volume) for dataset in stack.datasets if dataset.volume}
    volumes |= {stack.volume(key) for key in stack.waived}
    kept = [stack.path(each.path) for each in stack.datasets if each.path]  # where that is config, its directory
    missing: Dict[str, str] = {}
    for container in found:
        for mount in container.mounts:
            source = str(mount.get("Name") or mount.get("Source") or "")
            own = mount.get("RW") is False and f"{source}/".startswith(f"{stack.directory}/")  # files of the project
            inside = own or any(f"{source}/".startswith(f"{each}/") for each in kept) or is_hosts_own(source)
            place = f"{container.service}:{mount.get('Destination')}"
            if source in volumes or inside or mount.get("Type") == "tmpfs" or place in stack.waived:
                continue
            ours = source.startswith(stack.project + "_")
            what = "a volume without a name" if re.fullmatch("[0-9a-f]{64}", source) else place if ours else source
            key = source[len(stack.project) + 1 :] if ours else place
            missing.setdefault(key, f"{key} ({what})")
    return sorted(missing.values())


def waiver(found: Sequence[str]) -> str:
    """What to write into the inventory about such mounts. :param found: as of :func:`forgotten`."""
    return "stack.waived: " + json.dumps({text.partition(" (")[0]: "REASON" for text in found})


def _is_path(key: str) -> bool:
    return ("/" in key or key.startswith(".")) and ":/" not in key
