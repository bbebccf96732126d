"""What a task takes from the controller: files offered by their sha256, templates rendered, directories spread out."""

from __future__ import annotations

import functools
import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from mnemo_ops import schema
from mnemo_ops.errors import PlaybookError
from mnemo_ops.template import Scope, find, render_file
from mnemo_ops.template_engine import FILE_OPTIONS, file_options
from mnemo_ops.vault import HEADER, keyring
from mnemo_ops.yaml_lines import shown

SMALL = 32 * 1024  # bytes; a text up to this size travels inside its task and is shown in diffs
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Prepared:
    """Arguments ready to send.

    :param label: path below a directory that was spread out. :param files: sha256 -> file the host may ask for.
    """

    kind: str
    args: Mapping[str, Any]
    label: str = ""
    files: Mapping[str, Union[Path, bytes]] = field(default_factory=dict)


def prepared(kind: str, args: Mapping[str, Any], scope: Scope, where: str) -> Iterator[Prepared]:
    """Arguments with what they take from the controller filled in; one task may become many.

    :raises TemplateError: a file is missing or a template fails (2).
    """
    sources = [one for one in schema.fields_of(kind).values() if one.source and args.get(one.name)]
    if not sources or schema.truth(args.get("remote_src", False)):
        yield Prepared(kind, args)
        return
    (source,) = sources
    name = str(args[source.name])
    if source.source == "template":
        path = find(name, scope.templates)
        text = render_file(path, scope, file_options(args))
        yield Prepared(kind, _preserved({**_without(args, *FILE_OPTIONS), source.fills: text}, path))
        return
    path = find(name, scope.files)
    if path.is_dir():
        yield from _spread(args, name, path, where)
    else:
        yield _file(kind, args, source, path, where)


def _file(kind: str, args: Mapping[str, Any], source: schema.Field, path: Path, where: str = "") -> Prepared:
    secret = _decrypted(path) if schema.truth(args.get("decrypt", True)) else None
    args = _preserved(_without(args, "decrypt", "local_follow", "directory_mode"), path)
    wanted = str(args.pop("checksum", None) or "").lower() if kind == "copy" else ""
    if wanted and hashlib.sha1(path.read_bytes() if secret is None else secret).hexdigest() != wanted:
        raise PlaybookError(f"{shown(path)} does not have the checksum {wanted}", where=where)
    if secret is not None:  # never offered as a path: the file on disk is the encrypted one
        digest = hashlib.sha256(secret).hexdigest()
        return Prepared(kind, {**args, source.fills: digest}, files={digest: secret})
    # without src the host cannot add its name to a dest that is a directory, so only where the names agree
    if kind == "copy" and posixpath.basename(str(args.get("dest", ""))) == path.name and path.stat().st_size <= SMALL:
        try:
            text = path.read_bytes().decode()
            return Prepared(kind, {**_without(args, source.name), "content": text})
        except UnicodeDecodeError:
            pass
    found = path.stat()
    digest = sha256(path, found.st_mtime_ns, found.st_size)
    return Prepared(kind, {**args, source.fills: digest}, files={digest: path})


def _preserved(args: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """``mode: preserve`` as the permission bits of the controller's file."""
    if args.get("mode") != "preserve":
        return dict(args)
    return {**args, "mode": f"{stat.S_IMODE(path.stat().st_mode):04o}"}


def _decrypted(path: Path) -> Optional[bytes]:
    """The content of a file that ansible-vault encrypted; ``None`` for any other."""
    with path.open("rb") as file:
        if file.read(len(HEADER)) != HEADER.encode():
            return None
    data = keyring().open(path.read_text("ascii"), shown(path)).data
    keyring().learn([data.decode(errors="replace")])  # it is shown in diffs
    return data


@functools.lru_cache(maxsize=4096)
def sha256(path: Path, mtime_ns: int, size: int) -> str:
    """Hex digest of a file; time and size keep the cache honest."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _without(args: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in args.items() if name not in names}


def _spread(args: Mapping[str, Any], name: str, path: Path, where: str) -> Iterator[Prepared]:
    """A directory as one task per directory (file) and per file (copy); ``dir/`` means its content, as in Ansible."""
    if not isinstance(args.get("dest"), str):
        raise PlaybookError("copy needs the argument 'dest'", where=where)
    base = args["dest"] if name.endswith("/") else posixpath.join(args["dest"], path.name)
    owner = {key: args[key] for key in ("owner", "group") if key in args}
    new = {"new_mode": args["directory_mode"]} if "directory_mode" in args else {}
    follow = schema.truth(args.get("local_follow", True))
    source = schema.fields_of("copy")["src"]
    for folder, folders, files in os.walk(path, followlinks=follow):
        folders.sort()
        below = Path(folder).relative_to(path).as_posix()
        target = posixpath.normpath(posixpath.join(base, below))
        yield Prepared("file", {"path": target, "state": "directory", **owner, **new}, label=below)
        for entry in sorted(Path(folder) / name for name in [*files, *folders]):
            label, dest = posixpath.normpath(posixpath.join(below, entry.name)), posixpath.join(target, entry.name)
            if entry.is_symlink() and not follow:
                link = {"path": dest, "state": "link", "src": str(entry.readlink()), "force": True, "follow": False}
                yield Prepared("file", {**link, **owner}, label)
            elif not entry.is_dir():
                done = _file("copy", {**args, "src": entry.name, "dest": dest}, source, entry)
                yield Prepared("copy", done.args, label, done.files)
