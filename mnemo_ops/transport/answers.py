"""Answers: what each deed reports, field by field, as far as anybody here reads it; no more of it gets through.

What a host only passes on (texts of Docker, of a set, of a user) may be any text or number; what is made of it or goes
on to another host has a form of :mod:`mnemo_ops.agent.base.validators`.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mnemo_ops.agent.base.data_places import not_a_place
from mnemo_ops.agent.base.validators import (
    Parse,
    each,
    facts,
    part_name,
    perhaps,
    public_key,
    row,
    run_id,
    sha256,
    size,
    table,
    wrong,
)
from mnemo_ops.agent.base.validators import files as files_of_a_set
from mnemo_ops.errors import Refused

LONGEST_PATH = 1024  # characters
MOST = 1 << 100  # bytes of anything, a set of sums that lie among it


def words(given: Any) -> str:
    """Text that is shown, looked up or compared, and nothing else. :raises Refused: it is none (3)."""
    if not isinstance(given, str):
        raise wrong(given, "text")
    return given


def flag(given: Any) -> bool:
    if not isinstance(given, bool):
        raise wrong(given, "yes or no")
    return given


def amount(given: Any) -> int:
    """How many, or how many bytes. :raises Refused: it is no such number (3)."""
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < MOST:
        raise wrong(given, "amount")
    return given


def number(given: Any) -> float:
    """Seconds, mostly; also fewer than none. :raises Refused: nobody could reckon with it (3)."""
    if type(given) not in (int, float) or not -MOST < given < MOST:  # neither is what is no number
        raise wrong(given, "number")
    return float(given)


def subnet(given: Any) -> str:
    """A network as :mod:`ipaddress` writes it. :raises Refused: it is none (3)."""
    try:
        return str(ipaddress.ip_network(words(given), strict=False))
    except ValueError:
        raise wrong(given, "network") from None


def content(given: Any) -> str:
    """Of an image; empty where the engine has it no more. :raises Refused: it is neither (3)."""
    return sha256(given) if given else words(given)


def one_of(*values: Any) -> Parse:
    """Exactly one of these."""
    return partial(_one_of, values)


def _one_of(values: Sequence[Any], given: Any) -> Any:
    if not any(given is value or (isinstance(value, str) and given == value) for value in values):
        raise wrong(given, f"word of {', '.join(map(str, values))}")
    return given


def any_of(*forms: Parse) -> Parse:
    """What the first of these takes that takes it."""
    return partial(_any_of, forms)


def _any_of(forms: Sequence[Parse], given: Any) -> Any:
    for form in forms[:-1]:
        try:
            return form(given)
        except Refused:
            pass
    return forms[-1](given)


def plain_name(given: Any) -> str:
    """Of a volume or service, which no program takes for an option; empty: none. :raises Refused: it is none (3)."""
    if not re.fullmatch(r"(\w[\w.-]*)?", words(given), re.ASCII) or len(given) > 255:
        raise wrong(given, "name of a volume or service")
    return str(given)


def image(given: Any) -> str:
    """Name of an image, or its id. :raises Refused: it is neither (3)."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.:/@-]*", words(given), re.ASCII | re.IGNORECASE) or len(given) > 512:
        raise wrong(given, "name of an image")
    return str(given)


def place(given: Any) -> str:
    """A path as :mod:`posixpath` writes it, never upwards nor of the system. :raises Refused: it is none (3)."""
    path = words(given)
    if not path.isprintable() or (path and path != posixpath.normpath(path)) or ".." in path.split("/"):
        raise wrong(given, "path")
    if path.startswith("/") and not_a_place(path):
        raise wrong(given, "place for data")
    return path


def absolute(given: Any) -> str:
    """A path from the root, as :mod:`posixpath` writes it. :raises Refused: it is none (3)."""
    path = words(given)
    if not path.isprintable() or not path.startswith("/") or path != posixpath.normpath(path):
        raise wrong(given, "absolute path")
    return path


def inside(given: Any) -> str:
    """A path below a directory that will be made here. :raises Refused: it leads out of it, or is none (3)."""
    path = words(given)
    parts = path.split("/")
    odd = any(part in ("", ".", "..") or len(part.encode("utf-8", "surrogatepass")) > 255 for part in parts)
    if odd or not path.isprintable() or len(path) > LONGEST_PATH:
        raise wrong(given, "path of a file to copy")
    return path


def encoded(given: Any) -> str:
    """Bytes in base64. :raises Refused: it is something else (3)."""
    try:
        base64.b64decode(words(given), validate=True)
    except (binascii.Error, ValueError):
        raise wrong(given, "content of a file") from None
    return str(given)


