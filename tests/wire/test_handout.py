"""The forced command of a migration's key: the files of its run by name, and nothing else of a host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import REAL
from test_leases import do

from mnemo_ops.agent.actions.backup import SetFiles
from mnemo_ops.agent.actions.images import SaveImages
from mnemo_ops.agent.actions.transfer import Fetch, GrantKey, RevokeKey
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import code_cache, handout, lease
from mnemo_ops.agent.stack.fence import write_fence
from mnemo_ops.errors import Broken, CommandFailed, VerificationFailed
from mnemo_ops.transport import bundle

RUN, OTHER = "20261129T220719Z-f5d5", "20261129T220719Z-0000"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """This machine with a state directory, a user and a systemd of our own, and the agent's real zip."""
    (tmp_path / "bin").mkdir()
    for name in ("systemctl", "systemd-run"):
        (tmp_path / "bin" / name).symlink_to("/bin/true")
    made = Here(tmp_path, search_path=f"{tmp_path}/bin:/usr/bin:/bin", state_dir=str(tmp_path / "state"))
    made.program = lambda: code_cache.merged([REAL, bundle.pack(bundle.deeds())])
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets/config.tar.age").write_bytes(bytes(range(256)) * 5000)
    (tmp_path / "secret").write_text("root:x")
    yield made


class Here(Machine):
    """Units go nowhere; ``ann`` has her home below the test's directory."""

    def __init__(self, place: Path, **options: Any) -> None:
        super().__init__(**options)
        self.place = place

    def accounts(self, database: str) -> dict[str, list[str]]:
        return {"ann": ["ann", "x", str(os.getuid()), str(os.getgid()), "", str(self.place / "home"), "/bin/sh"]}

    def write(self, path: str, *args: Any, **options: Any) -> None:
        if not path.startswith(lease.UNITS):
            super().write(path, *args, **options)


def granted(machine: Machine) -> Path:
    do(machine, GrantKey(RUN, "ann", KEY, ["192.0.2.2"]))
    return Path(machine.accounts("passwd")["ann"][5]) / ".ssh/authorized_keys"


