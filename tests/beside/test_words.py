"""The words of the play language: small plays on this machine write a log, and both sides' logs are the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sides import HERE, OURS, PEERS

WORDS = HERE / "words"
CASES = sorted(path.parent.name for path in WORDS.glob("*/site.yml"))
SAMPLE = ("handlers", "includes", "precedence", "rescue", "results", "role30")  # of `make test`; all: `make soak`


def run(case: str, home: Path, argv: list[str]) -> tuple[bool, str]:
    """Whether it ended well, and its log. In the files of a case ``OUT`` is the directory it writes to."""
    shutil.copytree(WORDS / case, home)
    shutil.copy(WORDS / "hosts.yml", home / "hosts.yml")
    out = home / "out"
    out.mkdir()
    for path in home.rglob("*"):
        if path.is_file():
            path.write_text(path.read_text().replace("OUT", str(out)))
    more = (home / "arguments").read_text().split() if (home / "arguments").exists() else []
    environment = {**os.environ, "ANSIBLE_CONFIG": str(HERE / "ansible.cfg"), "ANSIBLE_HOME": str(home / "ansible")}
    environment["BESIDE_OUTCOMES"] = str(home / "outcomes")
    words = [*argv, "-i", "hosts.yml", *more]
    done = subprocess.run(words, cwd=home, env=environment, capture_output=True, text=True, timeout=120, check=False)
    log = (out / "log").read_text() if (out / "log").exists() else ""
    print(done.stdout, done.stderr, file=sys.stderr)
    return done.returncode == 0, log.replace(str(home), "")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.sample if case in SAMPLE else ()) for case in CASES]
)
def test_a_play_does_the_same(case: str, tmp_path: Path) -> None:
    theirs = run(case, tmp_path / "theirs", [str(PEERS / "ansible-playbook"), "site.yml"])
    ours = run(case, tmp_path / "ours", [str(OURS), "play", "site.yml"])
    assert theirs[1], "this play writes nothing"
    assert ours == theirs
