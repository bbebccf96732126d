"""A host that lies to its controller: its own channel is lost, and nothing else."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import liar
import pytest
from agents import batch
from dawdle import Dawdle
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from liar import MOMENTS, Liar, Lie
from pace import within

from mnemo_ops.agent.base import protocol
from mnemo_ops.agent.resources.copy import Copy
from mnemo_ops.core.model import Host
from mnemo_ops.core.options import Options
from mnemo_ops.errors import MnemoError, NotAMessage
from mnemo_ops.execution import session_pool as fleets
from mnemo_ops.execution.playbook_run import Plays
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.execution.session_pool import fleet
from mnemo_ops.inventory import load as inventory
from mnemo_ops.transport import heard, session
from mnemo_ops.transport.session import AgentSession

TOGETHER = 20  # liars in a play
FUZZED = 10_000 if os.environ.get("MNEMO_FUZZ") else 400  # messages
DOCUMENTED = {2, 3, 4, 5, 6, 7, 8}  # what a host's own failure may end with
PLAYBOOK = """
- hosts: all
  tasks:
    - {name: one, shell: "echo x", register: r, changed_when: false}
    - {name: two, debug: {msg: "{{ r.stdout }} {{ ansible_distribution }}"}}
    - name: three
      copy: {dest: "HOME/{{ inventory_hostname }}", content: "{{ r.rc }}"}
      when: inventory_hostname == 'honest'
      notify: told
    - {name: four, command: "true", loop: [1, 2], ignore_errors: true}
  handlers:
    - {name: told, command: "true"}
- hosts: all
  tasks:
    - {name: again, copy: {dest: "HOME/{{ inventory_hostname }}-2", content: x}, when: inventory_hostname == 'honest'}
    - {name: last, command: "true"}
