"""The agent's start, its answers, and what must not be able to disturb them."""

from __future__ import annotations

import bz2
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from agents import REAL, RawAgent, batch, code, interpreters
from pace import PATIENCE, within
from probe import Probe

from mnemo_ops.agent.engine.action import KINDS as DEEDS
from mnemo_ops.agent.engine.resource import resource_class
from mnemo_ops.agent.process import code_cache as kept
from mnemo_ops.agent.resources.copy import Copy
from mnemo_ops.agent.resources.slurp import Slurp
from mnemo_ops.core.model import Batch, Task
from mnemo_ops.errors import MnemoError, Unreachable
from mnemo_ops.execution.playbook_run import shipped
from mnemo_ops.playbook.modules import KINDS, kind_of
from mnemo_ops.transport import bundle
from mnemo_ops.transport.session import AgentSession

Open = Callable[..., AgentSession]
Raw = Callable[..., RawAgent]


def statuses(session: AgentSession, *resources: object, **options: object) -> list[str]:
    events = session.converge(batch(*resources, **options))  # type: ignore[arg-type]
    return [event.status for event in events if event.status != "progress"]


def test_the_core_and_the_deeds_fit_their_budget() -> None:
    assert len(REAL) <= bundle.BUDGET and len(bundle.pack(bundle.deeds())) <= bundle.DEEDS


def test_the_kinds_of_our_own_playbooks_fit_the_budget() -> None:
    texts = [path.read_text() for path in shipped("").rglob("*.yml")]
    kinds = {kind_of(word) for text in texts for word in re.findall(r"(?m)^[\s-]+([\w.]+):", text)} - {""}
    core = bundle.core()
    more = bundle.needed(frozenset(kinds)) - core
    assert len(kinds) > 5 and len(bundle.pack(core)) + len(bundle.pack(more)) <= bundle.BUDGET


@pytest.mark.parametrize("kind", sorted(kind for kind in KINDS if not resource_class(kind).on_controller))
def test_every_kind_brings_all_it_imports(kind: str) -> None:
    """In a python3 that has nothing but what travels."""
    modules = bundle.core() | bundle.needed(frozenset([kind]))
    look = "import sys; sys.path.insert(0, sys.argv[1]); import mnemo_ops.agent.resources." + kind
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(bz2.decompress(bundle.pack(modules)))
        file.flush()
        subprocess.run([sys.executable, "-IS", "-c", look, file.name], check=True)


def test_what_only_who_asks_is_sent_is_small_and_not_among_the_deeds() -> None:
    for kind, module in DEEDS.items():
        apart = bundle.apart(kind)
        assert bool(apart) == (module in bundle.APART) and not apart & (bundle.deeds() | bundle.core())
        assert len(bundle.pack(apart)) < 16 * 1024


@pytest.mark.parametrize("module", sorted(set(DEEDS.values())))
def test_units_on_the_host_know_every_deed(module: str, tmp_path: Path) -> None:
    """In a python3 that has nothing but what is kept for them."""
    program = tmp_path / "agent.zip"
    apart = [bundle.pack(found) for kind, name in DEEDS.items() if name == module and (found := bundle.apart(kind))]
    program.write_bytes(kept.merged([REAL, bundle.pack(bundle.deeds()), *apart[:1]]))
    look = "import sys; sys.path.insert(0, sys.argv[1]); import mnemo_ops.agent.actions." + module
    subprocess.run([sys.executable, "-IS", "-c", look, program], check=True)


def test_only_what_a_batch_names_travels(raw_agent: Raw, tmp_path: Path) -> None:
    agent = raw_agent()
    agent.hello()
    task = {"id": "a", "kind": "file", "args": {"path": str(tmp_path / "a"), "state": "directory"}}
    agent.send(op="converge", seq=2, steps=[{"tasks": [task]}])
    event = agent.receive() or {}
    assert "'file'" in event["error"]["message"]
    agent.receive()
    agent.send(op="converge", seq=3, **code("file"), steps=[{"tasks": [task]}])
    assert (agent.receive() or {})["status"] == "changed"


@pytest.mark.parametrize("python", interpreters())
def test_every_python_converges(python: str, open_session: Open, tmp_path: Path) -> None:
    session = open_session(python=python)
    assert tuple(map(int, session.facts["python_version"].split(".")))[:2] >= (3, 9)
    resources = (Probe(str(tmp_path / "a")), Copy(str(tmp_path / "b"), content="text", mode="0640"))
    assert statuses(session, *resources) == ["changed", "changed"]
    assert statuses(session, *resources) == ["ok", "ok"]
    assert (tmp_path / "b").read_text() == "text"


def test_a_check_writes_nothing(open_session: Open, tmp_path: Path, state: Path) -> None:
    session = open_session()
    tasks = batch(Copy(str(tmp_path / "b"), content="text"), notify=("restart",))
    events = list(session.converge(type(tasks)(tasks.steps, check=True)))
    assert [event.status for event in events] == ["changed"]
    assert not (tmp_path / "b").exists() and not state.exists()