def asked(
    machine: Machine, data: bytes, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """As sshd starts it: the login shell reads the command, whatever the client asked for is in the environment."""
    lines = (Path(machine.accounts("passwd")["ann"][5]) / ".ssh/authorized_keys").read_text().splitlines()
    (line,) = [line for line in lines if line.endswith(f"mnemo-{RUN}")]
    command = line.partition('command="')[2].partition('" ssh-ed25519')[0]
    if os.getuid() != 0:
        assert command.startswith("sudo -n ")
        command = command[len("sudo -n ") :]
    env = {"PATH": os.environ["PATH"], "MNEMO_STATE_DIR": machine.state_dir, **(environment or {})}
    return subprocess.run(["/bin/sh", "-c", command], input=data, capture_output=True, env=env, check=False)


def allow(machine: Machine, tmp_path: Path) -> None:
    granted(machine)
    handout.allow(machine, RUN, str(tmp_path / "sets"), ["config.tar.age", "link", "fifo", "directory", "gone"])


def test_a_file_of_the_run_is_handed_out(machine: Machine, tmp_path: Path) -> None:
    allow(machine, tmp_path)
    done = asked(machine, b"config.tar.age\n")
    assert done.returncode == 0 and done.stdout == (tmp_path / "sets/config.tar.age").read_bytes()


@pytest.mark.parametrize(
    "line",
    [
        *(b"secret\n", b"/etc/shadow\n", b"../secret\n", b"sets/../secret\n", b"\n", b"", b"config.tar.age", b"-\n"),
        *(b"config.tar.age \n", b"config.tar.age\0\n", b"\xff\n", b"x" * 10000, b"config.tar.age\r\n"),
        *(b"link\n", b"fifo\n", b"directory\n", b"gone\n"),
    ],
)
def test_nothing_else_is(line: bytes, machine: Machine, tmp_path: Path) -> None:
    allow(machine, tmp_path)
    (tmp_path / "sets/link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "sets/fifo")
    (tmp_path / "sets/directory").mkdir()
    done = asked(machine, line, {"SSH_ORIGINAL_COMMAND": "cat /etc/shadow", "PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (1, b"") and done.stderr.startswith(b"mnemo_ops: ")
    assert b"Traceback" not in done.stderr


def test_whether_the_fence_of_the_run_is_final_is_told(machine: Machine, tmp_path: Path) -> None:
    allow(machine, tmp_path)
    question = handout.fence(RUN).encode() + b"\n"
    assert asked(machine, question).stdout == handout.OTHER
    other = OTHER
    for run, state, told in (
        (RUN, "held", handout.OTHER),
        (other, "final", handout.OTHER),
        (RUN, "final", handout.FINAL),
    ):
        write_fence(machine, "app", {"run": run, "state": state})
        assert asked(machine, question).stdout == told
    assert asked(machine, handout.fence(other).encode() + b"\n").returncode == 1


def test_a_directory_that_became_a_link_hands_nothing_out(machine: Machine, tmp_path: Path) -> None:
    allow(machine, tmp_path)
    (tmp_path / "sets").rename(tmp_path / "moved")
    (tmp_path / "sets").symlink_to(tmp_path / "moved")
    assert asked(machine, b"config.tar.age\n").returncode == 1


def test_modules_of_where_it_is_started_are_not_imported(machine: Machine, tmp_path: Path, monkeypatch: Any) -> None:
    allow(machine, tmp_path)
    for name in ("json", "sitecustomize", "mnemo_ops"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(0)")
    monkeypatch.chdir(tmp_path)
    assert len(asked(machine, b"config.tar.age\n", {"PYTHONPATH": str(tmp_path)}).stdout) == 256 * 5000


def test_the_line_of_the_key_allows_the_command_only(machine: Machine) -> None:
    path = granted(machine)
    (line,) = path.read_text().splitlines()
    assert line.startswith('restrict,from="192.0.2.2",expiry-time="2') and line.endswith(f" {KEY} mnemo-{RUN}")
    assert "sftp" not in line and " -IS " in line and line.count('"') == 6 and path.stat().st_mode & 0o777 == 0o600


def test_when_the_key_is_revoked_nothing_is_left_and_nothing_is_added(machine: Machine, tmp_path: Path) -> None:
    allow(machine, tmp_path)
    listed = tmp_path / f"state/handouts/{RUN}.json"
    assert listed.stat().st_mode & 0o777 == 0o600
    command = handout.command(machine, RUN, root=True)
    assert lease.undo(machine, f"key-{RUN}")
    assert not listed.exists() and f"mnemo-{RUN}" not in (tmp_path / "home/.ssh/authorized_keys").read_text()
    env = {"PATH": os.environ["PATH"], "MNEMO_STATE_DIR": machine.state_dir}
    late = subprocess.run(["sh", "-c", command], input=b"config.tar.age\n", capture_output=True, env=env, check=False)
    assert (late.returncode, late.stdout) == (1, b"")  # of a connection that was open already
    with pytest.raises(Broken):
        handout.allow(machine, RUN, str(tmp_path / "sets"), ["config.tar.age"])
    do(machine, RevokeKey(RUN, "ann"))  # once more is nothing


def test_files_of_a_set_and_saved_images_are_the_runs_own(machine: Machine, tmp_path: Path) -> None:
    granted(machine)
    part = {"name": "config.tar.age", "bytes": 256 * 5000, "sha256": "0" * 64}
    about = {"project": "p", "created": 1.0, "consistency": "quiesced", "datasets": {}, "volumes": {}}
    (tmp_path / "sets/manifest.json").write_text(json.dumps({"format": 2, "id": RUN, "parts": [part], **about}))
    (tmp_path / "sets/verified.json").write_text("{}")
    do(machine, SetFiles(str(tmp_path / "sets"), RUN))
    assert {name: asked(machine, f"{name}\n".encode()).returncode
            for name in ("config.tar.age", "manifest.json", "verified.json", "images.tar.zst")} == {
        "config.tar.age": 0, "manifest.json": 0, "verified.json": 1, "images.tar.zst": 1}  # fmt: skip
    (tmp_path / "images.tar.zst").write_bytes(b"images")
    do(machine, SaveImages(["x"], str(tmp_path / "images.tar.zst"), RUN))
    assert asked(machine, b"images.tar.zst\n").stdout == b"images"
    assert asked(machine, b"manifest.json\n").returncode == 0


# -- fetching --------------------------------------------------------------------------------------------------------

SSH = """#!{python} -IS
import os, pathlib, sys
here = pathlib.Path(__file__).parent
(here / "argv").write_text("\\n".join(sys.argv[1:]))
name = sys.stdin.readline()
(here / "asked").write_text(name)
how = (here / "how").read_text()
data = b"x" * 70000
if how == "cut":
    sys.stdout.buffer.write(data[:30000]); sys.stdout.flush(); sys.exit(255)
if how == "endless":
    while True: sys.stdout.buffer.write(data)
sys.stdout.buffer.write(b"y" * 70000 if how == "other" else data)
"""


@pytest.fixture
def fetch(machine: Machine, tmp_path: Path) -> Callable[[str], Any]:
    import hashlib

    ssh = tmp_path / "bin/ssh"
    ssh.write_text(SSH.replace("{python}", sys.executable))
    ssh.chmod(0o755)
    rows = [{"name": "my part", "size": 70000, "sha256": hashlib.sha256(b"x" * 70000).hexdigest()}]
    (tmp_path / "state/keys").mkdir(parents=True)

    def run(how: str) -> Any:
        (tmp_path / "bin/how").write_text(how)
        return do(machine, Fetch(RUN, "ann", "fe80::1", 2222, [KEY], str(tmp_path / "here"), rows))

    return run


def test_a_file_is_asked_for_by_its_name_and_not_again(fetch: Callable[[str], Any], tmp_path: Path) -> None:
    assert fetch("well") == {"bytes": 70000, "files": 1}
    assert (tmp_path / "here/my part").read_bytes() == b"x" * 70000
    assert (tmp_path / "here/my part").stat().st_mode & 0o777 == 0o600
    argv = (tmp_path / "bin/argv").read_text().splitlines()
    assert argv[-1] == "fe80::1" and "my part" not in argv and (tmp_path / "bin/asked").read_text() == "my part\n"
    (tmp_path / "bin/ssh").unlink()
    assert fetch("well") == {"bytes": 70000, "files": 1}


@pytest.mark.parametrize(
    ("how", "error"), [("cut", CommandFailed), ("other", VerificationFailed), ("endless", VerificationFailed)]
)
def test_what_does_not_arrive_leaves_nothing(
    how: str, error: type[Exception], fetch: Callable[[str], Any], tmp_path: Path
) -> None:
    with pytest.raises(error):
        fetch(how)
    assert list((tmp_path / "here").iterdir()) == []
    assert fetch("well")["files"] == 1
