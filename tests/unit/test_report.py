"""What people and programs read: lines, the recap, the document, the exit code, and no secret in any of them."""

from __future__ import annotations

import io
import json
import sys
import threading
from typing import Any, Optional

import pytest

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.cli.program import namespace
from mnemo_ops.core.model import Task
from mnemo_ops.core.next_command import Advice, on_host
from mnemo_ops.errors import Locked, MnemoError, Refused, StepFailed
from mnemo_ops.execution.progress_bars import LINE
from mnemo_ops.execution.report import AGAIN, QUIET, Report, Style

SECRET = 'S3cret"value\\x'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def report(err: Optional[io.StringIO] = None, **style: bool) -> Report:
    made = Report("play", Style(**style), io.StringIO(), err or io.StringIO())
    made.mask.learn([SECRET])
    return made


def on_a_terminal() -> Report:
    screen = Terminal()
    made = Report("play", Style(), screen, screen)
    made.mask.learn([SECRET])
    return made


def out(of: Report) -> str:
    text = of._out.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def err(of: Report) -> str:
    text = of._err.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def task(name: str = "a task", **options: Any) -> Task:
    return Task(name, name, Resource(), "site.yml:3", **options)


def document(of: Report, error: Optional[MnemoError] = None) -> dict[str, Any]:
    of.finish(error)
    found: dict[str, Any] = json.loads(out(of))
    return found


def test_quiet_about_what_is_right() -> None:
    made = report()
    made.task("web1", task("right"), Event("1", "ok"))
    made.task("web1", task("put right"), Event("2", "changed", {"mode": 1}, {"mode": 2}, seconds=2.5))
    made.task("web1", task("left out"), Event("3", "skipped", why="when"))
    assert made.finish() == 0
    lines = out(made).splitlines()
    assert lines[0].split() == ["changed", "web1", "put", "right", "(site.yml:3)", "2.5", "s"]
    assert lines[1] == "web1 : ok=1 changed=1 failed=0 skipped=1"
    assert len(lines) == 2 and err(made) == ""


def test_verbose_tells_everything() -> None:
    made = report(verbose=True)
    made.task("web1", task("right"), Event("1", "ok"))
    assert "right" in out(made)


def test_an_ignored_failure_counts_as_ok_and_is_shown() -> None:
    made = report()
    made.task("web1", task(ignore_errors=True), Event("1", "failed", why="no luck"))
    assert made.finish() == 0
    assert "  ignored  web1" in out(made) and "no luck" in out(made) and "ok=1 changed=0 failed=0" in out(made)


def test_the_error_goes_to_stderr_with_its_hint_and_code() -> None:
    made = report()
    assert made.finish(Locked("somebody works here", where="web1", hint="wait")) == 5
    assert err(made) == "ERROR MN0500 web1: somebody works here\n  -> wait\n"


@pytest.mark.parametrize(
    ("error", "changed", "outcome"),
    [
        (None, False, "ok"),
        (None, True, "changed"),
        (Refused("no"), False, "refused"),
        (Locked("no"), False, "refused"),
        (StepFailed("no"), True, "failed"),
    ],
)
def test_the_document(error: Optional[MnemoError], changed: bool, outcome: str) -> None:
    made = report(json=True)
    made.extra["write_outage_seconds"] = 0.4
    made.task("web1", task(), Event("1", "changed" if changed else "ok", {"a": 1}, {"a": 2}))
    made.say("a line for people")
    found = document(made, error)
    assert found["outcome"] == outcome and found["command"] == "play" and found["check"] is False
    assert found["exit_code"] == (error.exit_code if error else 0)
    assert found["hosts"]["web1"] == {
        "ok": int(not changed),
        "changed": int(changed),
        **dict.fromkeys(("failed", "skipped", "unknown"), 0),
    }
    assert found["seconds"] >= 0 and found["started_at"].endswith("Z") and found["write_outage_seconds"] == 0.4
    assert ("error" in found) == (error is not None)
    if changed:
        (row,) = found["tasks"]
        assert row["host"] == "web1" and row["where"] == "site.yml:3" and row["before"] == {"a": 1}
    assert "a line for people" in err(made)