LIST, TEXTS = each(words), table(words, words)
NOTHING = row()  # nobody reads any of it
PARTS = each(row(name=part_name, bytes=size, sha256=sha256))
SET: Mapping[str, Parse] = {"id": words, "created": number, "bytes": amount}  # of each set of a store
ANY_SET = any_of(
    row(state=one_of("incomplete"), **SET),
    row(state=one_of("newer"), format=amount, why=words, **SET),
    row(state=one_of("unreadable"), why=words, **SET),
    row(
        state=one_of("complete", "damaged"),
        checked=one_of("sizes", "checksums"),
        parts=PARTS,
        verified=perhaps(row(at=number, level=words, result=words)),
        **dict.fromkeys(("why", "host", "consistency", "migration"), words),
        **SET,
    ),
)
PLAIN = row(driver=words, options=row(device=perhaps(words, "")))  # of a volume; other options may be passwords
FACTS = table(part_name, facts)
HOLDS = row(format=amount, tool=words, datasets=FACTS, volumes=table(words, PLAIN), accepted_losses=LIST)
EXTENSIONS = perhaps(table(words, row(name=words, version=words)), {})
DATABASES = table(words, row(bytes=amount, encoding=words, extensions=EXTENSIONS, rows=perhaps(amount)))
# what a look tells of a dataset
THERE = any_of(row(why=words), row(version=words, roles=LIST, databases=DATABASES), row(files=amount, bytes=amount))
PAIR = perhaps(each(words, 2), ())  # of a migration: from which host to which; none: of an earlier version
STOPPED: Mapping[str, Parse] = {"write_outage_seconds": number, "phases": table(words, number)}
SPARE = each(row(name=words, bytes=amount, why=words))  # what could be removed from a store
OWNER = row(uid=amount, gid=amount)
DONE = row(undone=flag)
FINDING = row(id=words, severity=one_of("refuses", "warns"), where=words, evidence=words, remedy=words)
RESTORED = row(id=words, stamp=words, live=one_of("before", "after"))
VOLUME = row(
    name=words,
    driver=words,
    options=perhaps(TEXTS, {}),
    labels=perhaps(TEXTS, {}),
    external=perhaps(flag, False),
)
MOVE: Mapping[str, Parse] = {"id": run_id, "state": words, "source": VOLUME, "target": VOLUME, "kept": words}
PLAN = row(bytes=perhaps(amount), entries=perhaps(amount), services=LIST, **MOVE)
MOVED = row(moved=one_of(True), bytes=amount, files=amount, kept=words, services=LIST, write_outage_seconds=number)
TROUBLE = row(error=words, hint=words)
PROOF = row(sha256=sha256, bytes=amount, fsync_ms=row(median=number, p99=number))
CONTAINER = row(state=words, health=words, image=image, content=content)
LEASE = row(run=words, seconds_left=number, undo=LIST, failing=perhaps(row(since=number, why=words)), jobs=LIST)
LAST = perhaps(row(**dict.fromkeys(("run", "command", "owner", "began", "ended", "how"), words)))
STATES = ("at work", "ended ok", "failed", "aborted", "never ended")
RUNS = each(
    row(run=run_id, command=words, at=number, how=words, state=one_of(*STATES), exit_code=amount, hosts=each(words))
)
# of a project: a dataset goes on to whoever keeps it
DATASET = row(
    **{"name": part_name, "kind": one_of("postgres", "redis", "files", "config"), "path": place},
    **dict.fromkeys(("service", "volume", "docker"), plain_name),
)
DERIVED = row(
    dataset=perhaps(DATASET),
    **dict.fromkeys(("topic", "what", "value", "reason", "overrule"), words),
)
FILE = row(path=absolute, name=inside, bytes=amount)
# of a project that is to be adopted: files that are made here
ADOPTED = row(
    **{"directory": absolute, "place": absolute, "files": each(FILE, 1), "env_file": perhaps(FILE)},
    tree=each(
        row(path=inside, kind=one_of("file", "directory", "link"), mode=amount, bytes=amount, target=words),
    ),
    rows=each(DERIVED),
    mounts=each(row(**dict.fromkeys(("service", "target", "source", "becomes"), words))),
    **dict.fromkeys(("forgotten", "differing", "unknown", "notes"), LIST),
)
LOCALE = row(
    **dict.fromkeys(("encoding", "collate", "ctype"), words),
    **dict.fromkeys(("provider", "locale", "rules"), perhaps(words, "")),
)
# how a cluster was made, for another host
LIKE = row(
    **{"major": amount, "segment": amount, "checksums": flag, "extensions": LIST, "zstd": flag, "uid": perhaps(amount)},
    **dict.fromkeys(("version", "superuser", "mode", "preloaded", "programs", "mount"), words),
    template0=LOCALE,
    locales=each(LOCALE),
)
# what Docker says is missing where there is none
SURVEY = row(
    machine_id=words,
    clock=number,
    tools=table(words, flag),
    directory=LIST,
    absent=LIST,
    mounted=flag,
    disks=each(row(path=words, free=amount, inodes=perhaps(amount), holds=LIST)),
    fence=perhaps(row(run=run_id, state=words, target=words, hosts=PAIR)),
    target=perhaps(row(run=run_id, state=words, restart=perhaps(TEXTS, {}), hosts=PAIR)),
    steps=perhaps(LIST, ()),
    leases=TEXTS,
    listening=LIST,
    published=LIST,
    troubles=LIST,
    containers=table(words, CONTAINER),
    subnets=perhaps(table(words, each(subnet)), {}),
    occupied=perhaps(TEXTS, {}),
    own_subnets=perhaps(each(subnet), ()),
    sizes=perhaps(table(words, amount), {}),
    odd_volumes=perhaps(TEXTS, {}),
    postgres=perhaps(table(words, perhaps(row(bytes=amount, cluster=LIKE, losses=LIST, obstacles=LIST))), {}),
    **dict.fromkeys(
        (
            "volumes",
            "all_volumes",
            "names",
            "container_names",
            "forgotten",
            "networks",
            "outer_networks",
            "unnamed",
            "emptied",
        ),
        perhaps(LIST, ()),
    ),
)

