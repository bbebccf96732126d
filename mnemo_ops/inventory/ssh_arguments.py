"""Arguments of OpenSSH's client as inventories give them (``ansible_ssh_common_args``): options of ssh_config(5)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

HONOURED = (
    "compression",
    "connecttimeout",
    "identitiesonly",
    "identityfile",
    "port",
    "proxycommand",
    "proxyjump",
    "user",
    "userknownhostsfile",
)
# what we do anyway: one connection is opened and kept alive, nobody is asked, keys are checked; any value without words
_ANYWAY: Mapping[str, tuple[str, ...]] = {
    "batchmode": (),
    "controlmaster": (),
    "controlpath": (),
    "controlpersist": (),
    "forwardagent": ("no",),
    "gssapiauthentication": ("no",),
    "loglevel": (),
    "serveralivecountmax": (),
    "serveraliveinterval": (),
    "stricthostkeychecking": ("yes", "ask"),
    "tcpkeepalive": ("yes",),
}
_LETTERS = {"-J": "proxyjump", "-p": "port", "-l": "user", "-i": "identityfile", "-F": "configfile"}


def options(text: str) -> dict[str, str]:
    """Options by lower-case name; the first of a kind counts, as in OpenSSH; ``configfile`` is that of ``-F``.

    :raises ValueError: one is not understood, or says something we do not do.
    """
    found: dict[str, str] = {}
    words = iter(shlex.split(text))
    for word in words:
        letter, value = word[:2], word[2:]
        if word == "-C":
            name, value = "compression", "yes"
        elif letter == "-o":
            name, _, value = (value or next(words, "")).replace("=", " ", 1).partition(" ")
            name, value = name.lower(), value.strip().strip('"')
        elif letter in _LETTERS:
            name, value = _LETTERS[letter], value or next(words, "")
        else:
            raise ValueError(f"ssh's argument {word!r} is not supported")
        _check(name, value)
        found.setdefault(name, value)
    return {name: value for name, value in found.items() if name not in _ANYWAY}


def _check(name: str, value: str) -> None:
    if name in _ANYWAY:
        if _ANYWAY[name] and value.lower() not in _ANYWAY[name]:
            more = (
                "; mnemo_ops always checks host keys: `invoke hosts.trust` accepts one"
                if name == "stricthostkeychecking"
                else ""
            )
            raise ValueError(f"ssh's '{name}={value}' is not supported{more}")
    elif name not in (*HONOURED, "configfile"):
        raise ValueError(f"ssh's option '{name}' is not supported")
    if not value:
        raise ValueError(f"ssh's option '{name}' has no value")
    if name in ("port", "connecttimeout") and not value.isdigit():
        raise ValueError(f"ssh's option '{name}' should be a whole number, not {value!r}")
