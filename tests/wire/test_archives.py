"""Archives that want out, unpacked by the real agent: nothing outside changes, and the next task may go on."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from agents import batch

from mnemo_ops.agent.resources.unarchive import Unarchive
from mnemo_ops.transport.session import AgentSession

Open = Callable[..., AgentSession]
Row = tuple[str, bytes, str]

LINK, FOLDER, FILE, HARD = tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    ("rows", "how"),
    [
        ([("x", LINK, "OUTSIDE"), ("x", FOLDER, "")], ""),  # the later one is there, beside what the link named
        ([("x", LINK, "OUTSIDE"), ("x/y", FILE, "")], "Refused"),
        ([("y", HARD, "OUTSIDE/precious")], "Refused"),
        ([("y", HARD, "../../etc/passwd")], "Refused"),
    ],
)
def test_what_an_archive_names_stays_as_it_is(open_session: Open, tmp_path: Path, rows: list[Row], how: str) -> None:
    outside, here = tmp_path / "outside", tmp_path / "here"
    outside.mkdir(mode=0o700)
    here.mkdir()
    (outside / "precious").write_text("precious")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, kind, target in rows:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid = kind, 0o777, 1001, 1001
            info.linkname = target.replace("OUTSIDE", str(outside))
            archive.addfile(info, io.BytesIO())
    before = [(path.name, path.stat()[:6]) for path in (outside, outside / "precious")]
    resource = Unarchive(src=str(tmp_path / "x.tar"), dest=str(here), remote_src=True)
    (event,) = [one for one in open_session().converge(batch(resource)) if one.status != "progress"]
    assert [(path.name, path.stat()[:6]) for path in (outside, outside / "precious")] == before
    assert (event.error or {}).get("class", "") == how and (event.status == "changed") == (not how)
    assert [path.name for path in outside.iterdir()] == ["precious"]
