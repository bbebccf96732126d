"""The way to a host: its inventory variables over the arguments for ssh over what OpenSSH itself reads (``ssh -G``)."""

from __future__ import annotations

import functools
import getpass
import os
import pwd
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.core.model import Host
from mnemo_ops.core.secret import Secret
from mnemo_ops.errors import UsageError

CONNECT_TIMEOUT = 10  # seconds
SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
# an option, several words, or code: where a configuration says `Match exec` or `ProxyCommand`, %h and %r are pasted
_NO_NAME = re.compile(r"^-|[\s\x00-\x1f\x7f'\"`;&<>|(){}]")


@dataclass(frozen=True)
class Route:
    """One hop and the hops before it.

    :param inventory_name: of the host whose way it is a part of.
    :param keys: private key files; none: the agent's keys and the usual files.
    :param only_these: offer no key of the agent (``IdentitiesOnly``).
    :param known_hosts: files with accepted host keys; new ones go into the first. :param timeout: seconds.
    :param jumps: hosts to go through, nearest first. :param proxy: a command whose stdin and stdout are the way.
    """

    name: str
    inventory_name: str
    address: str
    port: int
    user: str
    keys: tuple[str, ...] = ()
    only_these: bool = False
    password: Optional[Secret] = None
    passphrase: Optional[Secret] = None
    known_hosts: tuple[Path, ...] = ()
    timeout: int = CONNECT_TIMEOUT
    compress: bool = False
    jumps: tuple[Route, ...] = ()
    proxy: str = ""

    @property
    def known_as(self) -> str:
        """The host's name in known_hosts."""
        return self.address if self.port == 22 else f"[{self.address}]:{self.port}"

    @property
    def target(self) -> str:
        return f"{self.user}@{self.address}" + (f" (port {self.port})" if self.port != 22 else "")


def route(host: Host) -> Route:
    """The way to a host.

    As OpenSSH: a jump host takes its user, port and address from its own entry of ``~/.ssh/config``. Beyond OpenSSH, a
    jump host for which that names no key is offered the host's own, and its host key is looked up in the host's
    ``mnemo_known_hosts_file``.

    :raises UsageError: OpenSSH cannot read its configuration, or it says something that is not valid (2).
    """
    given = dict(host.ssh)
    config = given.pop("configfile", "")
    found = _look(host.address, config, host.user or str(given.get("user") or ""))
    words: dict[str, Any] = {**found, **given}
    if "proxyjump" in given:  # whichever is nearer wins, not both
        words.pop("proxycommand", None)
    elif "proxycommand" in given:
        words.pop("proxyjump", None)
    if host.port:
        words["port"] = host.port
    if host.user:
        words["user"] = host.user
    if host.key_file:
        words["identityfile"] = [host.key_file]
    if host.timeout:
        words["connecttimeout"] = host.timeout
    if host.known_hosts:
        words["userknownhostsfile"] = host.known_hosts
    jumps = [] if _none(words.get("proxyjump")) else str(words["proxyjump"]).split(",")
    proxy = "" if jumps or _none(words.get("proxycommand")) else str(words["proxycommand"])
    secrets = {"password": host.password, "passphrase": host.passphrase}
    through = tuple(_jump(jump, config, host) for jump in jumps)
    way = _hop(host.name, host, words, **secrets, jumps=through)
    return replace(way, proxy=_filled(proxy, words))


def _jump(text: str, config: str, host: Host) -> Route:
    """``[user@]name[:port]``, or the same as ``ssh://`` address."""
    user, _, where = text.strip().removeprefix("ssh://").rstrip("/").rpartition("@")
    name, colon, port = where.rpartition(":")
    if not colon or (":" in name and not name.endswith("]")):
        name, port = where, ""
    name = name.strip("[]")
    words: dict[str, Any] = _look(name, config, user)
    words.update({key: value for key, value in (("user", user), ("port", port)) if value})
    if host.key_file:
        words.setdefault("identityfile", [host.key_file])
    if host.known_hosts:
        words["userknownhostsfile"] = host.known_hosts
    return _hop(f"{name} (the way to {host.name})", host, words, passphrase=host.passphrase)


