"""apt_key: keys that apt trusts, in keyring files; the tool of that name is gone and not needed."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system import openpgp
from mnemo_ops.errors import NotYet, StepFailed

TRUSTED = "/etc/apt/trusted.gpg.d"


@dataclass(frozen=True)
class AptKey(Resource):
    """A public key in a keyring of apt's; ``deb822_repository`` with ``signed_by`` trusts it for one source only.

    :param id: fingerprint, or its last 8 or 16 digits; with it nothing is loaded while the key is there.
    :param url: where the key is loaded from.
    :param data: the key itself, armoured.
    :param file: path of the key on the host.
    :param keyring: the keyring file; default: one of its own in /etc/apt/trusted.gpg.d.
    :param state: ``present`` or ``absent``.
    """

    kind: ClassVar[str] = "apt_key"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: the vendor's key
  apt_key: {file: /srv/vendor.asc, keyring: /etc/apt/keyrings/vendor.gpg}
"""

    id: Optional[str] = None
    url: Optional[str] = None
    data: Optional[str] = None
    file: Optional[str] = None
    keyring: Optional[str] = None
    state: Literal["present", "absent"] = "present"

    def __post_init__(self) -> None:
        sources = [each for each in (self.url, self.data, self.file) if each is not None]
        if len(sources) > 1:
            raise ValueError("url, data and file exclude each other")
        if not sources and self.id is None:
            raise ValueError("give url, data or file; to remove a key, id")

    def desired(self) -> State:
        return {"key": self.state}

    def observe(self, machine: Machine) -> State:
        held = {path: openpgp.keys(machine.read(path) or b"") for path in self._keyrings(machine)}
        every = [key for keys in held.values() for key in keys]
        found: Dict[str, Any] = {"keys": [key.fingerprints[0] for key in every]}
        names = [self.id] if self.id is not None else [key.fingerprints[0] for key in self._keys(machine)]
        there = [any(key.fits(name) for key in every) for name in names]
        complete = all(there) if self.state == "present" else any(there)
        return {**found, "id": names[0], "key": "present" if complete else "absent"}

    def _keyrings(self, machine: Machine) -> List[str]:
        if self.keyring is not None:
            return [self.keyring]
        names = [name for name in machine.names(TRUSTED) if name.endswith((".gpg", ".asc"))]
        return ["/etc/apt/trusted.gpg", *(f"{TRUSTED}/{name}" for name in names)]

    def _keys(self, machine: Machine) -> List[openpgp.Key]:
        """What is to be trusted, from where it comes. :raises NotYet: the file is not there yet (6)."""
        if self.url is not None:
            data = machine.loaded(self.url)
        elif self.data is not None:
            data = self.data.encode()
        else:
            read = machine.read(self.file) if self.file else None
            if read is None:
                raise NotYet(
                    f"there is no key {self.file or self.id}", hint="say where it comes from: url, data or file"
                )
            data = read
        found = openpgp.keys(data)
        if not found or (self.id is not None and not any(key.fits(self.id) for key in found)):
            raise StepFailed(f"{self.url or self.file or 'data'} does not hold the key {self.id or ''}".rstrip())
        return found

    def apply(self, machine: Machine, change: Change) -> State:
        if self.state == "absent":
            names = [self.id] if self.id is not None else [key.fingerprints[0] for key in self._keys(machine)]
            for path in self._keyrings(machine):
                held = openpgp.keys(machine.read(path) or b"")
                kept = [key for key in held if not any(key.fits(name) for name in names)]
                if held != kept:
                    self._write(machine, path, kept)
            return None
        new = self._keys(machine)
        path = self.keyring or f"{TRUSTED}/{new[0].fingerprints[0][-16:]}.gpg"
        old = [
            key
            for key in openpgp.keys(machine.read(path) or b"")
            if key.fingerprints[0] not in {each.fingerprints[0] for each in new}
        ]
        machine.mkdir(path.rpartition("/")[0])
        self._write(machine, path, [*old, *new])
        return None

    def _write(self, machine: Machine, path: str, keys: List[openpgp.Key]) -> None:
        data = b"".join(key.data for key in keys)
        if keys:
            machine.write(path, openpgp.armored(data) if path.endswith(".asc") else data, fresh=0o644)
        else:
            machine.remove(path)
