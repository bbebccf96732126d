"""What a restore replaced: both sides lie beside each other, and either can be put in place, at any point and again.

A plan is written down before anything relies on it, and everything that undoes it names its ``stamp``: the undoing of
one restore does nothing to another. What was live is renamed, never removed. While a restore is at work its plan is
``pending``; the last one that came to its end is the project's ``record``.
"""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any, Dict, List, Optional

from mnemo_ops.agent.base.run_id import RUN_ID
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Broken

BEFORE, AFTER = "before", "after"  # the sides: what was there, and what the restore brought
SCRATCH = "scratch"  # where a side is made by a server of its own
# how far a pending restore came: nothing is renamed yet; perhaps some; all, and somebody may have written to it; it
# does not start, and is to be taken back; that is done, and what was written to it meanwhile is kept
LOADING, SWAPPING, STARTING, FAILED, ASIDE = "loading", "swapping", "starting", "failed", "aside"

Plan = Dict[str, Any]


def sibling(path: str, word: str, stamp: str) -> str:
    """A name beside ``path`` on the same file system, left out of every set."""
    return f"{posixpath.dirname(path)}/{tree.OURS}{word}-{stamp}-{posixpath.basename(path)}"


def container(stamp: str) -> str:
    """The name of the server that makes a side of this restore."""
    return f"mnemo-scratch-{stamp}"


def identity_path(machine: Machine, stamp: str) -> str:
    """The file, in memory, of the key that opens what is secret while it is unpacked."""
    return f"{machine.runtime_dir}/{stamp}.key"


def plan(stamp: str, id: str, project: str, paths: List[str], at: float) -> Plan:
    """:param id: of the set. :param paths: directories that are exchanged."""
    return {"id": id, "stamp": stamp, "project": project, "at": at, "state": LOADING, "paths": paths}


# -- on the disk ---------------------------------------------------------------------------------------------------


def record_path(machine: Machine, project: str) -> str:
    return f"{machine.state_dir}/restores/{project}.json"


def _pending_path(machine: Machine, stamp: str) -> str:
    return f"{machine.state_dir}/restores/{stamp}.json"  # no project's name has capitals


def pending(machine: Machine, stamp: str) -> Optional[Plan]:
    return _read(machine, _pending_path(machine, stamp))


def last(machine: Machine, project: str) -> Optional[Plan]:
    """The last restore that came to its end; ``live``: the side that is in place."""
    found = _read(machine, record_path(machine, project))
    return None if found is None else {"live": AFTER, "project": project, **found}


def aside(machine: Machine, project: str) -> List[Plan]:
    """Restores that were taken back after somebody may have written to what they brought."""
    names = [name[:-5] for name in machine.names(machine.state_dir + "/restores") if name.endswith(".json")]
    plans = [pending(machine, name) for name in names if name != project]
    return [each for each in plans if each and each.get("state") == ASIDE and each["project"] == project]


def begin(machine: Machine, made: Plan) -> None:
    """Write a pending plan down, or how far it came."""
    _write(machine, _pending_path(machine, made["stamp"]), made)


def keep(machine: Machine, made: Plan, live: str) -> None:
    """It came to its end: it is what the next undo is of. What it supersedes is noted until it is removed."""
    superseded = made.get("superseded", [])
    found = last(machine, made["project"])
    if found is not None and found["stamp"] != made["stamp"]:
        superseded = [*found.pop("superseded", []), found]
    _write(machine, record_path(machine, made["project"]), {**made, "live": live, "superseded": superseded})
    forget(machine, made["stamp"])


def drop_superseded(machine: Machine, project: str) -> None:
    """Remove what earlier restores kept: one can be undone, the last."""
    found = last(machine, project)
    if found is None or not found.get("superseded"):
        return
    for old in found["superseded"]:
        for side in (BEFORE, AFTER):
            drop(machine, old, side)
    _write(machine, record_path(machine, project), {**found, "superseded": []})


