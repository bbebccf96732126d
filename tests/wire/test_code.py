"""Compiled code an agent leaves to the next one."""

from __future__ import annotations

import bz2
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from zipimport import zipimporter

import pytest
from agents import RawAgent
from agents import code as kinds
from pace import PATIENCE

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.main import Agent
from mnemo_ops.agent.process import code_cache
from mnemo_ops.agent.process.channel import Channel
from mnemo_ops.agent.process.host_lock import HostLock
from mnemo_ops.transport import bundle

Raw = Callable[..., RawAgent]
LOCK = {"owner": "ops", "command": "invoke play", "run": ""}


def _unpacked(agent: RawAgent) -> int:
    """How many anonymous files of sources it holds."""
    links = [str(path.readlink()) for path in Path(f"/proc/{agent.process.pid}/fd").iterdir()]
    return sum("memfd:mnemo" in link for link in links)


def _work(agent: RawAgent, tmp_path: Path, **hello: object) -> int:
    """One task done by it; how much it had to unpack; then it is left."""
    agent.hello(**hello)
    task = {"id": "a", "kind": "file", "args": {"path": str(tmp_path / "a"), "state": "directory"}}
    agent.send(op="converge", seq=2, check=not hello, steps=[{"tasks": [task]}], **kinds("file"))
    assert (agent.receive() or {})["status"] in ("changed", "ok")
    assert (agent.receive() or {})["done"] == 2
    unpacked = _unpacked(agent)
    agent.stdin.close()
    agent.process.wait(PATIENCE)
    return unpacked


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's agents keep code")


@needs_root
def test_what_was_shipped_is_compiled_once(raw_agent: Raw, state: Path, tmp_path: Path) -> None:
    assert _work(raw_agent(), tmp_path, lock=LOCK) == 2
    made = sorted(state.glob("code/*.zip"))
    assert len(made) == 2
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
    assert (state / "code").stat().st_mode & 0o777 == 0o700
    times = [path.stat().st_mtime_ns for path in made]
    assert _work(raw_agent(), tmp_path, lock=LOCK) == 0
    assert [path.stat().st_mtime_ns for path in sorted(state.glob("code/*.zip"))] == times


@needs_root
def test_what_is_spoilt_is_not_used(raw_agent: Raw, state: Path, tmp_path: Path) -> None:
    _work(raw_agent(), tmp_path, lock=LOCK)
    for path in state.glob("code/*.zip"):
        path.write_bytes(path.read_bytes()[:1000])
    assert _work(raw_agent(), tmp_path, lock=LOCK) == 2


@needs_root
def test_what_is_spoilt_in_its_middle_is_not_used(raw_agent: Raw, state: Path, tmp_path: Path) -> None:
    _work(raw_agent(), tmp_path, lock=LOCK)
    for path in state.glob("code/*.zip"):
        data = path.read_bytes()
        at = data.index(b"mnemo_ops/agent/base/protocol.pyc") if b"mnemo_ops/agent/base/protocol.pyc" in data else 200
        path.write_bytes(data[:at] + b"?" * 2000 + data[at + 2000 :])
    assert raw_agent().hello() is not None


@needs_root
def test_what_was_cut_off_is_made_again(raw_agent: Raw, state: Path, tmp_path: Path) -> None:
    _work(raw_agent(), tmp_path, lock=LOCK)
    for path in state.glob("code/*.zip"):
        path.write_bytes(b"")
    _work(raw_agent(), tmp_path, lock=LOCK)
    assert _work(raw_agent(), tmp_path, lock=LOCK) == 0


def test_nothing_is_imported_from_where_it_was_started(raw_agent: Raw, tmp_path: Path) -> None:
    """A checkout, or what somebody else left in a directory all may write to."""
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    for name in ("mnemo_ops", "mnemo_ops/agent"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / "mnemo_ops/agent/main.py").write_text("print('taken over', flush=True)")
    others = {"user": "nobody", "python": "/usr/bin/python3"} if os.geteuid() == 0 else {}
    assert raw_agent(cwd=tmp_path, **others).hello() is not None


def test_the_lock_is_free_while_code_is_compiled(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: how long it takes to compile is no time to look at."""
    machine, free = Machine(state_dir=str(state)), list[bool]()
    agent = Agent(Channel(io.BytesIO(), io.BytesIO()), b"", "")

    def keep(*_: object) -> None:
        lock = HostLock(machine)
        lock.take(LOCK, 0.0)
        free.append(True)
        lock.leave()

    monkeypatch.setattr(code_cache, "keep", keep)
    agent._lock = HostLock(machine)
    agent._lock.take(LOCK, 0.0)
    agent._keep_code()
    assert free == [True]


def test_who_only_looks_leaves_nothing(raw_agent: Raw, state: Path, tmp_path: Path) -> None:
    _work(raw_agent(), tmp_path)
    assert not (state / "code").exists()


def test_others_than_root_keep_and_use_none(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(state_dir=str(state))
    monkeypatch.setattr(Machine, "is_root", True)
    code_cache.keep(machine, {"abc": _sources()})
    assert code_cache.kept(machine, "abc")
    monkeypatch.setattr(Machine, "is_root", False)
    assert not code_cache.kept(machine, "abc")
    code_cache.keep(machine, {"def": _sources()})
    assert len(list(state.glob("code/*"))) == 1


def test_only_the_newest_stay(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "is_root", True)
    machine = Machine(state_dir=str(state))
    for number in range(code_cache.FEW + 5):
        code_cache.keep(machine, {f"d{number}": _sources()})
        for path in state.glob(f"code/d{number}-*"):
            os.utime(path, (number, number))
    left = {path.name.partition("-")[0] for path in state.glob("code/*")}
    assert len(left) == code_cache.FEW
    assert f"d{code_cache.FEW + 4}" in left and "d0" not in left


def test_what_is_in_use_stays(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "is_root", True)
    machine = Machine(state_dir=str(state))
    code_cache.keep(machine, {"core": _sources()})
    for number in range(code_cache.FEW + 5):
        for path in state.glob("code/*"):
            os.utime(path, (number, number))
        code_cache.keep(machine, {"core": _sources(), f"d{number}": _sources()})
    assert [path.name for path in state.glob("code/core-*")]


def test_a_full_disk_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    monkeypatch.setattr(Machine, "is_root", True)
    code_cache.keep(Machine(state_dir=str(tmp_path / "state")), {"abc": _sources()})


def _sources() -> bytes:
    import bz2
    import io
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("one.py", "x = 1\n")
    return bz2.compress(out.getvalue())


def test_the_program_of_a_proof_mount_is_compiled_and_keeps_its_source(tmp_path: Path) -> None:
    shipped = tmp_path / "kept.zip"
    shipped.write_bytes(code_cache.compiled(bz2.decompress(bundle.pack(bundle.deeds()))))
    loader = zipimporter(f"{shipped}/mnemo_ops/agent/machine")
    assert "def mount(" in (loader.get_source("trial") or "")
    assert zipfile.ZipFile(shipped).namelist().count("mnemo_ops/agent/machine/trial.pyc") == 1
