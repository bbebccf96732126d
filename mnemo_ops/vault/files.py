"""Files that ansible-vault encrypts, whole or value by value: encrypt, decrypt, edit, rekey, check."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.core.atomic_file import replace_file
from mnemo_ops.core.paths import shown
from mnemo_ops.errors import StepFailed, UsageError, VaultError, reason
from mnemo_ops.vault.cipher import Keyring, is_encrypted, label_of

# a block of YAML behind !vault: its head, its indent, its lines
_INLINE = re.compile(
    r"(!vault(?:-encrypted)?[ \t]+[|>][^\n]*\n)([ \t]+)(\$ANSIBLE_VAULT;[^\n]*\n(?:\2[0-9a-f]+[ \t]*(?:\n|\Z))+)"
)
# a value that by its name should not stand there in clear
_CLEAR = re.compile(
    r"^[ \t-]*(\w*(?:password|passwd|passphrase|secret|token|api_key|private_key)\w*)"
    r"(?<!_file)(?<!_path)(?<!_dir):[ \t]+"
    r"(?![!|>&*{\[#]|['\"]?\{\{|['\"]{2}|true\b|false\b|yes\b|no\b|null\b|~)\S",
    re.IGNORECASE | re.MULTILINE,
)
_MEMORY = Path("/dev/shm")  # a file there never reaches a disk
_APART = (".git", ".venv", ".mnemo", ".lab", "node_modules", "__pycache__")


def read(path: Path) -> bytes:
    """:raises UsageError: it cannot be read (2)."""
    try:
        return path.read_bytes()
    except OSError as problem:
        raise UsageError(f"{shown(path)} cannot be read: {reason(problem)}") from None


def _write(path: Path, data: bytes) -> None:
    try:
        replace_file(path, data)
    except OSError as problem:
        raise UsageError(f"{shown(path)} cannot be written: {reason(problem)}; the file is unchanged") from None


def _vault(path: Path) -> str:
    """Text of a file that is encrypted as a whole."""
    text = read(path).decode(errors="replace")
    if not is_encrypted(text):
        raise VaultError(f"{shown(path)} is not encrypted", hint="mnemo-ops secrets.encrypt encrypts it")
    return text


def encrypt(path: Path, keys: Keyring, label: str = "") -> None:
    """Encrypt a file in place, mode 0600. :raises VaultError: it is encrypted already, or there is no password (2)."""
    data = read(path)
    if is_encrypted(data[:64].decode(errors="replace")):
        raise VaultError(
            f"{shown(path)} is encrypted already",
            hint="`secrets.edit` changes its content, `secrets.rekey` its password",
        )
    _write(path, keys.encrypt(data, label).encode())


def decrypt(path: Path, keys: Keyring) -> None:
    """Put a file back in clear, mode 0600. :raises VaultError: no password opens it (2)."""
    _write(path, keys.open(_vault(path), shown(path)).data)


def view(path: Path, keys: Keyring) -> str:
    """The content; of a file with ``!vault`` values, the file with those in clear."""
    text = read(path).decode(errors="replace")
    if is_encrypted(text):
        return keys.open(text, shown(path)).data.decode(errors="replace")

    def clear(found: re.Match[str]) -> str:
        where = f"{shown(path)}:{_line(text, found.start())}"
        return repr(keys.open(_dedented(found), where).data.decode(errors="replace")) + "\n"

    if not _INLINE.search(text):
        raise VaultError(f"nothing in {shown(path)} is encrypted")
    return _INLINE.sub(clear, text)


def rekey(path: Path, keys: Keyring, new: Keyring) -> int:
    """Encrypt a file, or each of its ``!vault`` values, with another password; returns how many there were.

    :raises VaultError: one of them cannot be opened; the file is as it was (2).
    """
    text = read(path).decode(errors="replace")
    if is_encrypted(text):
        _write(path, new.encrypt(keys.open(text, shown(path)).data).encode())
        return 1

    def again(found: re.Match[str]) -> str:
        opened = keys.open(_dedented(found), f"{shown(path)}:{_line(text, found.start())}")
        return found[1] + "".join(f"{found[2]}{line}\n" for line in new.encrypt(opened.data).splitlines())

    changed, count = _INLINE.subn(again, text)
    if not count:
        raise VaultError(f"nothing in {shown(path)} is encrypted")
    _write(path, changed.encode())
    return count


def edit(path: Path, keys: Keyring, editor: str) -> bool:
    """Open an encrypted file in an editor; returns whether it changed. A file that is not there yet is made.

    The clear text lies in memory, in a directory of its own, and is removed on every way out.

    :param editor: command line; the file's name is appended.
    :raises StepFailed: the editor ends with an error; the file is as it was (6).
    """
    before, label = b"", ""
    if path.exists():
        opened = keys.open(_vault(path), shown(path))
        before, label = opened.data, opened.label
    with _private() as directory:
        draft = directory / path.name
        replace_file(draft, before)
        try:
            code = subprocess.run([*shlex.split(editor), str(draft)], check=False).returncode
        except OSError as problem:
            raise StepFailed(f"the editor '{editor}' cannot run: {reason(problem)}", hint="set EDITOR") from None
        if code:
            raise StepFailed(f"the editor ended with exit code {code}; {shown(path)} is unchanged")
        after = draft.read_bytes()
        if after == before and path.exists():
            return False
        _write(path, keys.encrypt(after, label).encode())
    return True


@contextmanager
def _private() -> Iterator[Path]:
    """A directory only we can read, gone afterwards: also when somebody ends us."""
    directory = Path(tempfile.mkdtemp(prefix="mnemo-", dir=_MEMORY if _MEMORY.is_dir() else None))

    def stop(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    before: dict[int, Any] = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


# -- looking through files -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """:param label: vault id in its header. :param problem: why it does not open; empty when it does."""

    where: str
    label: str
    problem: str = ""


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _dedented(found: re.Match[str]) -> str:
    return "\n".join(line.strip() for line in found[3].splitlines())


def files_below(path: Path) -> list[Path]:
    """The file, or every file below the directory. :raises UsageError: there is no such path (2)."""
    if not path.exists():
        raise UsageError(f"{shown(path)} does not exist")
    found = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    return [one for one in found if not set(one.relative_to(path).parts) & set(_APART)]


def check(path: Path, keys: Keyring) -> Iterator[Found]:
    """Whether everything that is encrypted in a file opens."""
    text = read(path).decode(errors="replace")
    parts = [(shown(path), text)] if is_encrypted(text) else []
    parts += [(f"{shown(path)}:{_line(text, one.start())}", _dedented(one)) for one in _INLINE.finditer(text)]
    for where, part in parts:
        try:
            yield Found(where, keys.open(part, where).label)
        except VaultError as problem:
            yield Found(where, _label(part), problem.message)


def _label(text: str) -> str:
    try:
        return label_of(text)
    except VaultError:
        return ""


def in_clear(path: Path) -> Iterator[tuple[str, str]]:
    """``file:line`` and name of values of a YAML file that are called like secrets and are not encrypted."""
    if path.suffix in (".yml", ".yaml"):
        text = read(path).decode(errors="replace")
        for found in _CLEAR.finditer(text):
            yield f"{shown(path)}:{_line(text, found.start(1))}", found[1]
