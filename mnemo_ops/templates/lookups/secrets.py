"""Lookups whose results are secrets: what they find is masked wherever something is printed."""

from __future__ import annotations

import random
import re
import secrets
import shlex
import string
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Optional

from mnemo_ops.core.atomic_file import replace_file
from mnemo_ops.core.secret import of_encrypted
from mnemo_ops.core.secret_text import SecretText
from mnemo_ops.documents.yaml_lines import loads
from mnemo_ops.errors import TemplateError, UsageError, reason
from mnemo_ops.templates.file_search import find
from mnemo_ops.templates.filters.hashing import password_hash
from mnemo_ops.templates.lookups.scope import LookupScope
from mnemo_ops.vault.cipher import keyring

_CHARS = ("ascii_letters", "digits", ".,:-_")
_OPTIONS = ("length", "chars", "encrypt", "seed", "ident")
_SALT_LENGTH = {"bcrypt": 22, "blowfish": 22}


def _command(scope: LookupScope, terms: list[Any], strip: bool = True) -> list[Any]:
    """What a program prints. A text is split into arguments as a shell does, but no shell runs it."""
    return [
        _printed(shlex.split(term) if isinstance(term, str) else [str(one) for one in term], strip) for term in terms
    ]


def _printed(arguments: list[str], strip: bool) -> str:
    try:
        done = subprocess.run(arguments, stdout=subprocess.PIPE, check=False)
    except OSError as problem:
        raise TemplateError(f"lookup: the program '{arguments[0]}' cannot run: {reason(problem)}") from None
    if done.returncode:
        raise TemplateError(f"lookup: '{arguments[0]}' ended with exit code {done.returncode}")
    text = done.stdout.decode(errors="replace")
    keyring().learn([text, text.strip()])
    return SecretText(text.strip() if strip else text)


def _sops(
    scope: LookupScope,
    terms: list[Any],
    extract: Optional[str] = None,
    input_type: Optional[str] = None,
    output_type: Optional[str] = None,
    rstrip: bool = True,
    empty_on_not_exist: bool = False,
) -> list[Any]:
    """Files decrypted by the program ``sops``."""
    found = []
    for term in map(str, terms):
        if empty_on_not_exist and not any((directory / term).exists() for directory in scope.files):
            found.append("")
            continue
        options = [("--extract", extract), ("--input-type", input_type), ("--output-type", output_type)]
        given = [word for name, value in options if value for word in (name, value)]
        text = _printed(["sops", *given, "--decrypt", str(find(term, scope.files))], strip=False)
        _learn(text, term)
        found.append(text.rstrip() if rstrip else text)
    return found


def _learn(text: str, file: str) -> None:
    """What is secret in a decrypted file: YAML or JSON, else an env file."""
    with suppress(UsageError):
        if isinstance(loads(SecretText(text), file), (dict, list)):
            return
    rows = (re.split(r"[:=]", line, maxsplit=1) for line in text.splitlines())
    keyring().learn(of_encrypted((row[0].strip(), row[1].strip().strip("\"'")) for row in rows if len(row) == 2))


def _password(scope: LookupScope, terms: list[Any], **options: Any) -> list[Any]:
    """The password in a file of the controller, made when there is none yet; ``/dev/null`` keeps none."""
    return [_one_password(str(term), dict(options), scope) for term in terms]


def _one_password(term: str, given: dict[str, Any], scope: LookupScope) -> str:
    words = term.split(" ")
    while len(words) > 1 and words[-1].partition("=")[0] in _OPTIONS and "=" in words[-1]:
        name, _, value = words.pop().partition("=")
        given.setdefault(name, value)
    if given.keys() - set(_OPTIONS):
        raise TemplateError(f"lookup 'password' has no option '{min(given.keys() - set(_OPTIONS))}'")
    path = Path(" ".join(words)).expanduser()
    path = path if path.is_absolute() else (scope.files[-1] if scope.files else Path.cwd()) / path
    kept = str(path) != "/dev/null"
    text = path.read_text("utf-8").rstrip("\n") if kept and path.exists() else ""
    password, _, salt = text.partition(" salt=")
    salt, _, ident = salt.partition(" ident=")
    encrypt = given.get("encrypt")
    password = password or _random(given)
    if encrypt and not salt:
        salt = _text(str(encrypt))
    whole = password + (f" salt={salt}" if salt else "") + (f" ident={given.get('ident') or ident}" if ident else "")
    if kept and whole != text:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, (whole + "\n").encode())
    hashed = password_hash(password, str(encrypt), salt, ident=given.get("ident") or ident or None) if encrypt else ""
    keyring().learn([password, hashed])
    return SecretText(hashed or password)


def _text(kind: str) -> str:
    length = _SALT_LENGTH.get(kind, 16)
    return "".join(secrets.choice(string.ascii_letters + string.digits + "./") for _ in range(length))


def _random(given: dict[str, Any]) -> str:
    """:raises TemplateError: no characters to choose from (2)."""
    seed = given.get("seed")
    source = random.SystemRandom() if seed is None else random.Random(seed)
    chars = _alphabet(given.get("chars", _CHARS))
    if not chars:
        raise TemplateError("lookup 'password': chars names no characters")
    return "".join(source.choice(chars) for _ in range(int(given.get("length", 20))))


def _alphabet(chars: Any) -> str:
    """Names of the module ``string`` stand for its characters, anything else for itself; ``,,`` is a comma."""
    if isinstance(chars, str):
        comma = [","] if ",," in chars else []
        chars = [*(part.strip() for part in chars.replace(",,", ",").split(",") if part.strip()), *comma]
    return "".join(getattr(string, one) if one in vars(string) and one.islower() else one for one in chars)


LOOKUPS: dict[str, Callable[..., list[Any]]] = {
    "command": _command,
    "password": _password,
    "sops": _sops,
}
