"""The schema of ``stack.volumes``: how each volume is stored, what is refused, and the rows our playbooks read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mnemo_ops.agent.base.record import MISSING, fields
from mnemo_ops.core.suggest import suggest
from mnemo_ops.reference.json_forms import Schema, of_dataclass
from mnemo_ops.stack.volumes.network import Efs, Glusterfs, Nfs
from mnemo_ops.stack.volumes.types import Bind, Block, External, Local, Storage

TYPES: dict[str, type[Storage]] = {cls.type: cls for cls in (Local, Nfs, Efs, Glusterfs, Block, Bind, External)}
PLUGINS = {
    "rexray": "the plugin has been unmaintained since 2019 and supports neither gp3 nor NVMe; attach it and write "
    "{type: block, aws: vol-...}",
    "gcplogs": "that is a logging driver, not storage; attach a Persistent Disk and write {type: block, gcp: NAME}",
}
_REMOTE = "waits for the network at every commit, and a second server on the same files destroys them"
RISKS = {
    "nfs": f"Postgres on NFS {_REMOTE}",
    "efs": f"Postgres on EFS {_REMOTE}",
    "glusterfs": "GlusterFS does not support live databases, as its own documentation says: Postgres on it loses data",
}

Spec = Mapping[str, Any]


def parse(key: str, spec: Any, databases: Mapping[str, str]) -> Storage:
    """The storage of one volume, as the inventory describes it.

    :param databases: volume -> kind (postgres, redis) of those that hold one.
    :raises ValueError: what is wrong, with the remedy; nothing was opened.
    """
    if not isinstance(spec, Mapping):
        raise ValueError(f"is {spec!r}, not a mapping like {{type: local}}")
    _refuse_plugin(spec)
    kind = spec.get("type", "local")
    if not isinstance(kind, str) or kind not in TYPES:
        raise ValueError(f"there is no type {kind!r}; {suggest(str(kind), TYPES)}")
    found = _build(TYPES[kind], {name: value for name, value in spec.items() if name != "type"})
    if key in databases:
        _refuse_risk(found, databases[key])
    return found


def _refuse_plugin(spec: Spec) -> None:
    for word in (str(spec.get("type", "")), str(spec.get("driver", ""))):
        for plugin, why in PLUGINS.items():
            if plugin in word:
                raise ValueError(f"{word} is refused: {why}")
    if "driver" in spec or "driver_opts" in spec:
        raise ValueError(f"takes a type instead of driver and driver_opts: one of {', '.join(TYPES)}")


def _build(cls: type[Storage], given: Spec) -> Storage:
    known = {one.name: one for one in fields(cls)}
    for name in given:
        if name not in known:
            raise ValueError(f"type {cls.type} has no '{name}'; {suggest(str(name), known) or 'it has no settings'}")
    missing = [name for name, one in known.items() if one.default is MISSING and name not in given]
    if missing:
        raise ValueError(f"type {cls.type} needs {', '.join(missing)}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    for name, value in values.items():
        kind = {"bool": bool, "int": int, "str": str}.get(str(known[name].type), tuple)
        texts = not isinstance(value, tuple) or all(isinstance(one, str) for one in value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)) or not texts:
            wanted = {bool: "true or false", int: "a number", str: "a text", tuple: "a list of texts"}[kind]
            raise ValueError(f"{name} is {value!r}, not {wanted}")
    return cls(**values)


def _refuse_risk(found: Storage, database: str) -> None:
    unsafe = {"soft", "softerr", "nolock"} & set(found.mount_options.split(","))
    if unsafe:
        raise ValueError(
            f"{', '.join(sorted(unsafe))} loses writes of a database when the server is briefly away; leave it out"
        )
    if database == "postgres" and isinstance(found, (Nfs, Efs, Glusterfs)) and not found.i_accept_the_risk:
        raise ValueError(
            f"{RISKS[found.type]}; keep it on a disk of its host (local, block or bind), or add i_accept_the_risk: true"
        )


def row(project: str, key: str, found: Storage, written: bool) -> dict[str, Any]:
    """What our playbooks are told of a volume. :param written: by the application: its user owns it."""
    labels = {"mnemo.stack": project, "mnemo.role": key}
    own = {"key": key, "name": f"{project}_{key}", "type": found.type, "written": written, "labels": labels,
           "fixed_owner": False}  # fmt: skip
    return {**own, "directory": "", **found.row(project, key)}


def schema() -> Schema:
    """JSON Schema of ``stack.volumes``: by type, so that an editor names a mistake in that one form."""
    cases = []
    for name, cls in TYPES.items():
        form = of_dataclass(cls)
        form["properties"]["type"] = {"const": name}
        form["required"] = [one.name for one in fields(cls) if one.default is MISSING]
        chosen = {"properties": {"type": {"const": name}}, **({} if name == "local" else {"required": ["type"]})}
        cases.append({"if": chosen, "then": form})
    one = {"type": "object", "properties": {"type": {"enum": list(TYPES)}}, "allOf": cases}
    return {"type": "object", "description": "how a volume is stored; local when nothing is said",
            "additionalProperties": one}  # fmt: skip