@pytest.mark.parametrize("check", [True, False])
def test_drift_is_an_exit_code_of_a_check_that_asks_for_it(check: bool) -> None:
    made = report(check=check, exit_drift=True)
    made.task("web1", task(), Event("1", "changed"))
    assert made.finish() == (9 if check else 0)
    assert report(check=True, exit_drift=True).finish() == 0


@pytest.mark.parametrize("style", [{"json": True}, {"diff": True, "verbose": True}, {}])
def test_no_secret_comes_out(style: dict[str, bool]) -> None:
    made = report(**style)
    made.extra["notes"] = [SECRET, {"deep": SECRET}, repr(SECRET)]
    made.summary.append(SECRET)
    for size in range(170, 215):  # wherever a long value is cut
        state = {"short": SECRET, "long": "x" * size + SECRET + "y" * 50, "text": f"a\n{SECRET}\nb"}
        made.task("web1", task(), Event("1", "changed", {"short": "", "long": "", "text": ""}, state))
        made.task("web1", task(), Event("1", "changed", None, state))
    made.task("web1", task(), Event("2", "failed", why=f"said {json.dumps(SECRET)} and {SECRET!r}"))
    made.say(SECRET)
    made.progress("web1", Event("3", "progress", after={"note": SECRET}))
    made.finish(StepFailed(f"broke: {SECRET}", hint=f"try {SECRET}"))
    everything = out(made) + err(made)
    assert "S3cr" not in everything and "value\\" not in everything
    assert everything.count("[secret]") >= 4


def test_a_digits_only_secret_leaves_the_document_json() -> None:
    made = report(json=True)
    made.mask.learn(["123456"])
    made.extra["bytes_copied"] = 9912345699
    assert document(made)["bytes_copied"] == 9912345699


@pytest.mark.parametrize("json_style", [True, False])
def test_no_log_hides_state_and_reason(json_style: bool) -> None:
    made = report(json=json_style, diff=True)
    made.task("web1", task(no_log=True), Event("1", "failed", {"p": "delicate"}, {"p": "matter"}, why="delicate"))
    made.finish()
    assert "delicate" not in out(made) + err(made) and "matter" not in out(made) + err(made)


def test_names_no_encoding_knows_do_not_break_the_report() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    made = Report("play", Style(), stream, stream)
    made.say("a file called \udcff and Grüße")
    made.finish(StepFailed("\udcff"))
    stream.flush()
    assert b"called \\udcff and Gr\\xfc\\xdfe" in stream.buffer.getvalue()  # type: ignore[attr-defined]


def test_diffs() -> None:
    made = report(diff=True)
    made.task(
        "web1", task(), Event("1", "changed", {"mode": "0644", "text": "a\nb\n"}, {"mode": "0600", "text": "a\nc\n"})
    )
    made.task("web1", task(), Event("2", "changed", None, {"mode": "0600"}))
    made.task("web1", task(), Event("3", "changed", {"mode": "0600"}, None))
    made.task("web1", task(), Event("4", "changed", None, {"mode": "0644", "content": "one\ntwo\n"}))
    made.task("web1", task(), Event("5", "failed", {"mode": "0999"}, None, why="first\nsecond"))
    text = out(made)
    for expected in ('mode: "0644" -> "0600"', "      -b", "      +c", '+ {"mode": "0600"}', "- exists"):
        assert expected in text
    assert '      + {"mode": "0644"}\n      + one\n      + two\n' in text
    assert "first\n      second  (site.yml:3)\n" in text and text.count("- exists") == 1


def test_without_a_terminal_progress_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("mnemo_ops.execution.report.time.monotonic", lambda: clock[0])
    made = report()
    for second in range(40):
        clock[0] = 100.0 + second
        after = {"done": 2_500_000 + second, "total": 5_000_000, "note": "db" if second < 20 else "files"}
        made.progress("web1", Event("site.yml:3", "progress", after=after))
    lines = [line.split() for line in out(made).splitlines()]
    assert lines == [["...", "web1", "site.yml:3:", note, "2.5/5.0", "MB"] for note in ("db", "files")]
    clock[0] += AGAIN
    made.progress("web1", Event("site.yml:3", "progress", after={"elapsed": 100.0}))
    assert len(out(made).splitlines()) == 3, "what takes very long is told again, or a log would look dead"


