"""The namespace of all tasks, for ``tasks.py`` and for the console script ``mnemo-ops``."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.exceptions import Exit, ParseError, UnknownFileType
from invoke.parser import Parser
from invoke.program import Program

from mnemo_ops import __version__
from mnemo_ops.cli import adopt, explain, flags, hosts, lab, locks, project, provision, runs, secrets, stack, storage
from mnemo_ops.errors import UsageError, reason
from mnemo_ops.execution.report import say_no_more

FORMATS = ("flat", "nested", "json")


def namespace() -> Collection:
    """Every task under the name cli.md gives it."""
    root = Collection()
    for task in (provision.bootstrap, provision.docker_install, storage.volumes, provision.play):
        root.add_task(task)
    root.add_task(storage.nfs_setup)
    for task in (provision.docs, provision.schema, explain.explain):
        root.add_task(task)
    for task in (stack.deploy, stack.restore, stack.migrate):
        root.add_task(task)
    root.add_task(runs.runs)
    root.add_task(adopt.adopt)
    sets = [stack.backup_list, stack.backup_show, stack.backup_prune]
    root.add_collection(_collection("backup", sets, default=stack.backup_create))
    root.add_collection(_collection("hosts", [hosts.trust]))
    root.add_collection(_collection("stack", [project.show]))
    root.add_collection(_collection("lock", [locks.status, locks.release]))
    vault = [secrets.encrypt, secrets.encrypt_string, secrets.decrypt, secrets.edit, secrets.view, secrets.rekey]
    root.add_collection(_collection("secrets", [*vault, secrets.check]))
    root.add_collection(_collection("lab", [lab.up, lab.down, lab.status, lab.ssh]))
    return root


def _collection(name: str, tasks: list[Any], default: Any = None) -> Collection:
    found = Collection(name)
    if default is not None:
        found.add_task(default, default=True)
    for task in tasks:
        found.add_task(task)
    return found


class _Program(Program):
    """What it does not know is a usage error (2) that names the next command, not invoke's 1 or a traceback."""

    @cached_property
    def _known(self) -> Parser:
        return super()._make_parser()

    def _make_parser(self) -> Parser:
        return self._known  # made again, the help texts were gone: invoke takes them out of the tasks

    def parse_core(self, argv: Any) -> None:
        with _usage():
            super().parse_core(argv)
            wanted = self.args["list-format"].value
            if wanted not in FORMATS:
                raise UsageError(f"there is no --list-format {wanted}", hint=f"one of: {', '.join(FORMATS)}")

    def parse_tasks(self) -> None:
        with _usage():
            wanted = flags.proof(self.core.unparsed, self._known.contexts)
            if wanted:  # invoke would take the word for the playbook
                self.args["help"].value, self.core.unparsed = wanted, []
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        with _usage():
            try:
                super().parse_cleanup()
            except ValueError:
                if not self.args.complete.value:
                    raise
                raise Exit from None  # TAB behind a quote that is still open

    def update_config(self, merge: bool = True) -> None:
        with _usage():
            super().update_config(merge)


@contextlib.contextmanager
def _usage() -> Iterator[None]:
    hint = f"{flags.PROGRAM} --list names the tasks, {flags.PROGRAM} --help the options before them"
    try:
        yield
    except UsageError as error:
        raise Exit(f"ERROR {error.code} {error}\n  -> {error.hint or hint}", error.exit_code) from None
    except Exit as error:
        if not error.message:
            raise
        raise Exit(f"ERROR {UsageError.code} {error.message}\n  -> {hint}", UsageError.exit_code) from None
    except ParseError as error:
        task = error.context.name if error.context else ""
        raise Exit(
            f"ERROR {UsageError.code} {error}\n  -> {f'{flags.PROGRAM} --help {task}' if task else hint}",
            UsageError.exit_code,
        ) from None
    except (ValueError, OSError, UnknownFileType) as error:
        raise Exit(
            f"ERROR {UsageError.code} an option before the task: {reason(error)}\n  -> {hint}", UsageError.exit_code
        ) from None


class _Outliving(io.FileIO):
    """A pipe whose reader may go away: what is written to it from then on goes nowhere."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            say_no_more(self)
            return len(memoryview(data))


def outlive_readers() -> None:
    """``| head`` ends no command, nor does ``>&-``: neither the work on a host, nor with another exit code."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - it stays open
        elif mode == "w":
            with contextlib.suppress(AttributeError, OSError, ValueError):  # it is none of the system's
                pipe = io.BufferedWriter(_Outliving(stream.fileno(), "wb", closefd=False))
                lines = stream.line_buffering
                setattr(sys, name, io.TextIOWrapper(pipe, stream.encoding, stream.errors, line_buffering=lines))


def main() -> None:
    """Entry point of ``mnemo-ops``."""
    outlive_readers()
    _Program(name=flags.PROGRAM, binary=flags.PROGRAM, version=__version__, namespace=namespace()).run()
