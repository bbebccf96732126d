"""What a service names, and configs, secrets and volumes beside it: each key of a compose file with a path."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Any

from mnemo_ops.documents.yaml_lines import Placed
from mnemo_ops.errors import InventoryError
from mnemo_ops.stack.project.documents import RESET, Override, bare, rows, table, unwrapped
from mnemo_ops.stack.project.places import Frame, Named

Part = dict[str, Any]
_INLINE = {"dockerfile_inline": "inline"}  # as it is called here
_ELSEWHERE = re.compile(r"[a-z0-9+.-]+://|git@|github\.com/|(?:service|target):")  # fetched, or made by another build


def service(raw: Part, frame: Frame) -> Part:
    """Its keys that name something, each as a mapping that a later file can be laid over."""
    return {key: _overriding(read, raw[key], frame, key == "build") for key, read in _KEYS.items() if key in raw}


def top(key: str, raw: Any, frame: Frame) -> Part:
    """``configs``, ``secrets`` or ``volumes`` of a file: name -> what it names."""
    read = _volume if key == "volumes" else lambda value, frame: _file(key[:-1], value, frame)
    return {
        str(name): _overriding(read, value, frame, key != "volumes") for name, value in table(unwrapped(raw)).items()
    }


def _overriding(read: Callable[[Any, Frame], Part], value: Any, frame: Frame, by_key: bool) -> Any:
    """:param by_key: its own keys are laid over those of an earlier file; else tags within it say nothing."""
    if value is RESET:
        return value
    inner = unwrapped(value)
    if by_key and isinstance(inner, dict):
        found = read({key: each if each is RESET else bare(each) for key, each in inner.items()}, frame)
    else:
        found = read(bare(inner), frame)
    return Override(found) if isinstance(value, Override) else found


def _file(what: str, value: Any, frame: Frame) -> Part:
    file = table(value).get("file")
    return {} if file is None else {"file": file if file is RESET else frame.named(what, file)}


def _volume(value: Any, frame: Frame) -> Part:
    options = table(table(value).get("driver_opts"))
    device = options.get("device")
    if device is None or "bind" not in frame.text(options.get("o") or "").split(","):
        return {}
    return {"device": frame.named("volume", device, writable=True)}


def _mounts(value: Any, frame: Frame) -> Part:
    found: Part = {}
    for each in rows(value):
        target, named = _long(each, frame) if isinstance(each, dict) else _short(each, frame)
        found[posixpath.normpath(target)] = named  # the last of a target counts, also if it names no file
    return found


def _short(value: Any, frame: Frame) -> tuple[str, Any]:
    text = frame.text(value)
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not target:
        return text, None
    if not source:
        raise InventoryError(
            f"'{text}' mounts nothing: a variable in '{value}' is empty",
            where=text.where,
            hint="set it in the env file",
        )
    if not source.startswith((".", "/", "~")):
        return target, None
    literal = type(text)(source.replace("$", "$$"), text.where)
    writable = "ro" not in options.split(",")
    return target, frame.named("mount", literal, target=target, writable=writable, made=True)


def _long(value: Part, frame: Frame) -> tuple[str, Any]:
    target = frame.text(value.get("target") or "")
    if value.get("type") != "bind" or value.get("source") is None:
        return target, None
    writable = not frame.flag(value.get("read_only"), False)
    made = frame.flag(table(value.get("bind")).get("create_host_path"), False)  # unasked, some versions make it
    return target, frame.named("mount", value["source"], target=str(target), writable=writable, made=made)


def _files(what: str) -> Callable[[Any, Frame], Part]:
    def read(value: Any, frame: Frame) -> Part:
        found = {}
        for each in rows(value):
            row = each if isinstance(each, dict) else {"path": each}
            if row.get("path") is not None:
                named = frame.named(what, row["path"], needed=frame.flag(row.get("required"), True))
                found[str(each if named is None else named.path)] = named
        return found

    return read


def _build(value: Any, frame: Frame) -> Part:
    row = value if isinstance(value, dict) else {"context": value}
    base = Named(frame.base, "build context", getattr(next(iter(row), value), "where", ""), ".")
    row, gone = ({key: each for key, each in row.items() if (each is RESET) == one} for one in (False, True))
    found: Part = {"base": base, **{_INLINE.get(key, key): RESET for key in gone}}
    if row.get("context") is not None:
        away = _ELSEWHERE.match(frame.text(row["context"]))
        found["context"] = None if away else frame.named("build context", row["context"])
    if row.get("dockerfile") is not None:
        found["dockerfile"] = frame.text(row["dockerfile"])
    if "dockerfile_inline" in row:
        found["inline"] = True
    more = row.get("additional_contexts")
    texts = (
        more.values()
        if isinstance(more, dict)
        else [Placed(str(each).partition("=")[2], getattr(each, "where", "")) for each in rows(more)]
    )
    for text in texts:
        if not _ELSEWHERE.match(frame.text(text)):
            found[f"context {text}"] = frame.named("build context", text)
    return {**found, "secrets": _names(row.get("secrets"), frame)}


def _names(value: Any, frame: Frame) -> Part:
    texts = [each.get("source") if isinstance(each, dict) else each for each in rows(value)]
    return {str(frame.text(each)): True for each in texts if each is not None}


def _profiles(value: Any, frame: Frame) -> Part:
    """Files that the client reads: ``security_opt: [seccomp:./profile.json]``."""
    found = {}
    for each in rows(value):
        text = frame.text(each)
        _, _, path = text.replace("=", ":", 1).partition("seccomp:")
        if path and path != "unconfined" and not path.startswith("{"):
            found[path] = frame.named("security profile", type(text)(path.replace("$", "$$"), text.where))
    return found


_KEYS: dict[str, Callable[[Any, Frame], Part]] = {
    "volumes": _mounts,
    "env_file": _files("env_file"),
    "label_file": _files("label_file"),
    "build": _build,
    "secrets": _names,
    "configs": _names,
    "profiles": _names,
    "security_opt": _profiles,
    "image": lambda value, frame: {"named": value is not None},
}