@pytest.mark.parametrize("name", ["web1", "a-very-long-name-of-a-host.in.some.domain.example"])
def test_without_a_terminal_a_line_is_short_and_keeps_its_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("mnemo_ops.execution.report.time.monotonic", lambda: clock[0])
    made = report()
    note = "containers are healthy: " + ", ".join(f"mnemosyne-service-{number}" for number in range(20))
    for _ in range(3):
        made.progress(name, Event("1", "progress", after={"done": 7, "total": 9, "note": note, "elapsed": 12.0}), "j")
        clock[0] += QUIET
    (line,) = out(made).splitlines()
    assert 70 < len(line) <= LINE < 80
    assert line.endswith("-service-19 12 s 7/9 B") and " j: containers are " in line and "..." in line


def test_a_beat_keeps_what_was_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("mnemo_ops.execution.report.time.monotonic", lambda: clock[0])
    made = report()
    made.progress("web1", Event("1", "progress", after={"done": 2_500_000, "note": "db"}), "fetch")
    clock[0] += QUIET
    made.progress("web1", Event("2", "progress", after={"elapsed": 5.2}), "fetch")
    clock[0] += QUIET
    made.progress("web1", Event("3", "progress", after={"note": "over at once"}), "write journal")
    made.progress("web1", Event("4", "progress", after={}), "wait")
    made.progress("web1", Event("5", "progress", after={"elapsed": 1.1}), "wait")
    assert [line.split()[1:] for line in out(made).splitlines()] == [
        ["web1", "fetch:", "db", "5", "s", "2.5", "MB"],
        ["web1", "wait", "1", "s"],
    ]


def test_a_terminal_has_a_bar_and_it_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    made = on_a_terminal()
    made.progress("web1", Event("1", "progress", after={"done": 5, "total": 10, "note": f"db {SECRET}"}))
    made.say("a line: 100 :smile: " + "and a long one " * 20)
    made.task("web1", task(), Event("1", "changed"))
    made.finish()
    assert "db [secret]" in err(made) and ":smile: and" in err(made) and "S3cr" not in err(made)
    assert "and a long one " * 20 in err(made)


def test_a_bar_keeps_no_line_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    made = report(Terminal())
    made.progress("web1", Event("1", "progress", after={"note": "db"}))
    made.say("for the file")
    made.finish()
    assert out(made) == "for the file\n" and "for the file" not in err(made)


def test_the_next_job_has_its_own_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    made = on_a_terminal()
    made.progress(
        "web1", Event("1", "progress", after={"done": 5_000_000, "total": 9_000_000, "note": "copy"}), "fetch"
    )
    made._bars.refresh()
    assert "5.0/9.0 MB" in err(made) and "[#####.....]" in err(made)
    written = len(err(made))
    made.progress("web1", Event("2", "progress", after={"done": 6_000_000, "total": 9_000_000}), "fetch")
    made._bars.refresh()
    assert "6.0/9.0 MB" in err(made)[written:]
    written = len(err(made))
    made.progress("web1", Event("3", "progress", after={"note": "wait"}), "fetch")
    made._bars.refresh()
    rest = err(made)[written:]
    made.step("the next step")
    assert "wait" in rest and "MB" not in rest and "[" not in rest[rest.index("wait") :], "no stale numbers"
    written = len(err(made))
    made.progress("web1", Event("4", "progress", after={"elapsed": 1.0}), "fetch")
    made._bars.refresh()
    assert "wait" not in err(made)[written:] and "fetch" in err(made)[written:]
    made.finish()


def test_no_color_means_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    made = report(Terminal())
    made.progress("web1", Event("1", "progress", after={"note": "db"}))
    made.finish()
    assert "\x1b" not in err(made)


