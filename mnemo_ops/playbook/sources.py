"""What a task takes from the controller: files offered by their sha256, templates rendered, directories spread out."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import posixpath
import pwd
import stat
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Optional, Union

from mnemo_ops.agent.base.record import dataclass, field, replace
from mnemo_ops.agent.files.archive import listed
from mnemo_ops.agent.resources.assemble import chosen, joined
from mnemo_ops.agent.resources.script import split
from mnemo_ops.core.paths import shown
from mnemo_ops.core.secret_text import SecretText
from mnemo_ops.errors import PlaybookError
from mnemo_ops.playbook import module_args
from mnemo_ops.templates.engine import FILE_OPTIONS, file_options
from mnemo_ops.templates.render import Scope, find, render_file
from mnemo_ops.vault.cipher import HEADER, keyring

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
    sources = [one for one in module_args.fields_of(kind).values() if one.source and args.get(one.name)]
    if not sources or is_remote(kind, args):
        yield Prepared(kind, args)
        return
    (source,) = sources
    name = named(source, str(args[source.name]))
    path = find(name, scope.templates if source.source == "template" else scope.files)
    if source.source == "template":
        text = render_file(path, scope.plus(_of_template(path, args), final=True), file_options(args))
        yield Prepared(kind, _preserved({**_without(args, *FILE_OPTIONS), source.fills: text}, path))
    elif source.source == "fragments":
        yield _fragments(args, path, where)
    elif path.is_dir() and kind == "copy":
        yield from _spread(args, name, path, where)
    elif path.is_dir():
        raise PlaybookError(f"'{name}' is a directory", where=where)
    elif source.source == "archive":
        done = _file(kind, args, source, path)
        (content,) = done.files.values()
        yield replace(done, args={**done.args, "members": _listed(content)})
    else:
        yield _file(kind, args, source, path, where)


def _of_template(path: Path, args: Mapping[str, Any]) -> dict[str, Any]:
    """What a template may say of itself (documentation of ansible.builtin.template)."""
    info = path.stat()
    try:
        owner: Union[str, int] = pwd.getpwuid(info.st_uid).pw_name
    except KeyError:
        owner = info.st_uid
    return {
        "template_host": os.uname().nodename,
        "template_path": str(path),
        "template_fullpath": str(path.absolute()),
        "template_destpath": args.get("dest"),
        "template_uid": owner,
        "template_mtime": datetime.fromtimestamp(info.st_mtime),
        "template_run_date": datetime.now(),
    }


def named(source: module_args.Field, value: str) -> str:
    """The path in an argument; a script's arguments follow it."""
    return split(value)[0] if source.source == "script" else value


def is_remote(kind: str, args: Mapping[str, Any]) -> Optional[bool]:
    """Whether ``src`` is the host's business; ``None`` when a template decides."""
    if kind == "unarchive" and "copy" in args and "remote_src" not in args:
        local = module_args.truth(args["copy"])
        return None if local is None else not local
    known = module_args.fields_of(kind).get("remote_src")
    return bool(known) and module_args.truth(args.get("remote_src", known.default if known else False))


def _fragments(args: Mapping[str, Any], path: Path, where: str) -> Prepared:
    """The fragments of a controller's directory as the file they make."""
    if not path.is_dir():
        raise PlaybookError(f"'{shown(path)}' is not a directory", where=where)
    names = chosen(
        (one.name for one in path.iterdir() if one.is_file()), args.get("regexp"), bool(args.get("ignore_hidden"))
    )
    secrets = module_args.truth(args.get("decrypt", True))
    opened = [_decrypted(path / name) if secrets else None for name in names]
    fragments = ((path / name).read_bytes() if one is None else one for name, one in zip(names, opened))
    data = joined(fragments, args.get("delimiter"))
    given = _without(args, "src", "remote_src", "delimiter", "regexp", "ignore_hidden", "decrypt")
    if len(data) <= SMALL:
        with contextlib.suppress(UnicodeDecodeError):
            parts = [one.decode().strip() for one in opened if one is not None]
            return Prepared("copy", {**given, "content": SecretText(data.decode(), parts) if parts else data.decode()})
    digest = hashlib.sha256(data).hexdigest()
    return Prepared("copy", {**given, "src": path.name, "sha256": digest}, files={digest: data})


def _listed(content: Union[Path, bytes]) -> list[dict[str, Any]]:
    """What is in an archive: the host compares without having it."""
    if isinstance(content, bytes):
        return listed(io.BytesIO(content), "the archive")
    found = content.stat()
    return _listed_file(content, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=64)
def _listed_file(path: Path, mtime_ns: int, size: int) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        return listed(file, shown(path))


def _file(kind: str, args: Mapping[str, Any], source: module_args.Field, path: Path, where: str = "") -> Prepared:
    secret = _decrypted(path) if module_args.truth(args.get("decrypt", True)) else None
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
    follow = module_args.truth(args.get("local_follow", True))
    source = module_args.fields_of("copy")["src"]
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
