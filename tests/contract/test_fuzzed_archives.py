"""Any archive at all: it is unpacked or it is a failure; what lies around the destination stays as it was.

``MNEMO_FUZZ=2000 pytest tests/contract/test_fuzzed_archives.py`` tries as many; docs/soak.md has what came of it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hostile_archives as hostile
import pytest
import sampling
from hostile_archives import FILE, FOLDER, HARD, KNOWN, LINK, Row, around, tar_of, unpacked, zip_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import World

from mnemo_ops.agent.files import archive
from mnemo_ops.agent.files.archive import listed
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import MnemoError

EXAMPLES = int(os.environ.get("MNEMO_FUZZ", 120 if sampling.thorough else 40))

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # a failure shows the archive

TOP = Path(tempfile.gettempdir()) / f"mnemo-fuzz-{os.getpid()}"  # known before, so that links lead there
OUTSIDE = str(TOP / "outside")

fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Quick(Machine):
    """It waits for no disk: nothing here is to survive a power cut."""

    def sync_all(self) -> None:
        pass


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(archive, "HARMLESS", 1 << 20)
    TOP.mkdir()
    yield hostile.world(TOP)
    shutil.rmtree(TOP)


# -- what they are made of -----------------------------------------------------------------------------------------

PARTS = ["x", "y", "z", ".", "..", "", "outside", "precious", "srv", "here", "n" * 200, "é", "a\nb", "\udcff"]
NAMES = st.one_of(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("/".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
TARGETS = st.one_of(
    NAMES.filter(lambda name: not name.startswith("/")),
    st.sampled_from([OUTSIDE, OUTSIDE + "/precious", "../" * 40 + OUTSIDE, "../here/x", ".", "..", "../../../outside"]),
)
NUMBERS = st.one_of(st.integers(0, 2000), st.integers(-(1 << 55), 1 << 55))
KINDS = [FILE, FOLDER, LINK, HARD]
TYPES = st.one_of(st.sampled_from(KINDS * 3), st.binary(min_size=1, max_size=1))
WORDS = ["path", "linkpath", "size", "mtime", "uid", "gid", "uname", "GNU.sparse.map", "GNU.sparse.size", "hdrcharset"]
MORE = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.integers(0, 0o7777),
        "uid": NUMBERS,
        "gid": NUMBERS,
        "mtime": NUMBERS,
        "uname": st.sampled_from(["root", "old", "nobody", "é"]),
        "pax_headers": st.dictionaries(st.sampled_from(WORDS), st.one_of(NAMES, NUMBERS.map(str)), max_size=2),
    },
)
ROWS = st.lists(st.tuples(NAMES, TYPES, TARGETS, MORE), max_size=8)
FORMS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "owner": st.just("1500"),
        "mode": st.sampled_from(["0777", "u=rwX,go="]),
        "keep_newer": st.booleans(),
        "extra_opts": st.sampled_from([["--strip-components=1"], ["--transform=s/y/x/g"], ["--no-same-owner"]]),
    },
)


def made(make: Callable[[list[Row]], bytes], rows: list[Row]) -> bytes:
    """Of the rows those that this form of archive has a place for."""
    fit = list(rows)
    while True:
        try:
            return make(fit)
        except (ValueError, OverflowError, TypeError):
            fit.pop()


@st.composite
def mutated(draw: Any, source: st.SearchStrategy[bytes]) -> bytes:
    """Bytes replaced, left out or put in, most near the ends, where zips and tars say what is in them."""
    data = bytearray(draw(source))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(-300, 1100)) % max(1, len(data))
        length = draw(st.integers(0, 8))
        data[at : at + length] = draw(
            st.binary(max_size=8) if draw(st.booleans()) else st.binary(min_size=length, max_size=length)
        )
    return bytes(data)


def header(fields: tuple[bytes, ...]) -> bytes:
    """A header with whatever in its fields and a checksum that is right."""
    sizes = (100, 8, 8, 8, 12, 12, 8, 1, 100, 8, 32, 32, 8, 8, 155)
    block = b"".join(field[:size].ljust(size, b"\0") for field, size in zip(fields, sizes)).ljust(512, b"\0")
    total = sum(block[:148]) + sum(block[156:]) + 8 * 32
    return block[:148] + b"%06o\0 " % total + block[156:]


OCTAL = st.one_of(
    st.integers(0, 1 << 20).map(lambda number: b"%o" % number),
    st.binary(max_size=12),
    st.sampled_from([b"\x80", b"\xff"]).flatmap(lambda first: st.binary(min_size=11, max_size=11).map(first.__add__)),
)
NAME = st.one_of(NAMES.map(lambda name: name.encode("utf-8", "surrogateescape")), st.binary(max_size=100))
TYPE = st.one_of(st.sampled_from([b"0", b"1", b"2", b"5", b"L", b"K", b"x", b"g", b"S", b"\0"]), st.binary(max_size=1))
MAGIC = st.sampled_from([b"ustar\x0000", b"ustar  \0", b""])
HEADERS = st.tuples(
    *(NAME, OCTAL, OCTAL, OCTAL, OCTAL, OCTAL, st.just(b""), TYPE, NAME, MAGIC, NAME, NAME, OCTAL, OCTAL, NAME)
).map(header)
PAX = st.tuples(st.sampled_from(WORDS), st.one_of(NAMES, NUMBERS.map(str), st.just("nan"))).map(
    lambda pair: (
        b"%d %s=%s\n"
        % (
            len(pair[0]) + len(pair[1].encode("utf-8", "replace")) + 5,
            pair[0].encode(),
            pair[1].encode("utf-8", "replace"),
        )
    )
)
BLOCKS = st.lists(
    st.one_of(HEADERS, PAX.map(lambda text: text.ljust(512, b"\0")[:512]), st.just(bytes(512))), max_size=10
)
PACKERS = st.sampled_from([bytes, gzip.compress, bz2.compress, lzma.compress])

TARS = st.builds(made, FORMS.map(lambda form: partial(tar_of, form=form)), ROWS)
ZIPS = st.builds(made, st.just(zip_of), ROWS)
ARCHIVES = st.one_of(
    TARS,
    mutated(TARS),
    BLOCKS.map(b"".join),
    ZIPS,
    mutated(ZIPS),
    st.builds(lambda pack, data: pack(data), PACKERS, st.one_of(TARS, BLOCKS.map(b"".join))),
    st.builds(lambda pack, data, cut: pack(data)[: -cut or None], PACKERS, TARS, st.integers(0, 60)),
    mutated(st.builds(lambda pack, data: pack(data), PACKERS, TARS)),
)


# -- what comes of them --------------------------------------------------------------------------------------------


@pytest.mark.thorough
@fuzzed
@given(data=ARCHIVES)
def test_any_archive_is_listed_or_refused(data: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "HARMLESS", 1 << 20)
        try:
            rows = listed(io.BytesIO(data), "x")
        except MnemoError as error:
            assert error.exit_code in (3, 6)
        else:
            assert len(archive.members(rows)) == len(rows)


@pytest.mark.thorough
@pytest.mark.parametrize("bare", [False, True], ids=["in a root", "bare"])
@fuzzed
@given(first=ARCHIVES, second=ARCHIVES, options=OPTIONS)
def test_any_two_archives_stay_inside(
    world: World, bare: bool, first: bytes, second: bytes, options: dict[str, Any]
) -> None:
    """The second finds what the first has left, and the first again what the second has."""
    before = around(world)
    for data in (first, second, first):
        event = unpacked(world, data, Quick, bare, **options)
        assert around(world) == before
        assert event.status in ("ok", "changed") or event.error is None or event.error["class"] in KNOWN, event
    shutil.rmtree(world.root / "srv/here")