def test_many_threads_at_once() -> None:
    made = report(json=True)

    def work(host: str) -> None:
        for number in range(200):
            made.task(host, task(), Event(str(number), "changed", {"n": 0}, {"n": number}))
            made.say("x")

    threads = [threading.Thread(target=work, args=(f"h{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = document(made)
    assert len(found["tasks"]) == 1600 and all(tally["changed"] == 200 for tally in found["hosts"].values())


@pytest.mark.parametrize(("program", "named"), [("mnemo-ops", "mnemo-ops"), ("invoke", "invoke"), ("inv", "invoke")])
def test_advice_names_the_program_that_was_started(program: str, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"/somewhere/bin/{program}"])
    problem = Refused("no stack runs here: invoke deploy", hint="invoke lab.up; run `invoke volumes --to bind`")
    human = report()
    human.say("  -> invoke hosts.trust --limit old")
    human.finish(problem)
    assert out(human) == f"  -> {named} hosts.trust --limit old\n"
    assert err(human) == (
        f"ERROR MN0300 no stack runs here: {named} deploy\n  -> {named} lab.up; run `{named} volumes --to bind`\n"
    )
    machine = report(json=True)
    machine.task("old", task(), Event("1", "failed", why="the volume does not exist -> invoke volumes creates it"))
    found = document(machine, problem)
    assert found["error"]["hint"] == f"{named} lab.up; run `{named} volumes --to bind`"
    assert found["tasks"][0]["why"] == f"the volume does not exist -> {named} volumes creates it"


def test_what_others_wrote_about_invoking_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mnemo-ops"])
    human = report()
    human.show("docs: invoke deploy")
    human.say("failed to invoke the handler")
    assert out(human) == "docs: invoke deploy\nfailed to invoke the handler\n"


def test_every_task_is_known_to_the_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mnemo-ops"])
    for name in namespace().task_names:
        assert Advice().spoken(f"invoke {name} --yes") == f"mnemo-ops {name} --yes"


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("invoke bootstrap installs them", "mnemo-ops bootstrap -i a.yml --limit old installs them"),
        (
            "run `invoke volumes --volume x --undo`",
            "run `mnemo-ops volumes -i a.yml --limit old --volume x --undo`",
        ),
        ("invoke hosts.trust --limit new", "mnemo-ops hosts.trust -i a.yml --limit new"),
        ("invoke deploy -i other.yml; invoke lab.up", "mnemo-ops deploy --limit old -i other.yml; mnemo-ops lab.up"),
        ("invoke restore --undo", "mnemo-ops restore -i a.yml --limit old --undo"),
        ("invoke lock.status shows", "mnemo-ops lock.status -i a.yml --limit old shows"),
        ("invoke restore --id x --limit new", "mnemo-ops restore -i a.yml --id x --limit new"),
        (
            "invoke docs apt, invoke backup.list",
            "mnemo-ops docs apt, mnemo-ops backup.list -i a.yml --limit old",
        ),
    ],
)
def test_advice_says_again_what_the_next_command_needs(text: str, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mnemo-ops"])
    assert Advice("a.yml", "old").spoken(text) == typed
    assert Advice().spoken(text) == text.replace("invoke ", "mnemo-ops ")
    assert Advice("my hosts.yml").spoken("invoke deploy") == "mnemo-ops deploy -i 'my hosts.yml'"


def test_what_a_host_says_names_the_host_where_the_next_command_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mnemo-ops"])
    text = "invoke lock.status, invoke lock.release; invoke deploy --limit new; invoke migrate --from a --to b"
    said = on_host("o ld", text)
    assert said == (
        "invoke lock.status --limit 'o ld', invoke lock.release --limit 'o ld'; invoke deploy --limit new; "
        "invoke migrate --from a --to b"
    )
    assert Advice("a.yml", "all").spoken(said).count("--limit") == 3
    assert on_host("old", said) == said


def test_an_error_is_folded_at_blanks_on_a_terminal_and_what_is_to_be_typed_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    error = Refused("old: " + "several words " * 8 + SECRET, hint="mnemo-ops " + "--option value " * 8)
    made = on_a_terminal()
    made.finish(error)
    message, _, hint = out(made).partition("  -> ")
    assert all(len(line) <= 40 for line in message.splitlines()) and SECRET not in out(made)
    assert hint.count("\n") == 1
    plain = report()
    plain.finish(error)
    assert len(err(plain).splitlines()) == 2


def test_a_secret_of_several_words_is_not_folded_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    made = on_a_terminal()
    made.mask.learn(["correct horse battery staple"])
    made.finish(Refused("the password is correct horse battery staple"))
    assert "horse" not in out(made)
