"""A project's own files, found by what its containers say of them, and resolved by Compose. Nothing is written."""

from __future__ import annotations

import posixpath
from typing import List, Mapping, Sequence, Tuple

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import PROJECT, Found
from mnemo_ops.agent.stack.project.model import Model, parse
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import CommandFailed, Refused

LABEL = PROJECT + "."
SHORTEST = 4  # characters of a value that is masked


@dataclass(frozen=True)
class Source:
    """Where a project is read from. :param container: whose labels say so; empty: the stack's settings do.
    :param moved: why the settings do, although there are labels.
    """

    directory: str
    files: Tuple[str, ...]
    env_files: Tuple[str, ...]
    container: str = ""
    moved: str = ""


def source(machine: Machine, stack: Stack, found: Found) -> Source:
    """As the container says that was started last; as the stack says where none does, or its files were moved away and
    those of the stack are there."""
    told = [each for each in found if each.labels.get(LABEL + "config_files")]
    env = tuple(posixpath.join(stack.directory, name) for name in (stack.env_file,) if name)
    own = Source(stack.directory, tuple(posixpath.join(stack.directory, name) for name in stack.files), env)
    if not told:
        return own
    last = max(told, key=lambda each: (each.running, each.started))
    directory = last.labels.get(LABEL + "working_dir") or stack.directory
    files, env = (_paths(directory, last.labels, key) for key in ("config_files", "environment_file"))
    gone = _gone(machine, (*files, *env))
    if gone and own.files and not _gone(machine, (*own.files, *own.env_files)):
        return replace(own, moved=f"{last.name} was started from {', '.join(gone)}, which is not there any more")
    return Source(directory, files, env, last.name)


def _gone(machine: Machine, paths: Sequence[str]) -> List[str]:
    return [path for path in paths if machine.stat(path, follow=True) is None]


def _paths(directory: str, labels: Mapping[str, str], key: str) -> Tuple[str, ...]:
    return tuple(posixpath.join(directory, each) for each in labels.get(LABEL + key, "").split(",") if each)


def read(machine: Machine, project: str, where: Source) -> Model:
    """What its files describe, with every profile.

    :raises Refused: a file of it is gone, or Compose is not here (3). :raises CommandFailed: Compose's words (6).
    """
    if machine.ask(["docker", "compose", "version"], check=False).rc != 0:
        raise Refused("Docker has no Compose on this host", hint="`invoke bootstrap` installs it")
    gone = _gone(machine, (*where.files, *where.env_files))
    if gone or not where.files:
        who = f"the container {where.container} was" if where.container else "the stack is to be"
        raise Refused(
            f"{who} started from {', '.join(gone) or 'no file'}, which is not there",
            hint="put them back, or `invoke deploy`, or name where they are now: `invoke adopt --source DIR`",
        )
    words: List[str] = ["docker", "compose", "--project-directory", where.directory, "-p", project, "--profile", "*"]
    words += [word for path in where.env_files for word in ("--env-file", path)]
    words += [word for path in where.files for word in ("-f", path)]
    done = machine.ask([*words, "config", "--format", "json"], check=False)
    if done.rc != 0:
        told = _masked(machine, done.err, (*where.env_files, f"{where.directory}/.env"))
        said = "; ".join(each_line(told.strip())[-3:])
        raise CommandFailed(f"Compose cannot read {', '.join(where.files)}: {said}", hint="correct the file it names")
    return parse(done.out)


def _masked(machine: Machine, text: str, env_files: Sequence[str]) -> str:
    """Without what env files say: Compose quotes values that it cannot use."""
    lines = [line for path in env_files for line in each_line(machine.read_text(path) or "")]
    values = [line.partition("=")[2].strip().strip("\"'") for line in lines]
    for each in sorted((value for value in values if len(value) >= SHORTEST), key=len, reverse=True):
        text = text.replace(each, "***")
    return text
