"""Whatever a file is called and however large it is: another reader of tar archives finds it so."""

from __future__ import annotations

import io
import os
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemo_ops.agent.files.tar_headers import BLOCK, header

PARTS = st.binary(min_size=1, max_size=255).map(lambda name: name.translate(None, b"\0/") or b"x")
NAMES = st.lists(PARTS, min_size=1, max_size=6).map(b"/".join)
KINDS = st.sampled_from(("file", "directory", "link", "fifo", "char 0:0", "block 259:70000"))
TYPES = {"file": "0", "directory": "5", "link": "2", "fifo": "6", "char 0:0": "3", "block 259:70000": "4"}
NUMBERS = st.integers(0, 2**32 - 2)
TIMES = st.integers(-(2**31) * 10**9, 2**34 * 10**9)
XATTRS = st.dictionaries(st.sampled_from(("user.a", "user.b=%3D", "trusted.\udcff")), st.binary(max_size=600))


def read(made: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(made), errors="surrogateescape") as archive:
        found = archive.next()
    assert found is not None
    return found


@given(kind=KINDS, name=NAMES, to=NAMES, uid=NUMBERS, gid=NUMBERS, time=TIMES, size=st.integers(0, 2**43), more=XATTRS)
def test_another_reader_finds_the_same(
    kind: str, name: bytes, to: bytes, uid: int, gid: int, time: int, size: int, more: dict[str, bytes]
) -> None:
    row = {"kind": kind if " " not in kind and kind != "fifo" else "other", "uid": uid, "gid": gid, "mtime": time}
    row.update({"size": size} if kind == "file" else {}, **({"special": kind} if row["kind"] == "other" else {}))
    target = to if kind == "link" else b""
    made = header({**row, "mode": 0o4751}, name, target, {key: value.hex() for key, value in more.items()}, [])
    assert len(made) % BLOCK == 0
    found = read(made)
    assert found.type.decode() == TYPES[kind]
    assert os.fsencode(found.name) == name.rstrip(b"/") and os.fsencode(found.linkname) == target
    assert (found.uid, found.gid, found.mode, found.size) == (uid, gid, 0o4751, size if kind == "file" else 0)
    assert abs(float(found.mtime) - time / 10**9) < 1e-5
    if " " in kind:
        assert f"{found.devmajor}:{found.devminor}" == kind.split()[1]
    for key, value in more.items():
        word = "SCHILY.xattr." + key.replace("%", "%25").replace("=", "%3D")
        assert found.pax_headers[word].encode("utf-8", "surrogateescape") == value


@pytest.mark.parametrize("time", [-1, -1500000000, 1, 10**9 - 1, 2**33 * 10**9 + 1, 1234567890123456789])
def test_a_time_is_exact(time: int) -> None:
    row = {"kind": "file", "size": 0, "mode": 0, "uid": 0, "gid": 0, "mtime": time}
    whole, _, rest = read(header(row, b"x", b"", {}, [])).pax_headers["mtime"].partition(".")
    sign = -1 if whole.startswith("-") else 1
    assert int(whole) * 10**9 + sign * int(rest) == time
