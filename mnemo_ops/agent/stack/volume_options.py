"""Volumes that a set asks for: what mnemo_ops makes itself, and nothing else that Docker would mount as root."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping

from mnemo_ops.agent.base import validators
from mnemo_ops.agent.base.data_places import not_a_place
from mnemo_ops.errors import Refused

NFS = {
    *("nfsvers", "vers", "proto", "port", "sec", "nconnect", "timeo", "retrans", "rsize", "wsize", "resvport"),
    *("noresvport", "hard", "soft", "softerr", "lock", "nolock", "ac", "noac", "actimeo", "acregmin", "acregmax"),
    *("acdirmin", "acdirmax", "lookupcache"),
}
TMPFS = {"size", "mode", "uid", "gid", "nr_inodes"}
ANY = {"ro", "rw", "noexec", "nosuid", "nodev", "noatime", "nodiratime", "relatime"}
_word = re.compile(r"(\w+)(=[\w.:%-]+)?", re.ASCII)


def problem(driver: str, options: Mapping[str, str]) -> str:
    """What speaks against making such a volume; empty: nothing."""
    if driver != "local":
        return f"has the driver {driver!r:.60}"
    if not options:
        return ""
    more = sorted(set(options) - {"type", "o", "device"})
    if more:
        return f"has the option {more[0]!r:.60}"
    kind, device = options.get("type", "none"), options.get("device", "")
    words = [word for word in options.get("o", "").split(",") if word]
    if kind in ("none", "bind"):
        return _odd(words, {"bind", "rw"}, "bind") or not_a_place(device)
    if kind in ("nfs", "nfs4"):
        servers = [word for word in words if word.startswith("addr=")]
        for word in servers:
            try:
                validators.host(word[5:])
            except Refused:
                return f"has the mount option {word!r:.60}"
        odd = _odd([word for word in words if word not in servers], ANY | NFS)
        return odd or ("" if re.fullmatch(r"[\w.:\[\]%-]*:/[^\0]*", device, re.ASCII) else f"mounts {device!r:.60}")
    if kind == "tmpfs":
        return _odd(words, ANY | TMPFS) or ("" if device in ("", "tmpfs") else f"mounts {device!r:.60}")
    return f"is of the type {kind!r:.60}"


def _odd(words: List[str], known: Any, needed: str = "") -> str:
    for word in words:
        found = _word.fullmatch(word)
        if found is None or found[1] not in known:
            return f"has the mount option {word!r:.60}"
    return "" if not needed or needed in words else f"lacks the mount option {needed}"


def refuse(set_id: str, volumes: Mapping[str, Dict[str, Any]], names: Mapping[str, str]) -> None:
    """:param volumes: of the manifest, those that are to be made. :param names: key -> Docker's name.

    :raises Refused: one of them is none that mnemo_ops makes (3).
    """
    for key, row in volumes.items():
        what = problem(row["driver"], row["options"])
        if what:
            raise Refused(
                f"the volume {key!r:.60} of the backup {set_id} {what}, and a restore creates no such volume",
                hint=f"if it is meant, docker volume create it by hand as {names[key]}: what is there is used as it is",
            )
