"""gluster_volume: a GlusterFS volume, and the cluster of hosts it lies on; asked of the daemon of one of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Literal, Mapping, Optional, Tuple

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Broken, CommandFailed, Refused

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

STATES = {"0": "created", "1": "started", "2": "stopped"}
IN_CLUSTER = "3"  # the state of a peer that is a member
SECONDS = 60.0  # glusterd itself waits for a silent peer, and only then says which


@dataclass(frozen=True)
class GlusterVolume(Resource):
    """A volume. Hosts of ``cluster`` that are no peers yet become some. What a volume lies on is not changed: another
    layout than an existing volume has is refused.

    :param name: its name.
    :param state: ``present`` (made when it is missing), ``started`` or ``stopped``.
    :param cluster: addresses of the hosts it lies on, as they know each other.
    :param host: which of them this host is; it is not made a peer of itself.
    :param bricks: directory or directories, with commas between, on each host of ``cluster``.
    :param replicas: how many copies there are of each file; default: one.
    :param arbiters: how many of the copies are without content, and only decide: 1 of 3.
    :param start_on_create: start it when it has been made.
    :param options: its options; others may be set, too.
    :param force: bricks on the root file system, too.
    """

    kind: ClassVar[str] = "gluster_volume"
    ALIASES: ClassVar[Mapping[str, str]] = {"volume": "name", "replica": "replicas", "brick": "bricks"}
    EXAMPLE: ClassVar[str] = """\
- name: two copies of each file
  gluster_volume: {name: gv0, state: started, cluster: [10.0.0.1, 10.0.0.2], bricks: /data/gv0, replicas: 2}
