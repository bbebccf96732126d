"""What a set lists is what tar brings back: odd names and kinds, directories behind links."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mnemo_ops.agent import tree
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import Dataset, Stack, root
from mnemo_ops.agent.twin import Twin, unequal

STACK: dict[str, Any] = {"project": "p", "files": (), "env_file": ".env", "store": "/store"}


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with everything a file system may hold."""
    path = tmp_path / "odd"
    (path / "below").mkdir(parents=True)
    for name in (b"caf\xe9", b"new\nline", b"-rf", b"a\tb "):
        Path(os.fsdecode(os.fsencode(path) + b"/" + name)).write_bytes(name)
    os.mkfifo(path / "pipe")
    os.link(path / "-rf", path / "below/same")
    (path / "nowhere").symlink_to("nowhere")
    (path / ".mnemo-before-1").mkdir()
    (path / "below/.mnemo-of-the-application").write_text("x")
    monkeypatch.chdir(path / "below")  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket")
    assert (path / "below/socket").is_socket()
    return path


def packed(path: Path, to: Path) -> Path:
    to.mkdir()
    argv = ["tar", "--create", "--directory", str(path), f"--exclude=./{tree.ANYWHERE}", "."]
    made = subprocess.run(argv, capture_output=True, check=True)
    subprocess.run(["tar", "--extract", "--directory", str(to), "-p"], input=made.stdout, check=True)
    return to


def test_a_set_lists_what_tar_brings_back(odd: Path, tmp_path: Path) -> None:
    """With a socket among the rows, which tar leaves out, no such set could ever be restored."""
    machine = Machine("/")
    before = list(tree.entries(machine, str(odd)))
    assert tree.differences(before, list(tree.entries(machine, str(packed(odd, tmp_path / "back"))))) == []
    assert len(before) == 10
    assert any(row["path"] == "below/.mnemo-of-the-application" for row in before), "the application may call files so"
    assert not any(row["path"].endswith("application") for row in tree.entries(machine, str(odd), (tree.ANYWHERE,)))


@pytest.mark.parametrize(
    "dataset", [Dataset("uploads", "files", path="uploads"), Dataset("config", "config", path=".")]
)
def test_a_directory_behind_a_link_is_what_is_listed(dataset: Dataset, odd: Path, tmp_path: Path) -> None:
    """The link itself as the first row is nothing that could be restored."""
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/p").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/uploads").symlink_to(odd)
    stack = Stack(directory=str(tmp_path / "srv/p"), datasets=(dataset,), keep=(), waived={}, **STACK)
    where = root(Machine("/"), stack, dataset)
    assert where == str(odd if dataset.name == "uploads" else tmp_path / "elsewhere")
    assert next(tree.entries(Machine("/"), where))["kind"] == "directory"


def test_a_socket_is_no_difference_of_twins(odd: Path, tmp_path: Path) -> None:
    machine = Machine("/")
    twins = [Twin(machine, str(path)) for path in (odd, packed(odd, tmp_path / "back"))]
    for twin in twins:
        for _ in twin.hash(0, "hashing"):
            pass
    for path in tmp_path.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    assert unequal(*twins) == []
