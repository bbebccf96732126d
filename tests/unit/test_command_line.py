"""What the program answers to a command line: Ansible's flags, words it does not know, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mnemosyne
import pytest

from mnemo_ops.cli import program
from mnemo_ops.cli.extra_vars import variables
from mnemo_ops.errors import UsageError

ROOT = Path(__file__).parents[2]
PLAY = '- hosts: all\n  gather_facts: false\n  tasks:\n    - debug: {msg: "it is {{ x }}"}\n'


def said(words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[object, str]:
    """Exit code, and all that was printed."""
    monkeypatch.setattr(sys, "argv", ["mnemo-ops", *words.split()])
    with pytest.raises(SystemExit) as ended:
        program.main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out + captured.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("play site.yml --nope", ("play has no option '--nope'", "mnemo-ops --help play")),
        ("volumes --volme x", ("did you mean '--volume'? mnemo-ops --help volumes",)),
        ("play site.yml --extra-vars a=b", ("--vars, or -e",)),
        ("play -b site.yml", ("play has no option '-b'", "become: true in the play")),
        ("play site.yml -k", ("ansible_password",)),
        ("play site.yml --list-tasks", ("--check --verbose names every task",)),
        ("play site.yml --syntax-check", ("every run reads the whole playbook before it connects",)),
        ("play site.yml --dry", ("--check, or -C",)),
        ("play -f 5 site.yml", ("serial in the play",)),
        ("play site.yml -ea=b", ("write -e a=b",)),
        ("play site.yml -CD -i", ("'-i' needs a value",)),
        ("play site.yml -i one -i two", ("'-i' is given twice",)),
        ("play site.yml -e @none.yml", ("none.yml cannot be read",)),
        ("play site.yml -e [1]", ("--vars takes k=v, not '[1]'", "@FILE")),
        ("play site.yml -e {a", ("--vars:1", "not valid YAML")),
        ("play site.yml --check=x", ("No idea what 'x' is!", "mnemo-ops --help play")),
        ("play", ("positional arguments: 'playbook'", "mnemo-ops --help play")),
        ("plya site.yml", ("there is no task 'plya'", "did you mean 'play'?")),
        ("play site.yml a=b", ("there is no task 'a=b'", "mnemo-ops --help play")),
        ("--help plya", ("No idea what 'plya' is!", "mnemo-ops --list")),
        ("--list plya", ("'plya' not found", "mnemo-ops --list")),
        ("--list-format xml", ("one of: flat, nested, json",)),
        ("-D site.yml play", ("an option before the task: invalid literal", "mnemo-ops --help")),
        ("-f 5 play site.yml", ("an option before the task: Config files of type",)),
        ("-b play site.yml", ("there is no option '-b'",)),
    ],
)
def test_a_mistyped_command_line_is_a_usage_error_with_the_next_command(
    words: str, expected: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, text = said(words, capsys, monkeypatch)
    assert code == 2 and text.startswith("ERROR ") and "Traceback" not in text
    for one in expected:
        assert one in text


def test_what_speaks_against_another_host_is_not_told_of_the_limited_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = f"stack: {{source: {mnemosyne.SOURCE}, volumes: {{uploads: {{type: bind, path: data}}}}}}"
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(f"all: {{hosts: {{old: {{ansible_host: 192.0.2.1}}, new: {{{stack}}}}}}}\n")
    words = f"volumes --volume x -i {inventory} --limit"
    code, text = said(f"{words} new", capsys, monkeypatch)
    assert code == 2 and "new: stack.volumes.uploads: path: 'data' is not" in text and "like /data/documents" in text
    code, text = said(f"{words} old", capsys, monkeypatch)
    assert code == 2 and "the stack has no volume 'x'" in text and "new" not in text


@pytest.mark.parametrize("words", ["play --help", "play site.yml -h", "--help play"])
def test_help_may_stand_behind_the_task(words: str) -> None:
    program = Path(sys.executable).with_name("mnemo-ops")  # another process: invoke forgets a help it has told
    done = subprocess.run([program, *words.split()], capture_output=True, text=True, check=True)
    assert "Usage: mnemo-ops [--core-opts] play" in done.stdout and "-e, --vars" in done.stdout
    assert "@FILE" in done.stdout


QUIET = [
    *((words, 0) for words in ("--list", "docs all", "explain all", "schema playbook", "lab.status --json")),
    *((words, 2) for words in ("play site.yml --json", "secrets.view none")),
]
# invoke answers these before it reads tasks.py, or has words and a code of its own
OURS = [*((words, 0) for words in ("--help", "play --help", "--version")), ("play site.yml --nope", 2), ("plya", 2)]


@pytest.mark.parametrize("errors", [False, True])  # nobody reads them either: 2>&1 | head
@pytest.mark.parametrize(
    ("name", "words", "code"),
    [*(("mnemo-ops", *one) for one in (*QUIET, *OURS)), *(("invoke", *one) for one in QUIET)],
)
def test_it_is_quiet_when_nobody_reads_on(name: str, words: str, code: int, errors: bool, tmp_path: Path) -> None:
    """As `| head`: the reader is gone before the first line; the exit code is that of the command."""
    program = Path(sys.executable).with_name(name)
    (tmp_path / "tasks.py").symlink_to(ROOT / "tasks.py")
    reader, writer = os.pipe()
    os.close(reader)
    heard = writer if errors else subprocess.PIPE
    argv = [program, *words.split()]
    done = subprocess.run(argv, cwd=tmp_path, text=True, check=False, stdout=writer, stderr=heard)
    os.close(writer)
    assert done.returncode == code and "Broken pipe" not in (done.stderr or "")
    assert errors or code or done.stderr == "" or (done.stderr.count("\n") == 1 and " lab.up" in done.stderr)


@pytest.mark.parametrize(
    ("words", "code"), [("explain all", 0), ("play site.yml", 2), ("migrate --from old --to new", 2)]
)
def test_it_needs_no_streams(words: str, code: int, tmp_path: Path) -> None:
    """As `>&- 2>&- <&-` of a shell, or a service manager that hands over none."""
    program = Path(sys.executable).with_name("mnemo-ops")
    hosts = "new: {ansible_host: 192.0.2.1}, old: {ansible_host: 192.0.2.2}"
    (tmp_path / "inventory.yml").write_text(f"all: {{hosts: {{{hosts}}}}}")
    start = f'exec "{program}" {words} <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", start], cwd=tmp_path, check=False).returncode == code


def test_a_play_goes_on_when_its_output_has_no_room(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text("- hosts: all\n  gather_facts: false\n  tasks: [{command: touch one}]\n")
    (tmp_path / "hosts").write_text(f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    words = [Path(sys.executable).with_name("mnemo-ops"), "play", "site.yml", "-i", "hosts"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 6 and "not all of the output was written" in done.stderr
    assert "a bug" not in done.stderr and "Exception" not in done.stderr


def test_a_play_goes_on_when_nobody_reads_on(tmp_path: Path) -> None:
    both = "{command: touch one}, {command: touch two}"
    (tmp_path / "site.yml").write_text(f"- hosts: all\n  gather_facts: false\n  tasks: [{both}, {{fail: {{}}}}]\n")
    (tmp_path / "hosts").write_text(f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    program = Path(sys.executable).with_name("mnemo-ops")
    reader, writer = os.pipe()
    os.close(reader)
    words = [program, "play", "site.yml", "-i", "hosts"]
    done = subprocess.run(words, stdout=writer, stderr=writer, cwd=tmp_path, check=False)
    os.close(writer)
    assert done.returncode == 6


@pytest.mark.parametrize(
    "words",
    [
        "-C -D site.yml -i hosts -l localhost -e x=5",
        "site.yml -CDvi hosts -e x=5 -t all",
        'site.yml -i hosts -e x=4 -e {"x":5}',
        "site.yml -i hosts -e @v.yml",
    ],
)
def test_the_short_flags_of_ansible_mean_what_they_mean_there(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("site.yml").write_text(PLAY)
    Path("v.yml").write_text("five: 5\nx: '{{ five }}'\n")
    Path("hosts").write_text("localhost ansible_connection=local\n")
    code, text = said(f"play {words}", capsys, monkeypatch)
    assert code == 0 and "it is 5" in text


def test_a_value_that_looks_like_a_task_is_a_value(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, text = said("docs volumes", capsys, monkeypatch)
    assert code == 2 and "MN0202" in text and "'volumes'" in text


def test_variables_of_the_command_line_are_texts_as_in_ansible() -> None:
    given = variables("version=1.10 id=007 flag=no at=12:30:00 list=[1,2] said='a b' site={{ a }} none=")
    assert given == {
        "version": "1.10", "id": "007", "flag": "no", "at": "12:30:00", "list": "[1,2]", "said": "a b",
        "site": "{{ a }}", "none": "",
    }  # fmt: skip
    with pytest.raises(UsageError) as error:
        variables("said=hello world")
    assert error.value.hint.startswith("said='\"hello world\"'")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--undo", ("old, new", "--limit")),
        ("--undo --host old --limit new", ("--limit new and --host old", "--limit")),
        ("--undo --host old --limit all", ("--limit all and --host old", "--limit")),
        ("--undo --host old", ("replace the data of old", "--yes")),
        ("--undo --limit old", ("replace the data of old", "--yes")),
        ("--undo --host old --limit old:&all", ("replace the data of old", "--yes")),
        ("--undo --host nobody", ("nobody",)),
        ("--host old", ("--id latest", "mnemo-ops backup.list -i inventory.yml --limit old")),
    ],
)
def test_a_host_is_named_by_limit_and_host_is_another_word_for_it(
    words: str,
    expected: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("inventory.yml").write_text("all: {hosts: {old: {ansible_host: 192.0.2.1}, new: {ansible_host: 192.0.2.2}}}")
    code, text = said(f"restore -i inventory.yml {words}", capsys, monkeypatch)
    assert code == 2 and all(part in text for part in expected), text


@pytest.mark.parametrize("words", ["--keep-last 0", "--keep-last many", "--keep-last -1"])
def test_pruning_keeps_a_set_at_least(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, text = said(f"backup.prune {words}", capsys, monkeypatch)
    assert code == 2 and "--keep-last" in text


@pytest.mark.parametrize(
    ("words", "host", "next"),
    [
        ("restore -i inventory.yml --undo", "new", "replace the data of new"),
        ("restore -i inventory.yml --undo --limit all", "old", "replace the data of old"),
        ("restore --id 2026 -l=old,new -i inventory.yml", "new", "replace the data of new"),
        ("restore --host old,new --undo", "new", "replace the data of new"),
        ("migrate --from all --to new --limit all", "old", "stop the stack on old and move it to new"),
        ("migrate --to new", "old", "stop the stack on old and move it to new"),
        ("migrate --from=old", "new", "stop the stack on old and move it to new"),
        ("migrate --from=old --to new --limit new", "new", "stop the stack on old and move it to new"),
    ],
)
def test_who_names_no_host_or_several_is_given_the_command_that_names_one(
    words: str,
    host: str,
    next: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Typed as it is printed, it comes to the next question."""
    monkeypatch.chdir(tmp_path)
    Path("inventory.yml").write_text("all: {hosts: {new: {ansible_host: 192.0.2.1}, old: {ansible_host: 192.0.2.2}}}")
    code, text = said(words, capsys, monkeypatch)
    assert code == 2 and next not in text
    offered = text.partition("  -> ")[2].strip().split("; or ")
    (command,) = [one for one in offered if one.endswith(f" {host}")]
    assert command.startswith("mnemo-ops ")
    code, text = said(command.removeprefix("mnemo-ops "), capsys, monkeypatch)
    assert code == 2 and next in text


def test_an_abort_that_is_to_change_nothing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hosts = "new: {ansible_host: 127.0.0.1, ansible_port: 1}, old: {ansible_host: 127.0.0.1, ansible_port: 2}"
    Path("inventory.yml").write_text(f"all: {{hosts: {{{hosts}}}}}")
    code, text = said("migrate --abort --check --yes --from old --to new", capsys, monkeypatch)
    assert code == 2 and "lock.status --limit old,new" in text


def test_a_command_that_is_typed_again_shows_no_value_of_a_variable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("inventory.yml").write_text("all: {hosts: {new: {ansible_host: 192.0.2.1}, old: {ansible_host: 192.0.2.2}}}")
    for word in ("-e", "-e=", "--vars"):
        code, text = said(f"deploy {word}{'' if word[-1] == '=' else ' '}key=hush", capsys, monkeypatch)
        assert code == 2 and "--limit old" in text and "hush" not in text and "key=..." in text
