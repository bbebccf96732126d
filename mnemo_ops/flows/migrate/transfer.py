"""From old to new, host to host: an ephemeral key, and the files of this run that old hands out for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from mnemo_ops.agent.actions.transfer import Fetch, GrantKey, HostKeys, MakeKey, Release
from mnemo_ops.agent.base import validators
from mnemo_ops.agent.base.record import asdict
from mnemo_ops.agent.process import handout
from mnemo_ops.core.model import Host
from mnemo_ops.errors import Refused, VerificationFailed
from mnemo_ops.flows.migrate.context import Context
from mnemo_ops.stack.addresses import addresses, peer_name


def grant_key(context: Context) -> None:
    """New may fetch this run's files from old, from its own addresses only, until the run ends."""
    flow = context.flow
    made = flow.act(context.new, MakeKey(context.run))
    known = sorted({*addresses(context.new.address), *told_addresses(context, context.new)})
    flow.act(context.old, GrantKey(context.run, login(context, context.old), made["public_key"], known))
    context.host_keys = flow.act(context.old, HostKeys())["keys"]
    probe(context)


def probe(context: Context) -> None:
    """A real transfer, while old serves: what its login shell prints would be in every file.

    :raises Refused: something else comes with it (3). :raises CommandFailed: old does not let new in (6).
    """
    old, new = context.names
    try:
        context.flow.act(context.new, fetch(context, [_answer(context, handout.OTHER)], ""), job=f"{context.run}-probe")
    except VerificationFailed as error:
        who = login(context, context.old)
        raise Refused(
            f"{new}: what it fetches from {old} does not arrive as it was sent: a start-up file of {who}'s shell on "
            f"{old} prints something",
            hint=f"let `ssh {who}@{peer_name(context.old)} true` print nothing: look in ~/.bashrc and /etc/bash.bashrc",
        ) from error


def drop_keys(context: Context) -> None:
    for host in context.there:
        with context.perhaps_gone(host):
            context.flow.act(host, Release(f"key-{context.run}"))


def pull(context: Context, step: str, target: str, files: Sequence[Mapping[str, Any]]) -> int:
    """Files that old hands out to new; bytes."""
    report = context.flow.act(context.new, fetch(context, files, target), job=f"{context.run}-{step}")
    context.bytes_copied += int(report["bytes"])
    return int(report["bytes"])


def question(context: Context) -> dict[str, Any]:
    """How new asks old, with the key of this run, whether its fence is final."""
    return asdict(fetch(context, [_answer(context, handout.FINAL)], ""))


def _answer(context: Context, text: bytes) -> dict[str, Any]:
    return {"name": handout.fence(context.run), "size": len(text), "sha256": sha256(text).hexdigest()}


def fetch(context: Context, files: Sequence[Mapping[str, Any]], target: str) -> Fetch:
    """:param target: directory on new; empty: that of the run's key, and they go with it."""
    old = context.old
    port = int(old.vars.get("mnemo_peer_port") or old.port or 22)
    return Fetch(context.run, login(context, old), peer_name(old), port, context.host_keys, target, files)


def login(context: Context, host: Host) -> str:
    """Who we are on a host, under whose name the other comes there. :raises Refused: it is no name of a user (3)."""
    facts = context.flow.fleet.session(host, become=False).facts
    with validators.by(host.name):
        return host.user or str(validators.user_name(facts.get("user_id")))


def told_addresses(context: Context, host: Host) -> set[str]:
    """The address a host gives itself. :raises Refused: it is none (3)."""
    told = context.flow.fleet.session(host).facts.get("default_ipv4") or {}
    with validators.by(host.name):
        found = validators.row(address=validators.perhaps(validators.address, ""))(told)["address"]
        return {found} - {""}
