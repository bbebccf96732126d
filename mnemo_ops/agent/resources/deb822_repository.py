"""deb822_repository: a source of packages, as a paragraph of its own file, with the key it is signed by."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Tuple

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files.mode import Mode
from mnemo_ops.agent.files.ownership import Permission
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system import dpkg

KEYRINGS = "/etc/apt/keyrings"
_OURS = ("name", "state", "mode", "signed_by", "install_python_debian")


@dataclass(frozen=True)
class Deb822Repository(Resource):
    """One source in sources.list.d (sources.list(5)). The package index is refreshed by ``apt``, not here.

    :param name: its name; the files are named after it.
    :param types: ``deb``, ``deb-src``.
    :param uris: where the packages are.
    :param suites: releases, or a path that ends in ``/``.
    :param components: parts of a release.
    :param architectures: which to load; default: the host's.
    :param signed_by: URL of the key, which goes to a file in /etc/apt/keyrings; path of a keyring on the host; a
        fingerprint; or the armoured key itself.
    :param enabled: whether apt uses it.
    :param trusted: take its packages without a signature.
    :param allow_insecure: take it although it is not signed.
    :param allow_weak: take it although its signature is weak.
    :param allow_downgrade_to_insecure: take it although it was signed before.
    :param by_hash: load indexes by their hash.
    :param check_date: check the date of its release file.
    :param check_valid_until: refuse a release file that is too old.
    :param date_max_future: seconds its date may lie in the future.
    :param inrelease_path: path of its release file.
    :param languages: which translations to load.
    :param pdiffs: load differences of indexes.
    :param targets: which indexes to load.
    :param mode: permissions of the file.
    :param state: ``present`` or ``absent``, with its key.
    :param install_python_debian: nothing is needed on the host, either way.
    """

    kind: ClassVar[str] = "deb822_repository"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: the vendor's packages
  deb822_repository:
    name: vendor
    uris: [https://packages.example.com/debian]
    suites: [trixie]
    components: [main]
    signed_by: https://packages.example.com/key.asc
"""

    name: str
    types: Optional[List[Literal["deb", "deb-src"]]] = None
    uris: Optional[List[str]] = None
    suites: Optional[List[str]] = None
    components: Optional[List[str]] = None
    architectures: Optional[List[str]] = None
    signed_by: Optional[str] = None
    enabled: Optional[bool] = None
    trusted: Optional[bool] = None
    allow_insecure: Optional[bool] = None
    allow_weak: Optional[bool] = None
    allow_downgrade_to_insecure: Optional[bool] = None
    by_hash: Optional[bool] = None
    check_date: Optional[bool] = None
    check_valid_until: Optional[bool] = None
    date_max_future: Optional[int] = None
    inrelease_path: Optional[str] = None
    languages: Optional[List[str]] = None
    pdiffs: Optional[bool] = None
    targets: Optional[List[str]] = None
    mode: Mode = "0644"
    state: Literal["present", "absent"] = "present"
    install_python_debian: bool = False

    def __post_init__(self) -> None:
        if not self._slug:
            raise ValueError("name should hold letters or digits")

    @property
    def _slug(self) -> str:
        return re.sub(r"[^a-z0-9-]+", "", re.sub(r"[_\s]+", "-", self.name.lower()))

    @property
    def _path(self) -> str:
        return f"{dpkg.SOURCES}.d/{self._slug}.sources"

    @property
    def _loads(self) -> bool:
        return bool(re.match(r"[a-z][a-z0-9+.-]*://", self.signed_by or ""))

    @property
    def _permission(self) -> Permission:
        return Permission(None, None, self.mode)

    def desired(self) -> State:
        return ABSENT if self.state == "absent" else self.target({"key_filename": None})

    def target(self, observed: State) -> State:
        if self.state == "absent":
            return ABSENT
        signed = (observed or {}).get("key_filename") if self._loads else self.signed_by
        key = {"key": "as it is served", "key_filename": signed} if self._loads else {}
        return {"repo": self._text(signed), **self._permission.desired(), **key}

    def _text(self, signed: Optional[str]) -> str:
        values: Dict[str, Any] = {key: value for key, value in vars(self).items() if key not in _OURS}
        values.update(name=self.name, types=self.types or ["deb"], signed_by=signed)
        return "".join(_field(key, value) for key, value in sorted(values.items()) if value is not None)

    def observe(self, machine: Machine) -> State:
        stat = machine.stat(self._path, follow=True)
        if self.state == "absent":
            there = stat is not None or self._keyring(machine) is not None
            return {"dest": self._path} if there else ABSENT
        found: Dict[str, Any] = {"dest": self._path, "repo": machine.read_text(self._path)}
        if stat is not None:
            found.update(self._permission.observed(machine, stat))
        if self._loads:
            found["key_filename"], key = self._key(machine)
            found["key"] = "as it is served" if machine.read(found["key_filename"]) == key else "another, or none"
        return found

    def _keyring(self, machine: Machine) -> Optional[str]:
        names = (f"{KEYRINGS}/{self._slug}.{end}" for end in ("asc", "gpg"))
        return next((name for name in names if machine.stat(name) is not None), None)

    def _key(self, machine: Machine) -> Tuple[str, bytes]:
        data = machine.loaded(str(self.signed_by))
        end = "asc" if b"-----BEGIN PGP PUBLIC KEY BLOCK-----" in data else "gpg"
        return f"{KEYRINGS}/{self._slug}.{end}", data

    def apply(self, machine: Machine, change: Change) -> State:
        if change.deletes:
            for end in ("asc", "gpg"):
                machine.remove(f"{KEYRINGS}/{self._slug}.{end}")
            machine.remove(self._path)
            return None
        if "key" in change.keys:
            path, data = self._key(machine)
            machine.mkdir(KEYRINGS)
            machine.write(path, data, fresh=0o644)
        if "repo" in change.keys and change.after is not None:
            machine.mkdir(f"{dpkg.SOURCES}.d")
            machine.write(self._path, str(change.after["repo"]).encode())
        self._permission.apply(machine, self._path)
        return None


def _field(key: str, value: Any) -> str:
    name = {"name": "X-Repolib-Name", "uris": "URIs"}.get(key, key.replace("_", "-").title())
    if isinstance(value, bool):
        value = "yes" if value else "no"
    text = " ".join(value) if isinstance(value, list) else str(value)
    if "\n" in text:  # a key in the paragraph: each line indented, empty ones as a dot
        return f"{name}:\n" + "".join(f"    {line.strip() or '.'}\n" for line in each_line(text.strip()))
    return f"{name}: {text}\n"
