"""Vault: what ansible-vault encrypts, read and written.

Source: Ansible's "Ansible Vault payload format 1.1 - 1.2" (User guide, "Format of files encrypted with Ansible Vault").
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Optional

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.secrecy import MASK
from mnemo_ops.core.secret import Secret
from mnemo_ops.core.secret_text import SecretText
from mnemo_ops.errors import VaultError

HEADER = "$ANSIBLE_VAULT;"
DEFAULT = "default"  # the label Ansible leaves out of the header
_ROUNDS = 10_000  # of PBKDF2, fixed by the format
_WIDTH = 80


def is_encrypted(text: str) -> bool:
    """Whether a text is what ansible-vault writes."""
    return text.startswith(HEADER)


def label_of(text: str) -> str:
    """The label in the header; ``default`` when it has none. :raises VaultError: not a header of 1.1 or 1.2 (2)."""
    words = text.split("\n", 1)[0].strip().split(";")
    if len(words) < 3 or words[1] not in ("1.1", "1.2") or words[2] != "AES256":
        raise VaultError(f"not a vault of format 1.1 or 1.2 with AES256: {text[:40].splitlines()[0]!r}")
    return words[3] if len(words) > 3 else DEFAULT


def _keys(password: bytes, salt: bytes) -> tuple[bytes, bytes, bytes]:
    """Of the cipher, of the signature, and the cipher's first counter."""
    derived = hashlib.pbkdf2_hmac("sha256", password, salt, _ROUNDS, 80)
    return derived[:32], derived[32:64], derived[64:]


def _ctr(key: bytes, counter: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # slow, and seldom needed

    cipher = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()  # CTR: the same both ways
    return cipher.update(data) + cipher.finalize()


def encrypt(data: bytes, password: bytes, label: str = DEFAULT) -> str:
    """The file ansible-vault would write, with a final newline; format 1.2 when the label is not ``default``."""
    salt = secrets.token_bytes(32)
    key, signing, counter = _keys(password, salt)
    missing = 16 - len(data) % 16
    cipher = _ctr(key, counter, data + bytes([missing]) * missing)
    signature = hmac.new(signing, cipher, hashlib.sha256).digest()
    body = binascii.hexlify(b"\n".join(map(binascii.hexlify, (salt, signature, cipher)))).decode()
    header = f"{HEADER}1.1;AES256" if label == DEFAULT else f"{HEADER}1.2;AES256;{label}"
    return "\n".join([header, *(body[at : at + _WIDTH] for at in range(0, len(body), _WIDTH)), ""])


def decrypt(text: str, password: bytes) -> Optional[bytes]:
    """The content; ``None`` when the password is another one. :raises VaultError: damaged, or not a vault (2)."""
    label_of(text)
    try:
        body = binascii.unhexlify("".join(text.split("\n", 1)[1].split()))
        salt, signature, cipher = (binascii.unhexlify(part) for part in body.split(b"\n", 2))
    except (ValueError, IndexError):
        raise VaultError("the encrypted text is damaged: not the hexadecimal digits of a vault") from None
    key, signing, counter = _keys(password, salt)
    if not hmac.compare_digest(hmac.new(signing, cipher, hashlib.sha256).digest(), signature):
        return None
    data = _ctr(key, counter, cipher)
    return data[: -data[-1]] if data else data


@dataclass(frozen=True)
class Source:
    """A vault password that is read when it is first needed.

    :param label: the vault id it belongs to. :param said: where it comes from, for messages. :param read: gets it.
    """

    label: str
    said: str
    read: Callable[[], bytes] = field(repr=False)
    again: Optional[Callable[[], bytes]] = None  # asks once more, before something is encrypted with a typing error


@dataclass(frozen=True)
class Opened:
    """:param label: of the password that opened it."""

    data: bytes = field(repr=False)
    label: str


class Keyring:
    """The vault passwords of one command.

    :param learn: is told every plaintext, so that nothing prints it.
    """

    def __init__(
        self, sources: Sequence[Source] = (), learn: Callable[[Iterable[str]], None] = lambda values: None
    ) -> None:
        self.sources, self.learn = tuple(sources), learn
        self._passwords: dict[int, bytes] = {}
        self._texts: dict[str, str] = {}
        self._lock = threading.Lock()
        self._proved: set[int] = set()  # passwords that have opened something

    def _password(self, number: int) -> bytes:
        with self._lock:  # hosts run side by side; nobody wants to be asked twice
            if number not in self._passwords:
                self._passwords[number] = self.sources[number].read()
                self.learn([self._passwords[number].decode(errors="replace")])
            return self._passwords[number]

    def open(self, text: str, where: str = "") -> Opened:
        """Try the passwords of the text's own label, then the others, as ansible-vault does.

        :raises VaultError: there is no password, none fits, or the text is damaged (2).
        """
        try:
            label = label_of(text)
            if not self.sources:
                raise VaultError(
                    "this is encrypted, and no vault password was given", hint="pass --vault-password-file"
                )
            for number in sorted(range(len(self.sources)), key=lambda one: self.sources[one].label != label):
                data = decrypt(text, self._password(number))
                if data is not None:
                    self._proved.add(number)
                    return Opened(data, self.sources[number].label)
        except VaultError as problem:
            problem.where = problem.where or where
            raise
        tried = ", ".join(f"{source.said}" for source in self.sources)
        named = "" if label == DEFAULT else f" (it says vault id '{label}')"
        raise VaultError(f"no vault password decrypts this{named}", where=where, hint=f"tried: {tried}")

    def reveal(self, text: str, where: str = "") -> str:
        """As :meth:`open`, for text, which from now on is masked. :raises VaultError: it is not UTF-8, too."""
        if text not in self._texts:
            try:
                self._texts[text] = self.open(text, where).data.decode()
            except UnicodeDecodeError:
                raise VaultError("the encrypted text is not UTF-8", where=where) from None
            self.learn([self._texts[text], self._texts[text].strip()])
        return self._texts[text]

    def encrypt(self, data: bytes, label: str = "") -> str:
        """Encrypt with the password of a label, else with the first. :raises VaultError: there is none (2)."""
        numbers = [number for number, one in enumerate(self.sources) if label in ("", one.label)]
        if not numbers:
            hint = "pass --vault-password-file, or --vault-id label@source"
            raise VaultError(f"no vault password was given{f' for the id {label!r}' if label else ''}", hint=hint)
        number, source = numbers[0], self.sources[numbers[0]]
        if source.again and number not in self._proved and source.again() != self._password(number):
            raise VaultError("the two passwords differ")
        return encrypt(data, self._password(number), source.label)


# The one thing of a process that is not passed on: a YAML file, a template or a file to copy may turn out to be
# encrypted anywhere, and each function on the way there would have to hand the passwords through.
_keyring = Keyring()


def keyring() -> Keyring:
    """The passwords of the running command."""
    return _keyring


@contextmanager
def unlocked(keys: Keyring) -> Iterator[Keyring]:
    """While it lasts, these passwords open what is encrypted."""
    global _keyring
    before, _keyring = _keyring, keys
    try:
        yield keys
    finally:
        _keyring = before


@dataclass(frozen=True, repr=False)
class Vaulted:
    """A ``!vault`` value of a file: opened when a template or a task reads it."""

    text: str
    where: str

    def reveal(self) -> SecretText:
        """:raises VaultError: no password opens it (2)."""
        return SecretText(keyring().reveal(self.text, self.where))

    def secret(self) -> Secret:
        return Secret(self.reveal().reveal())

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__