def _hop(name: str, host: Host, words: Mapping[str, Any], **more: Any) -> Route:
    keys = words.get("identityfile", ())
    keys = [keys] if isinstance(keys, str) else keys
    files = str(words.get("userknownhostsfile") or "~/.ssh/known_hosts").split()
    try:
        return Route(
            name,
            host.name,
            _plain(str(words["hostname"]).strip("[]")),
            int(words.get("port") or 22),
            _plain(str(words.get("user") or getpass.getuser())),
            tuple(str(Path(_filled(key, words)).expanduser()) for key in keys if not _none(key)),
            str(words.get("identitiesonly", "no")).lower() == "yes",
            known_hosts=(*(Path(file).expanduser() for file in files), SYSTEM_KNOWN_HOSTS),
            timeout=int(words.get("connecttimeout") or CONNECT_TIMEOUT),
            compress=str(words.get("compression", "no")).lower() == "yes",
            **more,
        )
    except ValueError as problem:
        raise UsageError(f"the ssh configuration of {name} is not valid: {problem}") from None


def _plain(name: str) -> str:
    """A host's or a user's, as newer versions of OpenSSH take them. :raises UsageError: it is none (2)."""
    if _NO_NAME.search(name):
        hint = "check ansible_host, ansible_user and ProxyJump in the inventory"
        raise UsageError(f"ssh does not accept {name!r} as the name of a host or user", hint=hint)
    return name


def _none(value: Any) -> bool:
    return value is None or str(value).lower() == "none"


def _filled(text: str, words: Mapping[str, Any]) -> str:
    """``%h``, ``%n``, ``%p``, ``%r``, ``%u`` and ``%d`` as in ssh_config(5), TOKENS."""
    here = getpass.getuser()
    values = {
        **{
            "%h": words["hostname"],
            "%n": words["name"],
            "%p": words.get("port") or 22,
            "%r": words.get("user") or here,
        },
        **{"%u": here, "%d": Path.home(), "%%": "%"},
    }
    return re.sub("%[hnprud%]", lambda mark: str(values[mark[0]]), text)


def _look(name: str, file: str, user: str) -> dict[str, Any]:
    """What the configuration says of a host, by lower-case option; ``hostname`` is always there.

    What OpenSSH itself adds for who says nothing (its usual keys and files) is left out.

    :param file: that of ``-F``, alone; empty: the user's and the system's.
    :param user: who it is, for ``Match user``; empty: whom the configuration names.
    """
    said = _asked(_plain(name), file or _of_this_user(), _plain(user))
    found = {option: value for option, value in said.items() if not _none(value)}
    home = _home()
    if found.get("userknownhostsfile") == f"{home}/.ssh/known_hosts {home}/.ssh/known_hosts2":
        del found["userknownhostsfile"]
    keys = found.get("identityfile", [])
    if len(keys) > 2 and all(re.fullmatch(r"~/\.ssh/id_\w+", key) for key in keys):
        del found["identityfile"]
    return {**found, "name": name}


def _home() -> str:
    """Where OpenSSH takes the user to be at home. :raises UsageError: the system does not know the user (2)."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise UsageError(
            f"this machine knows no user with the number {os.getuid()}, so ssh does not run",
            hint="run it as a user of /etc/passwd",
        ) from None


def _of_this_user() -> str:
    """OpenSSH looks where /etc/passwd says the user is at home; who set another HOME means that one."""
    if str(Path.home()) == _home():
        return ""
    file = Path.home() / ".ssh" / "config"
    return str(file) if file.exists() else "none"


@functools.lru_cache(maxsize=1024)
def _asked(name: str, file: str, user: str) -> dict[str, Any]:
    """What ``ssh -G`` prints: Include, Match and all; an option that may be said again is a list."""
    words = ["-F", str(Path(file).expanduser())] if file else []
    words += ["-l", user] if user else []
    try:
        done = subprocess.run(
            ["ssh", "-T", "-G", *words, "--", name],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError("ssh is not installed on this machine", hint="apt install openssh-client") from None
    if done.returncode != 0:
        raise UsageError(f"ssh rejects its configuration for {name}: {done.stderr.strip()}")
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        option, _, value = line.partition(" ")
        if option == "identityfile":
            found.setdefault(option, []).append(value)
        else:
            found.setdefault(option, value)
    return found
