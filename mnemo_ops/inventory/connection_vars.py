"""How to reach a host: Ansible's connection variables. What we do not have is refused, never ignored."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from mnemo_ops.core.secret import Secret
from mnemo_ops.core.suggest import nearest
from mnemo_ops.documents.yaml_lines import NO, YES, Unsafe, shape
from mnemo_ops.errors import InventoryError
from mnemo_ops.inventory import ssh_arguments
from mnemo_ops.vault.cipher import Vaulted

# Ansible's older names
ALIASES = {
    "ansible_ssh_host": "ansible_host",
    "ansible_ssh_port": "ansible_port",
    "ansible_ssh_user": "ansible_user",
    "ansible_ssh_pass": "ansible_password",
    "ansible_ssh_password": "ansible_password",
    "ansible_private_key_file": "ansible_ssh_private_key_file",
    "ansible_become_pass": "ansible_become_password",
    "ansible_sudo_pass": "ansible_become_password",
    "ansible_private_key_passphrase": "ansible_ssh_private_key_passphrase",
    "ansible_ssh_timeout": "ansible_timeout",
}
# what a host may say of how it is reached
KNOWN = {
    "ansible_host": "address or name to connect to; default: the host's name",
    "ansible_port": "SSH port; default 22",
    "ansible_user": "user to log in as",
    "ansible_password": "password of that user, encrypted with vault; default: a key or the SSH agent",
    "ansible_ssh_private_key_file": "key file on this machine, relative to the inventory",
    "ansible_ssh_private_key_passphrase": "passphrase of that key file",
    "ansible_ssh_args": "options of ssh: -o ProxyJump=..., -o ServerAliveInterval=...",
    "ansible_ssh_common_args": "more options of ssh",
    "ansible_ssh_extra_args": "more options of ssh",
    "ansible_ssh_retries": "how often to retry a connection",
    "ansible_timeout": "seconds to wait for a connection",
    "ansible_become": "run tasks as another user; overrides the play and its tasks",
    "ansible_become_user": "the user that ansible_become runs as; default root; overrides the play and its tasks",
    "ansible_become_password": "password for sudo, passed on its standard input",
    "ansible_python_interpreter": "Python 3.9 or newer on the host; default python3",
    "ansible_connection": "ssh, or local for this machine",
    "mnemo_known_hosts_file": "file with accepted host keys, relative to the inventory; else ~/.ssh/known_hosts",
}
# Ansible's, with the only value that says what we do anyway
FIXED = {
    "ansible_become_method": ("sudo",),
    "ansible_become_exe": ("sudo",),
    "ansible_shell_type": ("sh",),
    "ansible_host_key_checking": (True,),
    "ansible_ssh_host_key_checking": (True,),
    "ansible_pipelining": (True,),
    "ansible_ssh_pipelining": (True,),
}
LATER = (
    "ansible_become_flags",
    "ansible_group_priority",
    "ansible_remote_tmp",
    "ansible_scp_extra_args",
    "ansible_sftp_extra_args",
    "ansible_shell_executable",
    "ansible_ssh_executable",
)
INSTEAD = {  # ends of names, and what does it here
    "host_key_checking": "`invoke hosts.trust` accepts a host's key",
}
NAMES = frozenset((*KNOWN, *ALIASES, *FIXED, *LATER))
CONNECTIONS = ("ssh", "smart", "paramiko", "paramiko_ssh", "local")


@functools.cache
def _meant(name: str) -> str:
    """The connection variable this is a misspelling of, if it is one."""
    return nearest(name, KNOWN, cutoff=0.9) if name not in (*KNOWN, *ALIASES, *FIXED) else ""


class _Variables:
    """Connection variables of one host, rendered when they are templates."""

    def __init__(self, host: str, values: Mapping[str, Any], origin: Mapping[str, str], home: Path) -> None:
        self._values, self._origin, self._host, self._home = values, origin, host, home

    def fail(self, name: str, message: str, hint: str = "") -> InventoryError:
        return InventoryError(message, where=self._origin.get(name, self._host), hint=hint)

    def text(self, name: str) -> Optional[str]:
        names = [name, *(old for old, new in ALIASES.items() if new == name)]
        given = next((one for one in names if self._values.get(one) is not None), "")
        if not given:
            return None
        value = self._values[given]
        if isinstance(value, (Vaulted, Unsafe)):
            return value.reveal()
        if isinstance(value, str) and "{" in value:
            from mnemo_ops.templates.render import Scope, render  # most inventories need no Jinja

            value = render(value, Scope((self._home,)).plus(self._values), self._origin.get(given, self._host))
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise self.fail(given, f"'{given}' of host {self._host} should be a text, not {shape(value)}")
        return str(value)

    def flag(self, name: str) -> Optional[bool]:
        value = self._values.get(name)
        text = value if isinstance(value, bool) else self.text(name)
        word = str(text).lower()
        if text is not None and word not in (*YES, *NO):
            raise self.fail(name, f"'{name}' of host {self._host} should be true or false, not {text!r}")
        return None if text is None else word in YES

    def path(self, name: str, home: Path) -> Optional[str]:
        text = self.text(name)
        return None if text is None else str((home / Path(text).expanduser()).absolute())

    def secret(self, name: str) -> Optional[Secret]:
        text = self.text(name)
        return None if text is None else Secret(text)

    def number(self, name: str, least: int, most: int) -> Optional[int]:
        text = self.text(name)
        if text is None:
            return None
        if not text.isdigit() or not least <= int(text) <= most:
            what = "a port number" if most == 65535 else f"a whole number from {least} to {most}"
            raise self.fail(name, f"'{name}' of host {self._host} is {text!r}, not {what}")
        return int(text)

    def ssh(self) -> dict[str, str]:
        """Options for ssh from all three variables, in Ansible's order: the first that names an option counts."""
        found: dict[str, str] = {}
        for name in ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"):
            try:
                found = {**ssh_arguments.options(self.text(name) or ""), **found}
            except ValueError as problem:
                raise self.fail(name, f"{name}: {problem}") from None
        return found

    def python(self) -> str:
        text = self.text("ansible_python_interpreter") or "auto"
        return "python3" if text.startswith("auto") else text

    def refuse_others(self) -> None:
        for name, value in self._values.items():
            if name in LATER or (name in FIXED and value not in FIXED[name]):
                hint = next((hint for end, hint in INSTEAD.items() if name.endswith(end)), "")
                raise self.fail(name, f"'{name}: {value}' is not supported yet", hint)
            near = _meant(name)
            if near:
                raise self.fail(name, f"unknown connection variable '{name}'", f"did you mean '{near}'?")