def test_stray_prints_do_not_break_the_wire(open_session: Open, tmp_path: Path) -> None:
    session = open_session()
    assert statuses(session, Probe(str(tmp_path / "a"), noise=3 << 20), Probe(str(tmp_path / "b"))) == ["changed"] * 2


def test_a_stderr_nobody_reads_does_not_stall_it(raw_agent: Raw, tmp_path: Path) -> None:
    agent = raw_agent(stderr=subprocess.PIPE)
    agent.hello()
    args = {"path": str(tmp_path / "a"), "noise": 1 << 20}
    agent.send(op="converge", seq=2, steps=[{"tasks": [{"id": "a", "kind": "probe", "args": args}]}])
    assert (agent.receive() or {})["status"] == "changed"


def test_what_a_login_shell_prints_is_skipped(open_session: Open, tmp_path: Path) -> None:
    noise = 'echo Welcome; echo "{}"; printf "no newline"; exec "$@"'
    session = open_session(argv=["sh", "-c", noise, "sh", *bundle.command(bundle.bundle(), sys.executable)])
    assert statuses(session, Probe(str(tmp_path / "a"))) == ["changed"]


def test_a_password_nobody_asked_for_is_skipped(raw_agent: Raw) -> None:
    hello = raw_agent(before=b"hunter2\n").hello()
    assert hello is not None and hello["facts"]["system"] == "Linux"


def test_modules_of_the_login_directory_are_not_imported(
    open_session: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit('imported from the login directory')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert open_session().facts["system"] == "Linux"


def test_odd_file_names_travel_whatever_the_locale(
    open_session: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONUTF8", "0")
    name = "Grüße \n\udcff"
    assert statuses(open_session(), Probe(str(tmp_path / name))) == ["changed"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_ten_megabytes_each_way(open_session: Open, tmp_path: Path) -> None:
    session = open_session()
    probe = Probe(str(tmp_path / "a"), size=10 << 20)
    (event,) = [event for event in session.converge(batch(probe, register="big")) if event.status != "progress"]
    assert event.after is not None and len(event.after["text"]) == 10 << 20
    assert statuses(session, Copy(str(tmp_path / "b"), content="y" * (10 << 20))) == ["changed"]
    assert (tmp_path / "b").stat().st_size == 10 << 20


def test_a_bug_in_a_kind_reaches_the_operator_and_the_agent_survives(open_session: Open, tmp_path: Path) -> None:
    session = open_session()
    with pytest.raises(MnemoError, match="ZeroDivisionError: a bug"):
        statuses(session, Probe(str(tmp_path / "a"), bug=True))
    assert statuses(session, Probe(str(tmp_path / "a"))) == ["changed"]


def test_an_unknown_request_is_an_error_not_the_end(raw_agent: Raw) -> None:
    agent = raw_agent()
    agent.send(op="dance", seq=7)
    answer = agent.receive()
    assert answer is not None and answer["seq"] == 7 and "dance" in answer["error"]["message"]
    assert agent.hello() is not None


@pytest.mark.parametrize("broken", [b'{"op":"hel', b"no message at all\n", b"[1]\n", b'{"blob":"x","size":3}\n'])
def test_half_a_request_or_nonsense_ends_the_agent(raw_agent: Raw, broken: bytes) -> None:
    agent = raw_agent()
    assert agent.hello() is not None
    agent.write(broken)
    agent.stdin.close()
    assert agent.process.wait(PATIENCE) == 0


def test_an_agent_that_never_starts_says_why(open_session: Open) -> None:
    with within(5), pytest.raises(Unreachable, match="no such luck"):
        open_session(argv=["sh", "-c", "echo no such luck >&2; exit 9"])
    with within(5), pytest.raises(Unreachable, match="no-such-program"):
        open_session(argv=["no-such-program"])


def test_a_long_task_beats(open_session: Open, tmp_path: Path) -> None:
    over, beats, done = tmp_path / "over", [], []
    for event in open_session().converge(batch(Probe(str(tmp_path / "a")), Probe(str(tmp_path / "b"), hold=str(over)))):
        if event.status == "progress" and event.id == "task 2":
            beats.append((event.after or {})["elapsed"])
            if beats[-1] > 1:
                over.touch()
        elif event.status == "changed":
            done.append(event.id)
    assert over.exists() and beats == sorted(beats) and done == ["task 1", "task 2"]


def test_a_check_remembers_over_requests_what_it_left_undone(open_session: Open, tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    session = open_session()
    first = Task("a", "make it", Copy(path, content="a\n"), "play.yml:1")
    later = Task("b", "look at it", Slurp(path), "play.yml:2")
    assert [event.status for event in session.converge(Batch((first,), check=True))] == ["changed"]
    (event,) = session.converge(Batch((later,), check=True))
    assert event.status == "unknown" and event.why.startswith("after a: ")
    (event,) = open_session().converge(Batch((later,), check=True))
    assert event.status == "failed"
