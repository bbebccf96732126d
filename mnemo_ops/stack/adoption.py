"""The files that say of an adopted project what mnemo_ops has to know: an inventory, and ``mnemo.yml``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.core.visible import in_a_line

OURS = "# Written by mnemo-ops adopt. It is yours now: nothing writes it again.\n"
COLUMNS = 120


@dataclass(frozen=True)
class Adopted:
    """A project as its host tells of it.

    :param told: the report of ``look_at_project``. :param host: the inventory's name of its host.
    """

    project: str
    host: str
    told: Mapping[str, Any]

    @property
    def directory(self) -> str:
        return str(self.told["directory"])

    @property
    def compose_files(self) -> list[str]:
        return [row["name"] for row in self.told["files"]]

    @property
    def env_file(self) -> str:
        """Its name below the project's directory; empty: there is none."""
        return str(self.told["env_file"]["name"]) if self.told["env_file"] else ""

    @property
    def to_waive(self) -> dict[str, str]:
        """What no backup holds and every backup refuses, as ``waived`` takes it -> what it is."""
        pairs = [text.partition(" (") for text in self.told["forgotten"]]
        return {key: what.removesuffix(")") for key, _, what in pairs}

    @property
    def outer(self) -> dict[str, str]:
        """Volumes that are not called after the project: key -> Docker's name."""
        every = [row["dataset"] for row in self.rows("dataset") if row["dataset"]]
        return {each["volume"]: each["docker"] for each in every if each["docker"]}

    def rows(self, topic: str) -> list[Mapping[str, Any]]:
        return [row for row in self.told["rows"] if row["topic"] == topic]


def stack_variable(found: Adopted, source: str) -> dict[str, str]:
    """``stack`` of the inventory. :param source: the project's files, from where the inventory lies."""
    return {"project": found.project, "directory": found.directory, "source": source}


def inventory(found: Adopted, source: str, variables: Mapping[str, Any]) -> str:
    """A whole inventory. :param variables: how the host is reached."""
    stack = "".join(f"      {key}: {_text(value)}\n" for key, value in stack_variable(found, source).items())
    return (
        f"{OURS}all:\n  vars:\n    stack:\n{stack}  hosts:\n    {_text(found.host)}: {_flow(variables)}\n"
        f"    # a second host, to migrate to: mnemo-ops migrate --from {found.host} --to new\n"
        "    # new: {ansible_host: ADDRESS, ansible_user: root}\n"
    )


def host_variables(found: Adopted, source: str) -> str:
    """The file of ``host_vars`` for a host that the inventory has."""
    stack = "".join(f"  {key}: {_text(value)}\n" for key, value in stack_variable(found, source).items())
    return f"{OURS}stack:\n{stack}"


def mnemo_yml(found: Adopted) -> str:
    """``mnemo.yml``: what Compose's files do not say; as comments what is read anew each time, or nobody could know."""
    return "".join(f"{line}\n" for line in _lines(found))


def _lines(found: Adopted) -> Iterator[str]:
    yield OURS.rstrip("\n")
    yield f"project: {_text(found.project)}"
    yield f"compose_files: [{', '.join(map(_text, found.compose_files))}]"
    if found.env_file:
        yield f"env_file: {_text(found.env_file)}"
    if found.env_file not in ("", ".env"):
        yield f"env_name: {_text(found.env_file)}"
    if found.outer:
        yield "# not called after the project, so that each must be there before: docker volume create NAME"
        yield "volumes:"
        yield from (f"  {_text(key)}: {{type: external, name: {_text(name)}}}" for key, name in found.outer.items())
    yield ""
    yield "# What must survive follows from the project on its host each time; mnemo-ops stack.show says why."
    yield "# Name datasets here to overrule that: all of them, or none."
    yield "#"
    yield "# Every mount of every container, and what becomes of it:"
    for row in found.told["mounts"]:
        yield _comment(f"{row['service']}:{row['target']} ({row['source']}): {row['becomes']}")
    yield from _waive(found)
    yield from _told(found, "may be waived", "Use fills these again, so they may be waived, too:")
    yield from _told(found, "no backup holds", "No backup holds these; whoever makes the containers anew loses them:")
    yield from _told(found, "around it", "Of the host, not of the project: named, and not carried to another host:")
    if found.told["notes"]:
        yield from ("#", "# What adopt could not know, or is other than it seems:")
        yield from map(_comment, found.told["notes"])


def _waive(found: Adopted) -> Iterator[str]:
    if found.to_waive:
        yield "#"
        yield "# backup and migrate refuse until each of these is waived with a reason, or mounted as a named volume:"
        yield "# waived:"
        for key, what in found.to_waive.items():
            yield _comment(f"{json.dumps(key, ensure_ascii=False)}: {what}")


def _told(found: Adopted, topic: str, sentence: str) -> Iterator[str]:
    rows = found.rows(topic)
    if rows:
        yield from ("#", f"# {sentence}")
        yield from (_comment(f"{row['what']}: {row['value']}; {row['reason']}") for row in rows)


def _comment(text: str) -> str:
    """A line that is a comment whatever somebody else's text in it says."""
    return f"#   {in_a_line(text)}"


def _text(value: str) -> str:
    """A text in YAML; in quotes where it could be something else."""
    plain = value.isascii() and value.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum()
    return value if plain and (value[0].isalpha() or value[0] == "/") and value not in _WORDS else json.dumps(value)


_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")


def _flow(values: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_value(value)}" for key, value in values.items()) + "}"


def _value(value: Any) -> str:
    return str(value) if isinstance(value, int) else _text(value)


def differing(stack: Mapping[str, Any], wanted: Mapping[str, str]) -> Sequence[str]:
    """Keys of ``stack`` that another value is needed for. :param stack: as an inventory has it already."""
    return [key for key, value in wanted.items() if stack.get(key) != value]