def connection(host: str, values: Mapping[str, Any], origin: Mapping[str, str], home: Path) -> dict[str, Any]:
    """The fields of :class:`~mnemo_ops.core.model.Host` that say how to reach it.

    :param origin: variable -> ``file:line``. :param home: what relative paths start from.
    :raises InventoryError: a value is wrong or not supported (2).
    """
    known = _Variables(host, values, origin, home)
    known.refuse_others()
    kind = known.text("ansible_connection") or "ssh"
    if kind not in CONNECTIONS:
        raise known.fail("ansible_connection", f"'ansible_connection: {kind}' is not supported yet", "use ssh or local")
    return {
        "address": (known.text("ansible_host") or host).strip("[]"),
        "port": known.number("ansible_port", 1, 65535),
        "user": known.text("ansible_user"),
        "key_file": known.path("ansible_ssh_private_key_file", home),
        "passphrase": known.secret("ansible_ssh_private_key_passphrase"),
        "ssh": known.ssh(),
        "timeout": known.number("ansible_timeout", 1, 3600),
        "retries": known.number("ansible_ssh_retries", 0, 100) or 0,
        "password": known.secret("ansible_password"),
        "become": known.flag("ansible_become"),
        "become_user": known.text("ansible_become_user"),
        "become_password": known.secret("ansible_become_password"),
        "known_hosts": known.path("mnemo_known_hosts_file", home),
        "python": known.python(),
        "local": kind == "local",
    }