# of the read-only look
READY: Mapping[str, Parse] = {
    **dict.fromkeys(("check_exports", "compare_cluster", "compose_up", "fetch", "finish_deploy"), NOTHING),
    "image_user": OWNER,
    "list_projects": row(
        projects=table(words, row(containers=amount, running=amount, directory=words)), others=LIST, swarm=LIST
    ),
    "list_runs": row(runs=RUNS),
    "load_set": row(
        **{"signature": words, "manifest_sha256": sha256, "previous": perhaps(RESTORED), "aside": LIST},
        **{
            "untouched": LIST,
            "sealed": table(part_name, words),
            "replaces": table(part_name, row(now=THERE, comes=facts)),
        },
    ),
    "load_images": row(absent=LIST, unnamed=LIST),
    "look_at_locks": row(owner=perhaps(TEXTS), leases=table(words, LEASE), moved=LIST, last=LAST),
    "look_at_project": ADOPTED,
    "look_at_volumes": row(findings=each(FINDING)),
    "make_set": row(sizes=table(words, amount), longest_stop=amount),
    "move_volume": row(plan=perhaps(PLAN), last=perhaps(row(**MOVE)), alive=flag, stale=flag),
    "prove_mounts": row(proofs=table(words, TROUBLE)),
    "prune_sets": row(remove=SPARE, keep=SPARE),
    "read_files": row(pieces=each(encoded)),
    "restart_stale": row(stale=table(words, LIST)),
    "show_stack": row(directory=absolute, files=each(absolute), env_files=each(absolute), rows=each(DERIVED)),
    "survey": SURVEY,
    "try_image": row(major=amount),
    "undo_restore": RESTORED,
}
UNREAD = (
    "adopt_lease", "ask_fence", "clean_target", "clear_proof", "compose_up", "drop_fence", "drop_key", "drop_lease",
    "drop_partial", "drop_proof", "drop_scratch", "fence", "finish_deploy", "forget", "grant_key", "hold_proof",
    "load_images", "mark_target", "place_restore", "pull_images", "remove_file", "return_volume", "revoke_key",
    "set_restart", "settle_fence", "sign_set", "start_containers", "stop_all", "stop_copy", "undo_swap", "unfence",
    "write_journal",
)  # fmt: skip
# of the deed
ACT: Mapping[str, Parse] = {
    **dict.fromkeys(UNREAD, NOTHING),
    "end_lease": row(undone=flag, why=words, leaves=LIST),
    "fetch": row(bytes=amount),
    "host_keys": row(keys=each(public_key, 1)),
    "image_user": OWNER,
    "list_sets": row(sets=each(ANY_SET)),
    "load_set": row(
        datasets=FACTS,
        **dict.fromkeys(("accepted_losses", "strays", "kept_passwords", "unknown_settings"), LIST),
        **STOPPED,
    ),
    "make_key": row(public_key=public_key),
    "make_set": row(
        manifest_sha256=sha256,
        parts=PARTS,
        datasets=FACTS,
        consistency=words,
        accepted_losses=LIST,
        **STOPPED,
    ),
    "move_volume": any_of(row(moved=one_of(False)), MOVED),
    "prove_mounts": row(
        container=flag, proofs=table(words, any_of(row(silent=one_of(True), error=words, hint=words), TROUBLE, PROOF))
    ),
    "prove_stack": row(vector_indexes=amount, documents=amount),
    "prune_sets": row(removed=SPARE, left=LIST),
    "read_proof": table(words, row(sha256=perhaps(sha256), uid=amount, gid=amount)),
    "release": DONE,
    "restart_stale": row(restarted=table(words, LIST)),
    "save_images": row(bytes=size, sha256=sha256),
    "set_files": row(files=files_of_a_set),
    "show_set": row(set=ANY_SET, holds=perhaps(HOLDS)),
    "smoke": row(postgres=words, containers=amount, health=words),
    "try_image": row(major=amount),
    "undo_restore": row(kept=words, strays=LIST, **STOPPED),
}


def of(op: str, kind: str) -> Parse:
    """The form of the report of an action. :raises KeyError: a deed has none, which is a bug."""
    return ACT[kind] if op == "act" else READY.get(kind, NOTHING)  # most have no look of their own