def give_up(machine: Machine, project: str) -> None:
    """The last restore can no longer be undone: what it keeps is being removed."""
    found = last(machine, project)
    if found is not None:
        _write(machine, record_path(machine, project), {**found, "dropping": True})


def settled(machine: Machine, project: str, stamp: str) -> bool:
    found = last(machine, project)
    return found is not None and found["stamp"] == stamp


def forget(machine: Machine, stamp: str) -> None:
    machine.remove(_pending_path(machine, stamp))
    if machine.stat(machine.state_dir + "/restores") and not machine.names(machine.state_dir + "/restores"):
        machine.rmdir(machine.state_dir + "/restores")


def _read(machine: Machine, path: str) -> Optional[Plan]:
    text = machine.read_text(path)
    return None if text is None else dict(json.loads(text))


def _write(machine: Machine, path: str, made: Plan) -> None:
    machine.mkdir(machine.state_dir, 0o700)
    machine.mkdir(machine.state_dir + "/restores", 0o700)
    machine.write(path, json.dumps(made).encode(), 0o600)


# -- putting a side in place ---------------------------------------------------------------------------------------


def place(machine: Machine, made: Plan, side: str) -> List[str]:
    """Put one side in place and keep the other beside it; nothing when it is there already.

    Nothing of it may run. Safe after a kill at any point of it, or of the opposite.

    :returns: names of what was found in a side's place and is of neither: it is kept, too.
    :raises Broken: a directory of the side that is wanted is gone (6).
    """
    other = AFTER if side == BEFORE else BEFORE
    strays = [_exchange(machine, path, made["stamp"], side, other) for path in made["paths"]]
    return [each for each in strays if each]


def strays(machine: Machine, paths: List[str]) -> List[str]:
    """Paths of what :func:`place` found in a place and kept."""
    found = []
    for path in paths:
        ours = re.compile(rf"{re.escape(tree.OURS)}stray-\d+-{RUN_ID}-{re.escape(posixpath.basename(path))}")
        around = posixpath.dirname(path)
        found += [f"{around}/{name}" for name in machine.names(around) if ours.fullmatch(name)]
    return sorted(found)


def missing(machine: Machine, made: Plan) -> List[str]:
    """Directories of the side that is not in place which are gone; while nothing is half done all must be there."""
    side = BEFORE if made["live"] == AFTER else AFTER
    places = [sibling(path, side, made["stamp"]) for path in made.get("paths", ())]
    return [place for place in places if machine.stat(place) is None]


def _exchange(machine: Machine, path: str, stamp: str, side: str, other: str) -> str:
    mine, theirs = sibling(path, side, stamp), sibling(path, other, stamp)
    stray = ""
    if machine.stat(mine) is None:
        if machine.stat(path) is None:
            raise Broken(
                f"{path} is gone, and so is {mine}", hint="look for the data by hand; mnemo_ops removed nothing"
            )
        return ""
    if machine.stat(path) is not None:
        if machine.stat(theirs) is None:
            machine.rename(path, theirs)
        elif not machine.names(path):  # Docker makes a directory that it misses
            machine.rmdir(path)
        else:
            stray = sibling(path, f"stray-{int(machine.now())}", stamp)
            machine.rename(path, stray)
    machine.rename(mine, path)
    return stray


def drop(machine: Machine, made: Plan, side: str) -> None:
    """Remove a side that is not in place, and what was to make it."""
    clear(machine, made["stamp"])
    for path in made["paths"]:
        for word in (side, SCRATCH):
            machine.remove(sibling(path, word, made["stamp"]))


def clear(machine: Machine, stamp: str) -> None:
    """End the server that makes a side of this restore, wherever that came to, and forget the key it had."""
    machine.remove(identity_path(machine, stamp))
    if machine.which("docker") is not None:
        machine.run(["docker", "rm", "-fv", container(stamp)], check=False, timeout=120.0)


def where(made: Plan, side: str) -> str:
    """Where a side lies that is not in place, for people."""
    return f"{tree.OURS}{side}-{made['stamp']}-* beside each directory of data"
