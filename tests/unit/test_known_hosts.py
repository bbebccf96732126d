"""What a known_hosts file says of one host: as paramiko reads it, line by line."""

from __future__ import annotations

import time
from pathlib import Path

import paramiko
import pytest
from paramiko.rsakey import RSAKey

from mnemo_ops.transport import known_hosts

ONE, TWO = (RSAKey.generate(1024) for _ in range(2))
OTHER = paramiko.ECDSAKey.generate()


def _line(names: str, key: paramiko.PKey) -> str:
    return f"{names} {key.get_name()} {key.get_base64()}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    hashed = paramiko.HostKeys.hash_host("secret.example")
    lines = [
        "# a comment\n\n",
        _line("app,192.0.2.1", ONE),
        _line("app", OTHER),
        _line("app", TWO),
        _line("[app]:2222", TWO),
        _line(hashed, TWO),
        "app\n",
        f"app unheard-of {ONE.get_base64()}\n",
    ]
    path = tmp_path / "known_hosts"
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize("name", ["app", "192.0.2.1", "[app]:2222", "secret.example", "nobody", "192.0.2"])
def test_as_paramiko_reads_it(file: Path, name: str) -> None:
    theirs = paramiko.HostKeys(str(file)).lookup(name) or {}
    assert known_hosts.keys(file, name) == dict(theirs)


def test_a_line_that_is_no_key_is_passed_over(file: Path) -> None:
    with file.open("a") as text:
        text.write("late ssh-rsa not-a-key\n" + _line("late", OTHER))
    assert known_hosts.keys(file, "late") == {OTHER.get_name(): OTHER}


def test_a_key_that_is_revoked_is_not_known(file: Path) -> None:
    with file.open("a") as text:
        text.write(_line("@revoked *", ONE) + _line("@cert-authority app", TWO))
    assert known_hosts.keys(file, "app") == {OTHER.get_name(): OTHER}
    assert known_hosts.keys(file, "secret.example") == {"ssh-rsa": TWO}


def test_a_file_that_is_not_there_knows_nobody(tmp_path: Path) -> None:
    assert known_hosts.keys(tmp_path / "known_hosts", "app") == {}


def test_a_file_that_changed_is_read_again(file: Path) -> None:
    assert known_hosts.keys(file, "late") == {}
    with file.open("a") as text:
        text.write(_line("late", ONE))
    assert known_hosts.keys(file, "late") == {"ssh-rsa": ONE}


def test_a_thousand_lines_cost_a_host_little(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("".join(_line(f"host{number}", OTHER) for number in range(1000)))
    known_hosts.keys(path, "host1")
    began = time.process_time()
    for number in range(50):
        assert len(known_hosts.keys(path, f"host{number}")) == 1
    ours = time.process_time() - began
    began = time.process_time()
    paramiko.HostKeys(str(path))
    assert ours < time.process_time() - began, "fifty hosts take less than one reading of paramiko's"
