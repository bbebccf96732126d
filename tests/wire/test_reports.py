"""A host that lies in what its deeds report: its own channel is lost, whatever the command; nothing is a bug."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import reported
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from truthful import COMMANDS, HONEST_END, TOLD, Answering, Asked, Typed

from mnemo_ops.agent.base import protocol
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.validators import Parse
from mnemo_ops.agent.engine.action import KINDS, Action, action_class
from mnemo_ops.core.model import Host
from mnemo_ops.errors import NotAMessage, Refused
from mnemo_ops.transport import answers, heard
from mnemo_ops.transport.session import AgentSession

FUZZED = 10_000 if os.environ.get("MNEMO_FUZZ") else 200  # reports; as many again, and a half, through commands
TOGETHER = 20
DOCUMENTED = {0, 2, 3, 4, 5, 6, 7, 8}
FORMS = {("act", kind): form for kind, form in answers.ACT.items() if kind in KINDS} | {
    ("ready", kind): form for kind, form in answers.READY.items() if kind in KINDS
}
NOTHING = [asked for asked, form in FORMS.items() if form is answers.NOTHING]


def fuzz(examples: int) -> Any:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def test_every_action_says_what_it_reports() -> None:
    own = {kind: vars(action_class(kind)) for kind in KINDS}
    assert {kind for op, kind in FORMS if op == "act"} == {kind for kind in KINDS if "run" in own[kind]}
    assert {kind for op, kind in FORMS if op == "ready"} == {kind for kind in KINDS if "ready" in own[kind]}


@pytest.mark.parametrize("asked", sorted(FORMS), ids=" ".join)
def test_every_form_is_fuzzed(asked: Asked) -> None:
    """A report that is new comes up by itself; a form that is new needs what fits it."""
    assert [form for form in reported.leaves(FORMS[asked]) if form not in reported.LEAVES] == []


def test_whatever_is_read_is_told_by_some_command_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a command that reads it would not be among those that are lied to. An honest host is believed."""
    typed, asked = Typed(tmp_path, monkeypatch), set[Asked]()

    def noted(host: str, one: Asked, truth: Any) -> Any:
        asked.add(one)
        return truth

    for name in COMMANDS:
        code, said = typed(name, noted)
        assert code == HONEST_END.get(name, 0), (name, said)
    assert set(FORMS) - set(NOTHING) - asked == set()
    for one, form in FORMS.items():
        form(TOLD.get(one, {}))


def _session(report: Any) -> AgentSession:
    told = {("hello", ""): TOLD["hello", ""]}
    return AgentSession(Host("liar1", "liar1"), lambda blob: Answering(lambda asked: told.get(asked, report)), None)


def _action(kind: str) -> Action:
    """One of the kind, which nobody will do."""
    made: Action = dataclass(frozen=True)(type(kind, (Action,), {"kind": kind, "__annotations__": {}}))()
    return made


def believed(form: Parse, report: Any) -> tuple[bool, Any]:
    """Whether a report is of its form, and what is heard of it."""
    try:
        return isinstance(report, dict), form(heard.parsed(protocol.encode(report)))
    except (Refused, ValueError):
        return False, None


ENDS: Counter[bool] = Counter()  # whether a report was believed


@pytest.mark.timeout(7200 if FUZZED > 2000 else 900)
@fuzz(-(-FUZZED // TOGETHER))
@given(st.data())
def test_fuzzed_reports(data: st.DataObject) -> None:
    """What gets through fits what is declared, and nothing else does: a lie ends that host's channel, by name."""
    for _ in range(TOGETHER):
        op, kind = data.draw(st.sampled_from(sorted(FORMS)))
        form = FORMS[op, kind]
        report = data.draw(reported.lies(form) | reported.lies(form) | reported.truths(form))
        fits, meant = believed(form, report)
        ENDS[fits] += 1
        with _session(report) as opened:
            try:
                found = (opened.act if op == "act" else opened.ready)(_action(kind))
            except NotAMessage as error:
                assert not fits and "liar1" in str(error), (kind, report, error)
                assert not opened.alive
            else:
                assert fits and found == meant, (kind, report)


def test_of_fuzzed_reports_some_are_believed_and_most_are_not() -> None:
    assert sum(ENDS.values()) >= FUZZED
    assert ENDS[False] > FUZZED / 3 and ENDS[True] > FUZZED / 20
    print(f"{sum(ENDS.values())} reports: {ENDS[True]} believed, {ENDS[False]} not")


CODES: Counter[int] = Counter()


@pytest.mark.timeout(7200 if FUZZED > 2000 else 900)
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_fuzzed_reports_to_typed_commands(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time one host lies in one of its reports; what else it and others say is true."""
    typed, seen = Typed(tmp_path, monkeypatch), dict[Asked, None]()
    typed(name, lambda host, asked, truth: seen.setdefault(asked) or truth)
    read = [asked for asked in seen if asked in FORMS and asked not in NOTHING] + [("hello", "")]

    @fuzz(-(-FUZZED // len(COMMANDS)))
    @given(st.data())
    def lied_to(data: st.DataObject) -> None:
        victim, liar = data.draw(st.sampled_from(read)), data.draw(st.sampled_from(COMMANDS[name][2]))
        lie = data.draw(FACTS if victim == ("hello", "") else reported.lies(FORMS[victim]))
        fits = victim != ("hello", "") and believed(FORMS[victim], lie)[0]  # a finding that could be true, say
        told: list[Asked] = []

        def answer(host: str, asked: Asked, truth: Any) -> Any:
            if (host, asked) != (liar, victim):
                return truth
            told.append(asked)
            return lie

        code, said = typed(name, answer, verbose=True)
        CODES[code] += 1
        assert code in DOCUMENTED and "Traceback" not in said and "a bug" not in said, (victim, liar, lie, said)
        assert code == HONEST_END.get(name, 0) or fits or (told and liar in said), (victim, liar, lie, said)

    lied_to()


FACTS = st.dictionaries(st.sampled_from(sorted(TOLD[("hello", "")])), reported.ANY)


def test_of_commands_that_are_lied_to_most_end_with_that_hosts_fault() -> None:
    assert sum(CODES.values()) >= FUZZED
    assert CODES[4] > FUZZED / 4, CODES
    print(f"{sum(CODES.values())} commands: {dict(sorted(CODES.items()))}")


def _others(name: str) -> Sequence[str]:
    return COMMANDS[name][2][1:]


@pytest.mark.parametrize("name", ["lock.status", "backup.list", "backup.prune", "volumes"])
def test_other_hosts_are_asked_what_they_would_be(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed, first = Typed(tmp_path, monkeypatch), COMMANDS[name][2][0]
    code, said = typed(name, lambda host, asked, truth: [] if host == first and asked[0] != "hello" else truth)
    assert code == 4 and f"{first} sent " in said
    for other in _others(name):
        assert '"op": "ready"' in typed.asked(other) or '"op": "act"' in typed.asked(other)
