"""Images by identity: saved on one host, loaded on the other, compared by id."""

from __future__ import annotations

from typing import ClassVar, Sequence

from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.validators import RunId
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import handout, lease
from mnemo_ops.errors import VerificationFailed


@dataclass(frozen=True)
class SaveImages(Action):
    """``docker save`` of several images into one compressed file, for the run's key; a lease removes it when the run
    does not."""

    images: Sequence[str]
    path: str
    run_id: RunId
    kind: ClassVar[str] = "save_images"

    def run(self, machine: Machine) -> Deed:
        undo = [{"kind": "remove_file", "args": {"path": self.path + end}} for end in ("", ".raw", ".partial")]
        lease.hold(machine, f"images-{self.run_id}", self.run_id, undo)
        machine.mkdir(self.path.rpartition("/")[0], 0o700)
        raw = self.path + ".raw"
        try:
            if machine.stat(self.path) is None:
                yield from machine.moving(["docker", "save", "--output", raw, *self.images], raw, 0, 0, "docker save")
                compress = ["zstd", "-q", "-f", "-T0", "-1", raw, "-o", self.path + ".partial"]
                yield from machine.moving(compress, self.path + ".partial", 0, 0, "compressing images")
                machine.rename(self.path + ".partial", self.path)
        finally:  # also what one left that was killed once its file was there
            machine.remove(raw)
            machine.remove(self.path + ".partial")
        found = machine.stat(self.path)
        directory, _, name = self.path.rpartition("/")
        handout.allow(machine, self.run_id, directory, [name])
        yield Progress(note="checksum of the images")
        return {"bytes": found.size if found else 0, "sha256": machine.sha256(self.path)}


@dataclass(frozen=True)
class LoadImages(Action):
    """Load such a file and check that every image id is here. :raises VerificationFailed: one is not (7)."""

    path: str
    ids: Sequence[str]
    kind: ClassVar[str] = "load_images"

    def run(self, machine: Machine) -> Deed:
        raw = self.path + ".raw"
        try:
            yield from machine.moving(["zstd", "-q", "-d", "-f", self.path, "-o", raw], raw, 0, 0, "unpacking images")
            yield Progress(note="docker load")
            machine.run(["docker", "load", "--quiet", "--input", raw])
        finally:
            machine.remove(raw)
        here = set(machine.ask(["docker", "image", "ls", "-q", "--no-trunc"]).out.split())
        missing = [each for each in self.ids if each not in here]
        if missing:
            raise VerificationFailed(f"these images arrived with other content: {', '.join(missing)}")
        return {"images": len(self.ids)}


@dataclass(frozen=True)
class ImageUser(Action):
    """Numbers of the user an image runs as: asked of the image, for a name says nothing outside of it.

    :param probe: a path whose owner is the answer of the read-only look.
    """

    image: str
    probe: str
    kind: ClassVar[str] = "image_user"

    def ready(self, machine: Machine) -> Report:
        found = machine.stat(self.probe)
        return {"uid": found.uid if found else 0, "gid": found.gid if found else 0}

    def run(self, machine: Machine) -> Deed:
        yield Progress(note=f"asking {self.image} for its user")
        argv = ["docker", "run", "--rm", "--pull", "never", "--network", "none", "--entrypoint", "sh", self.image]
        said = machine.run([*argv, "-c", "id -u; id -g"]).out.split()
        return {"uid": int(said[0]), "gid": int(said[1])}
