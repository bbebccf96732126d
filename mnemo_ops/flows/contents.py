"""What a backup holds, and what a restore replaces by what: one form of both, for programs and for people.

Counts, sizes and names alone: neither settings nor anything of a password, hashed or not.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Optional

from mnemo_ops.agent.actions.catalogue import ShowSet
from mnemo_ops.agent.stack.manifest import Saved
from mnemo_ops.core.model import Host
from mnemo_ops.core.visible import folded, in_a_line
from mnemo_ops.execution.progress_bars import size
from mnemo_ops.flows.backup import age, condition, pick
from mnemo_ops.flows.engine import Flow

COLUMNS, LONG, MANY = 80, 40, 20  # characters of a line and of a name; names of a list before a restore

Row = dict[str, Any]
_ROWS = re.compile(r"(\d{1,18}) \(")  # of a table, as the proof of a cluster tells them


def show(flow: Flow, host: Host, wanted: str, check: bool = False) -> Row:
    """What a backup says of itself and holds.

    :param wanted: ``latest``, a time, a set's id or the beginning of one. :param check: read all of it.
    :raises Refused: none or several match (3).
    """
    id = pick(flow, host, wanted, "invoke backup.show")
    return described(flow.act(host, ShowSet(flow.declared(host).store, id, check)))


# -- for programs --------------------------------------------------------------------------------------------------


def described(told: Mapping[str, Any]) -> Row:
    """A set and what it holds; of one that cannot be used only what a list says of it. :param told: by the host."""
    found, holds = dict(told["set"]), told["holds"]
    if holds is None or "parts" not in found:
        return found
    volumes = {
        key: {"driver": one["driver"], "device": one["options"]["device"]} for key, one in holds["volumes"].items()
    }
    return {
        **found,
        **{name: holds[name] for name in ("format", "tool", "accepted_losses")},
        "datasets": [of_dataset(name, facts) for name, facts in holds["datasets"].items()],
        "volumes": volumes,
    }


def replaced(told: Mapping[str, Any]) -> Row:
    """What a restore replaces, dataset by dataset: ``before`` and ``after``. :param told: by the host."""
    return {
        name: {"before": _of_today(both["now"]), "after": of_dataset(name, both["comes"])}
        for name, both in told.items()
    }


def of_dataset(name: str, facts: Mapping[str, Any]) -> Row:
    """A dataset of a set. :param facts: of its manifest."""
    found = {"name": name, "kind": facts["kind"], "bytes": facts["bytes"]}
    if facts["kind"] != "postgres":
        return {**found, "files": _count(facts.get("files")), "left_out": list(facts["left_out"])}
    if Saved(name, facts).earlier:  # neither its name nor any role is in the set
        tables = {
            key: _count(one.get("rows") if isinstance(one, dict) else None) for key, one in facts["tables"].items()
        }
        versions = {key: one if isinstance(one, str) else "" for key, one in facts["extensions"].items()}
        only = _database("", facts, versions, tables)
        return {**found, "version": str(facts["major"]), "roles": None, "databases": [only]}
    databases = []
    for database in sorted(facts["files"]):
        one, rows = facts["databases"][database], facts["rows"].get(database, {})
        counts = {key[len("rows of ") :]: _told(text) for key, text in rows.items() if key.startswith("rows of ")}
        databases.append(_database(database, one, _versions(one), counts))
    told = {"version": facts["version"], "roles": _roles(facts), "databases": databases}
    return {**found, **told, "left_out": list(facts["left_out"])}


def _database(name: str, facts: Mapping[str, Any], versions: Row, tables: Mapping[str, Optional[int]]) -> Row:
    counts = list(tables.values())
    rows = None if None in counts else sum(one or 0 for one in counts)
    head = {"name": name, "bytes": facts["bytes"], "encoding": facts["encoding"], "extensions": versions}
    return {**head, "rows": rows, "tables": dict(sorted(tables.items()))}


def _of_today(facts: Mapping[str, Any]) -> Row:
    """What is there now, as a look told it: rows are about as many."""
    if "databases" not in facts:
        return dict(facts)
    databases = [
        {**{key: one[key] for key in ("bytes", "encoding", "rows")}, "name": name, "extensions": _versions(one)}
        for name, one in sorted(facts["databases"].items())
    ]
    total = sum(one["bytes"] for one in databases)
    return {"version": facts["version"], "bytes": total, "roles": _roles(facts), "databases": databases}


def _versions(facts: Mapping[str, Any]) -> Row:
    return {one["name"]: one["version"] for one in facts["extensions"].values()}


def _roles(facts: Mapping[str, Any]) -> list[str]:
    """Without those that every server has."""
    return sorted(name for name in facts["roles"] if not name.startswith("pg_"))


def _count(given: Any) -> Optional[int]:
    return given if type(given) is int and 0 <= given < 1 << 63 else None


def _told(text: str) -> Optional[int]:
    found = _ROWS.match(text)
    return int(found[1]) if found else None


# -- for people ----------------------------------------------------------------------------------------------------


def table(found: Row, host: str, parts: bool = False, tables: bool = False) -> list[str]:
    """What :func:`show` found, in lines of 80 columns. :param parts: also its files. :param tables: also each table."""
    return _folded(_table(found, host, parts, tables))


def _table(found: Row, host: str, parts: bool, tables: bool) -> Iterator[str]:
    yield f"{found['id']} on {host}: {in_a_line(condition(found))}"
    yield f"  made         {_when(found['created'])}, {age(found['created'])} ago{_by(found)}"
    if "parts" not in found:  # its manifest says no more than that it cannot be used
        if found["state"] == "newer":
            yield f"  why          {in_a_line(found['why'])}"
        yield f"  size         {size(found['bytes'])}; what it holds is unknown, since its manifest cannot be used"
        return
    yield f"  consistency  {_name(found['consistency'])}"
    proof = found["verified"]
    yield "  verified     " + (f"restored and compared {age(proof['at'])} ago" if proof else "never restored")
    yield f"  size         {size(found['bytes'])} in {_many(len(found['parts']), 'part')}"
    for loss in found.get("accepted_losses", ()):
        yield f"  lost         {in_a_line(loss)}"
    for dataset in found.get("datasets", ()):
        version = f" {_name(dataset['version'].partition(' ')[0])}" if "version" in dataset else ""
        yield f"  {_name(dataset['name']):<11}  {_name(dataset['kind'])}{version}, {_extent(dataset)}"
        for left in dataset.get("left_out", ()):
            yield f"    not in the backup: {in_a_line(left)}"
        yield from _cluster(dataset, tables)
    for key, volume in found.get("volumes", {}).items():
        yield f"  volume       {_name(key)}: {_name(volume['driver'])}" + (
            f", {in_a_line(volume['device'])}" if volume["device"] else ""
        )
    for part in found["parts"] if parts else ():
        yield f"  part         {size(part['bytes']):>9}  {in_a_line(part['name'])}"


def _by(found: Row) -> str:
    host = f", of {_name(found['host'])}" if found.get("host") else ""
    tool = f", by mnemo_ops {_name(found['tool'])}" if found.get("tool") else ""
    run = f", for the migration {_name(found['migration'])}" if found.get("migration") else ""
    return f"{host}{tool}{run}"


def _cluster(dataset: Row, tables: bool) -> Iterator[str]:
    if "databases" not in dataset:
        return
    if dataset["roles"] is None:
        yield "    made by an earlier mnemo_ops: it holds one database, and no owners, rights or roles"
    else:
        yield f"    roles: {', '.join(map(_name, dataset['roles']))}"
    yield f"    {'DATABASE':<26} {'SIZE':>9}  {'ENCODING':<10} {'TABLES':>7} {'ROWS':>13}"
    for one in dataset["databases"]:
        name, rows = _called(one), "unknown" if one["rows"] is None else one["rows"]
        columns = f"{size(one['bytes']):>9}  {_name(one['encoding']):<10} {len(one['tables']):>7} {rows:>13}"
        yield f"    {name:<26} {columns}"
        added = [
            f"{_name(key)} {_name(text)}" for key, text in one["extensions"].items() if key != "plpgsql"
        ]  # all have
        if added:
            yield f"      extensions: {', '.join(added)}"
        for table, count in one["tables"].items() if tables else ():
            yield f"      {in_a_line(table)}: " + ("unknown" if count is None else _many(count, "row"))


def lines(replaces: Row) -> list[str]:
    """What :func:`replaced` found, in lines of 80 columns."""
    return _folded(line for name, both in replaces.items() for line in _lines(name, both["before"], both["after"]))


def _folded(lines: Iterable[str]) -> list[str]:
    return [one for line in lines for one in folded(line, COLUMNS).split("\n")]


def _lines(name: str, before: Row, after: Row) -> Iterator[str]:
    if "why" in before:
        yield f"  {_name(name)}: unknown -> {_extent(after)}; {in_a_line(before['why'])}"
        return
    yield f"  {_name(name)}: {_extent(before, 'about ')} -> {_extent(after)}"
    if ("databases" in before) is not ("databases" in after) or after.get("roles", []) is None:
        return  # of an earlier version: it says neither names nor roles
    if "databases" in before:
        old, new = ({one["name"]: one for one in side["databases"]} for side in (before, after))
        for key in [one for one in new if one in old][:MANY]:
            yield f"    {_name(key)}: {_rows(old[key], 'about ')} -> {_rows(new[key])}"
        for what, was, will in (("databases", old, new), ("roles", before["roles"], after["roles"])):
            yield from _moves(what, "go", [one for one in was if one not in will])
            yield from _moves(what, "come", [one for one in will if one not in was])


def _moves(what: str, how: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - MANY} more" if len(names) > MANY else ""
        yield f"    {what} that {how}: {', '.join(map(_name, names[:MANY]))}{more}"


def _extent(dataset: Row, about: str = "") -> str:
    """How much it is. :param about: before what was not counted."""
    if "databases" not in dataset:
        files = [] if dataset["files"] is None else [_many(dataset["files"], "file")]
        return ", ".join([*files, size(dataset["bytes"])])
    rows = [one["rows"] for one in dataset["databases"] if one["rows"] is not None]
    total = f", {about}{_many(sum(rows), 'row')}" if rows else ""
    return f"{_many(len(dataset['databases']), 'database')}, {size(dataset['bytes'])}{total}"


def _rows(one: Row, about: str = "") -> str:
    return size(one["bytes"]) + ("" if one["rows"] is None else f", {about}{_many(one['rows'], 'row')}")


def _called(one: Row) -> str:
    return _name(one["name"]) or "(name unknown)"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _name(text: str) -> str:
    """What somebody else called a thing, in one line and no longer than a line can bear."""
    shown = in_a_line(text)
    return shown if len(shown) <= LONG else f"{shown[: LONG - 3]}..."


def _when(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):  # no calendar has it
        return "at no known time"
