"""docker_volume: a named volume; never recreated, never removed by accident."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Literal, Mapping, Optional

from mnemo_ops.agent.base.lines import refuse_keys, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.files.mode import Mode
from mnemo_ops.agent.files.ownership import Owner, Permission
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import NotYet, Refused

FIXED = ("driver", "driver_options", "labels")


@dataclass(frozen=True)
class DockerVolume(Resource):
    """A volume. Driver, options and labels of a volume never change after its creation: a difference is refused.

    :param volume_name: its name, with the project's prefix.
    :param driver: volume driver.
    :param driver_options: options of the driver; when given, exactly these.
    :param labels: labels; others may be there, too.
    :param state: ``present`` or ``absent``.
    :param recreate: only ``never``: recreating a volume loses its data.
    :param force: with ``absent``: remove it *and its data*; without, removing an existing volume is refused.
    :param owner: user name or number of the volume's root directory; the number the container's user has.
    :param group: group name or number of the volume's root directory.
    :param mode: permission bits of the volume's root directory.
    :param guard: of a directory of the host (``o: bind``): what it is on is written down when the volume is made, in
        the label mnemo.mount; while that is not mounted, the volume is refused.
    """

    kind: ClassVar[str] = "docker_volume"
    ALIASES: ClassVar[Mapping[str, str]] = {"name": "volume_name"}
    EXAMPLE: ClassVar[str] = """\
- name: the knowledge graph, writable by the user of the api's image
  docker_volume: {name: shop_documents, labels: {role: documents}, owner: 999, group: 999}
"""

    volume_name: str
    driver: str = "local"
    driver_options: Optional[Dict[str, Any]] = None
    labels: Optional[Dict[str, Any]] = None
    state: Literal["present", "absent"] = "present"
    recreate: Literal["never"] = "never"
    force: bool = False
    owner: Owner = None
    group: Owner = None
    mode: Mode = None
    guard: bool = False

    def __post_init__(self) -> None:
        refuse_options(volume_name=self.volume_name)
        refuse_keys(driver_options=self.driver_options, labels=self.labels)
        permission = self._permission.desired()
        if permission and (self.driver != "local" or docker.texts(self.driver_options).get("type") in ("nfs", "nfs4")):
            raise ValueError("owner, group and mode are set on local volumes only; set them on the server of this one")

    @property
    def _permission(self) -> Permission:
        return Permission(self.owner, self.group, self.mode)

    def desired(self) -> State:
        if self.state == "absent":
            return ABSENT
        options = {} if self.driver_options is None else {"driver_options": docker.texts(self.driver_options)}
        labels = {} if self.labels is None else {"labels": docker.texts(self.labels)}
        return {"driver": self.driver, **options, **labels, **self._permission.desired()}

    def observe(self, machine: Machine) -> State:
        if not docker.is_installed(machine):
            return ABSENT
        row = docker.all_of(machine, "volume").get(self.volume_name)
        if row is None:
            return ABSENT
        if self.state == "absent" and not self.force:
            raise Refused(
                f"the volume {self.volume_name} exists at {row['Mountpoint']}; removing it loses its data",
                hint="back it up, then set force: true",
            )
        if self.guard:
            mounts.refuse_gone(machine, row)
        labels = row["Labels"] or {}
        found: Dict[str, Any] = {
            "name": row["Name"],
            "volume": row,
            "mountpoint": row["Mountpoint"],
            "driver": row["Driver"],
            "driver_options": row["Options"] or {},
            "labels": {key: labels.get(key) for key in docker.texts(self.labels)},
        }
        self._refuse_another(found)
        return {**found, **self._ownership(machine, row)}

    def _refuse_another(self, found: Dict[str, Any]) -> None:
        fixed = {key: value for key, value in (self.desired() or {}).items() if key in FIXED}
        if Change.between(found, fixed):
            settings = [
                {"driver": side["driver"], **side.get("driver_options", {}), **side.get("labels", {})}
                for side in ({key: found[key] for key in fixed}, fixed)
            ]
            what = docker.different(*settings)
            raise Refused(
                f"the volume {self.volume_name} is another one, and cannot be changed: {what}",
                hint="choose another name, or ask for it as it is; who uses it: "
                f"docker ps -a --filter volume={self.volume_name}",
            )

    def _ownership(self, machine: Machine, row: docker.Row) -> Dict[str, Any]:
        if not self._permission.desired():
            return {}
        path = docker.content(row)
        stat = machine.stat(path, follow=True)
        if stat is None:
            raise NotYet(f"{path}, the directory of volume {self.volume_name}, does not exist")
        return self._permission.observed(machine, stat)

    def _mount(self, machine: Machine) -> Dict[str, str]:
        device = docker.texts(self.driver_options).get("device", "")
        return mounts.label(machine, device) if self.guard and device.startswith("/") else {}

    def apply(self, machine: Machine, change: Change) -> State:
        if change.deletes:
            docker.run(machine, "volume", "rm", self.volume_name)
            return None
        if change.creates:
            labels = {**(self.labels or {}), **self._mount(machine)}
            options = docker.pairs("--opt", self.driver_options) + docker.pairs("--label", labels)
            docker.run(machine, "volume", "create", "--driver", self.driver, *options, self.volume_name)
        if self._permission.desired():
            self._permission.apply(machine, docker.content(docker.all_of(machine, "volume")[self.volume_name]))
        return None