"""


class Outcome:
    """A play with liars: what each host ended with."""

    def __init__(self, failures: Mapping[str, Exception], code: int, said: str, home: Path) -> None:
        self.failures, self.code, self.said, self.home = failures, code, said, home

    def is_well(self, lies: Mapping[str, Lie], check: bool = False) -> None:
        """Whatever was said: no bug, no undocumented end, the host is named, the honest one did all of its plays."""
        assert "honest" not in self.failures, self.failures["honest"]
        assert [(self.home / name).exists() for name in ("honest", "honest-2")] == [not check] * 2
        for name, error in self.failures.items():
            assert isinstance(error, MnemoError), (lies[name], error)
            assert error.exit_code in DOCUMENTED and name in str(error), (lies[name], repr(error), str(error))
        assert self.code in {0, *(getattr(error, "exit_code", 1) for error in self.failures.values())}
        assert "Traceback" not in self.said and "\x1b" not in self.said


Against = Callable[..., Outcome]


@pytest.fixture
def against(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Against:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "RECONNECT", (0.01,))
    lies: dict[str, Lie] = {}
    pipes: dict[str, Liar] = {}
    failures: dict[str, Exception] = {}
    real, first = fleets.connect, Plays._first

    def connect(host: Host, **given: Any) -> AgentSession:
        if host.name not in lies:
            return real(host, **given)
        lie = lies[host.name]

        def reach(blob: bytes) -> Liar:
            pipes[host.name] = Liar(*lie) if isinstance(lie, tuple) else lie  # type: ignore[assignment]
            return pipes[host.name]

        return AgentSession(host, reach, given.get("lock"), given.get("alias", ""))

    def seen(self: Plays, found: Mapping[str, Exception]) -> Exception:
        failures.update(found)
        return first(self, found)

    monkeypatch.setattr(fleets, "connect", connect)
    monkeypatch.setattr(Plays, "_first", seen)

    def run(told: Mapping[str, Any], text: str = PLAYBOOK, **given: Any) -> Outcome:
        lies.clear()
        failures.clear()
        lies.update(told)
        home = tmp_path / "out"
        home.mkdir(exist_ok=True)
        for left in home.iterdir():
            left.unlink()
        (tmp_path / "site.yml").write_text(text.replace("HOME", str(home)))
        hosts = {name: {"ansible_host": f"{name}.example"} for name in told} | {
            "honest": {"ansible_connection": "local"}
        }
        (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"hosts": hosts}}))
        out = io.StringIO()
        report = Report("play", Style(verbose=True, diff=True), out, out)
        error = None
        with fleet(report, aliases=True) as many:
            try:
                Plays(many, report, inventory.load(tmp_path / "hosts.yml"), **given).run(tmp_path / "site.yml")
            except MnemoError as problem:
                error = problem
        return Outcome(dict(failures), report.finish(error), out.getvalue(), home)

    return run


def test_who_does_not_lie_gets_through(against: Against) -> None:
    found = against({"liar1": (b"", "", False)})
    assert (found.failures, found.code) == ({}, 0)


EVENT = {"id": "t1", "status": "ok", "after": {"stdout": "x", "rc": 0}}
HELLO = {"facts": {}, "login": "root", "pending_handlers": [], "done": 0}
NONSENSE: Mapping[str, tuple[Any, str]] = {
    "deep JSON": (b"[" * 100_000 + b"\n", "event"),
    "JSON nobody can walk through": (b'{"id":"t1","status":"ok","after":' + b'{"a":' * 300 + b"1" + b"}" * 301 + b"\n",
        "event"),
    "a hello without facts": ({"done": 0}, "hello"),
    "facts of another type": ({**HELLO, "facts": []}, "hello"),
    "a login of another type": ({**HELLO, "login": 1}, "hello"),
    "handlers of another type": ({**HELLO, "pending_handlers": {"a": 1}}, "hello"),
    "an id of another type": ({**EVENT, "id": ["t1"]}, "event"),
    "a state of another type": ({**EVENT, "after": "x"}, "event"),
    "an unknown status": ({**EVENT, "status": "excellent"}, "event"),
    "rescued": ({**EVENT, "status": "rescued"}, "event"),
    "a reason of another type": ({**EVENT, "why": {}}, "event"),
    "an error of another type": ({**EVENT, "status": "failed", "error": "x"}, "event"),
    "an error that is another's to say": ({**EVENT, "status": "failed", "error": {
        "class": "Interrupted", "message": "", "where": "", "hint": ""}}, "event"),
    "negative seconds": ({**EVENT, "seconds": -1}, "event"),
    "not a number": (b'{"id":"t1","status":"ok","seconds":NaN}\n', "event"),
    "infinity": (b'{"id":"t1","status":"ok","after":{"a":1e999}}\n', "event"),
    "a number out of range": (b'{"id":"t1","status":"ok","seconds":' + b"9" * 400 + b"}\n", "event"),
    "more digits than Python reads": (b'{"id":"t1","status":"ok","after":' + b"9" * 5000 + b"}\n", "event"),
    "a message of no kind": ({"dance": 1}, "event"),
    "a message with more than its fields": ({**EVENT, "run": "rm"}, "event"),
    "no object": ([], "event"),
    "a task that was not sent": ({**EVENT, "id": "t9"}, "event"),
    "a task twice": ([EVENT, EVENT], "event"),
    "what a check alone may say": ({**EVENT, "status": "unknown"}, "event"),
    "an end before the tasks": ({"failed": False, "pending_handlers": [], "done": 1}, "event"),
    "a failure nobody saw": ({"failed": True, "pending_handlers": [], "done": 1}, "done"),
    "an answer to another request": ({"failed": False, "pending_handlers": [], "done": 7}, "done"),
    "an answer before it is asked": ({"failed": False, "pending_handlers": [], "done": 2}, "later"),
    "an answer to what was not asked": ({"report": {}, "done": 1}, "done"),
    "invalid UTF-8": (b'{"id":"t1","status":"ok","why":"\xff"}\n', "event"),
    "half a message": (b'{"id":"t1",', "event"),
    "a file that was not offered": ({"need": "a" * 64}, "event"),
    "a file by its path": ({"need": "/etc/shadow"}, "event"),
    "progress of nothing": ({"id": "t1", "status": "progress", "after": {"done": 1}}, "event"),
    "a beat that is none": ({"beat": "x", "task": "t1", "note": ""}, "event"),
    "a beat of another type": ({"beat": 1, "task": ["t1"], "note": ""}, "event"),
    "no greeting": (b"x" * (3 << 20), "greeting"),
    "lines instead of a greeting": (b"Welcome\n" * (1 << 18), "greeting"),
}  # fmt: skip


def _bytes(lie: Any) -> bytes:
    if isinstance(lie, bytes):
        return lie
    return b"".join(protocol.encode(one) for one in lie) if isinstance(lie, list) and lie else protocol.encode(lie)


def test_nonsense_is_that_hosts_lost_channel(against: Against) -> None:
    told = {f"liar{number}-": (_bytes(lie), moment, True) for number, (lie, moment) in enumerate(NONSENSE.values())}
    found = against(told)
    found.is_well(told)
    ended = {what: found.failures.get(name) for what, name in zip(NONSENSE, told)}
    assert {what: getattr(error, "exit_code", 0) for what, error in ended.items()} == dict.fromkeys(NONSENSE, 4)
    assert [what for what, error in ended.items() if not isinstance(error, NotAMessage)] == []
    assert found.code == 4 and found.said.count("unreachable") == len(told)


def test_output_without_an_end_is_not_kept(against: Against) -> None:
    told = {f"liar-{moment}": (b"x" * 65536, moment, False, True) for moment in ("greeting", "hello", "event")}
    with within(20):
        found = against(told)
    found.is_well(told)
    assert len(found.failures) == 3 and found.code == 4


def test_what_a_host_calls_a_bug_is_its_failure(against: Against) -> None:
    error = {"class": "MnemoError", "message": "KeyError: 'x'", "where": "other-host", "hint": ""}
    for lie in ({"error": error, "seq": 1}, {**EVENT, "status": "failed", "error": error}):
        found = against({"liar1": (protocol.encode(lie), "event", True)})
        found.is_well({"liar1": None})
        assert found.code in (4, 6) and "liar1" in str(found.failures["liar1"])


def test_only_what_was_offered_is_handed_out(against: Against, tmp_path: Path) -> None:
    """Also of a file that is offered to another host in the same play."""
    (tmp_path / "secret").write_text("for the honest one")
    import hashlib

    digest = hashlib.sha256(b"for the honest one").hexdigest()
    pipe = Liar(protocol.encode({"need": digest}), "event", True)
    text = (
        "- hosts: all\n  tasks:\n    - {name: x, command: 'true'}\n"
        "    - {copy: {src: secret, dest: HOME/honest}, when: inventory_hostname == 'honest'}\n"
        "- hosts: all\n  tasks: [{copy: {dest: HOME/honest-2, content: x}, when: inventory_hostname == 'honest'}]\n"
    )
    found = against({"liar1": pipe}, text)
    found.is_well({"liar1": None})
    assert found.code == 4 and not any(b"honest one" in data for data in pipe.offered)


def test_a_host_does_not_say_how_it_is_reached(against: Against, tmp_path: Path) -> None:
    """Its facts won over the inventory: a task that is done here ran what it had put there."""
    facts = {
        "host": f"h$(touch {tmp_path}/taken)",
        "ansible_host": f"h$(touch {tmp_path}/taken)",
        "connection": "local",
    }
    hello = protocol.encode({**HELLO, "facts": {**liar.FACTS, **facts}})
    text = """
