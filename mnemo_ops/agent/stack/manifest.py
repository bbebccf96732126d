"""What a set says of itself: its files and its datasets, read strictly, and the files compared with what it says.

The manifest is written last of all: without one there is no backup. Names of files are made here, for both ends.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from mnemo_ops.agent.base import validators
from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.base.record import asdict, dataclass, field
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Refused, VerificationFailed

FORMAT = 3  # a newer one is refused
NAME = "manifest.json"
SIGNATURE = "manifest.sig"
OTHER = "choose another backup: invoke backup.list"
_ENDS = {"postgres": "dump", "config": "tar.age", "files": "tar.zst", "redis": "tar.zst"}


@dataclass(frozen=True)
class Part:
    """A file of a set."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Saved:
    """A dataset as a set holds it. :param facts: its kind, and what a restore of that kind compares and makes."""

    name: str
    facts: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.facts["kind"])

    @property
    def earlier(self) -> bool:
        """One database of an earlier version, in one file."""
        return self.kind == "postgres" and "files" not in self.facts

    @property
    def file(self) -> str:
        """Its archive, where there is one."""
        return f"{self.name}.{_ENDS[self.kind]}"

    @property
    def files(self) -> List[str]:
        """Every file of the set without which it cannot be put in place."""
        if self.kind != "postgres" or self.earlier:
            return [self.file]
        return [self.facts["secrets"], *self.facts["files"].values()]

    def differences(self, machine: Machine, directory: str, place: str) -> List[str]:
        """Where what lies in ``place`` differs from what was saved; empty: nowhere. :param directory: the set's."""
        # older sets were made without attributes, or without times
        rows = list(tree.entries(machine, place, attributes="attributes" in self.facts, times="times" in self.facts))
        found = tree.summary(rows)
        same_times = tree.coarse(rows) or found["times"] == self.facts.get("times", found["times"])
        if found["sha256"] == self.facts["sha256"] and same_times:
            return []
        return list(compare_files(machine, directory, self.name, rows)) or [f"not the files that {NAME} sums up"]


@dataclass(frozen=True)
class Manifest:
    """:param project: of the stack. :param created: seconds since the epoch.
    :param volumes: compose key -> driver, options and labels of every volume of the project.
    :param accepted_losses: what the database had that this set does not hold, a sentence each.
    :param migration: the run that made it to move the stack. :param more: what is there for people.
    """

    id: str
    project: str
    created: float
    consistency: str
    parts: Tuple[Part, ...]
    datasets: Tuple[Saved, ...]
    volumes: Mapping[str, Dict[str, Any]]
    accepted_losses: Tuple[str, ...] = ()
    host: str = ""
    migration: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def from_json(cls, data: Any) -> Manifest:
        """:raises Refused: a field is missing, or none that paths and commands may be made of (3)."""
        said = _FORM(data)
        parts = tuple(Part(**each) for each in said.pop("parts"))
        datasets = tuple(Saved(name, facts) for name, facts in said.pop("datasets").items())
        losses = tuple(said.pop("accepted_losses"))
        more = {name: data[name] for name in data if name not in _FIELDS}
        return cls(parts=parts, datasets=datasets, accepted_losses=losses, more=more, **said)

    def to_json(self) -> Dict[str, Any]:
        said, datasets = asdict(self), {each.name: dict(each.facts) for each in self.datasets}
        return {"format": self.format, **said.pop("more"), **said, "datasets": datasets}

    def saved(self, name: str) -> Saved:
        """:raises Refused: it holds no such dataset (3)."""
        for each in self.datasets:
            if each.name == name:
                return each
        raise Refused(f"the backup {self.id} does not hold {name}", hint=OTHER)

    @property
    def sealed(self) -> List[str]:
        """Files that open with a key alone, besides the stack's own."""
        return [each.facts["secrets"] for each in self.datasets if each.kind == "postgres" and not each.earlier]

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


def _format(given: Any) -> int:
    if type(given) is not int or not 1 <= given <= FORMAT:
        raise validators.wrong(given, "format of a backup")
    return given


_TEXTS = validators.table(validators.text, validators.text)
_FIELDS: Mapping[str, validators.Parse] = {
    "format": _format,
    "id": validators.run_id,
    "project": validators.text,
    "created": validators.moment,
    "consistency": validators.text,
    "parts": validators.each(
        validators.row(name=validators.part_name, bytes=validators.size, sha256=validators.sha256)
    ),
    "datasets": validators.table(validators.part_name, validators.facts),
    "volumes": validators.table(validators.text, validators.row(driver=validators.text, options=_TEXTS, labels=_TEXTS)),
    # of earlier versions
    "accepted_losses": validators.perhaps(validators.each(validators.text), ()),
    "host": validators.perhaps(validators.text, ""),
    "migration": validators.perhaps(validators.text, ""),
}
_FORM = validators.row(**_FIELDS)


def listing_of(name: str) -> str:
    """The file of a set that names every file of a dataset."""
    return f"{name}.files"


def read_manifest(machine: Machine, directory: str, sha256: str = "") -> Manifest:
    """The manifest of the set in a directory. :param sha256: it must have, if any.

    :raises Refused: no manifest, a newer format, or one that cannot be used: the set is no backup (3).
    :raises VerificationFailed: it has another sum (7).
    """
    path = f"{directory}/{NAME}"
    text = machine.read_text(path)
    if text is None:
        raise Refused(
            f"{directory} has no {NAME}: it is not a complete backup", hint="invoke backup.list shows the complete ones"
        )
    if sha256 and hashlib.sha256(text.encode()).hexdigest() != sha256:
        raise VerificationFailed(f"somebody changed {path}", hint=OTHER)
    number = format_of(text)
    if number > FORMAT:
        raise Refused(f"{directory} was written by a newer mnemo_ops (format {number})", hint="update mnemo_ops")
    with validators.by(path, OTHER):
        return Manifest.from_json(_loaded(text))


def format_of(text: str) -> int:
    """The format that a manifest says it has; 0: none that could be one."""
    data = _loaded(text)
    number = data.get("format") if isinstance(data, dict) else None
    return number if type(number) is int and 0 <= number < 1 << 31 else 0


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def prove_bytes(machine: Machine, directory: str, manifest: Manifest) -> Deed:
    """Compare every part with its checksum. :raises VerificationFailed: names each part that differs (7)."""
    wrong: List[str] = []
    done = 0
    for part in manifest.parts:
        yield Progress(done, manifest.bytes, f"checksum of {part.name}")
        found = machine.sha256(f"{directory}/{part.name}")
        if found is None:
            wrong.append(f"{part.name} is missing")
        elif found != part.sha256:
            wrong.append(f"{part.name} does not have the checksum of the manifest")
        done += part.bytes
    if wrong:
        raise VerificationFailed(
            f"the backup {posixpath.basename(directory)} is damaged: {'; '.join(wrong)}", hint=OTHER
        )
    return {"bytes": manifest.bytes}


def compare_files(machine: Machine, directory: str, name: str, rows: Sequence[Mapping[str, Any]]) -> Tuple[str, ...]:
    """Differences between a dataset's listing in the set and what is there now."""
    text = machine.read_text(f"{directory}/{listing_of(name)}") or ""
    try:
        return tuple(tree.differences([json.loads(line) for line in each_line(text)], rows))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # it only says where to look
        return (f"{listing_of(name)} cannot be read",)
