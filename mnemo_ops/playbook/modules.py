"""Kinds: the words a playbook may use for a task, and the file below ``agent/resources`` each of them stands for."""

from __future__ import annotations

import pkgutil

from mnemo_ops.agent import resources

COLLECTIONS = ("ansible.builtin.", "ansible.legacy.", "ansible.posix.", "community.docker.", "community.general.",
               "gluster.gluster.")  # fmt: skip

KINDS = frozenset(module.name for module in pkgutil.iter_modules(resources.__path__))

ALL = "`invoke docs all` lists every module"  # a hint

# Ansible's other names of one kind
SYNONYMS: dict[str, str] = {"systemd_service": "systemd", "yum": "dnf"}


def kind_of(name: str) -> str:
    """The kind a task's key names, collection prefix or not; empty when it names none."""
    prefix = next((prefix for prefix in COLLECTIONS if name.startswith(prefix)), "")
    short = SYNONYMS.get(name[len(prefix) :], name[len(prefix) :])
    return short if short in KINDS else ""
