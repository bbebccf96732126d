"""What stands before a file in an archive of tar(1): the form of POSIX (pax), attributes and holes as GNU tar has them.

A row is one of :mod:`~mnemo_ops.agent.files.listing`, so that what was compared and what is kept are one look.
"""

from __future__ import annotations

import functools
import struct
from typing import Any, Dict, Mapping, Tuple

from mnemo_ops.agent.machine.holes import Spans

BLOCK = 512  # bytes; everything begins at a multiple of it
TYPES = {"file": b"0", "link": b"2", "char": b"3", "block": b"4", "directory": b"5", "fifo": b"6"}
SAME = b"1"  # a further name of a file
_OCTAL = 8**11  # what is not below needs a record of its own
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s64x8s8s167x")


def header(row: Mapping[str, Any], name: bytes, to: bytes, attributes: Mapping[str, str], spans: Spans) -> bytes:
    """The blocks before the content of an entry.

    :param to: what a link names. :param attributes: in hex. :param spans: of a file that has holes.
    """
    special, _, numbers = str(row.get("special", row["kind"])).partition(" ")
    kind = SAME if "same_as" in row else TYPES[special]
    major, minor = map(int, (numbers or "0:0").split(":"))
    size = row["size"] if kind == TYPES["file"] else 0
    records: Dict[str, bytes] = {
        f"SCHILY.xattr.{_word(key)}": bytes.fromhex(value) for key, value in attributes.items()
    }
    if row["mtime"] % 10**9 or not 0 <= row["mtime"] < _OCTAL * 10**9:
        seconds, rest = divmod(abs(row["mtime"]), 10**9)
        records["mtime"] = b"%s%d.%09d" % (b"-" * (row["mtime"] < 0), seconds, rest)
    before = b""
    if spans:
        counted = [len(spans), *(number for span in spans for number in span)]
        before = padded(b"".join(b"%d\n" % number for number in counted))
        sparse = {"major": b"1", "minor": b"0", "name": name, "realsize": b"%d" % size}
        records.update({f"GNU.sparse.{key}": value for key, value in sparse.items()})
        size = len(before) + sum(length for _, length in spans)
    elif len(name) > 100 or not name.isascii():
        records["path"] = name
    if len(to) > 100 or not to.isascii():
        records["linkpath"] = to
    for key, value in (("size", size), ("uid", row["uid"]), ("gid", row["gid"])):
        if value >= 8**7:
            records[key] = b"%d" % value
    more = b""
    if records:
        more = b"".join(map(_record, records.items()))
        more = _before(len(more)) + padded(more)
    return more + _block(row, kind, name, to, size, major, minor) + before


@functools.lru_cache(None)
def _before(size: int) -> bytes:
    return _block({"mode": 0o644, "uid": 0, "gid": 0, "mtime": 0}, b"x", b"./PaxHeaders/x", b"", size, 0, 0)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def _block(row: Mapping[str, Any], kind: bytes, name: bytes, to: bytes, size: int, major: int, minor: int) -> bytes:
    seconds = max(row["mtime"], 0) // 10**9
    numbers = (row.get("mode", 0o777) % 8**7, row["uid"] % 8**7, row["gid"] % 8**7, size % _OCTAL, seconds % _OCTAL)
    owner = b"%07o %07o %07o %011o %011o" % numbers
    fields = [name[:100], *owner.split(), b" " * 8, kind, to[:100], b"ustar\x0000", b"%07o" % major, b"%07o" % minor]
    fields[6] = b"%06o\0 " % sum(b"".join(fields))  # of the block with spaces in its place
    return _HEADER.pack(*fields)


def _word(name: str) -> str:
    return name.replace("%", "%25").replace("=", "%3D")


def _record(given: Tuple[str, bytes]) -> bytes:
    body = b" %b=%b\n" % (given[0].encode("utf-8", "surrogateescape"), given[1])
    length = len(body)
    while length != len(b"%d" % length) + len(body):
        length = len(b"%d" % length) + len(body)
    return b"%d%b" % (length, body)
