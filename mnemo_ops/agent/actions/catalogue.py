"""The catalogue of a store: every set with what is known of it, and nothing called by more than was looked at."""

from __future__ import annotations

import calendar
import hashlib
import json
import re
import time
from typing import Any, ClassVar, Dict, Generator, List

from mnemo_ops.agent.base import validators
from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.base.record import asdict, dataclass
from mnemo_ops.agent.base.run_id import RUN_ID
from mnemo_ops.agent.base.validators import PartName
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.manifest import FORMAT, NAME, OTHER, Part, format_of, read_manifest
from mnemo_ops.errors import MnemoError, Refused, named

CHUNK = 1 << 20
SHOWN = 16  # chunks between two signs of life
ID = re.compile(RUN_ID, re.ASCII)

Row = Dict[str, Any]


@dataclass(frozen=True)
class ListSets(Action):
    """Every set in the store, newest first; what has no manifest is listed as incomplete.

    ``state``: complete, damaged, unreadable, newer (its format) or incomplete; ``checked``: how that is known, by the
    ``sizes`` of its parts or by their ``checksums``; ``why`` says what is wrong.

    :param check: read every part and compare its checksum.
    """

    store: str
    check: bool = False
    kind: ClassVar[str] = "list_sets"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        found = rows(machine, self.store)
        if self.check:
            yield from _check(machine, self.store, [row for row in found if row["state"] in ("complete", "damaged")])
        return {"sets": found}


@dataclass(frozen=True)
class ShowSet(Action):
    """One set: its row as of :class:`ListSets`, and ``holds``: what its manifest says, where that can be used.

    :param check: as of :class:`ListSets`. :raises Refused: there is no such set (3).
    """

    store: str
    id: PartName
    check: bool = False
    kind: ClassVar[str] = "show_set"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        found = [row for row in rows(machine, self.store) if row["id"] == self.id]
        if not found:
            raise Refused(f"{self.store} has no backup {self.id}", hint=OTHER)
        if "parts" not in found[0]:
            return {"set": found[0]}
        if self.check:
            yield from _check(machine, self.store, found)
        said = read_manifest(machine, f"{self.store}/{self.id}").to_json()
        return {"set": found[0], "holds": {**said, "tool": str(said.get("tool", ""))}}


def rows(machine: Machine, store: str) -> List[Row]:
    """Every set in a store by its sizes, newest first."""
    found = []
    for name in machine.names(store):
        directory = machine.stat(f"{store}/{name}")
        if directory is None or directory.kind != "directory":
            continue
        row = _row(machine, f"{store}/{name}", name)
        if not isinstance(row.get("created"), (int, float)):
            row["created"] = _created(name, directory.mtime_ns / 1e9)
        found.append(row)
    return sorted(found, key=lambda row: (row["created"], row["id"]), reverse=True)


def _created(name: str, changed: float) -> float:
    """When what says it nowhere else was made: its name does, where it is one of ours."""
    try:
        return float(calendar.timegm(time.strptime(name[:16], "%Y%m%dT%H%M%SZ"))) if ID.match(name) else changed
    except ValueError:  # a 13th month
        return changed


def _row(machine: Machine, directory: str, name: str) -> Row:
    if machine.stat(f"{directory}/{NAME}") is None or name.endswith(".partial"):
        return {"id": name, "state": "incomplete", "bytes": tree.size(machine, directory)}
    try:
        manifest = read_manifest(machine, directory)
        wrong = [_size_differs(machine, directory, part) for part in manifest.parts]
        return {
            "id": name,
            "state": "damaged" if any(wrong) else "complete",
            "checked": "sizes",
            "why": "; ".join(each for each in wrong if each),
            "created": manifest.created,
            "host": manifest.host,
            "consistency": manifest.consistency,
            "bytes": manifest.bytes,
            "parts": [asdict(part) for part in manifest.parts],
            "verified": _proof(_json(machine.read_text(f"{directory}/verified.json"))),
            "migration": manifest.migration,
        }
    except MnemoError as error:
        number = format_of(machine.read_text(f"{directory}/{NAME}") or "")
        state = {"state": "newer", "format": number} if number > FORMAT else {"state": "unreadable"}
        return {"id": name, **state, "why": error.message, "bytes": tree.size(machine, directory)}
    except (OSError, ValueError) as error:  # not even text
        why = f"its manifest cannot be used: {named(error)}"
        return {"id": name, "state": "unreadable", "why": why, "bytes": tree.size(machine, directory)}


def _size_differs(machine: Machine, directory: str, part: Part) -> str:
    found = machine.stat(f"{directory}/{part.name}")
    if found is None:
        return f"{part.name} is missing"
    size = part.bytes
    return "" if found.size == size else f"{part.name} has {found.size} bytes, {size} in the manifest"


def _json(text: Any) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None


def _proof(found: Any) -> Any:
    """That a set was restored and compared; ``None`` where what says so has no time."""
    try:
        return {
            "at": validators.moment(found["at"]),
            **{name: str(found.get(name, "")) for name in ("level", "result")},
        }
    except (Refused, TypeError, KeyError):
        return None


def _check(machine: Machine, store: str, found: List[Row]) -> Deed:
    """Note in each row which of its parts differ from their checksums."""
    total, done = sum(int(row["bytes"]) for row in found), 0
    for row in found:
        wrong = []
        for part in (Part(**each) for each in row["parts"]):
            why = _size_differs(machine, f"{store}/{row['id']}", part)
            if not why:
                note = f"checksum of {part.name} of {row['id']}"
                digest = yield from _sha256(machine, f"{store}/{row['id']}/{part.name}", done, total, note)
                why = "" if digest == part.sha256 else f"{part.name} does not have the checksum of the manifest"
            wrong.append(why)
            done += part.bytes
        row.update(
            checked="checksums", state="damaged" if any(wrong) else "complete", why="; ".join(filter(None, wrong))
        )
    return {}


def _sha256(machine: Machine, path: str, done: int, total: int, note: str) -> Generator[Progress, None, str]:
    digest = hashlib.sha256()
    yield Progress(done, total, note)
    try:
        with machine.open(path) as file:
            for number, chunk in enumerate(iter(lambda: file.read(CHUNK), b"")):
                digest.update(chunk)
                done += len(chunk)
                if number % SHOWN == SHOWN - 1:
                    yield Progress(done, total, note)
    except OSError:  # a medium that cannot be read is a part that is not as it was
        return ""
    return digest.hexdigest()
