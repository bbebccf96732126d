"""Images that move with a stack: the same by what is in them, under the name that the compose file gives them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from acted import CONTENT, KEY, PINNED
from acting import RUN, bare, do
from example import IMAGE, OTHER
from world import World

from mnemo_ops.agent.actions.images import LoadImages, PullImages, SaveImages
from mnemo_ops.agent.actions.transfer import GrantKey
from mnemo_ops.agent.docker.cli import reference
from mnemo_ops.agent.docker.images import contents
from mnemo_ops.errors import Broken, Refused, VerificationFailed

WANTED = {"api:1": CONTENT}
FILE = f"/sets/images-{RUN}.tar.zst"


def host(path: Path, images: Mapping[str, str]) -> World:
    world = World(path)
    bare(world)
    world.model("docker", {**world.state("docker"), "images": dict(images)})
    world.model("image_layers", {OTHER: [IMAGE]})  # as another store of images calls it
    return world


def named(world: World) -> dict[str, str]:
    images: dict[str, str] = world.state("docker")["images"]
    return images


def test_an_image_is_the_same_whatever_an_engine_calls_it(tmp_path: Path) -> None:
    """With `containerd-snapshotter` on new, what came was taken for another image: a migration to it was impossible."""
    world = host(tmp_path, {"kept:1": OTHER})
    assert contents(world.machine()) == {OTHER: CONTENT}
    load = LoadImages("", WANTED)
    assert load.ready(world.machine()) == {"absent": [], "unnamed": []}
    do(world, load)
    assert named(world) == {"kept:1": OTHER, "api:1": OTHER}


def test_an_image_whose_name_means_another_by_now_is_saved_and_gets_its_name_there(tmp_path: Path) -> None:
    """Somebody pulled on old since: another image arrived, which the migration found before the stop, and ended."""
    old, new = host(tmp_path / "old", {"api:1": "sha256:" + "c" * 64, "old:1": IMAGE}), host(tmp_path / "new", {})
    do(old, GrantKey(RUN, "me", KEY, ["192.0.2.1"]), SaveImages(WANTED, FILE, RUN))
    (new.root / "sets").mkdir()
    (new.root / FILE[1:]).write_bytes((old.root / FILE[1:]).read_bytes())
    do(new, LoadImages(FILE, WANTED))
    assert named(new)["api:1"] == IMAGE


def test_an_image_that_is_another_is_refused(tmp_path: Path) -> None:
    world = host(tmp_path, {"api:1": "sha256:" + "c" * 64})
    with pytest.raises(VerificationFailed, match="api:1"):
        do(world, LoadImages("", WANTED))
    with pytest.raises(Refused, match="api:1") as caught:
        do(world, GrantKey(RUN, "me", KEY, ["192.0.2.1"]), SaveImages(WANTED, FILE, RUN))
    assert "deploy" in caught.value.hint


def test_an_engine_that_starts_nothing_is_found_before_anything_stops(tmp_path: Path) -> None:
    """Where no database is started to prove the copy, the first of all started past the point of no return."""
    world = host(tmp_path, {"api:1": IMAGE})
    world.model("broken", {IMAGE: "failed to mount /tmp/containerd-mount1: invalid argument"})
    with pytest.raises(Broken, match=r"a container of api:1: .* invalid argument"):
        do(world, LoadImages("", WANTED))


def test_what_is_named_by_its_digest_is_pulled(tmp_path: Path) -> None:
    """As Immich's compose file names its database: a loaded image has no digest, and new did not start."""
    world, wanted = host(tmp_path, {"api:1": IMAGE}), {PINNED: CONTENT}
    assert LoadImages("", wanted).ready(world.machine()) == {"absent": [], "unnamed": [PINNED]}
    with pytest.raises(Refused, match="manifest for api@sha256") as caught:
        do(world, PullImages([PINNED]))
    assert "docker login" in caught.value.hint
    world.model("registry", {PINNED: IMAGE})
    do(world, PullImages([PINNED]))
    assert LoadImages("", wanted).ready(world.machine()) == {"absent": [], "unnamed": []}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("docker.io/valkey/valkey:8@sha256:1", "valkey/valkey@sha256:1"),
        ("postgres:17@sha256:1", "postgres@sha256:1"),
        ("localhost:5000/a/b@sha256:1", "localhost:5000/a/b@sha256:1"),
        ("localhost:5000/a", "localhost:5000/a:latest"),
        ("docker.io/library/redis", "redis:latest"),
    ],
)
def test_a_name_is_written_as_docker_lists_it(name: str, said: str) -> None:
    assert reference(name) == said
