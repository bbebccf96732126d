"""What a deploy puts on a host of a project's source, and what it leaves alone there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.documents.yaml_lines import Unsafe
from mnemo_ops.stack.project.places import plain, readable
from mnemo_ops.stack.project.presence import above, below, check
from mnemo_ops.stack.project.reading import Project
from mnemo_ops.stack.project.selection import IGNORE, Selection

_WRITTEN = re.compile(r"\.(?:db|sqlite3?|log|pid|rdb)$|(?:^|/)acme\.json$")  # files that are state where writable
# of files that are mounted alone and writable, which is often by oversight: those that people write, not programs
_CONFIGURES = re.compile(
    r"\.(?:sh|bash|sql|conf|cnf|cfg|ini|ya?ml|toml|xml|tmpl|template|tpl|j2|lua|vcl|env|pem|crt|cert|key|html?|css|js"
    r"|py|rb|pl|local|override)$|(?:^|/)[A-Z]\w*file$"
)
_MOUNTED = ("mount", "config", "secret")
_SECRET = re.compile(r"(?:^|/)\.env(?:\.|$)|\.(?:env|pem|key|p12|pfx)$")


@dataclass(frozen=True)
class Shipment:
    """What travels.

    :param files: rows with ``path`` below the source, ``mode`` (octal; without one the host's stays), ``once`` (only
        when the host has nothing of that name), ``secret`` (nothing of it is shown), ``mounted``.
    :param directories: rows with ``path`` and ``mode``, those above first.
    :param builds: services whose image the host builds. :param warnings: sentences for the operator.
    :param seen: paths of files, of these and of those placed by other means, that a container has as they were when it
        started: mounted alone, or below a directory that it only reads.
    """

    files: tuple[Mapping[str, Any], ...] = ()
    directories: tuple[Mapping[str, Any], ...] = ()
    builds: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()

    def words(self) -> dict[str, Any]:
        """The variables of the playbook ``stack.yml``; a name in the source may hold braces, and is no template."""
        rows = {"stack_files": self.files, "stack_directories": self.directories}
        found = {key: [{**row, "path": Unsafe(row["path"])} for row in each] for key, each in rows.items()}
        return {**found, "stack_builds": [Unsafe(name) for name in self.builds]}


def pack(
    source: Path,
    project: Project,
    placed: Collection[str] = (),
    apart: Collection[Path] = (),
    data: Collection[str] = (),
    kept: Collection[str] = (),
) -> Shipment:
    """Look through the source.

    :param placed: paths below the project's directory that the deploy puts there by other means.
    :param apart: paths of this machine that never travel: the inventory, keys, an archive of images.
    :param data: paths below the project's directory that are known to be data. :param kept: those that must survive.
    :raises InventoryError: a named file is not in the source, with the compose file and its line; or something in the
        source cannot be read (2).
    """
    with readable(source):
        return _packed(plain(source), project, placed, {plain(path) for path in apart}, data, kept)


def _packed(
    source: Path,
    project: Project,
    placed: Collection[str],
    apart: Collection[Path],
    data: Collection[str],
    kept: Collection[str],
) -> Shipment:
    warnings = check(source, project.named, placed, data)
    chosen = Selection(source, project, apart)
    warnings += _staying(source, chosen, data, kept)
    files = [
        _row(source, chosen, path, kept) for path in chosen.files() if not any(above(one, path, True) for one in placed)
    ]
    warnings += [
        f"{path} is a private key that no compose file names: it stays here; a line !{path} in {IGNORE} ships it"
        for path in chosen.keys
    ]
    named = [below(source, each.path) for each in project.named if each.path.is_dir()]
    folders = {path for path in (*chosen.state, *named) if path is not None}
    paths = {*placed, *(row["path"] for row in files), *(f"{path}/." for path in folders)}
    around, builds = tuple(_directories(source, chosen, paths)), tuple(project.builds)
    seen = _seen(source, project, [*placed, *(row["path"] for row in files if not row["once"])])
    return Shipment(tuple(files), around, builds, tuple(warnings), tuple(seen))


def _seen(source: Path, project: Project, paths: Collection[str]) -> Iterator[str]:
    found = [(below(source, each.path), each.writable) for each in project.named if each.what in _MOUNTED]
    mounted = [(path, writable) for path, writable in found if path is not None]
    for path in paths:
        if any(path == one or (above(one, path) and not writable) for one, writable in mounted):
            yield path


def _staying(source: Path, chosen: Selection, data: Collection[str], kept: Collection[str]) -> Iterator[str]:
    """Of files in the source that lie where containers write: a host has its own."""
    for path, named in chosen.named.items():
        alone = named.writable and named.target and (source / path).is_file()
        if alone and _grows(source, path) and not _WRITTEN.search(path):
            yield (
                f"{named.where}: containers may write {named.text}, so that a host that has it keeps its own; "
                "mount it read-only (:ro), and each deploy puts it there"
            )
    for path, each in chosen.state.items():
        if path in kept and (source / path).is_dir() and any(chosen.built(row) for row in chosen.files(path)):
            yield (
                f"{each.where}: {each.text} is data, and an image is built of it: what the source has there goes to "
                "hosts that lack it, and never again"
            )
            continue
        if path in (*chosen.seeds, *data) or not (source / path).is_dir() or not any((source / path).iterdir()):
            continue
        yield (
            f"{each.where}: containers write into {each.text}, so what the source has there stays here; "
            f"a line !{path} in {IGNORE} ships what the host does not have yet; mount read-only what they only read"
        )


def _grows(source: Path, path: str) -> bool:
    """Whether a file that a container may write is state: a host that has it keeps its own."""
    runs = (source / path).stat().st_mode & 0o100
    return bool(_WRITTEN.search(path)) or not (_CONFIGURES.search(path) or runs)


def _row(source: Path, chosen: Selection, path: str, kept: Collection[str]) -> dict[str, Any]:
    named = chosen.named.get(path)
    grows = named is not None and named.writable and _grows(source, path)
    source_of = chosen.built(path) and not _WRITTEN.search(path) and not any(above(one, path, True) for one in kept)
    once = grows or (named is None and chosen.in_state(path) and not source_of)
    secret = bool(_SECRET.search(path)) or path in chosen.secrets
    row = {"path": path, "once": once, "secret": secret, "mounted": named is not None and bool(named.target)}
    mode = (source / path).stat().st_mode & 0o777
    if named is not None and named.what == "env_file" and not chosen.is_read(path):
        mode = 0o600  # Compose reads it, as root, whatever the checkout has
    # what the host may have changed keeps its mode, but a script without its bit would not run at all
    return row if once and not mode & 0o100 else {**row, "mode": f"{mode:04o}"}


def _directories(source: Path, chosen: Selection, paths: Collection[str]) -> Iterator[dict[str, Any]]:
    """A row for each directory around these paths; the state's keep the modes that they have on the host."""
    folders = {folder for path in paths for folder in _around(path)}
    for path in sorted(folders - {".", ""}):
        here = source / path
        ours = here.is_dir() and not chosen.in_state(path)
        yield {"path": path, **({"mode": f"{here.stat().st_mode & 0o777:04o}"} if ours else {})}


def _around(path: str) -> Iterator[str]:
    while path != "/" and (path := posixpath.dirname(path)):
        yield path
