"""docker_volume_info: whether there is a volume, and all that Docker knows of it."""

from __future__ import annotations

from typing import ClassVar, Mapping

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import State
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine


@dataclass(frozen=True)
class DockerVolumeInfo(Resource):
    """A volume, for ``register``: ``result.exists``, and ``result.volume`` as ``docker volume inspect`` shows it.

    :param name: its name, with the project's prefix.
    """

    kind: ClassVar[str] = "docker_volume_info"
    ALIASES: ClassVar[Mapping[str, str]] = {"volume_name": "name"}
    EXAMPLE: ClassVar[str] = """\
- name: is there data already?
  docker_volume_info: {name: shop_database}
  register: database
"""

    name: str

    def desired(self) -> State:
        return {}

    def observe(self, machine: Machine) -> State:
        row = docker.all_of(machine, "volume").get(self.name) if docker.is_installed(machine) else None
        return {"exists": row is not None, "volume": row}