- hosts: all
  tasks:
    - shell: echo {{ ansible_host }} {{ ansible_connection }} > HOME/{{ inventory_hostname }}
      delegate_to: localhost
    - {name: own, command: "true", register: r}
    - shell: echo {{ ansible_host }} {{ hostvars.liar1.ansible_host }} > HOME/honest-2
      delegate_to: localhost
      run_once: true
"""
    found = against({"liar1": (hello, "hello", True)}, text)
    assert (found.failures, found.code) == ({}, 0)
    assert (found.home / "liar1").read_text() == "liar1.example ssh\n"
    assert (found.home / "honest-2").read_text() == "liar1.example liar1.example\n"
    assert not (tmp_path / "taken").exists()


def test_a_liar_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job's channel is opened again when it breaks, not when somebody else answers."""
    monkeypatch.setattr(session, "RECONNECT", (0.01, 0.01))
    pipes: list[Liar] = []

    def reach(blob: bytes) -> Liar:
        pipes.append(Liar(b"nonsense\n", "done", True))
        return pipes[-1]

    with AgentSession(Host("liar1", "liar1"), reach, None) as opened, pytest.raises(NotAMessage, match="liar1"):
        opened.act(Dawdle(str(tmp_path / "x")), job="j1")
    assert len(pipes) == 1