"""

    name: str
    state: Literal["present", "started", "stopped"]
    cluster: Optional[List[str]] = None
    host: Optional[str] = None
    bricks: Optional[str] = None
    replicas: Optional[int] = None
    arbiters: Optional[int] = None
    start_on_create: bool = True
    options: Optional[Dict[str, Any]] = None
    force: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-]+", self.name):
            raise ValueError(f"{self.name!r} is not the name of a volume: letters, digits, _ and - are")
        if any(not path.startswith("/") for path in self._paths):
            raise ValueError("bricks are absolute paths")
        if self._bricks and len(self._bricks) % (self.replicas or 1):
            raise ValueError(f"{len(self._bricks)} bricks are not a multiple of {self.replicas} replicas")

    @property
    def _paths(self) -> List[str]:
        return [path.strip() for path in (self.bricks or "").split(",") if path.strip()]

    @property
    def _bricks(self) -> List[str]:
        return [f"{host}:{path}" for path in self._paths for host in self.cluster or ()]

    def desired(self) -> State:
        wanted: Dict[str, Any] = {"name": self.name, "options": docker.texts(self.options)}
        if self._bricks:
            wanted.update(bricks=self._bricks, replicas=self.replicas or 1)
        if self.state != "present":
            wanted["status"] = self.state
        return wanted

    def target(self, observed: State) -> State:
        """One that was never started: started, if it is to be after its creation; a stopped one is no other."""
        wanted = self.desired() or {}
        if (observed or {"status": "created"})["status"] == "created":
            if self.state == "stopped":
                wanted["status"] = "created"
            elif self.start_on_create:
                wanted["status"] = "started"
        return wanted

    def observe(self, machine: Machine) -> State:
        """:raises Refused: it lies on other bricks, or has other replicas (3). :raises Broken: no daemon (6)."""
        if machine.which("gluster") is None:
            return ABSENT
        volume = self._volume(machine)
        if volume is None:
            return ABSENT
        found: Dict[str, Any] = {
            "name": self.name,
            "bricks": [brick.findtext("name") for brick in volume.iter("brick")],
            "replicas": int(volume.findtext("replicaCount") or 1),
            "status": STATES.get(volume.findtext("status") or "", "unknown"),
            "peers": {address: "connected" if there else "away" for address, there in self._peers(machine).items()},
        }
        set_ = {str(row.findtext("name")): row.findtext("value") or "" for row in volume.iter("option")}
        found["options"] = {key: value for key, value in set_.items() if key in (self.options or {})}
        self._refuse_another(found)
        return found

    def _refuse_another(self, found: Mapping[str, Any]) -> None:
        wanted = self.desired() or {}
        for key in ("bricks", "replicas"):
            if key in wanted and wanted[key] != found[key]:
                raise Refused(
                    f"the {key} of the volume {self.name} are {found[key]}, not {wanted[key]}, and its data lie there",
                    hint=f"keep it as it was, or see `gluster volume help` (add-brick, replace-brick) on {self.name}",
                )

    def apply(self, machine: Machine, change: Change) -> State:
        if machine.which("gluster") is None:
            raise Broken("gluster is not installed on this host", hint="apt: {name: glusterfs-server}")
        if change.creates:
            self._create(machine)
        before = (change.before or {}).get("options", {})
        for key, value in docker.texts(self.options).items():
            if before.get(key) != value:
                self._run(machine, "volume", "set", self.name, key, value)
        was, wanted = ((side or {}).get("status", "created") for side in (change.before, change.after))
        if wanted == "started" != was:
            self._run(machine, "volume", "start", self.name)
        elif wanted == "stopped" != was:
            self._run(machine, "volume", "stop", self.name)
        return None

    def _create(self, machine: Machine) -> None:
        if not self._bricks:
            raise Refused(
                f"there is no volume {self.name}, and the task does not say where to create it",
                hint="add cluster and bricks",
            )
        for address in self.cluster or ():
            if address not in (self.host, *self._peers(machine)):
                machine.note = f"making {address} a peer"
                self._run(machine, "peer", "probe", address)
        machine.wait_until("every peer is connected", lambda: all(self._peers(machine).values()), SECONDS)
        copies = ["replica", str(self.replicas)] if (self.replicas or 1) > 1 else []
        copies += ["arbiter", str(self.arbiters)] if self.arbiters else []
        force = ["force"] if self.force else []
        self._run(machine, "volume", "create", self.name, *copies, *self._bricks, *force)

    def _volume(self, machine: Machine) -> Optional[Element]:
        """What the daemon knows of it; ``None``: nothing."""
        answer = self._answer(machine.ask(self._argv("volume", "info"), check=False, timeout=SECONDS))
        return next((one for one in answer.iter("volume") if one.findtext("name") == self.name), None)

    def _peers(self, machine: Machine) -> Dict[str, bool]:
        """Every name of every other host of the cluster: whether it is there."""
        answer = self._answer(machine.ask(self._argv("peer", "status"), check=False, timeout=SECONDS))
        found: Dict[str, bool] = {}
        for peer in answer.iter("peer"):
            there = peer.findtext("connected") == "1" and peer.findtext("state") == IN_CLUSTER
            found.update((name.text or "", there) for name in peer.iter("hostname"))
        return found

    def _argv(self, *words: str) -> Tuple[str, ...]:
        return ("gluster", "--mode=script", "--xml", *words)

    def _run(self, machine: Machine, *words: str) -> None:
        answer = self._answer(machine.run(self._argv(*words), check=False, timeout=4 * SECONDS))
        if answer.findtext("opRet") != "0":
            said = answer.findtext("opErrstr") or answer.findtext("output") or "it did not say why"
            raise CommandFailed(f"gluster {' '.join(words[:2])}: {said}")

    def _answer(self, done: Any) -> Element:
        """:raises Broken: the daemon does not answer (6)."""
        from xml.etree import ElementTree  # slow to import, seldom needed

        try:
            return ElementTree.fromstring(done.out)
        except ElementTree.ParseError:
            said = (done.err.strip() or done.out.strip() or "no output")[-500:]
            raise Broken(f"the Gluster daemon does not answer: {said}", hint="systemctl status glusterd") from None
