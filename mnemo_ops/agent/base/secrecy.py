"""Secrecy: which values of an environment are secret, and the forms in which they could show in a text."""

from __future__ import annotations

import json
import re
from typing import Any, Iterable, List, Mapping, Set, Tuple

MASK = "[secret]"
SHORTEST = 6  # characters; masking shorter values would hide ordinary words and protect nothing
LINE = 16  # characters; shorter lines of a long secret may be ordinary text
WORD = 24  # characters; whatever is longer is nobody's ordinary word

_SECRET = re.compile(
    r"PASSW|PASSPHRASE|SECRET|CREDENTIAL|TOKEN|API_?KEY|WEBHOOK|COOKIE|(^|_)(KEY|SALT)(_|$|\d)|KEYS?$"
    r"|(^|_)(DB|PG|MY|USER)?(PASS|PWD|AUTH)\d*$",
    re.IGNORECASE,
)
# what is said about a secret is none
_ABOUT = re.compile(
    r"_(FILE|PATH|DIR|NAME|PREFIX|HEADER|DOMAIN|ISSUER|ALGORITHM|METHOD|TYPE|ENABLED|SECURE|SAMESITE|ROUNDS|LENGTH|SIZE|TTL"
    r"|MINUTES|SECONDS|HOURS|DAYS)$",
    re.IGNORECASE,
)
# variables whose values are names that messages are full of
_NAMING = re.compile(
    r"(^|_)(DB|DATABASE|USER|USERNAME|LOGIN|NAME|HOST|HOSTNAME|SERVER|DOMAIN|PROJECT|BUCKET|ENV|ENVIRONMENT|BACKEND)$",
    re.IGNORECASE,
)
_WORDS = (
    *(
        "access",
        "admin",
        "administrator",
        "backup",
        "change_me",
        "changeme",
        "database",
        "default",
        "demo",
        "development",
    ),
    *(
        "docker",
        "example",
        "guest",
        "local",
        "localhost",
        "mysql",
        "nginx",
        "passwd",
        "password",
        "postgres",
        "postgresql",
    ),
    *("production", "public", "redis", "secret", "secrets", "server", "staging", "system", "test", "testing", "token"),
)
# in a URL, in a connection string, on a command line
_INSIDE = (
    re.compile(r"://[^\s/@:]*:(\S+)@"),
    re.compile(r"://[^\s/@:]*:([^\s@]+?)@"),
    re.compile(r"://([^\s/@:]{16,})@"),
    re.compile(
        r"(?i)(?:passw\w*|passphrase|pwd|secret\w*|token|(?:api|access|account|auth|private|sign\w*|encryption)_?key|sig)"
        r"=(\"[^\"]*\"|'[^']*'|[^&;\s\"']+)"
    ),
    re.compile(
        r"(?i)(?:--?[\w-]*(?:pass|password|secret|token)[ =]|redis-cli\b.*? -a )(\"[^\"]*\"|'[^']*'|[^-$\s\"']\S*)"
    ),
)

Variables = Iterable[Tuple[str, str]]


def secrets(variables: Variables) -> List[Tuple[str, str]]:
    """Name and value of what is secret: all of a variable named so, and passwords within the value of any."""
    found = []
    for name, value in variables:
        parts = inside(value)
        if parts or (_SECRET.search(name) and not _ABOUT.search(name) and value.lower() not in ("true", "false")):
            found += [(name, part) for part in (value, *parts) if part]
    return list(dict.fromkeys(found))


def inside(text: str) -> List[str]:
    """The passwords in a URL, a connection string or a command, as they are written and as they are meant."""
    from urllib.parse import unquote, unquote_plus

    written = [
        match.strip("\"'")
        for url in re.split(r"(?=\b[a-zA-Z][\w+.-]*://)", text)
        for form in _INSIDE
        for match in form.findall(url)
    ]
    return list(dict.fromkeys(form for one in written for form in (one, unquote(one), unquote_plus(one))))


def ordinary(names: Iterable[str], variables: Variables = ()) -> Set[str]:
    """Words messages are full of: names and the parts of names and paths, lower case. Hiding one hides nothing.

    :param names: of projects, services, containers, hosts; paths.
    """
    whole = {text.lower() for text in (*_WORDS, *names, *named(variables)) if is_word(text) or "/" in text}
    parts = {part for text in whole for part in (*re.split(r"[/:@]", text), *re.split(r"[\W_]+", text))}
    return {word for word in whole | parts if is_word(word)}


def named(variables: Variables) -> List[str]:
    """Values that are called the name of something: a database, a user, a host."""
    return [value for name, value in variables if _NAMING.search(name) and not _SECRET.search(name)]


def is_word(value: str) -> bool:
    """Whether it could be a name somebody gave; what was made at random is longer, or has digits among its letters."""
    return len(value) <= WORD and re.fullmatch(r"[^\W\d]+([-. ][^\W\d]+)*[-.]?\d{0,3}", value) is not None


def can_hide(value: str, words: Set[str]) -> bool:
    """Whether masking a value protects it and leaves messages readable."""
    if len(value) < SHORTEST:
        return False
    return not (is_word(value) and any(value.lower() in word for word in words))


def forms(value: str) -> Set[str]:
    """How it can look in a text: itself, in JSON, as Python, a URL or a shell writes it, and its lines in a diff."""
    import shlex
    from urllib.parse import quote, quote_plus

    in_json = json.dumps(value)[1:-1]
    quoted = {in_json, json.dumps(in_json)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    with_dollars = {value.replace("$", "$$"), value.replace("$$", "$")}  # as compose writes and means them
    data = value.encode("utf-8", "surrogatepass")
    urls = {quote(data, safe=""), quote(data), quote_plus(data)}
    urls |= {re.sub("%..", lambda found: found.group().lower(), url) for url in urls}
    shell = {shlex.quote(value)[1:-1]} if shlex.quote(value) != value else set()
    lines = {line for line in value.splitlines() if len(line) >= LINE}
    return {form for form in {value, *quoted, *with_dollars, *urls, *shell, *lines} if len(form) >= SHORTEST}


def hide(text: str, values: Iterable[str]) -> str:
    """A text without these values, longest first."""
    known = {form for value in values for form in forms(value)}
    for form in sorted(known, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def of_compose(config: Mapping[str, Any]) -> List[str]:
    """What must not show of a resolved compose project."""
    services: Mapping[str, Any] = config.get("services") or {}
    variables = [
        (str(name), str(value).replace("$$", "$"))
        for each in services.values()
        for name, value in (each.get("environment") or {}).items()
        if value is not None
    ]
    tests = [(each.get("healthcheck") or {}).get("test") for each in services.values()]
    commands = [each.get(key) for each in services.values() for key in ("command", "entrypoint")]
    typed = [" ".join(map(str, words)) if isinstance(words, list) else str(words or "") for words in tests + commands]
    names = [str(config.get("name", "")), *services]
    names += [str(each[key]) for each in services.values() for key in ("container_name", "image") if each.get(key)]
    names += [name for key in ("volumes", "networks", "secrets", "configs") for name in config.get(key) or {}]
    words = ordinary(names, variables)
    values = {value for _, value in secrets(variables)}
    values |= {value.replace("$$", "$") for command in typed for value in inside(command)}
    return [value for value in values if can_hide(value, words)]