def test_what_is_missing_in_a_report_is_its_hosts_fault() -> None:
    """Also what no form can name: a path of the stack, the name of an export."""
    with AgentSession(Host("liar1", "liar1"), lambda blob: Liar(), None) as opened:
        report = opened.ready(Dawdle("/nowhere"))
        assert report == {"steps": 3} and report.get("sets") is None
        with pytest.raises(NotAMessage, match="liar1"):
            report["sets"]
    assert heard.Told.by("x", {"a": [{"b": 1}]}) == {"a": [{"b": 1}]}
    with pytest.raises(NotAMessage, match="x left 'c' out"):
        heard.Told.by("x", {"a": [{"b": 1}]})["a"][0]["c"]


def test_memory_is_bounded() -> None:
    """The longest line there may be, of what takes most room, in a process of its own."""
    program = (
        "import io, resource, sys\n"
        "from liar import asked\n"
        "from mnemo_ops.agent.base import protocol as wire\n"
        "from mnemo_ops.transport.agent_channel import Channel\n"
        "from mnemo_ops.errors import ChannelLost\n"
        "class Pipe:\n"
        "    source = io.BytesIO(%s)\n"
        "    def close(self): pass\n"
        "channel = Channel(Pipe(), 'liar1')\n"
        "try:\n"
        "    channel.receive(asked('t1').heard)\n"
        "except ChannelLost as error:\n"
        "    print(error.exit_code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    lies = (
        "b'[' + b'[],' * (20 << 20) + b'0]\\n'",
        "b'[' * (63 << 20) + b'\\n'",
        "b'x' * (200 << 20)",
        "b'{' + b'\"a\":{},' * (9 << 20) + b'}\\n'",
    )
    path = os.pathsep.join([str(Path(liar.__file__).parent), *sys.path])
    for lie in lies:
        done = subprocess.run(
            [sys.executable, "-c", program % lie],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert done.returncode == 0, done.stderr[-500:]
        code, kilobytes = map(int, done.stdout.split())
        assert code == 4 and kilobytes < 700 << 10, (lie, kilobytes)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


# -- fuzzed ------------------------------------------------------------------------------------------------------------


def test_every_form_of_the_wire_is_fuzzed() -> None:
    """A kind of message that is new comes up by itself; a form that is new needs what fits it."""
    for fields in (*heard.KINDS.values(), *heard.ANSWERS.values(), heard.ERROR):
        for name, form in fields.items():
            assert id(form) in liar.FITS, name
    assert set(heard.KINDS) == {"need", "beat", "status", "done", "error"} and set(MOMENTS) >= {"event"}


ENDS: Counter[int] = Counter()  # exit codes of the hosts that lied
FUZZ = settings(
    max_examples=-(-FUZZED // TOGETHER),
    deadline=None,
    database=None,
    phases=[Phase.generate],  # twenty hosts' lies take long to shrink, and the assertion shows the one that counts
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(7200 if FUZZED > 2000 else 900)
@FUZZ
@given(lies=st.lists(liar.LIES, min_size=TOGETHER, max_size=TOGETHER), check=st.booleans())
def test_fuzzed_messages(against: Against, lies: Sequence[Lie], check: bool) -> None:
    told = {f"liar{number}-": lie for number, lie in enumerate(lies)}
    found = against(told, options=Options(check=check))
    found.is_well(told, check)
    assert " again  (" in found.said  # the honest one's second play, in a check, too
    ENDS.update(getattr(found.failures.get(name), "exit_code", 0) for name in told)


def test_of_fuzzed_messages_some_are_believed_and_most_are_not() -> None:
    """Else the bench would have tried only one side."""
    assert sum(ENDS.values()) >= FUZZED
    assert ENDS[4] > FUZZED / 3 and ENDS[0] > FUZZED / 20
    print(f"{sum(ENDS.values())} messages: {dict(sorted(ENDS.items()))}")


@FUZZ
@given(lies=st.lists(liar.LIES, min_size=TOGETHER, max_size=TOGETHER))
def test_fuzzed_answers_to_deeds(lies: Sequence[Lie], tmp_path_factory: pytest.TempPathFactory) -> None:
    for lie in lies:
        assert lie is not None
        try:
            with AgentSession(Host("liar1", "liar1"), lambda blob, lie=lie: Liar(*lie), None) as opened:  # type: ignore[misc]
                assert isinstance(opened.ready(Dawdle("/nowhere")), dict)
                assert isinstance(opened.act(Dawdle("/nowhere")), dict)
                list(opened.converge(batch(Copy("/nowhere", content="x"))))
        except MnemoError as error:
            assert error.exit_code in DOCUMENTED and "liar" in str(error), (lie, error)
