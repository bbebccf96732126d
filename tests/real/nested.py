"""A Docker engine of its own in a container, with Compose as Debian has it: its names and ports are nobody else's."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pace import eventually

from mnemo_ops.errors import StepFailed
from mnemo_ops.lab.debian import RECIPES
from mnemo_ops.lab.engine import docker, ensure_engine, kept, stop_engine_if_ours
from mnemo_ops.lab.image import ensure_images
from mnemo_ops.lab.server import rights

_SERVER = RECIPES["debian13"]
RECIPE = replace(
    _SERVER,
    name="engine",
    packages=(*_SERVER.packages, "docker.io", "docker-cli", "docker-compose"),
    images={"engine": _SERVER.images["debian13"]},
)


@dataclass(frozen=True)
class Engine:
    """The container that it runs in."""

    container: str

    @property
    def address(self) -> str:
        """Where its published ports are."""
        return docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", self.container).strip()

    def sh(self, script: str, timeout: float = 600) -> str:
        """What a script prints, run by root."""
        words = ("exec", "--interactive", self.container, "bash", "-e", "-s")
        return docker(*words, input=script.encode(), timeout=timeout).strip()

    def answers(self) -> bool:
        try:
            return bool(self.sh("docker version --format '{{.Server.Version}}'"))
        except StepFailed:
            return False


@contextmanager
def engine(home: Path, images: Path) -> Iterator[Engine]:
    """An engine with the images of an archive, that sees `home` as /srv; gone afterwards, with all it held."""
    made = Engine("mnemo-nested-" + secrets.token_hex(4))
    try:
        with kept():
            ensure_engine(print)
            image = ensure_images(RECIPE, print)["engine"]
            mounts = ("--volume", "/var/lib/docker", "--volume", f"{home}:/srv", "--volume", f"{images}:/images.tar:ro")
            docker("run", "--detach", "--name", made.container, *rights(), *mounts, image)
            try:
                eventually(made.answers)
                made.sh("docker load --quiet --input /images.tar")
                yield made
            finally:
                docker("rm", "--force", "--volumes", made.container)
    finally:
        stop_engine_if_ours(print)
