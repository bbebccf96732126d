"""docker_image: an image that is there, pulled or loaded."""

from __future__ import annotations

from typing import ClassVar, Literal, Mapping, Optional

from mnemo_ops.agent.base.lines import refuse_options
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import StepFailed


@dataclass(frozen=True)
class DockerImage(Resource):
    """An image in the host's engine.

    :param name: image, with or without a tag or digest.
    :param tag: tag, when the name has none.
    :param source: where a missing one comes from: ``pull``, ``load``, or ``local`` (it must be there).
    :param load_path: archive of ``docker save`` on the host, for ``load``.
    :param archive: archive of ``docker save`` on the controller, for ``load``; sent only when it is needed.
    :param repository: another name, ``repository[:tag]``, it gets as well.
    :param force_tag: give it that name even where another image has it.
    :param force_absent: with ``absent``: remove every name it has, too.
    :param force_source: pull or load it again each time, for a tag that moves.
    :param state: ``present`` or ``absent``.
    """

    kind: ClassVar[str] = "docker_image"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: the database's image, pinned
  docker_image: {name: pgvector/pgvector, tag: 0.8.0-pg17-bookworm, source: pull}
- name: an image built elsewhere
  docker_image: {name: "shop-api:2.4.0", source: load, archive: images/api.tar}
"""

    name: str
    tag: str = "latest"
    source: Optional[Literal["pull", "load", "local"]] = None
    load_path: Optional[str] = None
    archive: Optional[str] = field(default=None, metadata={"file": "sha256"})
    repository: Optional[str] = None
    force_tag: bool = False
    force_absent: bool = False
    force_source: bool = False
    state: Literal["present", "absent"] = "present"
    sha256: Optional[str] = field(default=None, metadata={"internal": True})

    def __post_init__(self) -> None:
        refuse_options(name=self.name, repository=self.repository)
        if self.state == "present" and self.source is None:
            raise ValueError("source is missing: pull, load or local")
        if self.force_tag and self.repository is None:
            raise ValueError("force_tag needs a repository")
        if (self.source == "load") != ((self.load_path is None) != (self.archive is None)):
            raise ValueError("source load takes either load_path or archive, and they go with nothing else")

    @property
    def _reference(self) -> str:
        return docker.reference(self.name, self.tag)

    def desired(self) -> State:
        if self.state == "absent":
            return ABSENT
        renewed = {"renewed": "now"} if self.force_source and self.source != "local" else {}
        tagged = {"repository": docker.reference(self.repository, self.tag)} if self.repository else {}
        return {"image": self._reference, **tagged, **renewed}

    def observe(self, machine: Machine) -> State:
        if not docker.is_installed(machine):
            return ABSENT
        id = docker.image_ids(machine).get(self._reference)
        if id is None:
            return ABSENT
        other = docker.reference(self.repository, self.tag) if self.repository else ""
        has = docker.image_ids(machine).get(other)
        fits = has == id or (has is not None and not self.force_tag)
        return {"image": self._reference, "id": id, "repository": other if fits else None}

    def apply(self, machine: Machine, change: Change) -> State:
        if change.deletes:
            docker.run(machine, "image", "rm", *(["--force"] if self.force_absent else []), self._reference)
            return None
        machine.note = f"docker: {self.source} {self._reference}"
        if set(change.keys) == {"repository"}:
            pass  # it is there already
        elif self.source == "pull":
            docker.run(machine, "pull", "--quiet", self._reference)
        elif self.load_path is not None:
            docker.run(machine, "load", "--quiet", "--input", self.load_path)
        elif self.archive is not None:
            self._load(machine)
        found = self.observe(machine)
        if found is None:
            where = {"pull": "the registry", "load": "the archive"}.get(str(self.source), "this host's engine")
            raise StepFailed(f"{where} holds no image {self._reference}")
        if self.repository and found["repository"] is None:
            docker.run(machine, "tag", self._reference, docker.reference(self.repository, self.tag))
            found = self.observe(machine) or found
        return {**found, **({"renewed": "now"} if self.force_source else {})}

    def _load(self, machine: Machine) -> None:
        """By a file on the file system of Docker's own root, which has to have the space anyway."""
        if self.sha256 is None:
            raise StepFailed(f"{self.archive} is not among the files that the controller offers")
        with machine.scratch(docker.root_dir(machine)) as file:
            machine.fetch(self.sha256, file)
            file.seek(0)
            machine.pipe(["docker", "load", "--quiet"], source=file)
