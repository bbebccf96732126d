"""Images without a registry: a Debian root file system made by mmdebstrap, imported, and saved for the servers.

The package mirror is mmdebstrap's own default. Everything is cached by content outside the checkout, so a second run
builds nothing. Measured on 2 cores: root file system 30-45 s, import 3-7 s, one more image of the same root 0.5 s.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mnemo_ops.lab.engine import Report, cache_dir, command, docker, install, kept, locked, working

# documentation is left out and dpkg does not sync: a server installs Docker in half the time
_DPKG = ("force-unsafe-io", "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*",
         "path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright")  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """What an image is made of.

    :param name: names the recipe, its root file system and the messages about it.
    :param suite: Debian release, ``trixie``.
    :param variant: mmdebstrap's, ``apt`` or ``minbase``.
    :param packages: Debian packages, with their dependencies, without recommended ones.
    :param tree: directory copied over the root file system, owned by root, modes kept.
    :param commands: shell lines run inside the root file system at the end, each must succeed.
    :param images: image name -> Dockerfile lines after ``FROM`` (CMD, ENV, USER, STOPSIGNAL, ...).
    :param skip: steps mmdebstrap leaves out, ``cleanup/apt/lists``.
    :param wheels: packages of PyPI, ``NAME==VERSION``, without their dependencies, unpacked in ``/opt``.
    """

    name: str
    suite: str
    variant: str
    packages: tuple[str, ...]
    tree: Path | None = None
    commands: tuple[str, ...] = ()
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()

    def digest(self) -> str:
        """sha256 over everything above, file contents and modes included: names the images."""
        return _sha256([self.root_digest(), sorted((name, *lines) for name, lines in self.images.items())])

    def root_digest(self) -> str:
        """sha256 over what the root file system depends on: names the cached archive."""
        made_of = [self.name, self.suite, self.variant, self.packages, self.commands, _DPKG, *self.skip, *self.wheels]
        return _sha256([*made_of, list(_files(self.tree)) if self.tree else []])


def ensure_images(recipe: Recipe, report: Report) -> dict[str, str]:
    """Build the images of `recipe` that the engine does not have.

    :return: image name -> reference, ``mnemo-lab/<name>:<12 hex of the digest>``.
    :raises Refused: (exit code 3) mmdebstrap is missing and cannot be installed by this user.
    :raises StepFailed: (exit code 6) the build failed; nothing half made is kept.
    """
    references = {name: f"mnemo-lab/{name}:{recipe.digest()[:12]}" for name in recipe.images}
    if set(references.values()) <= _present():
        return references
    with kept(), locked(cache_dir() / f"rootfs-{recipe.root_digest()}.lock"):
        present = _present()
        base = f"mnemo-lab/{recipe.name}-root:{recipe.root_digest()[:12]}"
        if base not in present:
            tar = ensure_root(recipe, report)
            with working(report, f"importing {base}"):
                docker("import", str(tar), base, timeout=300)
        with working(report, f"making the images of {recipe.name}"):
            for name in references.keys() - present:
                lines = "\n".join((f"FROM {base}", *recipe.images[name]))
                docker("build", "--quiet", "--tag", references[name], "-", input=lines.encode(), timeout=300)
    return references


def archive(references: Sequence[str], report: Report) -> Path:
    """One file with these images, as ``docker load`` reads it; cached by the images' ids.

    :raises StepFailed: (exit code 6) an image is missing or the disk is full; no half file is kept.
    """
    ids = docker("image", "inspect", "--format", "{{.Id}}", *references).split()
    key = _sha256(sorted(zip(references, ids, strict=True)))
    path = cache_dir() / f"images-{key[:12]}.tar"

    def save(partial: Path) -> None:
        with working(report, f"saving {len(references)} images to {path.name}"):
            docker("save", "--output", str(partial), *references, timeout=600)

    with kept(), locked(path.with_suffix(".lock")):
        _once(path, save)
    return path


def ensure_root(recipe: Recipe, report: Report) -> Path:
    """The root file system as an archive in the cache; to be called with the lock of its digest held.

    :raises Refused: (exit code 3) and
    :raises StepFailed: (exit code 6) as :func:`ensure_images`.
    """
    if not shutil.which("mmdebstrap"):
        install("mmdebstrap", report)
    path = cache_dir() / f"rootfs-{recipe.root_digest()}.tar"

    def build(partial: Path) -> None:
        with working(report, f"building the root file system {recipe.name} ({recipe.suite})"), _unpacked(recipe) as opt:
            command(_mmdebstrap(recipe, partial, opt), timeout=1800)

    _once(path, build)
    return path


@contextmanager
def _unpacked(recipe: Recipe) -> Iterator[Path | None]:
    """A directory with the wheels of `recipe`, until the block ends.

    :raises StepFailed: (exit code 6) pip does not get one.
    """
    if not recipe.wheels:
        yield None
        return
    with tempfile.TemporaryDirectory() as home:
        words = ["install", "--quiet", "--no-deps", "--no-compile", "--target", home]
        command([sys.executable, "-m", "pip", *words, *recipe.wheels], timeout=600)
        yield Path(home)


def _mmdebstrap(recipe: Recipe, target: Path, opt: Path | None) -> list[str]:
    argv = ["mmdebstrap", "--quiet", "--format=tar", f"--variant={recipe.variant}"]
    argv += [f"--skip={step}" for step in recipe.skip]
    argv += [f"--include={','.join(recipe.packages)}", *(f"--dpkgopt={option}" for option in _DPKG)]
    for tree, place in ((recipe.tree, ""), (opt, "/opt")):
        if tree:
            pack = f"tar -C {shlex.quote(str(tree.resolve()))} --owner=0 --group=0 --exclude=__pycache__ -c ."
            unpack = f'tar -C "$1"{place} --no-overwrite-dir --keep-directory-symlink -xp'
            argv.append(f"--customize-hook={pack} | {unpack}")
    argv += [f'--customize-hook=chroot "$1" sh -ec {shlex.quote(line)}' for line in recipe.commands]
    return [*argv, recipe.suite, str(target)]


def _once(path: Path, make: Callable[[Path], None]) -> None:
    """Make `path` unless it is there; it appears whole or not at all."""
    if path.exists():
        return
    partial = path.with_name(f"{path.name}.partial")
    try:
        make(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _present() -> set[str]:
    listed = docker("image", "ls", "--filter", "reference=mnemo-lab/*", "--format", "{{.Repository}}:{{.Tag}}")
    return set(listed.split())


def _files(tree: Path) -> Iterator[tuple[str, int, str]]:
    for path in sorted(tree.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        if path.is_symlink():
            content = f"-> {path.readlink()}"
        else:
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        yield str(path.relative_to(tree)), path.lstat().st_mode, content


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
