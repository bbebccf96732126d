"""Images by identity: saved on one host, loaded on the other, compared by what is in them."""

from __future__ import annotations

from typing import ClassVar, List, Mapping, Sequence

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.validators import RunId
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.docker.images import contents
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import handout, lease
from mnemo_ops.errors import Broken, Refused, VerificationFailed

_NOWHERE = "/mnemo-ops-tries-whether-a-container-starts"
_TRIED = "mnemo-ops-try"  # by name: what a kill leaves of one goes with the next


@dataclass(frozen=True)
class SaveImages(Action):
    """``docker save`` of several images into one compressed file, for the run's key; a lease removes it when the run
    does not.

    :param images: name -> content. One of whose name means another image by now is saved without it.
    """

    images: Mapping[str, str]
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
                names = self._names(machine)
                yield from machine.moving(["docker", "save", "--output", raw, "--", *names], raw, 0, 0, "docker save")
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

    def _names(self, machine: Machine) -> List[str]:
        ids, named = {content: id for id, content in contents(machine).items()}, docker.image_ids(machine)
        gone = [name for name, content in self.images.items() if content not in ids]
        if gone:
            raise Refused(f"the engine has no more what containers of {', '.join(gone)} run", hint="deploy it again")
        same = {name: named.get(docker.reference(name)) == ids[content] for name, content in self.images.items()}
        return [name if same[name] else ids[content] for name, content in self.images.items()]


@dataclass(frozen=True)
class LoadImages(Action):
    """Load such a file and give each image its name; ``ready`` says which are ``absent``, and which names with a
    digest mean nothing here (``unnamed``): those come from a registry alone.

    :param path: empty: every image is here. :param images: name -> content.
    :raises VerificationFailed: one is not here, or is another (7). :raises Broken: no container of one starts (6).
    """

    path: str
    images: Mapping[str, str]
    kind: ClassVar[str] = "load_images"

    def ready(self, machine: Machine) -> Report:
        here, named = {*contents(machine).values()}, docker.image_ids(machine)
        unnamed = [name for name in self.images if "@" in name and docker.reference(name) not in named]
        return {"absent": [name for name, what in self.images.items() if what not in here], "unnamed": unnamed}

    def run(self, machine: Machine) -> Deed:
        if self.path:
            yield from self._load(machine)
        here = {content: id for id, content in contents(machine).items()}
        other = [name for name, content in self.images.items() if content not in here]
        if other:
            raise VerificationFailed(f"these images arrived with other content: {', '.join(other)}")
        for name, content in self.images.items():
            if "@" not in name and docker.image_ids(machine).get(docker.reference(name)) != here[content]:
                machine.run(["docker", "tag", "--", here[content], name])
        yield Progress(note="trying the images")
        machine.run(["docker", "rm", "--force", _TRIED], check=False)
        for name, content in self.images.items():
            self._try(machine, name, here[content])
        return {"images": len(self.images)}

    def _try(self, machine: Machine, name: str, id: str) -> None:
        """Start a program that no image has: with all else in order that is what the engine complains of
        (docker-run(1), exit status)."""
        argv = ["docker", "run", "--rm", "--name", _TRIED, "--pull", "never", "--network", "none"]
        argv += ["--entrypoint", _NOWHERE, id]
        done = machine.run(argv, check=False)
        if done.rc not in (126, 127):
            said = each_line(done.err.strip() or "no output")[-1][:300]
            raise Broken(f"this host cannot start a container of {name}: {said}", hint="journalctl -u docker -n 50")

    def _load(self, machine: Machine) -> Deed:
        raw = self.path + ".raw"
        try:
            yield from machine.moving(["zstd", "-q", "-d", "-f", self.path, "-o", raw], raw, 0, 0, "unpacking images")
            yield Progress(note="docker load")
            machine.run(["docker", "load", "--quiet", "--input", raw])
        finally:
            machine.remove(raw)
        return {}


@dataclass(frozen=True)
class PullImages(Action):
    """Images that are named by their digest, from their registry. :raises Refused: one is not to be had (3)."""

    images: Sequence[str]
    kind: ClassVar[str] = "pull_images"

    def run(self, machine: Machine) -> Deed:
        for name in self.images:
            yield Progress(note=f"pulling {name}")
            done = machine.run(["docker", "pull", "--quiet", "--", name], check=False)
            if done.rc != 0:
                said = each_line(done.err.strip() or "no output")[-1][:300]
                raise Refused(
                    f"{name} is named by its digest, which only a registry gives an image, and the pull failed: {said}",
                    hint="log the host in to the registry (docker login), or name the image by a tag in stack.images",
                )
        return {}


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
