"""Telling: what a host may say of itself, and under which names; how it is reached, and as whom, others say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mnemo_ops.inventory.connection_vars import NAMES
from mnemo_ops.playbook.names import BARE_FACTS, FACTS, VARIABLES

# what the controller says of a run, and what decides where and as whom something is done: also what we do not have
_OURS = re.compile(
    r"ansible_((async|become|config|delegated|failed|loop|mnemo|paramiko|play|psrp|role|run|scp|sftp|shell|skip|ssh|su|sudo"
    r"|winrm)_\w*|\w+_interpreter|become|check_mode|collection_name|diff_mode|executable|facts|inventory_sources|limit"
    r"|loop|managed|module_compression|network_os|pipelining|private_key_\w+|remote_\w+|rsync_path|verbosity|version)"
)
_BARE = ("getent_", *BARE_FACTS.values())


def told(facts: Mapping[str, Any], kind: str = "setup") -> dict[str, Any]:
    """What a host may have told as facts, without prefix. :param kind: of the task that asked for them."""
    found = {name.removeprefix("ansible_"): value for name, value in facts.items()}
    if kind in (*BARE_FACTS, "getent"):
        own = BARE_FACTS.get(kind, "getent_")
        return {
            name: value for name, value in found.items() if name == own or (own == "getent_" and name.startswith(own))
        }
    return {name: value for name, value in found.items() if not name.startswith(_BARE) and not _is_ours(name)}


def variables(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as variables of templates, below names the playbook and the inventory have a say in."""
    found = {f"ansible_{name}": value for name, value in facts.items() if not _is_ours(name)}
    found.update({name: value for name, value in facts.items() if name.startswith("getent_") or name in _BARE})
    return {**found, "ansible_facts": facts}


def _is_ours(name: str) -> bool:
    if name in FACTS:
        return False
    full = f"ansible_{name}"
    return full in NAMES or full in VARIABLES or _OURS.fullmatch(full) is not None
