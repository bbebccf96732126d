"""docker_prune: what nothing uses goes; data never without being named."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine

# what could go, as a listing shows it
CANDIDATES = {
    "containers": ("ps", "-aq", "--filter", "status=exited", "--filter", "status=created", "--filter", "status=dead"),
    "images": ("image", "ls", "-q", "--filter", "dangling=true"),
    "networks": ("network", "ls", "-q", "--filter", "dangling=true"),
    "volumes": ("volume", "ls", "-q", "--filter", "dangling=true"),
}
LISTED = ("label", "dangling")  # filters that listings know, too


@dataclass(frozen=True)
class DockerPrune(Resource):
    """Removes what is unused. With filters a listing does not know (``until``) it is done each time something could go.

    :param containers: containers that have ended.
    :param containers_filters: only those that fit, ``until: 24h``, ``label: ...``.
    :param images: images without a name; all unused ones with ``images_filters: {dangling: false}``.
    :param images_filters: only those that fit.
    :param networks: networks without a container.
    :param networks_filters: only those that fit.
    :param volumes: volumes no container uses, *with their data*: only together with ``volumes_filters``.
    :param volumes_filters: only those that fit; needed.
    :param builder_cache: what builds have left.
    :param builder_cache_all: all of it, not only what nothing refers to.
    :param builder_cache_filters: only what fits.
    :param builder_cache_keep_storage: how much of it may stay, ``10G``.
    """

    kind: ClassVar[str] = "docker_prune"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: what has been over for a day, and images nobody can name
  docker_prune: {containers: true, containers_filters: {until: 24h}, images: true}
"""

    containers: bool = False
    containers_filters: Optional[Dict[str, Any]] = None
    images: bool = False
    images_filters: Optional[Dict[str, Any]] = None
    networks: bool = False
    networks_filters: Optional[Dict[str, Any]] = None
    volumes: bool = False
    volumes_filters: Optional[Dict[str, Any]] = None
    builder_cache: bool = False
    builder_cache_all: bool = False
    builder_cache_filters: Optional[Dict[str, Any]] = None
    builder_cache_keep_storage: Optional[str] = None

    def __post_init__(self) -> None:
        if self.volumes and not self.volumes_filters:
            raise ValueError("volumes hold data: say which with volumes_filters, {label: ...}")

    def _chosen(self) -> List[str]:
        return [name for name in CANDIDATES if getattr(self, name)]

    def desired(self) -> State:
        cache = {"builder_cache": "pruned"} if self.builder_cache else {}
        return {**{f"unused_{name}": 0 for name in self._chosen()}, **cache}

    def observe(self, machine: Machine) -> State:
        """Nothing is unused where there is no Docker."""
        if not docker.is_installed(machine):
            return self.desired()
        found: Dict[str, Any] = {f"unused_{name}": len(self._unused(machine, name)) for name in self._chosen()}
        return {**found, "builder_cache": self._cache(machine) if self.builder_cache else None}

    def _unused(self, machine: Machine, name: str) -> List[str]:
        words = list(CANDIDATES[name])
        filters = self._filters(name, listed=True)
        if name == "images" and self._every_image:
            return self._unused_images(machine)
        return sorted(set(docker.ask(machine, *words, *filters).split()))

    @property
    def _every_image(self) -> bool:
        return docker.text((self.images_filters or {}).get("dangling", True)) in ("false", "0")

    def _unused_images(self, machine: Machine) -> List[str]:
        used = {row["Image"] for row in docker.containers(machine)}
        every = docker.ask(machine, "image", "ls", "-q", "--no-trunc", *self._filters("images", listed=True)).split()
        return sorted(set(every) - used)

    def _cache(self, machine: Machine) -> str:
        rows = docker.rows(machine, "system", "df")
        sizes = [row.get("Reclaimable", "") for row in rows if row.get("Type") == "Build Cache"]
        return "pruned" if not sizes or sizes[0].startswith("0B") else f"{sizes[0]} unused"

    def _filters(self, name: str, listed: bool = False) -> List[str]:
        words: List[str] = []
        for key, value in (getattr(self, f"{name}_filters") or {}).items():
            if (listed and key not in LISTED) or (name == "images" and key == "dangling"):
                continue
            for one in value if isinstance(value, list) else [value]:
                words += ["--filter", f"{key}={docker.text(one)}"]
        return words

    def apply(self, machine: Machine, change: Change) -> State:
        record: Dict[str, Any] = dict(self.desired() or {})
        for name in self._chosen():
            before = self._unused(machine, name)
            every = ["--all"] if name == "images" and self._every_image else []
            machine.note = f"docker: prune {name}"
            docker.run(machine, name[:-1], "prune", "--force", *every, *self._filters(name))
            record[name] = sorted(set(before) - set(self._unused(machine, name)))
        if self.builder_cache:
            keep = (
                [] if self.builder_cache_keep_storage is None else ["--keep-storage", self.builder_cache_keep_storage]
            )
            every = ["--all"] if self.builder_cache_all else []
            docker.run(machine, "builder", "prune", "--force", *every, *keep, *self._filters("builder_cache"))
        return record
