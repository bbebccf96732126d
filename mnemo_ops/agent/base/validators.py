"""What another host, a manifest or a file says, parsed before it is used: strict, and refused by name.

A field of an action whose annotation is one of :data:`FORMS` is parsed when the action is made, which happens at both
ends; what an action reports is parsed on the controller, by ``mnemo_ops.transport.answers``.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

from mnemo_ops.agent.base.run_id import RUN_ID
from mnemo_ops.errors import Refused

RunId = str
LeaseName = str
PartName = str
HostName = str
UserName = str
PublicKey = str
MachineId = str
Port = int
Addresses = Sequence[str]
PublicKeys = Sequence[str]
Files = Sequence[Mapping[str, Any]]

Parse = Callable[[Any], Any]
SHOWN = 60  # characters of a wrong value
LONGEST = 1 << 16  # characters of any text
HINT = "nothing was done with it; look at who said that before you trust it again"


def wrong(given: Any, what: str, hint: str = HINT) -> Refused:
    """The error for a value that is not what it should be: it is shown, cut and with its control characters escaped."""
    shown = repr(given)
    shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
    return Refused(f"{shown} is no {what}", hint=hint)


@contextmanager
def by(who: str, hint: str = "") -> Iterator[None]:
    """What is parsed within was said by a host, a set or a field. :raises Refused: the same, with its name (3)."""
    try:
        yield
    except Refused as error:
        error.where = f"{who}: {error.where}" if error.where else who
        error.hint = hint or error.hint
        raise


def _like(what: str, form: str, longest: int = 255) -> Parse:
    matches = re.compile(form, re.ASCII).fullmatch

    def parse(given: Any) -> str:
        if not isinstance(given, str) or len(given) > longest or not matches(given):
            raise wrong(given, what)
        return given

    return parse


run_id = _like("id of a run", RUN_ID)
lease_name = _like("name of a lease", rf"[a-z]+-{RUN_ID}(-\d+)?")  # a proof of a run has a number
sha256 = _like("sha256", "[0-9a-f]{64}")
machine_id = _like("machine id", "([0-9a-f]{32})?")  # machine-id(5); empty: it has none
host_name = _like("name of a host", r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
user_name = _like("name of a user", r"[A-Za-z0-9_]([A-Za-z0-9_.@+\\-]*[A-Za-z0-9_.@+-])?\$?", 64)
_scope = _like("address", r"[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?")


def address(given: Any) -> str:
    """An IP address as :mod:`ipaddress` writes it. :raises Refused: it is none (3)."""
    try:
        return str(ipaddress.ip_address(_scope(given)))  # it takes whatever stands behind a %
    except (ValueError, Refused):
        raise wrong(given, "IP address") from None


def host(given: Any) -> str:
    """A name or an IP address that programs take for nothing else. :raises Refused: it is neither (3)."""
    try:
        return address(given)
    except Refused:
        return str(host_name(given))


def part_name(given: Any) -> str:
    """The name of a file in a directory: one component, which is no option and not hidden. :raises Refused: (3)."""
    fine = isinstance(given, str) and given.isprintable() and 0 < len(given.encode()) <= 255
    if not fine or given[0] in "-." or "/" in given:
        raise wrong(given, "name of a file")
    return str(given)


def size(given: Any) -> int:
    """Bytes. :raises Refused: it is no number of them (3)."""
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < 1 << 63:
        raise wrong(given, "number of bytes")
    return given


def port(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 < given < 1 << 16:
        raise wrong(given, "port")
    return given


def public_key(given: Any) -> str:
    """Type and key of a line of SSH, without options and comment. :raises Refused: it is not one such line (3)."""
    words = given.strip().split(" ") if isinstance(given, str) and given.strip().isprintable() else []
    parts = fields(words[1]) if len(words) > 1 else None
    if not parts or not re.fullmatch(r"[a-z0-9@.-]+", words[0]) or parts[0] != words[0].encode() or len(parts) < 2:
        raise wrong(given, "public key of SSH")
    return f"{words[0]} {words[1]}"


def fields(key: str) -> Optional[List[bytes]]:
    """The parts of a public key of SSH (RFC 4253, 6.6), each after its length; ``None``: it is none."""
    try:
        data = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return None
    found = []
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        if end > len(data):
            return None
        found.append(data[4:end])
        data = data[end:]
    return found


# of others: partials, so that a test sees what they are made of


def row(**forms: Parse) -> Parse:
    """A mapping that has these keys in these forms; more of them are left out."""
    return partial(_row, forms)


def _row(forms: Mapping[str, Parse], given: Any) -> Dict[str, Any]:
    if not isinstance(given, Mapping):
        raise wrong(given, f"mapping with {', '.join(forms)}")
    found = {}
    for name, form in forms.items():
        with by(name):
            found[name] = form(given.get(name))
    return found


def each(form: Parse, least: int = 0) -> Parse:
    """A list of what has a form. :param least: how many there must be."""
    return partial(_each, form, least)


def _each(form: Parse, least: int, given: Any) -> List[Any]:
    if not isinstance(given, (list, tuple)) or len(given) < least:
        raise wrong(given, f"list of at least {least}" if least else "list")
    return [form(one) for one in given]


def table(key: Parse, form: Parse) -> Parse:
    """A mapping from what has one form to what has another."""
    return partial(_table, key, form)


def _table(key: Parse, form: Parse, given: Any) -> Dict[str, Any]:
    if not isinstance(given, Mapping):
        raise wrong(given, "mapping")
    found = {}
    for name, one in given.items():
        with by(str(key(name))):
            found[name] = form(one)
    return found


def perhaps(form: Parse, empty: Any = None) -> Parse:
    """What has a form, or is not there. :param empty: what stands for it then."""
    return partial(_perhaps, form, empty)


def _perhaps(form: Parse, empty: Any, given: Any) -> Any:
    return empty if given is None else form(given)


def text(given: Any) -> str:
    """:raises Refused: it is no text, or none that an argument could be (3)."""
    if not isinstance(given, str) or "\0" in given or len(given) > LONGEST:
        raise wrong(given, "text")
    return given


def flag(given: Any) -> bool:
    if type(given) is not bool:
        raise wrong(given, "yes or no")
    return given


def moment(given: Any) -> float:
    """Seconds since the epoch. :raises Refused: it is no time that a clock shows (3)."""
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given < 1 << 40:
        raise wrong(given, "time")
    return float(given)


def _mapping(given: Any) -> Dict[str, Any]:
    return dict(table(text, lambda one: one)(given))


_LEFT: Mapping[str, Parse] = {"left_out": perhaps(each(text), ())}
_TREE: Mapping[str, Parse] = {"bytes": size, "sha256": sha256, **_LEFT}
_DATABASE: Mapping[str, Parse] = {
    **{name: text for name in ("encoding", "collate", "ctype")},
    **{name: perhaps(text, "") for name in ("provider", "locale", "rules")},
    **{name: _mapping for name in ("extensions", "tables", "sequences")},
    **{"bytes": size, "major": size, "needed_roles": perhaps(each(text), ())},
    "matviews": perhaps(table(text, _mapping), {}),
}
_EXTENSION: Mapping[str, Parse] = {name: text for name in ("name", "version", "schema", "owner")}
_OF_CLUSTER: Mapping[str, Parse] = {
    **{name: perhaps(text, "") for name in ("provider", "locale", "rules")},
    **{name: text for name in ("encoding", "collate", "ctype")},
    "bytes": size,
    "extensions": perhaps(table(text, row(**_EXTENSION)), {}),
    "public": perhaps(flag, False),
    "needs": perhaps(each(text), ()),
    "keeper": perhaps(text, ""),
    **{name: perhaps(flag, True) for name in ("wide", "used")},
}
# a whole cluster, as `initdb` and a server of its own make it again
_CLUSTER: Mapping[str, Parse] = {
    **{name: size for name in ("major", "bytes", "segment", "uid", "gid")},
    **{name: text for name in ("version", "superuser", "user", "mode", "preloaded", "data", "programs")},
    "checksums": flag,
    **{name: perhaps(text, "") for name in ("cron", "session_preloaded")},
    "roles": each(text),
    "databases": table(text, row(**_OF_CLUSTER)),
    "files": table(text, part_name),
    "rows": table(text, table(text, text)),
    "secrets": part_name,
    **_LEFT,
}


def facts(given: Any) -> Dict[str, Any]:
    """What a manifest knows of a dataset: its kind, and what a restore of that kind compares and makes."""
    found = dict(given) if isinstance(given, Mapping) else {}
    if found.get("kind") not in ("postgres", "files", "redis", "config"):
        raise wrong(found.get("kind"), "kind of a dataset")
    form = _TREE if found["kind"] != "postgres" else _CLUSTER if "files" in found else _DATABASE
    parsed = {**found, **row(**form)(found)}
    if form is _CLUSTER and not ({"template0"} | {*parsed["files"]}) <= {*parsed["databases"]}:
        raise wrong(sorted(parsed["databases"]), "list of the databases of a cluster")
    if form is _CLUSTER and not parsed["files"]:
        raise wrong({}, "list of archives of databases")
    return parsed


files = each(row(name=part_name, size=size, sha256=sha256))

FORMS: Dict[str, Parse] = {
    "RunId": run_id,
    "LeaseName": lease_name,
    "PartName": part_name,
    "Addresses": each(address, 1),
    "HostName": host,
    "UserName": user_name,
    "Port": port,
    "PublicKey": public_key,
    "PublicKeys": each(public_key),
    "MachineId": machine_id,
    "Files": files,
}
